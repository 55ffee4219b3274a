"""Checks that connect to something: what is asked, and whether it answered."""
