"""Many cores in one virtual network under one virtual clock, driven by a seed.

`scenario` draws a plan from a seed (`cluster` the configurations, `faults` what goes
wrong), `world` plays it with one `router` each on a fake `kernel`.  What must hold
is said by `invariants` (each step), `watch` (each instant) and `judge` (the end of a
phase), how long it may take by `bounds`.  `run` puts it together and `__main__` is the command.  Nothing in
here sleeps, opens a socket or reads a clock that decides: the same seed gives
the same trace, byte for byte, on every machine.
"""
