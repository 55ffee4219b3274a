"""What happens to a member of a cluster, and what it wants done: the words of `core.raft`.

The standing of each lease on this machine comes from the node (`core.node`), in
`StandingsChanged`; grants and losses go back to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.model.raft import Lease, Orders, RaftCluster, RaftMessage


class Candidate(NamedTuple):
    """What this machine could do with a lease.

    `able`: every instance of it is healthy.  `settled`: none of them has anything in the kernel
    that only a holder may have, and no removal is under way.
    """

    priority: int
    able: bool
    settled: bool


# -- what happened -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tick:
    """An armed deadline was reached."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An authentic message of another member.

    `age_us`: so long it lay in the kernel before it was read.  Nothing is promised from an earlier
    instant than that of reading, since the age may be wrong; an old message is only believed less.
    """

    member: MemberId
    message: RaftMessage
    age_us: Micros = Micros(0)


@dataclass(frozen=True, slots=True)
class StandingsChanged:
    """The standing of every lease on this machine.  After each `Lose` it is told again, changed or not."""

    candidates: Mapping[LeaseName, Candidate]


@dataclass(frozen=True, slots=True)
class OrdersChanged:
    """The log has decided something."""

    orders: Orders


@dataclass(frozen=True, slots=True)
class FenceDone:
    """The fencing of a member ended; `succeeded`: it is certainly off, or cut off."""

    target: MemberId
    succeeded: bool


@dataclass(frozen=True, slots=True)
class ClusterReplaced:
    """A reload: from now on this cluster and these leases are configured."""

    cluster: RaftCluster
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Give up everything and take nothing any more."""


RaftEvent = Tick | Heard | StandingsChanged | OrdersChanged | FenceDone | ClusterReplaced | StopRequested


# -- what shall be done ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a member, now; it may get lost."""

    to: MemberId
    message: RaftMessage


@dataclass(frozen=True, slots=True)
class Grant:
    """This machine has the lease until `until`, of which `Extend` tells more; then it ends by itself.

    Whatever enforces the lease must be told before the node is.
    """

    lease: LeaseName
    token: int
    until: Micros
    evidence: str


@dataclass(frozen=True, slots=True)
class Extend:
    """The lease lasts until `until`."""

    lease: LeaseName
    until: Micros


@dataclass(frozen=True, slots=True)
class Lose:
    """The lease is over, or is given up.  `successor`: who is to have it next, if that is known."""

    lease: LeaseName
    reason: str
    evidence: str
    successor: MemberId | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """Shoot a member that had leases and was not seen to give them up; the end comes back as `FenceDone`.

    `attempt` counts from 1.
    """

    target: MemberId
    leases: tuple[LeaseName, ...]
    token: int
    reason: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Say:
    """A log line."""

    text: str
    detail: bool = False


RaftEffect = Send | Grant | Extend | Lose | Fence | Say
