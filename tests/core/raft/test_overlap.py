"""Two leases that are about the same instance, as while members are reloaded one after the other: one holder."""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.core.raft import member as core
from keepalived_py.core.raft.state import Member, Phase
from keepalived_py.model import raft_events as ev
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import Lease, RaftCluster, RaftMember

MS = 1_000
ALONE = LeaseName("VI_1")
GROUP = LeaseName("G1")
ONE, TWO = InstanceName("VI_1"), InstanceName("VI_2")
SINGLE = Lease(ALONE, (ONE,))
PAIR = Lease(GROUP, (ONE, TWO))
GROUPED = Lease(GROUP, (ONE,))
ABLE = ev.Candidate(100, able=True, settled=True)


class Three:
    """Three members whose messages take a millisecond."""

    def __init__(self, *leases: Lease) -> None:
        self.now = Micros(1_000 * MS)
        self.names = [MemberId(name) for name in "abc"]
        places = tuple(RaftMember(name, Endpoint("127.0.0.1", 7400)) for name in self.names)
        self.clusters = {name: RaftCluster("c", name, places) for name in self.names}
        self.members: dict[MemberId, Member] = {}
        self.flying: list[tuple[Micros, MemberId, MemberId, ev.RaftEvent]] = []
        self.lost: list[tuple[MemberId, str]] = []
        for name in self.names:
            self.members[name] = core.start(self.clusters[name], leases, self.now)
            self.able(name, leases)

    def able(self, name: MemberId, leases: tuple[Lease, ...]) -> None:
        self.feed(name, ev.StandingsChanged({lease.name: ABLE for lease in leases}))

    def feed(self, name: MemberId, event: ev.RaftEvent) -> None:
        taken = core.step(self.members[name], event, self.now)
        self.members[name] = taken.member
        for effect in taken.effects:
            if isinstance(effect, ev.Send):
                heard = ev.Heard(name, effect.message, Micros(0))
                self.flying.append((Micros(self.now + MS), effect.to, name, heard))
            elif isinstance(effect, ev.Lose):
                self.lost.append((name, effect.reason))

    def reload(self, name: MemberId, *leases: Lease) -> None:
        self.feed(name, ev.ClusterReplaced(self.clusters[name], leases))
        self.able(name, leases)

    def run(self, for_ms: int) -> None:
        end = self.now + for_ms * MS
        while self.now < end:
            self.now = Micros(self.now + MS)
            due = [each for each in self.flying if each[0] <= self.now]
            self.flying = [each for each in self.flying if each[0] > self.now]
            for _, to, _, event in due:
                self.feed(to, event)
            for name in self.names:
                if core.next_deadline(self.members[name]) <= self.now:
                    self.feed(name, ev.Tick())
            assert len(self.holders(ONE)) <= 1, self.holders(ONE)
            assert len(self.holders(TWO)) <= 1, self.holders(TWO)

    def holders(self, instance: InstanceName) -> set[MemberId]:
        return {
            name
            for name, member in self.members.items()
            for lease, claim in member.claims.items()
            if claim.phase is Phase.HOLDING and instance in member.leases[lease].instances
        }


def test_an_instance_that_joins_a_group_member_by_member_has_one_holder() -> None:
    three = Three(SINGLE)
    three.run(3_000)
    (first,) = three.holders(ONE)
    for name in sorted(three.names, key=lambda each: each != first):
        three.reload(name, GROUPED)
        three.run(2_000)
    assert three.holders(ONE) == {first}


def test_and_back_out_of_it() -> None:
    three = Three(GROUPED)
    three.run(3_000)
    (first,) = three.holders(ONE)
    for name in sorted(three.names, key=lambda each: each == first):
        three.reload(name, SINGLE)
        three.run(2_000)
    assert three.holders(ONE) == {first}


def test_a_group_that_grows_by_what_another_member_holds() -> None:
    other = Lease(LeaseName("VI_2"), (TWO,))
    three = Three(GROUPED, other)
    three.run(3_000)
    (first,) = three.holders(ONE)
    elsewhere = next(name for name in three.names if name != first)
    for name in three.names:
        if name != elsewhere:
            # As where those are ill: what they had goes to the one that is well.
            sick = {GROUP: ABLE, other.name: ABLE._replace(able=False)}
            three.feed(name, ev.StandingsChanged(sick))
    three.run(2_000)
    assert three.holders(TWO) == {elsewhere}
    three.reload(first, PAIR)
    three.run(2_000)
    assert (first, "reload") in three.lost
    for name in three.names:
        three.reload(name, PAIR)
        three.run(2_000)
    assert three.holders(ONE) == three.holders(TWO) != set()


def test_unrelated_leases_are_nobodys_business() -> None:
    other = Lease(LeaseName("VI_2"), (TWO,))
    three = Three(SINGLE, other)
    three.run(3_000)
    assert three.holders(ONE) and three.holders(TWO)
    held = set(three.lost)
    three.run(3_000)
    assert set(three.lost) == held
