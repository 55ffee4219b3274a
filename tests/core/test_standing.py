"""What the node says it could do with each lease, and when it has finished giving one up."""

import errno
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import InstanceName, InterfaceName, LeaseName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.core.standing import Standings, leases_of, standings
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import CheckScript, Configuration, Election, Globals, SyncGroup, TrackedScript
from keepalived_py.model.raft_events import Candidate
from tests.core.conftest import Bench, facts
from tests.core.fake_kernel import Life
from tests.core.test_holding import ROUTE, RULE
from tests.core.test_leasing import CHK, ONE, RAFT, THREE, TWO, grant, leased_pair, lose

if TYPE_CHECKING:
    Benches = Callable[..., Bench]
    Check = Callable[..., CheckScript]

OWN = LeaseName("VI_1")
KERNEL = fx.KernelChange


def asked(bench: Bench) -> list[fx.Effect]:
    """The changes of the kernel's tables in the last step."""
    return [each for each in bench.last if isinstance(each, KERNEL)]


def answer(bench: Bench, effects: list[fx.Effect], outcome: fx.Outcome | None = None) -> None:
    """The kernel has done (or refused) them."""
    for each in effects:
        bench.feed(ev.EffectDone(each, outcome or fx.Done()))


def settled_start(bench: Bench) -> Bench:
    """The node has begun, and the kernel has answered."""
    bench.start()
    answer(bench, asked(bench))
    return bench


def of(bench: Bench, lease: str = "VI_1") -> Candidate:
    return standings(bench.node)[LeaseName(lease)]


# -- able, priority ------------------------------------------------------------------------


