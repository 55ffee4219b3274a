"""Instances that a quorum elects: only leases make a MASTER, a fault releases at once, no advert is ever sent."""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import InstanceName, InterfaceName, LeaseName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.core import node as core
from keepalived_py.core.standing import leases_of
from keepalived_py.core.vrrp import machine
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import (
    AuthType,
    CheckScript,
    Election,
    Globals,
    InitialState,
    SyncGroup,
    TrackedScript,
)
from keepalived_py.model.raft import Lease
from keepalived_py.model.scripts import NO_COMMAND
from tests.core.conftest import Bench, advert, facts
from tests.core.vrrp_solo import Solo

if TYPE_CHECKING:
    Benches = Callable[..., Bench]
    Check = Callable[..., CheckScript]

CHK = ScriptName("chk")
RAFT = {"election": Election.RAFT}
ONE, TWO, THREE = InstanceName("VI_1"), InstanceName("VI_2"), InstanceName("VI_3")
G = LeaseName("G")


def grant(bench: Bench, lease: str = "VI_1", *names: str, at_s: float | None = None) -> Bench:
    """The quorum gives the lease to this machine."""
    instances = tuple(map(InstanceName, names or (lease,)))
    return bench.feed(ev.LeaseGranted(LeaseName(lease), instances, 7, "promised by n2, token 7"), at_s)


def lose(bench: Bench, lease: str = "VI_1", *names: str, at_s: float | None = None) -> Bench:
    """The lease is over."""
    instances = tuple(map(InstanceName, names or (lease,)))
    return bench.feed(ev.LeaseLost(LeaseName(lease), instances, "no quorum", "the promises ended"), at_s)


def leased_pair(pair: "Benches", **fields: Any) -> Bench:
    """The sync group G of two instances that a quorum elects."""
    made = pair()
    instances = tuple(replace(each, **RAFT, **fields) for each in made.configuration.instances)
    made.configuration = replace(made.configuration, instances=instances)
    return made


def changes(bench: Bench) -> list[tuple[str, str, str, str]]:
    """Every change of a role, with its reason."""
    return [
        (each.instance, each.new.name, each.reason, each.evidence)
        for each in bench.effects
        if isinstance(each, fx.RoleChanged)
    ]


# -- what makes a MASTER ------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"base_priority": 255, "initial_state": InitialState.MASTER}, {"preempt": False}],
    ids=["usual", "owner", "nopreempt"],
)
def test_no_timer_makes_a_master(bench: "Benches", settings: dict[str, Any]) -> None:
    made = bench({**RAFT, **settings}).start().until(600)
    assert made.role.name == "BACKUP" and made.sent() == [] and made.count(fx.AddAddress) == 0
    assert core.next_deadline(made.node) is None


def test_a_granted_lease_makes_a_master_and_its_announcements_go_on(bench: "Benches") -> None:
    made = grant(bench(RAFT).start(), at_s=3)
    assert made.role.name == "MASTER" and len(made.held) == 1
    assert changes(made)[-1] == ("VI_1", "MASTER", "granted by a quorum", "promised by n2, token 7")
    assert made.logs()[-1] == "(VI_1) Entering MASTER STATE"
    assert made.notified()[-2:] == ["m", "any INSTANCE VI_1 MASTER 100"]
    assert made.count(fx.SendNeighbour) == 5
    assert made.until(9).count(fx.SendNeighbour) == 10, "again after garp_master_delay"
    assert made.sent() == [] and made.state.counters.become_master == 1


def test_a_lost_lease_makes_a_backup_that_does_not_resign(bench: "Benches") -> None:
    made = lose(grant(bench(RAFT).start()), at_s=2)
    assert made.role.name == "BACKUP" and not made.held and made.sent() == []
    assert changes(made)[-1] == ("VI_1", "BACKUP", "lease lost: no quorum", "the promises ended")
    assert made.logs()[-1] == "(VI_1) Entering BACKUP STATE"
    assert made.notified()[-2:] == ["b", "any INSTANCE VI_1 BACKUP 100"]
    assert made.until(60).count(fx.SendNeighbour) == 5, "nothing more is announced"
    assert grant(made).role.name == "MASTER"


