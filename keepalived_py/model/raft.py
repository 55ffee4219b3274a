"""A cluster that elects by quorum: who belongs to it, and what its members tell each other.

A *lease* is what is elected: the right to hold what one instance (or all of a
sync group) holds, for a short time.  Its name is that of the instance or group.
Members that vote and never hold are witnesses.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.base.record import Record
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.scripts import Command

LOG_LEASE = LeaseName("@log")
# Every clock may be 5 % off: (1 - 0.05) / (1 + 0.05) > 1 - 0.10.
CLOCK_ALLOWANCE_PERCENT = 10


class Takeover(Enum):
    """What must have happened before an address is taken from a member that did not give it up."""

    LEASE = "lease"
    FENCE_FIRST = "fence_first"
    LEASE_OR_FENCE = "lease_or_fence"


class NoQuorum(Enum):
    """What a holder does that can no longer reach a majority."""

    DROP = "drop"
    KEEP = "keep"


class FencePolicy(Enum):
    """What a failed fencing means: try again and wait, or take over all the same."""

    WAIT = "wait"
    IGNORE = "ignore"


class RaftTiming(Record):
    """How long a promise lasts, how often it is renewed, and how much earlier the holder stops.

    `promise_us` is the promise of a member not to support anybody else; `margin_us` is subtracted
    (and the allowance for clocks) before the holder may rely on it.
    """

    promise_us: Micros = Micros(300_000)
    heartbeat_us: Micros = Micros(60_000)
    margin_us: Micros = Micros(25_000)


# The defaults are for a local network.
PRESETS: Mapping[str, RaftTiming] = {
    "lan": RaftTiming(),
    "fast": RaftTiming(Micros(150_000), Micros(30_000), Micros(25_000)),
    "noisy": RaftTiming(Micros(1_000_000), Micros(200_000), Micros(50_000)),
    "wan": RaftTiming(Micros(2_500_000), Micros(500_000), Micros(50_000)),
}


class RaftMember(Record):
    """One member.  The host is an address, or a name that is looked up while the program runs.

    `fence_delay_us`: so long it waits before it shoots (two nodes must not shoot each other).
    """

    id: MemberId
    endpoint: Endpoint
    witness: bool = False
    fence_delay_us: Micros = Micros(0)


class FenceAgent(Record, secret=("options",)):
    """An agent of ClusterLabs: a program that reads `name=value` lines from its standard input."""

    command: Command
    options: tuple[tuple[str, str], ...] = ()


class Fencing(Record):
    """How a member is shot.  `script` is called with words of its own, an agent reads its options.

    `agents`: by the member that each of them shoots; "" stands for every member.
    """

    takeover: Takeover = Takeover.LEASE
    script: Command | None = None
    agents: tuple[tuple[MemberId, FenceAgent], ...] = ()
    timeout_us: Micros = Micros(20_000_000)
    on_failure: FencePolicy = FencePolicy.WAIT


class RaftCluster(Record, secret=("key",)):
    """The whole cluster as one member sees it; `own` is its own id.

    `key` is what frames are signed with; empty: they are not, and only addresses are checked.
    `bind` None: the own member's endpoint.  `directory`: where the log is kept; "" keeps it in
    memory.  `run_directory`: where the control socket and the snapshot for readers are; "": there
    are none.  `log_lease` is the lease whose holder leads the log.
    """

    id: str
    own: MemberId
    members: tuple[RaftMember, ...]
    bind: Endpoint | None = None
    key: bytes = b""
    key_file: str = ""
    timing: RaftTiming = RaftTiming()
    directory: str = ""
    run_directory: str = ""
    fencing: Fencing = Fencing()
    no_quorum: NoQuorum = NoQuorum.DROP
    log_lease: LeaseName = LOG_LEASE

    def member(self, member: MemberId) -> RaftMember:
        """The member of that id; raises KeyError if there is none."""
        for each in self.members:
            if each.id == member:
                return each
        raise KeyError(member)

    @property
    def others(self) -> tuple[RaftMember, ...]:
        """Everybody else."""
        return tuple(each for each in self.members if each.id != self.own)

    @property
    def majority(self) -> int:
        """How many members, the own one included, must agree."""
        return len(self.members) // 2 + 1


class Lease(Record):
    """What is elected together, as it is configured here."""

    name: LeaseName
    instances: tuple[InstanceName, ...]
    preempt: bool = True
    preempt_delay_us: Micros = Micros(0)

    @property
    def covers(self) -> frozenset[InstanceName]:
        """The instances, if they are more or others than that of the lease's name; else empty."""
        alone = len(self.instances) == 1 and str(self.instances[0]) == str(self.name)
        return frozenset() if alone else frozenset(self.instances)


# -- what members tell each other ------------------------------------------------


class Standing(NamedTuple):
    """One member's standing for a lease, as it publishes it.

    `able`: healthy, and not about to leave.  `eager`: it would take the lease from a worse holder
    now.  `holding`: it has the lease, or has not finished giving it up; then `token` is the lease's.
    """

    priority: int
    able: bool
    eager: bool = False
    holding: bool = False
    token: int = 0


class Heartbeat(NamedTuple):
    """What every member sends to every other one, and at once when something changed.

    `stamp` is the sender's clock when it sent this; answers repeat it.  `asks`: the leases that
    the sender wants the receiver's promise for, with their tokens.  `freed`: leases that the sender
    has given up lately, with who should take them (None: the best one).  `covers`: what leases are
    about, for those that are not just about the instance of the same name.  `members` identifies the
    list of members that the sender goes by, `revision` orders such lists.  `guarded`: its kernel
    ends a lease by itself.
    """

    stamp: Micros
    promise_us: Micros
    standings: Mapping[LeaseName, Standing]
    asks: Mapping[LeaseName, int]
    freed: Mapping[LeaseName, MemberId | None]
    members: frozenset[MemberId]
    revision: int = 0
    guarded: bool = False
    covers: Mapping[LeaseName, frozenset[InstanceName]] = {}


class Refusal(NamedTuple):
    """Why no promise was given: `wait_us` until one may be; the greatest `token` seen."""

    wait_us: Micros
    token: int


class Answer(NamedTuple):
    """To a heartbeat that asks.  `stamp` is the heartbeat's; promises last `promise_us` from its arrival."""

    stamp: Micros
    promise_us: Micros
    granted: tuple[LeaseName, ...]
    refused: Mapping[LeaseName, Refusal]


class LogPart(NamedTuple):
    """A message of the replicated log, in the log's own form."""

    body: bytes


RaftMessage = Heartbeat | Answer | LogPart


# -- what the log decides -----------------------------------------------------------


class Orders(Record):
    """What the members have agreed on and remember.

    `pinned`: who comes before all others for a lease.  `drained`: members that shall hold nothing.
    `tokens`: the greatest token that was ever used for a lease.
    """

    pinned: Mapping[LeaseName, MemberId] = {}
    drained: frozenset[MemberId] = frozenset()
    tokens: Mapping[LeaseName, int] = {}
