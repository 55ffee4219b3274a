"""The shell of virtual servers: timers and probes around `core.checks`, and its effects performed."""
