"""A step in progress: the member's parts, opened for change, and the effects so far."""

from collections.abc import Sequence

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft.state import UNHEARD, Member, Peer, Phase
from keepalived_py.core.raft.timing import live_for
from keepalived_py.model.raft_events import RaftEffect, Say

_MAPPINGS = (
    "candidates",
    "peers",
    "promises",
    "covering",
    "tokens",
    "claims",
    "free_since",
    "not_before",
    "ahead_since",
    "holders",
    "freed",
    "shots",
)


class Turn:
    """One step in progress at `now`.  Nothing outside `core.raft.member.step` sees it.

    `beats_now`: something changed that the others should know at once.  `called`: leases that were
    given up for this member by name.
    """

    def __init__(self, member: Member, now: Micros) -> None:
        self._old = member
        self.now = now
        self.out: list[RaftEffect] = []
        self.beats_now = False
        self.called: set[LeaseName] = set()
        self.cluster, self.leases, self.orders = member.cluster, member.leases, member.orders
        self.timing = member.cluster.timing
        self.own = member.cluster.own
        self.follow_members()
        self.silent_until, self.beat_at = member.silent_until, member.beat_at
        self.started_at, self.listed_since = member.started_at, member.listed_since
        self.revision_known = member.revision_known
        self.sent_at, self.awake_since = member.sent_at, member.awake_since
        if now > member.wake_at + self.timing.heartbeat_us:
            self.awake_since = now
        self.revision, self.stopping, self.guarded = member.revision, member.stopping, member.guarded
        self.candidates = dict(member.candidates)
        self.peers = dict(member.peers)
        self.promises = dict(member.promises)
        self.covering = dict(member.covering)
        self.tokens = dict(member.tokens)
        self.claims = dict(member.claims)
        self.free_since = dict(member.free_since)
        self.not_before = dict(member.not_before)
        self.ahead_since = dict(member.ahead_since)
        self.holders = dict(member.holders)
        self.freed = dict(member.freed)
        self.shots = dict(member.shots)

    def close(self, wake_at: Micros) -> Member:
        """The member after the step."""
        parts = {name: getattr(self, name) for name in _MAPPINGS}
        return self._old._replace(
            cluster=self.cluster,
            leases=self.leases,
            orders=self.orders,
            silent_until=self.silent_until,
            beat_at=self.beat_at,
            sent_at=self.sent_at,
            wake_at=wake_at,
            awake_since=self.awake_since,
            listed_since=self.listed_since,
            revision=self.revision,
            revision_known=self.revision_known,
            stopping=self.stopping,
            **parts,
        )

    def follow_members(self) -> None:
        """Note what follows from the list of members."""
        members = self.cluster.members
        self.places = {each.id: place for place, each in enumerate(members)}
        self._live: list[MemberId] | None = None
        self.others = [each.id for each in members if each.id != self.own]
        self.holders_to_be = {each.id for each in members if not each.witness}

    # -- what is asked often ------------------------------------------------------

    def peer(self, member: MemberId) -> Peer:
        """What is known of another member."""
        return self.peers.get(member, UNHEARD)

    def put_peer(self, member: MemberId, peer: Peer) -> None:
        """This is known of another member from now on."""
        self.peers[member] = peer
        self._live = None

    def is_live(self, member: MemberId) -> bool:
        """Whether the member was heard lately."""
        return member in self.live()

    def live(self) -> Sequence[MemberId]:
        """The other members that were heard lately, in the order of the list."""
        if self._live is None:
            since = self.now - live_for(self.timing)
            heard = ((member, self.peer(member).heard_at) for member in self.others)
            self._live = [member for member, at in heard if at is not None and at > since]
        return self._live

    def place(self, member: MemberId) -> int:
        """Where the member stands in the list of members; at its end if it is not there."""
        return self.places.get(member, len(self.places))

    def wait_until(self, lease: LeaseName, until: Micros) -> None:
        """This member does not ask for the lease earlier."""
        if self.not_before.get(lease, until) <= until:
            self.not_before[lease] = until

    def holds(self, lease: LeaseName) -> bool:
        """Whether this member has the lease."""
        claim = self.claims.get(lease)
        return claim is not None and claim.phase is Phase.HOLDING

    def say(self, text: str, *, detail: bool = False) -> None:
        """A log line."""
        self.out.append(Say(text, detail))
