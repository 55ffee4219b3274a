"""Many cores in one virtual network under one virtual clock, driven by a seed.

`scenario` draws a plan from a seed, `world` plays it, `judge` says what must
hold, `run` puts the three together and `__main__` is the command.  Nothing in
here sleeps, opens a socket or reads a clock that decides: the same seed gives
the same trace, byte for byte, on every machine.
"""