def test_a_grant_or_a_loss_that_comes_twice_changes_nothing(bench: "Benches") -> None:
    made = grant(bench(RAFT).start())
    assert grant(made).last == ()
    assert lose(lose(made)).last == ()


def test_what_another_router_says_is_not_heard(bench: "Benches") -> None:
    made = grant(bench(RAFT).start()).hear(254, 1)
    assert made.role.name == "MASTER" and made.node.unknown_vrid == 1
    made = lose(made).hear(1, 2)
    assert made.role.name == "BACKUP" and made.state.counters.advert_rcvd == 0


def test_an_instance_with_the_same_vrid_that_is_elected_by_adverts_hears_them(bench: "Benches") -> None:
    made = bench({**RAFT, "name": ONE}, {"name": TWO}).start()
    made.feed(ev.AdvertReceived(InterfaceName("eth0"), advert(200)), 1)
    assert made.node.instances[TWO].counters.advert_rcvd == 1


def test_a_pause_is_the_business_of_the_lease(bench: "Benches") -> None:
    made = grant(bench(RAFT).start()).feed(ev.Paused(Micros(60 * SECOND)), 60)
    assert made.role.name == "MASTER"
    assert lose(made).role.name == "BACKUP"


def test_a_stop_releases_and_says_nothing(bench: "Benches") -> None:
    made = grant(bench(RAFT).start()).feed(ev.StopRequested(), 2)
    assert made.sent() == [] and not made.held and made.notified()[-2:] == ["s", "any INSTANCE VI_1 STOP 100"]
    assert grant(made).last == ()


# -- faults ----------------------------------------------------------------------------------


def test_a_fault_releases_at_once_and_its_end_makes_a_backup(bench: "Benches") -> None:
    made = grant(bench(RAFT).start()).feed(ev.LinkChanged(facts(up=False)), 2)
    assert made.role.name == "FAULT" and not made.held and made.sent() == []
    assert lose(made, at_s=2.1).last == (), "the lease ends after it"
    made.feed(ev.LinkChanged(facts()), 3)
    assert made.role.name == "BACKUP" and made.until(60).role.name == "BACKUP"


def test_a_grant_to_an_instance_with_a_fault_is_not_followed(bench: "Benches") -> None:
    made = grant(bench(RAFT).start().feed(ev.LinkChanged(facts(up=False)), 1))
    assert made.role.name == "FAULT" and not made.held
    assert made.logs()[-1] == "Lease VI_1 was granted, and is not taken: VI_1 cannot be MASTER"


def test_a_grant_before_the_first_result_of_a_check_is_not_followed(bench: "Benches", chk: "Check") -> None:
    made = bench({**RAFT, "track_scripts": (TrackedScript(CHK),)}, scripts=(chk(100),)).start()
    assert grant(made).role.name == "INIT"
    assert made.script(0).role.name == "BACKUP" and grant(made).role.name == "MASTER"


def test_a_grant_during_the_startup_delay_is_not_followed(bench: "Benches") -> None:
    made = bench(RAFT, globals=Globals(startup_delay_us=Micros(5 * SECOND))).start()
    assert grant(made, at_s=1).role.name == "BACKUP"
    assert made.logs()[-1] == "Lease VI_1 was granted, and is not taken: its startup is delayed"
    assert grant(made, at_s=6).role.name == "MASTER"


def test_a_grant_for_what_is_not_configured_is_not_followed(bench: "Benches") -> None:
    made = grant(bench(RAFT).start(), "VI_9")
    assert made.logs()[-1] == "Lease VI_9 was granted, and is not taken: no such lease here"
    assert grant(bench().start(), "VI_1").role.name == "BACKUP", "this one is elected by adverts"


# -- checks that connect to a port ---------------------------------------------------------------


def probing(**fields: Any) -> CheckScript:
    second = Micros(SECOND)
    here = Endpoint("10.0.0.5", 80)
    return CheckScript(CHK, NO_COMMAND, second, second, connect=here, **fields)


