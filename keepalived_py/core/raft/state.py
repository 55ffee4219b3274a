"""What a member of the cluster knows and has promised.

Everything is an immutable tuple or mapping; a step makes new ones of what it
changes.  Instants are on the clock that counts while a machine sleeps
(CLOCK_BOOTTIME), since a promise goes on while its receiver is suspended.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.model.raft import Lease, Orders, RaftCluster, Standing
from keepalived_py.model.raft_events import Candidate

FOREVER = Micros(1 << 62)


class Promise(NamedTuple):
    """Until `until` this member supports `to` for a lease, and nobody else; asked for with `token`.

    `covers`: what the lease is about, if not just the instance of its name.
    """

    to: MemberId
    until: Micros
    token: int
    covers: frozenset[InstanceName] = frozenset()


class Peer(NamedTuple):
    """What was heard last from another member.

    `stamp`: its clock when it sent that.  `listed_since`: when it was first heard to go by
    `members` with `revision`.  `fenced`: it was shot, and has neither promised nor held anything since.
    `guarded`: its kernel ends a lease even when its processes cannot.
    """

    heard_at: Micros | None = None
    stamp: Micros = Micros(0)
    standings: Mapping[LeaseName, Standing] = {}
    members: frozenset[MemberId] = frozenset()
    listed_since: Micros = Micros(0)
    revision: int = 0
    fenced: bool = False
    guarded: bool = False


UNHEARD = Peer()


class Phase(Enum):
    """How far a claim has come."""

    ASKING = "asking"
    FENCING = "fencing"
    HOLDING = "holding"
    GIVING_UP = "giving up"


class Claim(NamedTuple):
    """This member's own claim to a lease.

    `asked_at`: answers to what was sent before do not count, they are about another claim or token.
    `support`: until when each other member's promise may be relied on.  `until`: the lease, as far
    as a majority supports it.  `refused`: members that said no for longer than it is worth to wait.
    `retry_at`: when to ask again those that have not promised.  `called`: the last holder gave it
    up for this member; who refuses has only not heard of it yet.  `successor`: whom it is given up for.
    """

    phase: Phase
    since: Micros
    asked_at: Micros
    token: int
    support: Mapping[MemberId, Micros] = {}
    until: Micros = Micros(0)
    refused: frozenset[MemberId] = frozenset()
    retry_at: Micros = FOREVER
    called: bool = False
    successor: MemberId | None = None


class Freed(NamedTuple):
    """A lease that was given up for `successor`; told in every heartbeat until `until`."""

    successor: MemberId | None
    until: Micros


class Shot(NamedTuple):
    """A fencing: under way since `since`, or (`again_at`) to be tried again."""

    attempt: int
    since: Micros
    again_at: Micros | None = None


class Member(NamedTuple):
    """The whole state of one member.

    `free_since`: since when nobody is known to have a lease.  `not_before`: until then the lease is
    left to others.  `ahead_since`: since when this member would be a better holder than the present
    one.  `holders`: who was last heard to hold, and not to give up.  `silent_until`: an earlier life
    of this process may have promised something until then.  `sent_at`, `beat_at`: the last heartbeat
    and the next one.  `wake_at`: when a `Tick` is due.  `awake_since`: the end of the last pause in
    which it was not run; what others said meanwhile has yet to be read.  `listed_since`: since when
    it goes by its list of members with `revision`.  `covering`: the
    leases of other names that an instance was promised with.
    """

    cluster: RaftCluster
    leases: Mapping[LeaseName, Lease]
    started_at: Micros
    silent_until: Micros
    beat_at: Micros
    wake_at: Micros
    sent_at: Micros = Micros(0)
    awake_since: Micros = Micros(0)
    listed_since: Micros = Micros(0)
    revision: int = 0
    revision_known: bool = False
    candidates: Mapping[LeaseName, Candidate] = {}
    peers: Mapping[MemberId, Peer] = {}
    promises: Mapping[LeaseName, Promise] = {}
    covering: Mapping[InstanceName, frozenset[LeaseName]] = {}
    tokens: Mapping[LeaseName, int] = {}
    claims: Mapping[LeaseName, Claim] = {}
    free_since: Mapping[LeaseName, Micros] = {}
    not_before: Mapping[LeaseName, Micros] = {}
    ahead_since: Mapping[LeaseName, Micros] = {}
    holders: Mapping[LeaseName, MemberId] = {}
    freed: Mapping[LeaseName, Freed] = {}
    shots: Mapping[MemberId, Shot] = {}
    orders: Orders = Orders()
    stopping: bool = False
    guarded: bool = False

    @property
    def own(self) -> MemberId:
        """This member's id."""
        return self.cluster.own
