"""The shell of a member: several of them in one loop, with nodes, gates and a network that tests control."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName, LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.core.raft.state import Phase
from keepalived_py.election.raft.ports import Surroundings
from keepalived_py.election.raft.shell import RaftShell
from keepalived_py.election.raft.views import Holding, View
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Done, Outcome
from keepalived_py.model.events import LeaseGranted, LeaseLost
from keepalived_py.model.raft import (
    Answer,
    Fencing,
    Lease,
    LogPart,
    Orders,
    RaftCluster,
    RaftMember,
    RaftMessage,
    RaftTiming,
)
from keepalived_py.model.raft_events import Candidate, Fence
from keepalived_py.system.clocks import boottime
from keepalived_py.system.loop import new_loop

# Promises last a fraction of a second of a real clock; a member that gets no time loses its lease.
pytestmark = pytest.mark.alone

VIP = LeaseName("VI_1")
INSTANCE = InstanceName("VI_1")
LEASE = Lease(VIP, (INSTANCE,))
TIMING = RaftTiming(Micros(150_000), Micros(30_000), Micros(25_000))


class Recorder:
    """One member's surroundings but for the network."""

    def __init__(self, wire: "Wire", own: MemberId, priority: int) -> None:
        self.wire, self.own, self.priority = wire, own, priority
        self.done: list[tuple[str, Micros]] = []
        self.settled, self.able = True, True
        self.shift = Micros(0)
        self.views: list[View] = []
        self.lease = VIP
        self.addresses: Sequence[VirtualAddress] = ()
        self.guarded: Sequence[VirtualAddress] = ()
        self.replaced: list[RaftCluster] = []
        self.shell: RaftShell

    def note(self, what: str) -> None:
        self.done.append((what, boottime()))

    def words(self) -> list[str]:
        return [what for what, _ in self.done]

    def when(self, what: str) -> Micros:
        return next(at for word, at in self.done if word == what)

    def now(self) -> Micros:
        return Micros(boottime() + self.shift)

    # the node
    def candidates(self) -> Mapping[LeaseName, Candidate]:
        return {self.lease: Candidate(self.priority, self.able, self.settled)}

    def held(self, instances: Sequence[InstanceName]) -> Sequence[VirtualAddress]:
        return self.addresses if INSTANCE in instances else ()

    def feed(self, event: LeaseGranted | LeaseLost) -> None:
        self.note(type(event).__name__)
        if isinstance(event, LeaseGranted):
            self.settled = False
            self.shell.follow_node()
        else:
            asyncio.get_running_loop().call_later(0.005, self.removed)

    def removed(self) -> None:
        self.note("removed")
        self.settled = True
        self.shell.follow_node()

    def checks(self) -> Sequence[tuple[str, str, bool]]:
        return ()

    # the gate
    works = True

    async def guard(self, owner: str, addresses: Sequence[VirtualAddress], until: Micros) -> Outcome:
        self.note("guard")
        self.guarded = list(dict.fromkeys(addresses))
        await asyncio.sleep(0)
        return Done()

    def extend(self, owner: str, until: Micros) -> None:
        pass

    def shut(self, owner: str) -> None:
        self.note("shut")

    def release(self, owner: str) -> None:
        self.note("release")

    # everything else
    def send(self, to: MemberId, message: RaftMessage) -> None:
        self.wire.carry(self.own, to, message)

    async def shoot(self, order: Fence, fencing: Fencing) -> bool:
        return False

    def heard(self, member: MemberId, part: LogPart) -> None:
        self.note(f"log part from {member}")

    def follow(self, view: View) -> None:
        self.views.append(view)

    def record(self, entry: Holding) -> None:
        if entry.lease == VIP:
            self.note(f"record {entry.token}")

    def replace(self, cluster: RaftCluster) -> None:
        self.replaced.append(cluster)

    async def close(self, release: bool) -> None:
        pass

    def info(self, text: str) -> None:
        pass

    def detail(self, text: str) -> None:
        pass


