"""What can go wrong, as values with a beginning and an end.

A `LinkFault` acts on packets between routers, a `RouterFault` on one router, a
`Reload` gives one router another configuration.
Instants are virtual microseconds.  A fault that ends at the instant of healing
is a lasting one: the split network must find its master in spite of it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NewType

from keepalived_py.model.config import Configuration

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
    FILE_BAD = "file-bad"  # the tracked file has a number that counts
    PROCESS_GONE = "process-gone"
    BFD_DOWN = "bfd-down"
    SOURCE_LOST = "source-lost"  # the interface's own address goes and comes back
    STOLEN = "stolen"  # somebody else deletes what the router holds, once
    THIEF = "thief"  # the same, as soon as it is there again
    SLOW_KERNEL = "slow-kernel"
    KERNEL_REFUSES = "kernel-refuses"
    KERNEL_HANGS = "kernel-hangs"  # no answer within the lane's limit; it may have been done
    FILTER_REFUSES = "filter-refuses"
    FILTER_HANGS = "filter-hangs"  # seconds for each change, then it is done, or refused


LIFECYCLE = (Trouble.PAUSE, Trouble.CRASH, Trouble.POWER_LOSS, Trouble.STOP)
FLAPPING = (
    Trouble.LINK_DOWN,
    Trouble.SCRIPT_FAILS,
    Trouble.FILE_BAD,
    Trouble.PROCESS_GONE,
    Trouble.BFD_DOWN,
)
OBJECTS = frozenset(FLAPPING[1:])
FILTER = frozenset({Trouble.FILTER_REFUSES, Trouble.FILTER_HANGS})
TABLES = frozenset({Trouble.STOLEN, Trouble.THIEF, Trouble.KERNEL_REFUSES, Trouble.KERNEL_HANGS})
UNRULY = TABLES | FILTER
KERNEL = UNRULY | {Trouble.SLOW_KERNEL}


@dataclass(frozen=True, slots=True)
class RouterFault:
    """From `begin_us` to `end_us`, `router` is in `trouble`."""

    begin_us: int
    end_us: int
    router: RouterName
    trouble: Trouble

    def __str__(self) -> str:
        return self.trouble.value


@dataclass(frozen=True, slots=True)
class Reload:
    """At `when_us`, `router` is told to go on with `configuration`."""

    when_us: int
    router: RouterName
    configuration: Configuration
