"""Check scripts, interfaces, addresses behind our back, sync groups and reload."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from keepalived_py.base.names import InterfaceName, ScriptName
from keepalived_py.base.record import replace as replace_record
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import CheckScript, TrackedInterface, TrackedScript, VirtualAddress

if TYPE_CHECKING:
    from tests.core.conftest import Bench

Make = Callable[..., "Bench"]
Check = Callable[..., CheckScript]
CHK = ScriptName("chk")
ETH0, ETH1 = InterfaceName("eth0"), InterfaceName("eth1")
VIP = ev.InterfaceAddress(IPv4Address("10.0.0.100"), 24)
OWN = ev.InterfaceAddress(IPv4Address("10.0.0.5"), 24)


def link(made: "Bench", name: InterfaceName, up: bool, at_s: float, index: int = 2) -> "Bench":
    facts = replace(made.node.interfaces.get(name, ev.InterfaceFacts(name, index, up)), up=up, index=index)
    return made.feed(ev.LinkChanged(facts), at_s)


def test_an_instance_waits_for_its_first_result(bench: Make, chk: Check) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK),)}, scripts=(chk(),)).start()
    assert made.role is fx.Role.INIT and made.logs() == [] and made.count(fx.RunCheck) == 1
    made.script(0, 0.5)
    assert made.logs() == ["VRRP_Script(chk) succeeded", "(VI_1) Entering BACKUP STATE"]
    assert made.state.deadline == 500_000 + 3_609_375


def test_failing_at_start_is_notified_but_not_logged(bench: Make, chk: Check) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK),)}, scripts=(chk(),)).start().script(3, 0.1)
    assert made.role is fx.Role.FAULT and "(VI_1) Entering FAULT STATE" not in made.logs()
    assert made.notified() == ["f", "any INSTANCE VI_1 FAULT 100"]
    assert made.logs()[:2] == [
        "Script `chk` now returning 3",
        "VRRP_Script(chk) failed (exited with status 3)",
    ]


def test_script_fault_from_master_resigns_twice_and_counts_one(bench: Make, chk: Check) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK),)}, scripts=(chk(100),)).start().script(0, 0.0)
    made.until(4).script(1)
    assert made.sent() == [100, 0, 0] and made.state.counters.pri_zero_sent == 1
    assert made.logs(detail=True)[-6:] == [
        "Script `chk` now returning 1",
        "VRRP_Script(chk) failed (exited with status 1)",
        "(VI_1): entering FAULT state due to script chk",
        "(VI_1) Entering FAULT STATE",
        "(VI_1) sent 0 priority",
        "(VI_1) removing VIPs.",
    ]
    assert made.script(0, 5.0).state.deadline == 5_000_000 + 3_609_375


@pytest.mark.parametrize(
    ("weight", "reverse", "good", "bad"),
    [
        (20, False, 120, 100),
        (-20, False, 100, 80),
        (20, True, 80, 100),
        (-20, True, 100, 120),
        (-200, False, 100, 1),
        (200, False, 254, 100),
    ],
)
def test_weights(bench: Make, chk: Check, weight: int, reverse: bool, good: int, bad: int) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK, weight, reverse),)}, scripts=(chk(100),)).start()
    assert made.role is fx.Role.BACKUP and made.state.effective_priority == 100
    assert made.script(0, 1.0).state.effective_priority == good
    assert made.script(1, 2.0).state.effective_priority == bad
    assert f"(VI_1) Changing effective priority from {good} to {bad}" in made.logs()
    assert made.state.deadline == 3_000_000 + (256 - bad) * 1_000_000 // 256


def test_the_owner_keeps_255(bench: Make, chk: Check) -> None:
    made = bench({"base_priority": 255, "track_scripts": (TrackedScript(CHK, -20),)}, scripts=(chk(),))
    assert made.start().script(1, 0.5).state.effective_priority == 255


def test_rise_and_fall_count_after_the_first_result(bench: Make, chk: Check) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK, -20),)}, scripts=(chk(100, rise=2, fall=3),)).start()
    found = []
    for status in (1, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1):
        found.append(made.script(status).state.effective_priority)
    assert found == [80, 80, 80, 80, 100, 100, 100, 100, 100, 100, 80]


def test_a_running_script_is_not_started_again(bench: Make, chk: Check) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK, 5),)}, scripts=(chk(1),)).start().until(1.5)
    assert made.count(fx.RunCheck) == 1
    assert made.logs()[-1] == "Track script chk is already running, expect idle - skipping run"
    made.until(2.5)
    assert made.logs()[-1] == "Track script chk is being timed out, expect idle - skipping run"
    assert made.script(0, 2.6).until(3.0).count(fx.RunCheck) == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"signal": 9}, "VRRP_Script(chk) failed (due to signal 9)"),
        ({"timed_out": True}, "VRRP_Script(chk) timed_out"),
    ],
)
def test_other_ends_of_a_script(bench: Make, chk: Check, fields: dict[str, Any], text: str) -> None:
    made = bench({"track_scripts": (TrackedScript(CHK, 5),)}, scripts=(chk(),)).start().script(0, **fields)
    assert made.logs()[-1] == text


def test_link_down_and_up(bench: Make) -> None:
    made = bench().start().until(4)
    link(made, ETH0, False, 4.5)
    assert made.role is fx.Role.FAULT and not made.held and made.state.deadline is None
    assert made.logs()[-3:] == [
        "Netlink reports eth0 down",
        "(VI_1): entering FAULT state (interface eth0 down)",
        "(VI_1) Entering FAULT STATE",
    ]
    link(made, ETH0, True, 5.0)
    assert made.logs()[-2:] == ["Netlink reports eth0 up", "(VI_1) Entering BACKUP STATE"]
    assert made.state.deadline == 8_609_375


def test_link_down_at_start(bench: Make) -> None:
    made = bench()
    made.interfaces[ETH0] = replace(made.interfaces[ETH0], up=False)
    made.start()
    assert made.logs() == [
        "(VI_1): entering FAULT state (interface eth0 down)",
        "(VI_1) entering FAULT state",
    ]
    assert made.notified() == ["f", "any INSTANCE VI_1 FAULT 100"]


def test_another_hardware_address_is_announced(bench: Make) -> None:
    made = bench().start().until(4)
    facts = replace(made.node.interfaces[ETH0], mac=bytes((2, 0, 0, 0, 0, 9)))
    made.feed(ev.LinkChanged(facts))
    told = [each.address.address for each in made.last if isinstance(each, fx.SendNeighbour)]
    assert told == [VIP.address] * 5 and made.role is fx.Role.MASTER
    assert not [each for each in made.feed(ev.LinkChanged(facts)).last if isinstance(each, fx.SendNeighbour)]
    backup = bench().start().feed(ev.LinkChanged(facts))
    assert not [each for each in backup.last if isinstance(each, fx.SendNeighbour)]


def test_dont_track_primary(bench: Make) -> None:
    made = bench({"track_primary": False}).start().until(4)
    assert link(made, ETH0, False, 5.0).role is fx.Role.MASTER


def test_an_interface_that_comes_later(bench: Make) -> None:
    made = bench()
    del made.interfaces[ETH0]
    assert made.start().roles() == ["FAULT"]
    link(made, ETH0, True, 1.0)
    assert made.roles() == ["FAULT"]
    made.feed(ev.AddressAdded(ETH0, OWN), 1.5)
    assert made.roles() == ["BACKUP"] and made.state.source == OWN.address


def test_tracked_interfaces(bench: Make) -> None:
    made = bench({"track_interfaces": (TrackedInterface(ETH1),)}).start()
    assert link(made, ETH1, False, 1.0, 3).role is fx.Role.FAULT
    assert link(made, ETH1, True, 2.0, 3).role is fx.Role.BACKUP
    weighted = bench({"track_interfaces": (TrackedInterface(ETH1, -30),)}).start()
    assert link(weighted, ETH1, False, 1.0, 3).state.effective_priority == 70


def test_no_address_is_a_fault_and_another_one_is_taken(bench: Make) -> None:
    made = bench().start().until(4)
    other = ev.InterfaceAddress(IPv4Address("10.0.0.6"), 24)
    made.feed(ev.AddressAdded(ETH0, other)).feed(ev.AddressRemoved(ETH0, OWN))
    assert made.roles() == ["MASTER"] and made.state.source == other.address
    assert made.state.advert is not None and made.state.advert.source == other.address
    made.feed(ev.AddressRemoved(ETH0, other))
    assert made.roles() == ["FAULT"]
    assert "(VI_1) entering FAULT state (no IPv4 address for interface)" in made.logs()
    resigned = [each.advert for each in made.last if isinstance(each, fx.SendAdvert)]
    assert [(advert.priority, advert.source) for advert in resigned] == [(0, other.address)] * 2


def test_an_address_removed_behind_our_back_is_put_back(bench: Make) -> None:
    made = bench({"preempt": False}).start().until(4).feed(ev.AddressRemoved(ETH0, VIP))
    assert made.role is fx.Role.MASTER and made.sent() == [100]
    assert [type(each).__name__ for each in made.last if not isinstance(each, fx.WriteLog)] == [
        "AddAddress",
        *["SendNeighbour"] * 5,
    ]
    assert made.logs(detail=True)[-8:-6] == [
        "Netlink reflector reports IP 10.0.0.100 removed from eth0",
        "(VI_1) IP 10.0.0.100/24 dev eth0 is gone, put back at once",
    ]
    assert made.node.ledger.restored == {"VI_1": 1} and made.node.ledger.removals == {}


def test_our_own_removal_is_not_taken_for_a_foreign_one(bench: Make) -> None:
    made = bench().start().until(4)
    made.held.clear()  # the kernel is slow: it reports the removal only later
    made._obey = lambda effect: None  # type: ignore[method-assign]
    made.hear(200).hear(0, 4.5).until(5.2)
    assert made.role is fx.Role.MASTER
    assert made.feed(ev.AddressRemoved(ETH0, VIP)).node.ledger.restored == {}
    assert made.feed(ev.AddressRemoved(ETH0, VIP)).node.ledger.restored == {"VI_1": 1}


def test_no_track(bench: Make) -> None:
    address = VirtualAddress(IPv4Address("10.0.0.100"), 24, ETH0, tracked=False)
    made = bench({"addresses": (address,)}).start().until(4).feed(ev.AddressRemoved(ETH0, VIP))
    assert made.role is fx.Role.MASTER


def test_group_becomes_master_when_the_last_timer_ends(bench_pair: Callable[[], "Bench"]) -> None:
    made = bench_pair().start()
    assert made.notified()[0] == "b" and made.notified()[1] == "any GROUP G BACKUP 0"
    made.hear(150, 2.0)
    made.until(3.7)
    assert made.roles() == ["BACKUP", "BACKUP"]
    made.until(5.7)
    assert made.roles() == ["MASTER", "MASTER"]
    lines = [line for line in made.logs() if "MASTER" in line]
    assert lines == [
        "(VI_1) Entering MASTER STATE",
        "VRRP_Group(G) Syncing instances to MASTER state",
        "(VI_2) Entering MASTER STATE",
    ]
    assert made.notified()[-2:] == ["m", "any GROUP G MASTER 0"]


def test_group_falls_back_together_without_priority_zero(bench_pair: Callable[[], "Bench"]) -> None:
    made = bench_pair().start().until(4).hear(200)
    assert made.roles() == ["BACKUP", "BACKUP"] and 0 not in made.sent()
    assert "VRRP_Group(G) Syncing instances to BACKUP state" in made.logs()


def test_group_fault_and_recovery(bench_pair: Callable[[], "Bench"]) -> None:
    made = bench_pair().start().until(4)
    link(made, ETH1, False, 4.5, 3)
    assert made.roles() == ["FAULT", "FAULT"] and not made.held
    assert made.sent().count(0) == 3
    link(made, ETH1, True, 5.0, 3)
    assert made.roles() == ["BACKUP", "BACKUP"]
    assert "VRRP_Group(G) Syncing instances to BACKUP state" in made.logs()


def test_group_members_announce_again_together(bench_pair: Callable[[], "Bench"]) -> None:
    made = bench_pair().start().until(4)
    before = made.count(fx.SendNeighbour)
    assert made.hear(50).count(fx.SendNeighbour) == before + 10


def reload(made: "Bench", at_s: float, *instances: dict[str, object]) -> "Bench":
    made.until(at_s)
    made.effects = []
    new = tuple(made.instance(**settings) for settings in instances)
    made.configuration = replace_record(made.configuration, instances=new)
    return made.feed(ev.SettingsReplaced(made.configuration))


def test_reload_of_the_same_does_nothing(bench: Make) -> None:
    made = bench().start().until(4)
    before = made.state
    assert reload(made, 4.2, {}).effects == [] and made.state == before


def test_reload_renamed_goes_on(bench: Make) -> None:
    made = reload(bench().start(), 4.2, {"name": "NEW"})
    assert made.role is fx.Role.MASTER and made.effects == []


def test_reload_moves_addresses(bench: Make) -> None:
    added = VirtualAddress(IPv4Address("10.0.0.101"), 24, ETH0)
    made = reload(bench().start(), 4.2, {"addresses": (added,)})
    assert made.role is fx.Role.MASTER and [address for _, address in made.held] == [added.address]
    assert "(VI_1) ip address 10.0.0.100/24 dev eth0, no longer exist" in made.logs()
    assert made.count(fx.SendNeighbour) == 5
    assert made.state.advert is not None and made.state.advert.addresses == (added.address,)


def test_reload_changes_the_priority_in_place(bench: Make) -> None:
    made = reload(bench().start(), 4.2, {"base_priority": 90})
    assert made.role is fx.Role.MASTER and made.until(4.7).sent() == [90]
    other = reload(bench().start(), 1.0, {"base_priority": 200})
    assert other.state.deadline == 3_218_750


def test_reload_without_the_instance(bench: Make) -> None:
    made = reload(bench().start(), 4.2)
    assert made.sent() == [0] and not made.held and made.notified() == ["f", "any INSTANCE VI_1 FAULT 100"]


def test_reload_reports_deleted(bench: Make) -> None:
    usual = bench().configuration.instances[0].notifies
    made = reload(bench({"notifies": replace_record(usual, report_deleted=True)}).start(), 4.2)
    assert made.notified() == ["d", "any INSTANCE VI_1 DELETED 100"]


def test_reload_with_another_vrid_starts_afresh(bench: Make) -> None:
    made = reload(bench().start(), 4.2, {"vrid": 77})
    assert made.sent() == [0] and made.role is fx.Role.BACKUP and made.state.deadline == 4_200_000 + 3_609_375