class Ending:
    """What only ends."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __getattr__(self, name: str) -> object:
        return getattr(self._recorder, name)

    def close(self) -> None:
        pass


class Wire:
    """Carries messages after a moment; `cut` holds pairs that do not hear each other."""

    def __init__(self) -> None:
        self.members: dict[MemberId, Recorder] = {}
        self.cut: set[frozenset[MemberId]] = set()
        self.unanswered = False

    def carry(self, sender: MemberId, to: MemberId, message: RaftMessage) -> None:
        if self.unanswered and isinstance(message, Answer):
            return
        if frozenset({sender, to}) not in self.cut:
            asyncio.get_running_loop().call_later(0.0003, self.deliver, sender, to, message)

    def deliver(self, sender: MemberId, to: MemberId, message: RaftMessage) -> None:
        if to in self.members:
            self.members[to].shell.heard(sender, message, Micros(0))


def make(wire: Wire, *priorities: int) -> list[Recorder]:
    names = [MemberId(f"n{number}") for number in range(1, len(priorities) + 1)]
    members = tuple(RaftMember(name, Endpoint("127.0.0.1", 7000)) for name in names)
    for name, priority in zip(names, priorities, strict=True):
        recorder = Recorder(wire, name, priority)
        cluster = RaftCluster("test", name, members, timing=TIMING)
        ending = Ending(recorder)
        around = Surroundings(
            links=ending,  # type: ignore[arg-type]
            keeper=ending,  # type: ignore[arg-type]
            fences=ending,  # type: ignore[arg-type]
            log=recorder,
            now=recorder.now,
            node=recorder,
            gate=recorder,
        )
        recorder.shell = RaftShell(cluster, (LEASE,), around)
        wire.members[name] = recorder
    for recorder in wire.members.values():
        recorder.shell.start()
    return list(wire.members.values())


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


def holds(recorder: Recorder) -> bool:
    claim = recorder.shell.member.claims.get(VIP)
    told = [word for word in recorder.words() if word.startswith("Lease")]
    return claim is not None and claim.phase is Phase.HOLDING and told[-1:] == ["LeaseGranted"]


def end(members: Sequence[Recorder]) -> None:
    for recorder in members:
        recorder.shell.close()


def test_the_best_member_is_granted_the_lease_behind_its_gate() -> None:
    async def story() -> None:
        members = make(Wire(), 100, 150, 90)
        await until(lambda: holds(members[1]))
        await until(lambda: members[1].words().count("guard") == 2 and "record 1" in members[1].words())
        words = [word for word in members[1].words() if word != "release"]
        assert words[0] == "guard" and sorted(words) == ["LeaseGranted", "guard", "guard", "record 1"]
        assert all(not holds(other) for other in (members[0], members[2]))
        end(members)

    run(story)


def test_who_asked_in_vain_guards_nothing() -> None:
    async def story() -> None:
        wire = Wire()
        wire.unanswered = True
        members = make(wire, 150, 100, 90)
        first = members[0]
        await until(lambda: "guard" in first.words())
        await until(lambda: "release" in first.words()[first.words().index("guard") :])
        assert "LeaseGranted" not in first.words()
        wire.unanswered = False
        await until(lambda: holds(first))
        end(members)

    run(story)


def test_who_is_cut_off_has_given_up_before_another_is_granted() -> None:
    async def story() -> None:
        wire = Wire()
        first, second, third = members = make(wire, 150, 100, 90)
        await until(lambda: holds(first))
        wire.cut = {frozenset({first.own, second.own}), frozenset({first.own, third.own})}
        await until(lambda: holds(second))
        assert first.when("shut") < first.when("LeaseLost") < second.when("guard")
        assert "release" in first.words()[first.words().index("removed") :]
        end(members)

    run(story)


def test_a_stop_frees_the_lease_when_the_node_has_let_go() -> None:
    async def story() -> None:
        first, second, third = members = make(Wire(), 150, 100, 90)
        await until(lambda: holds(first))
        first.shell.begin_stop()
        assert first.words()[-1] == "shut"
        assert "LeaseLost" not in first.words()
        await asyncio.sleep(0.02)
        assert not holds(second) and not holds(third)
        first.shell.node_released()
        released = boottime()
        await until(lambda: holds(second))
        await first.shell.farewell()
        assert boottime() - released < 100_000
        assert second.when("LeaseGranted") - released < 30_000
        end(members)

    run(story)


def test_what_tells_of_a_free_lease_may_get_lost() -> None:
    async def story() -> None:
        wire = Wire()
        first, second, third = members = make(wire, 150, 100, 90)
        await until(lambda: holds(first))
        first.shell.begin_stop()
        everybody = set(wire.members)
        wire.cut = {frozenset({first.own, other}) for other in everybody - {first.own}}
        first.shell.node_released()
        released = boottime()
        wire.cut = set()
        await first.shell.farewell()
        assert holds(second) or holds(third)
        # Sooner than if the promises had had to end.
        assert boottime() - released < 130_000
        end(members)

    run(story)


def test_a_machine_that_slept_gives_up_before_it_does_anything() -> None:
    async def story() -> None:
        first, second, third = members = make(Wire(), 150, 100, 90)
        await until(lambda: holds(first))
        assert first.shell.may_announce(INSTANCE)
        first.shift = Micros(1_000_000)
        assert not first.shell.may_announce(INSTANCE)
        first.shell.catch_up()
        assert first.words()[-2:] == ["shut", "LeaseLost"]
        await until(lambda: holds(second))
        end((first, second, third))
        assert len(members) == 3

    run(story)


def addresses(*hosts: int) -> Sequence[VirtualAddress]:
    return [
        VirtualAddress(
            address=IPv4Address(f"192.0.2.{host}"), prefix_length=24, interface=InterfaceName("eth0")
        )
        for host in hosts
    ]


def test_a_lease_that_is_about_more_is_asked_for_anew() -> None:
    async def story() -> None:
        first, *others = make(Wire(), 150, 100, 90)
        await until(lambda: holds(first))
        more = Lease(VIP, (INSTANCE, InstanceName("VI_2")))
        before = len(first.done)
        first.shell.replace(first.shell.member.cluster, (more,))
        assert first.words()[before:] == ["shut", "LeaseLost"]
        await until(lambda: holds(first))
        assert not any(holds(other) for other in others)
        before = len(first.done)
        first.shell.replace(first.shell.member.cluster, (LEASE,))
        assert first.words()[before:] == ["LeaseLost", "LeaseGranted"]
        end((first, *others))

    run(story)


def test_addresses_that_a_reload_brings_are_guarded_before_the_node_has_them() -> None:
    async def story() -> None:
        first, *others = make(Wire(), 150, 100, 90)
        first.addresses = addresses(1, 2)
        # The guard that comes with the lease may come before what is prepared, or in the midst of it.
        await until(lambda: holds(first))
        assert first.guarded == addresses(1, 2)
        await first.shell.prepare((LEASE,), lambda instances: addresses(2, 3))
        await until(lambda: first.words().count("guard") == 3)
        assert set(first.guarded) == set(addresses(1, 2, 3))
        first.addresses = addresses(2, 3)
        first.shell.replace(first.shell.member.cluster, (LEASE,))
        await first.shell.reloaded()
        assert first.guarded == addresses(2, 3)
        end((first, *others))

    run(story)


def test_a_list_of_members_that_is_refused_reaches_nobody() -> None:
    async def story() -> None:
        first, *others = make(Wire(), 150, 100, 90)
        await until(lambda: holds(first))
        cluster = first.shell.member.cluster
        strangers = tuple(RaftMember(MemberId(name), Endpoint("127.0.0.1", 7000)) for name in ("x", "y"))
        first.shell.replace(replace(cluster, members=(*cluster.members[:2], *strangers)), (LEASE,))
        assert first.replaced == []
        first.shell.replace(replace(cluster, members=(*cluster.members, strangers[0])), (LEASE,))
        assert {len(each.members) for each in first.replaced} <= {4}
        end((first, *others))

    run(story)


def test_a_lease_that_goes_on_under_another_name_is_not_offered_to_others() -> None:
    async def story() -> None:
        wire = Wire()
        first, second, third = members = make(wire, 150, 100, 90)
        await until(lambda: holds(first))
        group = Lease(LeaseName("G"), (INSTANCE,))
        await first.shell.prepare((group,), lambda instances: ())
        first.lease, first.settled = group.name, True
        first.shell.follow_node()
        assert first.words()[-1] != "LeaseLost"
        before = len(first.done)
        first.shell.replace(first.shell.member.cluster, (group,))
        await until(lambda: "LeaseGranted" in first.words()[before:])
        assert not any("LeaseGranted" in other.words() for other in (second, third))
        end(members)

    run(story)


def test_the_keeper_knows_who_may_lead_the_log() -> None:
    async def story() -> None:
        members = make(Wire(), 150, 100, 90)
        await until(lambda: any(one.views and one.views[-1].leads for one in members))
        leader = next(one for one in members if one.views[-1].leads)
        follower = next(one for one in members if one is not leader)
        await until(lambda: follower.views[-1].promised_to == leader.own)
        assert follower.views[-1].live == {one.own for one in members if one is not follower}
        assert follower.views[-1].snapshot["leases"][0]["holder"] in {None, members[0].own}
        end(members)

    run(story)


def test_messages_of_the_log_go_to_its_keeper_and_orders_come_back() -> None:
    async def story() -> None:
        first, second, third = members = make(Wire(), 150, 100, 90)
        await until(lambda: holds(first))
        first.shell.heard(second.own, LogPart(b"x"), Micros(0))
        assert f"log part from {second.own}" in first.words()
        for one in members:
            one.shell.decided(Orders(pinned={VIP: third.own}))
        await until(lambda: holds(third))
        assert first.when("removed") < third.when("guard")
        end(members)

    run(story)