def test_a_check_may_connect_in_place_of_running(bench: "Benches") -> None:
    made = bench({**RAFT, "track_scripts": (TrackedScript(CHK),)}, scripts=(probing(fall=2),)).start()
    assert [each for each in made.effects if isinstance(each, fx.RunProbe)] == [
        fx.RunProbe(CHK, Endpoint("10.0.0.5", 80), Micros(SECOND))
    ]
    grant(made.script(0)).until(1.5)
    assert (made.count(fx.RunProbe), made.count(fx.RunCheck)) == (2, 0)
    assert made.script(1).role.name == "MASTER", "fall is 2"
    assert made.script(1, 2.1, timed_out=True).role.name == "FAULT"


def test_a_failed_check_ends_the_program_of_a_master_after_its_release(bench: "Benches") -> None:
    made = bench({"track_scripts": (TrackedScript(CHK),), **RAFT}, scripts=(probing(ends_program=True),))
    grant(made.start().script(0)).script(1, 1.5)
    assert isinstance(made.last[-1], fx.EndProgram) and not made.held
    assert made.last[-1].reason == "check chk failed while VI_1 was MASTER"
    assert any(isinstance(each, fx.DeleteAddress) for each in made.last[:-1])
    made.script(1, 2.5).script(0, 3.5)
    assert made.count(fx.EndProgram) == 1


def test_a_failed_check_does_not_end_the_program_of_a_backup(bench: "Benches") -> None:
    made = bench({"track_scripts": (TrackedScript(CHK),), **RAFT}, scripts=(probing(ends_program=True),))
    made.start().script(0).script(1, 1.5).script(0, 2.5)
    grant(made)
    other = bench({"track_scripts": (TrackedScript(CHK),), **RAFT}, scripts=(probing(),)).start().script(0)
    grant(other).script(1, 1.5)
    assert (made.count(fx.EndProgram), other.count(fx.EndProgram)) == (0, 0)


# -- sync groups ------------------------------------------------------------------------------------


def test_a_group_has_one_lease_and_moves_in_one_step(bench_pair: "Benches") -> None:
    made = grant(leased_pair(bench_pair).start(), "G", "VI_1", "VI_2", at_s=1)
    assert made.roles() == ["MASTER", "MASTER"] and len(made.held) == 2
    assert {(why, evidence) for _, role, why, evidence in changes(made) if role == "MASTER"} == {
        ("granted by a quorum", "promised by n2, token 7")
    }
    assert [line for line in made.logs() if "MASTER" in line] == [
        "(VI_1) Entering MASTER STATE",
        "VRRP_Group(G) Syncing instances to MASTER state",
        "(VI_2) Entering MASTER STATE",
    ]
    assert made.notified()[-2:] == ["m", "any GROUP G MASTER 0"]
    lose(made, "G", "VI_1", "VI_2", at_s=2)
    assert made.roles() == ["BACKUP", "BACKUP"] and not made.held
    assert made.notified()[-2:] == ["b", "any GROUP G BACKUP 0"]
    assert made.until(60).roles() == ["BACKUP", "BACKUP"]


def test_a_fault_of_one_member_is_a_fault_of_all(bench_pair: "Benches") -> None:
    made = grant(leased_pair(bench_pair).start(), "G", "VI_1", "VI_2")
    made.feed(ev.LinkChanged(facts("eth1", up=False, index=3, address="10.0.1.5")), 1)
    assert made.roles() == ["FAULT", "FAULT"] and not made.held and made.sent() == []
    assert grant(made, "G", "VI_1", "VI_2").roles() == ["FAULT", "FAULT"]
    made.feed(ev.LinkChanged(facts("eth1", index=3, address="10.0.1.5")), 2)
    assert made.roles() == ["BACKUP", "BACKUP"]
    assert grant(made, "G", "VI_1", "VI_2").roles() == ["MASTER", "MASTER"]


