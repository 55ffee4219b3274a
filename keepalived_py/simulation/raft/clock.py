"""A clock that runs at a rate of its own.

Hosts read it in place of true time.  Deadlines of the core are on it, so an
instant on it can be turned back into the first true instant at which it shows that.
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros

_MILLION = 1_000_000


class Clock(NamedTuple):
    """`offset_us` at true time 0; `ppm` is how much faster than true time it runs."""

    offset_us: int
    ppm: int

    def at(self, true_us: int) -> Micros:
        """What it shows at a true instant."""
        return Micros(self.offset_us + true_us * (_MILLION + self.ppm) // _MILLION)

    def true(self, shown: int) -> int:
        """The first true instant at which it shows at least `shown`."""
        rate = _MILLION + self.ppm
        return -((self.offset_us - shown) * _MILLION // rate)
