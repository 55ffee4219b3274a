"""A member fed by hand: what the others say is written down in the test."""

from typing import NamedTuple

from keepalived_py.base.clock import MILLISECOND, Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.core.raft import member as core
from keepalived_py.core.raft.state import Member
from keepalived_py.model import raft_events as ev
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import Answer, Fencing, Heartbeat, Lease, RaftCluster, RaftMember, Standing

A, B, C, D, E = (MemberId(name) for name in "abcde")
V = LeaseName("V")
MS = MILLISECOND
NONE = Fencing()


def members(names: str, witnesses: str = "") -> tuple[RaftMember, ...]:
    """Members of these names."""
    return tuple(
        RaftMember(MemberId(name), Endpoint("192.0.2.1", 1000 + ord(name)), witness=name in witnesses)
        for name in names
    )


def cluster(names: str = "abc", witnesses: str = "", own: str = "a", fencing: Fencing = NONE) -> RaftCluster:
    """A cluster with the timing of a local network."""
    return RaftCluster("tested", MemberId(own), members(names, witnesses), fencing=fencing)


def lease(preempt: bool = True) -> Lease:
    """The lease that the tests are about."""
    return Lease(V, (InstanceName("V"),), preempt=preempt)


class Told(NamedTuple):
    """The parts of a heartbeat that tests care for."""

    stamp: int
    standing: Standing = Standing(100, able=True)
    asks: int | None = None
    freed: bool = False
    successor: MemberId | None = None
    names: str = "abc"
    revision: int = 0
    guarded: bool = False

    def heartbeat(self) -> Heartbeat:
        """The whole of it."""
        return Heartbeat(
            stamp=Micros(self.stamp),
            promise_us=Micros(300 * MS),
            standings={V: self.standing},
            asks={} if self.asks is None else {V: self.asks},
            freed={V: self.successor} if self.freed else {},
            members=frozenset(MemberId(name) for name in self.names),
            revision=self.revision,
            guarded=self.guarded,
        )


class Fed:
    """One member, and all that it wanted done."""

    def __init__(self, of: RaftCluster | None = None, *, preempt: bool = True, priority: int = 100) -> None:
        self.now = Micros(1_000 * MS)
        self.member: Member = core.start(of or cluster(), [lease(preempt)], self.now)
        self.effects: list[ev.RaftEffect] = []
        self.standing(priority)

    def feed(self, event: ev.RaftEvent, after_ms: float = 0) -> tuple[ev.RaftEffect, ...]:
        """A step, some time after the last one; ticks that are due come first."""
        self.until(self.now + int(after_ms * MS))
        taken = core.step(self.member, event, self.now)
        self.member = taken.member
        self.effects.extend(taken.effects)
        return taken.effects

    def until(self, at: int) -> None:
        """Time goes on, and the member wakes up when it wanted to."""
        while (due := core.next_deadline(self.member)) <= at:
            self.now = max(due, self.now)
            taken = core.step(self.member, ev.Tick(), self.now)
            self.member = taken.member
            self.effects.extend(taken.effects)
        self.now = Micros(at)

    def sleep(self, ms: float) -> None:
        """Time goes on, and the member does not notice."""
        self.now = Micros(self.now + int(ms * MS))

    def standing(
        self, priority: int = 100, *, able: bool = True, settled: bool = True
    ) -> tuple[ev.RaftEffect, ...]:
        """What the node says."""
        return self.feed(ev.StandingsChanged({V: ev.Candidate(priority, able, settled)}))

    def hear(
        self, sender: MemberId, told: Told, after_ms: float = 0, age_ms: float = 0
    ) -> tuple[ev.RaftEffect, ...]:
        """A heartbeat."""
        return self.feed(ev.Heard(sender, told.heartbeat(), Micros(int(age_ms * MS))), after_ms)

    def asked_of(self, sender: MemberId, told: Told, after_ms: float = 0) -> Answer:
        """The answer to a heartbeat that asks."""
        effects = self.hear(sender, told, after_ms)
        return next(e.message for e in effects if isinstance(e, ev.Send) and isinstance(e.message, Answer))

    def granted_by(self, sender: MemberId, after_ms: float = 1) -> tuple[ev.RaftEffect, ...]:
        """A member promises what was asked for last."""
        return self.feed(ev.Heard(sender, Answer(self.asking().stamp, Micros(300 * MS), (V,), {})), after_ms)

    def asking(self) -> Heartbeat:
        """The last heartbeat that asked."""
        return next(beat for beat in reversed(self.beats()) if beat.asks)

    def beats(self) -> list[Heartbeat]:
        """All heartbeats sent so far, one for all receivers."""
        to = self.member.cluster.others[0].id
        return [
            e.message
            for e in self.effects
            if isinstance(e, ev.Send) and e.to == to and isinstance(e.message, Heartbeat)
        ]

    def of_kind(self, kind: type[ev.RaftEffect]) -> list[ev.RaftEffect]:
        """All effects of a kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def holder(self) -> "Fed":
        """Go on until this member holds: b is there and promises."""
        self.hear(B, Told(1, Standing(10, able=True)), after_ms=325)
        self.granted_by(B)
        assert self.of_kind(ev.Grant)
        return self