def test_what_takes_to_preempt_is_that_of_the_slowest_member(bench_pair: "Benches") -> None:
    configuration = leased_pair(bench_pair).configuration
    first, second = configuration.instances
    changed = replace(first, preempt=False), replace(second, preempt_delay_us=Micros(5 * SECOND))
    configuration = replace(configuration, instances=changed)
    assert leases_of(configuration) == (
        Lease(G, (ONE, TWO), preempt=False, preempt_delay_us=Micros(5 * SECOND)),
    )


def test_leases_are_those_of_groups_and_of_instances_outside(bench_pair: "Benches") -> None:
    configuration = leased_pair(bench_pair).configuration
    third = replace(configuration.instances[0], name=THREE, vrid=0)
    by_adverts = replace(third, name=InstanceName("VI_4"), vrid=9, election=Election.VRRP)
    configuration = replace(configuration, instances=(third, *configuration.instances, by_adverts))
    assert leases_of(configuration) == (Lease(LeaseName("VI_3"), (THREE,)), Lease(G, (ONE, TWO)))


# -- reloads -----------------------------------------------------------------------------------------


def reload(made: Bench, *instances: Any, groups: tuple[SyncGroup, ...] = ()) -> Bench:
    configuration = replace(made.configuration, instances=instances, groups=groups)
    return made.feed(ev.SettingsReplaced(configuration))


def test_another_election_goes_through_backup_and_resigns_as_it_was_elected(bench: "Benches") -> None:
    made = bench({}).start().until(4)
    own = made.configuration.instances[0]
    assert made.role.name == "MASTER"
    reload(made, replace(own, **RAFT))
    assert made.role.name == "BACKUP" and not made.held and made.sent()[-1] == 0
    assert core.next_deadline(made.node) is None
    sent = len(made.sent())
    assert grant(made, at_s=60).role.name == "MASTER" and len(made.sent()) == sent
    reload(made, own)
    assert made.role.name == "BACKUP" and not made.held and len(made.sent()) == sent
    assert made.until(63).role.name == "BACKUP" and made.until(64).role.name == "MASTER"
    assert len(made.sent()) > sent


def test_the_backup_that_adverts_elect_from_now_on_waits_for_its_timer(bench: "Benches") -> None:
    made = bench(RAFT).start().until(10)
    reload(made, replace(made.configuration.instances[0], election=Election.VRRP))
    assert changes(made)[-1][1] == "BACKUP" and made.until(13).role.name == "BACKUP"
    assert made.until(14).role.name == "MASTER"


def test_another_election_opens_no_door_for_old_packets() -> None:
    solo = Solo("MASTER", auth_type=AuthType.AH, auth_data=b"secret", base_priority=150)
    solo.state = solo.state._replace(memory=solo.state.memory._replace(sequence=77), master_priority=200)
    for election in (Election.RAFT, Election.VRRP):
        settings = replace(solo.settings, election=election)
        solo.state = machine.with_election(solo.state, settings, solo.now, solo.out)
        assert (solo.role, solo.state.memory.sequence, solo.state.master_priority) == ("BACKUP", 77, 0)
    assert solo.state.deadline == solo.now + solo.until_down and solo.sent()[-1] == 0


def test_a_master_stays_one_through_a_reload_that_leaves_its_lease(bench: "Benches") -> None:
    made = grant(bench(RAFT).start())
    reload(made, replace(made.configuration.instances[0], base_priority=42, vrid=9))
    assert made.role.name == "MASTER" and made.state.effective_priority == 42 and made.held
    assert made.sent() == [] and core.next_deadline(made.node) == made.state.announcements.second_at


def test_instances_come_and_go(bench: "Benches") -> None:
    made = grant(bench(RAFT).start())
    own = made.configuration.instances[0]
    other = replace(own, name=TWO, addresses=())
    reload(made, other)
    assert list(made.node.instances) == [TWO]
    assert made.node.instances[TWO].role.name == "BACKUP" and not made.held and made.sent() == []
    assert grant(made, "VI_1").node.instances[TWO].role.name == "BACKUP"
    assert grant(made, "VI_2").node.instances[TWO].role.name == "MASTER"


