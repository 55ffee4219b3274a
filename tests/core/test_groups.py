"""Sync groups: what the members and the group do and tell, in keepalived's order."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import CheckScript, InitialState, SyncGroup, TrackedScript
from keepalived_py.model.tracking import TrackedFile, TrackFile

if TYPE_CHECKING:
    from tests.core.conftest import Bench

Pair = Callable[..., "Bench"]
Check = Callable[..., CheckScript]
CHK = ScriptName("chk")
ETH1 = InterfaceName("eth1")


def lines(made: "Bench") -> list[str]:
    """What the notify pipes are told."""
    return [each.line for each in made.effects if isinstance(each, fx.WriteFifo)]


def each(made: "Bench", **fields: Any) -> "Bench":
    """The same bench with changed instances."""
    instances = tuple(replace(instance, **fields) for instance in made.configuration.instances)
    made.configuration = replace(made.configuration, instances=instances)
    return made


def test_the_group_is_told_first_at_start_and_last_afterwards(bench_pair: Pair) -> None:
    made = bench_pair().start().until(4)
    assert lines(made) == [
        'GROUP "G" BACKUP 0',
        'INSTANCE "VI_1" BACKUP 100',
        'INSTANCE "VI_2" BACKUP 100',
        'INSTANCE "VI_2" MASTER 100',
        'INSTANCE "VI_1" MASTER 100',
        'GROUP "G" MASTER 0',
    ]
    made.effects = []
    made.feed(ev.StopRequested(), 5)
    assert lines(made) == ['INSTANCE "VI_1" STOP 100', 'INSTANCE "VI_2" STOP 100', 'GROUP "G" STOP 0']


def test_a_group_of_owners_begins_without_a_word(bench_pair: Pair) -> None:
    made = each(bench_pair(), base_priority=255, initial_state=InitialState.MASTER).start().until(0.1)
    assert made.roles() == ["MASTER", "MASTER"]
    assert not any("GROUP" in line for line in lines(made))
    assert "VRRP_Group(G) Syncing instances to MASTER state" in made.logs()


def test_one_owner_alone_waits_with_its_group(bench_pair: Pair) -> None:
    made = bench_pair()
    first, second = made.configuration.instances
    owner = replace(first, base_priority=255, initial_state=InitialState.MASTER)
    made.configuration = replace(made.configuration, instances=(owner, second))
    made.start().until(0.5)
    assert made.roles() == ["BACKUP", "BACKUP"]
    assert made.until(4).roles() == ["MASTER", "MASTER"]


def test_a_member_that_waits_for_a_result_keeps_the_others_waiting(bench_pair: Pair, chk: Check) -> None:
    made = bench_pair()
    first, second = made.configuration.instances
    tracking = replace(second, track_scripts=(TrackedScript(CHK),))
    made.configuration = replace(made.configuration, instances=(first, tracking), scripts=(chk(100),))
    made.start().until(1)
    assert made.roles() == ["INIT", "INIT"] and made.logs() == []
    made.script(0)
    assert made.roles() == ["BACKUP", "BACKUP"] and made.until(5).roles() == ["MASTER", "MASTER"]


def test_a_check_of_the_group_faults_all_members(bench_pair: Pair, chk: Check) -> None:
    made = bench_pair(track_scripts=(TrackedScript(CHK),))
    made.configuration = replace(made.configuration, scripts=(chk(100),))
    made.start().script(0).until(4)
    made.script(1)
    assert made.roles() == ["FAULT", "FAULT"] and not made.held
    assert [line for line in lines(made) if "FAULT" in line] == [
        'INSTANCE "VI_1" FAULT 100',
        'INSTANCE "VI_2" FAULT 100',
        'GROUP "G" FAULT 0',
    ]
    assert made.script(0, 5).roles() == ["BACKUP", "BACKUP"]


def test_a_weight_of_the_group_counts_for_each_member(bench_pair: Pair) -> None:
    made = bench_pair(track_files=(TrackedFile("F", 2),))
    made.configuration = replace(made.configuration, track_files=(TrackFile("F", "/f"),))
    made.start().feed(ev.FileRead("F", 5))
    assert [state.effective_priority for state in made.node.instances.values()] == [110, 110]
    assert "(VI_2) Changing effective priority from 100 to 110" in made.logs()


def test_priorities_are_told_while_they_change(bench_pair: Pair) -> None:
    made = each(bench_pair(track_files=(TrackedFile("F", 2),)), notify_priority_changes=True)
    made.configuration = replace(made.configuration, track_files=(TrackFile("F", "/f"),))
    made.start().until(4)
    made.effects = []
    made.feed(ev.FileRead("F", 5))
    assert lines(made) == ['INSTANCE "VI_1" MASTER_PRIORITY 110', 'INSTANCE "VI_2" MASTER_PRIORITY 110']


def test_a_member_whose_fault_it_is_resigns_twice_the_other_once(bench_pair: Pair) -> None:
    made = bench_pair().start().until(4)
    made.effects = []
    down = made.node.interfaces[ETH1]
    made.feed(ev.LinkChanged(ev.InterfaceFacts(ETH1, down.index, False)), 4.5)
    sent = [
        (effect.instance, effect.advert.priority)
        for effect in made.effects
        if isinstance(effect, fx.SendAdvert)
    ]
    assert sent == [("VI_2", 0), ("VI_2", 0), ("VI_1", 0)]


def test_groups_do_not_move_each_other(bench_pair: Pair) -> None:
    made = bench_pair()
    first, second = made.configuration.instances
    groups = tuple(
        SyncGroup(GroupName(name), (InstanceName(name + "1"), InstanceName(name + "2")))
        for name in ("A", "B")
    )
    instances = tuple(
        replace(which, name=InstanceName(f"{name}{at}"), vrid=which.vrid + 10 * (name == "B"))
        for name in ("A", "B")
        for at, which in ((1, first), (2, second))
    )
    made.configuration = replace(made.configuration, instances=instances, groups=groups)
    made.start().until(4)
    assert made.roles() == ["MASTER"] * 4
    assert made.hear(200).roles() == ["BACKUP", "BACKUP", "MASTER", "MASTER"]


def test_a_reload_says_nothing_of_groups_that_stay_as_they_are(bench_pair: Pair) -> None:
    made = bench_pair().start().until(4.2)
    made.effects = []
    made.feed(ev.SettingsReplaced(made.configuration))
    assert made.effects == []


def test_a_dissolved_group_frees_its_healthy_member(bench_pair: Pair) -> None:
    made = bench_pair().start().until(4)
    made.feed(ev.LinkChanged(replace_link(made, up=False)), 4.5)
    assert made.roles() == ["FAULT", "FAULT"]
    made.feed(ev.SettingsReplaced(replace(made.configuration, groups=())), 5)
    assert made.roles() == ["BACKUP", "FAULT"] and not made.state.group_fault


def test_a_group_that_is_formed_shares_the_fault_of_a_member(bench_pair: Pair) -> None:
    made = bench_pair()
    joined = made.configuration
    made.configuration = replace(joined, groups=())
    made.start().until(4)
    made.feed(ev.LinkChanged(replace_link(made, up=False)), 4.5)
    assert made.roles() == ["MASTER", "FAULT"]
    made.feed(ev.SettingsReplaced(joined), 5)
    assert made.roles() == ["FAULT", "FAULT"] and not made.held


def replace_link(made: "Bench", *, up: bool) -> ev.InterfaceFacts:
    return ev.InterfaceFacts(ETH1, made.node.interfaces[ETH1].index, up)
