"""What can go wrong, as values with a beginning and an end.

A `LinkFault` acts on packets between routers, a `RouterFault` on one router.
Instants are virtual microseconds.  A fault that ends at the instant of healing
is a lasting one: the split network must find its master in spite of it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

RouterName = NewType("RouterName", str)
Pair = tuple[RouterName, RouterName]


@dataclass(frozen=True, slots=True)
class LinkFault:
    """From `begin_us` to `end_us`, packets on `pairs` (sender, receiver) suffer.

    `loss` and `duplicate` are probabilities; `delay_us` is the largest extra
    delay, drawn per packet, so that packets overtake each other.
    """

    begin_us: int
    end_us: int
    name: str
    pairs: frozenset[Pair]
    loss: float = 0.0
    duplicate: float = 0.0
    delay_us: int = 0

    def __str__(self) -> str:
        pairs = " ".join(f"{sender}->{receiver}" for sender, receiver in sorted(self.pairs))
        return f"{self.name} loss={self.loss:.2f} dup={self.duplicate:.2f} delay_us={self.delay_us} {pairs}"


class Trouble(Enum):
    """What befalls a router."""

    PAUSE = "pause"  # like SIGSTOP: the clock goes on, events queue up
    CRASH = "crash"  # like kill -9: the addresses stay in the kernel
    POWER_LOSS = "power-loss"  # the kernel's state is gone as well
    STOP = "stop"  # like SIGTERM, then started again
    LINK_DOWN = "link-down"
    SCRIPT_FAILS = "script-fails"
    SOURCE_LOST = "source-lost"  # the interface's own address goes and comes back
    ADDRESS_STOLEN = "address-stolen"  # somebody else deletes the virtual addresses, once
    SLOW_KERNEL = "slow-kernel"


LIFECYCLE = (Trouble.PAUSE, Trouble.CRASH, Trouble.POWER_LOSS, Trouble.STOP)


@dataclass(frozen=True, slots=True)
class RouterFault:
    """From `begin_us` to `end_us`, `router` is in `trouble`."""

    begin_us: int
    end_us: int
    router: RouterName
    trouble: Trouble

    def __str__(self) -> str:
        return self.trouble.value
