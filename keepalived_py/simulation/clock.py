"""The clock of one router: an unknown start and a rate that is a little off.

The core only ever sees its own router's clock.  Routers whose clocks run at
different rates must still agree, because VRRP compares no instants over the wire.
"""

from dataclasses import dataclass

from keepalived_py.base.clock import Micros

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class DriftingClock:
    """`offset_us` at virtual time 0, then `MILLION + drift_ppm` per `MILLION` microseconds."""

    offset_us: int
    drift_ppm: int

    def read(self, virtual: int) -> Micros:
        """What this clock shows at the instant `virtual` of the simulation."""
        return Micros(self.offset_us + virtual + virtual * self.drift_ppm // MILLION)

    def when(self, local: int) -> int:
        """The first virtual instant at which this clock shows at least `local`."""
        virtual = (local - self.offset_us) * MILLION // (MILLION + self.drift_ppm)
        while self.read(virtual) < local:
            virtual += 1
        return virtual
