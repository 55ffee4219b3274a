"""The election back-ends: shells that feed a core with events and perform its effects."""