def test_a_healthy_instance_is_able_as_backup_and_as_master(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    assert of(made) == Candidate(100, able=True, settled=True)
    assert of(grant(made)) == Candidate(100, able=True, settled=False)


def test_instances_that_adverts_elect_have_no_standing(bench: "Benches") -> None:
    assert standings(bench().start().node) == {} == Standings().of(bench().start().node)


def test_a_fault_a_check_without_result_and_a_delayed_start_are_not_able(
    bench: "Benches", chk: "Check"
) -> None:
    tracking = {**RAFT, "track_scripts": (TrackedScript(CHK),)}
    made = bench(tracking, scripts=(chk(100),)).start()
    assert not of(made).able
    assert of(made.script(0)).able
    assert not of(made.feed(ev.LinkChanged(facts(up=False)), 1)).able
    assert of(made.feed(ev.LinkChanged(facts()), 2)).able
    delayed = bench(RAFT, globals=Globals(startup_delay_us=Micros(5 * SECOND))).start()
    assert not of(delayed.until(4.9)).able
    assert of(delayed.until(5)).able
    assert not of(made.feed(ev.StopRequested())).able


def test_the_priority_is_that_of_the_worst_member_now(bench_pair: "Benches", chk: "Check") -> None:
    made = leased_pair(bench_pair)
    first, second = made.configuration.instances
    second = replace(second, base_priority=150, track_scripts=(TrackedScript(CHK, -80),))
    first = replace(first, base_priority=255)
    made.configuration = replace(made.configuration, instances=(first, second), scripts=(chk(100),))
    made.start().script(0)
    assert of(made, "G").priority == 150
    assert of(made.script(1, 1), "G").priority == 70
    owner = bench_of(made, first)
    assert of(owner).priority == 254


def bench_of(made: Bench, *instances: Any) -> Bench:
    made.configuration = replace(made.configuration, instances=instances, groups=(), scripts=())
    return made.start()


def test_a_group_is_able_when_all_of_it_are(bench_pair: "Benches") -> None:
    made = leased_pair(bench_pair).start()
    assert of(made, "G").able
    made.feed(ev.LinkChanged(facts("eth1", up=False, index=3, address="10.0.1.5")))
    assert not of(made, "G").able


def test_a_group_with_a_new_member_that_waits_is_not_able_yet(bench_pair: "Benches", chk: "Check") -> None:
    made = grant(leased_pair(bench_pair).start(), "G", "VI_1", "VI_2")
    first, second = made.configuration.instances
    third = replace(first, name=THREE, addresses=(), track_scripts=(TrackedScript(CHK),))
    group = replace(made.configuration.groups[0], members=(ONE, TWO, THREE))
    made.feed(
        ev.SettingsReplaced(
            replace(
                made.configuration,
                instances=(first, second, third),
                groups=(group,),
                scripts=(chk(100),),
            )
        )
    )
    assert not of(made, "G").able
    assert of(made.script(0, 1), "G").able


# -- settled ---------------------------------------------------------------------------------


FULL: dict[str, Any] = {**RAFT, "routes": (ROUTE,), "rules": (RULE,)}


def test_a_lease_is_settled_when_every_removal_is_answered(bench: "Benches") -> None:
    made = settled_start(bench(FULL))
    added = asked(grant(made))
    assert len(added) == 3
    lose(made)
    removed = asked(made)
    assert len(removed) == 3 and not of(made).settled
    answer(made, added + removed[:2])
    assert not of(made).settled
    answer(made, removed[2:])
    assert of(made).settled


def test_an_addition_that_is_under_way_counts(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    added = asked(grant(made))
    removed = asked(lose(made))
    answer(made, removed)
    assert not of(made).settled, "the address may still be put on"
    answer(made, added)
    answer(made, asked(made))
    assert of(made).settled


def test_what_an_earlier_life_left_behind_counts(bench: "Benches") -> None:
    made = bench(FULL)
    made.start()
    assert not of(made).settled
    answer(made, asked(made), fx.AlreadySo())
    assert of(made).settled


def test_a_deletion_that_is_refused_counts_until_it_succeeds(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    answer(made, asked(grant(made)))
    there = set(made.held)
    (deletion,) = asked(lose(made, at_s=1))
    made.held |= there
    answer(made, [deletion], fx.Failed(errno.EBUSY))
    assert not of(made).settled
    made.last = ()
    assert asked(made.until(2.5)) == [deletion] and not of(made).settled
    answer(made, [deletion])
    assert of(made).settled


def test_a_route_that_can_never_be_removed_is_not_waited_for(bench: "Benches") -> None:
    made = settled_start(bench(FULL))
    answer(made, asked(grant(made)))
    for each in asked(lose(made)):
        refused = isinstance(each, fx.DeleteRoute)
        answer(made, [each], fx.Failed(errno.EOPNOTSUPP) if refused else fx.Done())
    assert of(made).settled


def test_a_fault_settles_in_the_same_way(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    answer(made, asked(grant(made)))
    made.feed(ev.LinkChanged(facts(up=False)), 1)
    assert of(made) == Candidate(100, able=False, settled=False)
    answer(made, asked(made))
    assert of(made) == Candidate(100, able=False, settled=True)


def test_a_node_that_stops_is_settled_when_the_kernel_has_answered(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    answer(made, asked(grant(made)))
    made.feed(ev.StopRequested())
    assert not of(made).settled
    answer(made, asked(made))
    assert of(made) == Candidate(100, able=False, settled=True)


def test_what_a_stop_leaves_in_the_kernel_is_never_settled(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    answer(made, asked(grant(made)))
    made.feed(ev.StopRequested(release=False))
    assert made.held and not of(made).settled


def test_the_changes_of_others_do_not_count(bench: "Benches") -> None:
    other = {"name": TWO, "vrid": 52, "interface": InterfaceName("eth1")}
    made = settled_start(bench(RAFT, other)).until(4)
    assert made.roles() == ["BACKUP", "MASTER"] and of(made).settled
    assert not made.node.ledger.under_way


# -- reloads -----------------------------------------------------------------------------------


def reload(made: Bench, *instances: Any, groups: tuple[SyncGroup, ...] = ()) -> None:
    made.feed(
        ev.SettingsReplaced(replace(made.configuration, instances=instances, groups=groups, scripts=()))
    )


def test_a_lease_that_a_reload_removes_is_there_until_it_is_settled(bench: "Benches") -> None:
    made = settled_start(bench(FULL))
    answer(made, asked(grant(made)))
    reload(made)
    assert standings(made.node) == {OWN: Candidate(1, able=False, settled=False)}
    removed = asked(made)
    assert len(removed) == 3
    answer(made, removed)
    assert standings(made.node) == {} and made.node.leaving == {}


def test_what_leaves_a_group_counts_for_the_lease_of_the_group(bench_pair: "Benches") -> None:
    made = settled_start(leased_pair(bench_pair))
    answer(made, asked(grant(made, "G", "VI_1", "VI_2")))
    first, _ = made.configuration.instances
    reload(made, first, groups=(replace(made.configuration.groups[0], members=(ONE,)),))
    taken = asked(made)
    lose(made, "G", "VI_1")
    answer(made, asked(made))
    assert not of(made, "G").settled
    answer(made, taken)
    assert of(made, "G").settled


def test_another_election_counts_until_all_is_gone(bench: "Benches") -> None:
    made = settled_start(bench({})).until(4)
    assert made.role is fx.Role.MASTER
    reload(made, replace(made.configuration.instances[0], **RAFT))
    assert of(made) == Candidate(100, able=True, settled=False)
    answer(made, asked(made))
    assert of(made).settled
    answer(made, asked(grant(made)))
    reload(made, made.configuration.instances[0])
    assert not of(made).settled
    answer(made, asked(made))
    assert standings(made.node) == {}


# -- from step to step --------------------------------------------------------------------------


def test_the_same_object_comes_back_if_nothing_is_different(bench: "Benches") -> None:
    made = settled_start(bench(RAFT))
    book = Standings()
    first = book.of(made.node)
    made.until(5).feed(ev.FileRead("nobody", 1))
    assert book.of(made.node) is first
    second = book.of(grant(made).node)
    assert second is not first and not second[OWN].settled
    assert first[OWN].settled, "what was handed out does not change"
    assert book.of(made.until(30).node) is second


class Follower(Life):
    """A life in which every step's standings are asked for, in both ways."""

    def feed(self, event: ev.Event) -> None:
        super().feed(event)
        self.book = getattr(self, "book", None) or Standings()
        assert self.book.of(self.node) == standings(self.node)


def random_configuration(random: Random) -> Configuration:
    usual = Bench.instance(track_scripts=(TrackedScript(CHK, random.choice((0, -20))),))
    instances = tuple(
        replace(
            usual,
            name=InstanceName(f"VI_{number}"),
            vrid=number,
            election=random.choice((Election.RAFT, Election.RAFT, Election.VRRP)),
            addresses=tuple(
                replace(usual.addresses[0], address=usual.addresses[0].address + 10 * number + at)
                for at in range(random.randint(0, 2))
            ),
        )
        for number in random.sample(range(1, 7), 4)
    )
    leased = [each.name for each in instances if each.election is Election.RAFT]
    groups = (SyncGroup("G", tuple(leased[:2])),) if len(leased) > 2 and random.random() < 0.6 else ()  # type: ignore[arg-type]
    second = Micros(SECOND)
    return Configuration(
        instances=instances,
        groups=groups,
        scripts=(CheckScript(ScriptName("chk"), usual.notifies.master, second, second),),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("seed", range(30))
def test_random_lives_settle_whenever_nothing_is_under_way(seed: int) -> None:
    """At rest a lease is settled exactly if none of its instances is MASTER; the kernel has what MASTERs hold."""
    random = Random(seed)
    life = Follower(random_configuration(random), [facts()], seed)
    for _ in range(40):
        match random.randrange(6):
            case 0:
                life.reload(random_configuration(random))
            case 1:
                life.set_link("eth0", up=random.random() < 0.7)
            case 2:
                life.verdicts["chk"] = random.randrange(2)
            case 3:
                life.until(life.now / SECOND + random.random() * 3)
            case _:
                for lease in leases_of(life.configuration):
                    kind = random.choice((ev.LeaseGranted, ev.LeaseLost))
                    token: Any = 7 if kind is ev.LeaseGranted else "no quorum"
                    life.feed(kind(lease.name, lease.instances, token, "evidence"))
        found = standings(life.node)
        assert life.node.leaving == {} and found.keys() == {each.name for each in life.node.shape.leases}
        for lease in life.node.shape.leases:
            roles = {life.state(name).role for name in lease.instances}
            assert found[lease.name].settled is (fx.Role.MASTER not in roles)
            assert found[lease.name].able is (roles <= {fx.Role.MASTER, fx.Role.BACKUP})
        assert life.kernel.there() == life.wanted()
