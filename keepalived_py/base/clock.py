"""Time as integer microseconds.

Every duration and every instant inside the program is a whole number of
microseconds (`Micros`).  Instants come from the monotonic clock and are only
ever compared with each other; nobody inside reads the wall clock to decide.
"""

from __future__ import annotations

from typing import NewType

Micros = NewType("Micros", int)

SECOND = Micros(1_000_000)
MILLISECOND = Micros(1_000)


def seconds(value: float) -> Micros:
    """`value` seconds as microseconds, rounded to the nearest."""
    return Micros(round(value * 1_000_000))


def as_seconds(value: int) -> float:
    """Microseconds as seconds, for printing and for system calls."""
    return value / 1_000_000