def test_a_master_that_joins_a_group_leaves_its_own_lease(bench_pair: "Benches") -> None:
    made = leased_pair(bench_pair)
    (group,) = made.configuration.groups
    made.configuration = replace(made.configuration, groups=())
    grant(made.start())
    reload(made, *made.configuration.instances, groups=(group,))
    assert made.roles() == ["BACKUP", "BACKUP"] and not made.held
    assert lose(made).roles() == ["BACKUP", "BACKUP"]
    assert grant(made, "G", "VI_1", "VI_2").roles() == ["MASTER", "MASTER"]
    reload(made, *made.configuration.instances)
    assert made.roles() == ["BACKUP", "BACKUP"] and not made.held


def test_a_group_that_gets_a_member_must_be_promised_it_first(bench_pair: "Benches") -> None:
    """Another machine that has not reloaded may hold the newcomer by a lease of its own."""
    made = grant(leased_pair(bench_pair).start(), "G", "VI_1", "VI_2")
    first, second = made.configuration.instances
    (group,) = made.configuration.groups
    third = replace(first, name=THREE, addresses=(replace(first.addresses[0], prefix_length=32),))
    larger = replace(group, members=(ONE, TWO, THREE))
    reload(made, first, second, third, groups=(larger,))
    assert made.roles() == ["BACKUP", "BACKUP", "BACKUP"] and not made.held
    assert grant(made, "G", "VI_1", "VI_2", "VI_3").roles() == ["MASTER", "MASTER", "MASTER"]
    reload(made, first, third, groups=(replace(group, members=(ONE, THREE)),))
    assert made.roles() == ["MASTER", "MASTER"]
    assert lose(made, "G", "VI_1", "VI_2").roles() == ["BACKUP", "BACKUP"]


def test_who_joins_has_a_first_result_before_the_group_is_able(bench_pair: "Benches", chk: "Check") -> None:
    made = grant(leased_pair(bench_pair).start(), "G", "VI_1", "VI_2")
    first, second = made.configuration.instances
    (group,) = made.configuration.groups
    third = replace(first, name=THREE, addresses=(), track_scripts=(TrackedScript(CHK),))
    configuration = replace(
        made.configuration,
        instances=(first, second, third),
        groups=(replace(group, members=(ONE, TWO, THREE)),),
        scripts=(chk(100),),
    )
    made.feed(ev.SettingsReplaced(configuration))
    assert "MASTER" not in made.roles()
    assert made.script(0, 1).roles() == ["BACKUP", "BACKUP", "BACKUP"]
    assert grant(made, "G", "VI_1", "VI_2", "VI_3").roles() == ["MASTER", "MASTER", "MASTER"]


# -- whatever comes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_storms_of_grants_losses_and_faults(bench_pair: "Benches", seed: int) -> None:
    """A MASTER is only who has the lease and no fault; all of a group are the same; no advert is sent."""
    random, made = Random(seed), leased_pair(bench_pair).start()
    names, has, up = ("VI_1", "VI_2"), False, {"eth0": True, "eth1": True}
    for _ in range(200):
        made.until(made.now / SECOND + random.random())
        match random.randrange(5):
            case 0 | 1:
                has = all(up.values())
                grant(made, "G", *names)
            case 2:
                has = False
                lose(made, "G", *names)
            case 3:
                made.feed(ev.Paused(Micros(random.randrange(9 * SECOND))))
            case _:
                name = random.choice(list(up))
                up[name] = not up[name]
                has = has and up[name]
                index, address = (2, "10.0.0.5") if name == "eth0" else (3, "10.0.1.5")
                made.feed(ev.LinkChanged(facts(name, up=up[name], index=index, address=address)))
        wanted = "MASTER" if has else "BACKUP" if all(up.values()) else "FAULT"
        assert made.roles() == [wanted, wanted]
        assert len(made.held) == (2 if has else 0) and made.sent() == []
    assert made.node.instances[ONE].counters.become_master > 0


def test_the_group_stays_in_step_with_its_name(bench_pair: "Benches") -> None:
    """A lease of another name says nothing about the members."""
    made = leased_pair(bench_pair).start()
    assert grant(made, "VI_1").roles() == ["BACKUP", "BACKUP"]
