"""What a MASTER holds: the order of putting in and taking out, static things, losses and refusals."""

import errno
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.core import node as core
from keepalived_py.core.holder import holding
from keepalived_py.core.holder.ledger import pause_after_loss, pause_after_refusal
from keepalived_py.core.holder.outcomes import is_permanent, line_for
from keepalived_py.core.holder.things import place_of
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, GratuitousArp, Instance, TrackGroup, VirtualAddress
from keepalived_py.model.interfaces import Device, DeviceKind
from keepalived_py.model.network import Prefix, Route, Rule, RuleAction
from keepalived_py.model.vrrp import ExtraInterfaces
from tests.core.fake_kernel import Life
from tests.core.random_configuration import machine

ETH0, ETH1 = InterfaceName("eth0"), InterfaceName("eth1")
VIP = VirtualAddress(IPv4Address("10.0.0.1"), 24, ETH0)
EXTRA = VirtualAddress(IPv6Address("fd00::1"), 64, ETH0)
STATIC = VirtualAddress(IPv4Address("192.168.77.1"), 24, ETH1)
ROUTE = Route(Prefix(ip_address("172.16.0.0"), 16), interface=ETH0)
RULE = Rule(4, 100, RuleAction.TABLE, table=100)
STATIC_ROUTE = Route(Prefix(ip_address("172.17.0.0"), 16), interface=ETH1)
STATIC_RULE = Rule(4, 300, RuleAction.TABLE, table=300)
QUIET = GratuitousArp(repeat=1, delay_us=Micros(0))


def vi(**settings: Any) -> Instance:
    usual: dict[str, Any] = {
        "name": InstanceName("VI"),
        "interface": ETH0,
        "vrid": 1,
        "addresses": (VIP,),
        "garp": QUIET,
    }
    return Instance(**{**usual, **settings})


FULL = vi(excluded_addresses=(EXTRA,), routes=(ROUTE,), rules=(RULE,), accept=False)
STATICS = {
    "static_addresses": (STATIC,),
    "static_routes": (STATIC_ROUTE,),
    "static_rules": (STATIC_RULE,),
}


def live(*instances: Instance, **fields: Any) -> Life:
    life = Life(Configuration(instances=instances, **fields), machine())
    life.until(10)
    return life


def kinds(life: Life) -> list[str]:
    """What went through lanes, and the lines that stand before it."""
    return [
        each.text if isinstance(each, fx.WriteLog) else type(each).__name__
        for each in life.effects
        if not isinstance(each, fx.SendAdvert | fx.RoleChanged | fx.WriteFifo)
    ]


def lines(life: Life) -> list[str]:
    return [each.text for each in life.effects if isinstance(each, fx.WriteLog)]


def test_becoming_master_puts_in_and_leaving_takes_out_in_order() -> None:
    out: list[fx.Effect] = []
    holding.take(FULL, Micros(0), out)
    assert [each for each in out if not isinstance(each, fx.WriteLog)][:5] == [
        fx.BlockAddresses(FULL.name, (VIP, EXTRA)),
        fx.AddAddress(FULL.name, VIP),
        fx.AddAddress(FULL.name, EXTRA),
        fx.AddRoute(FULL.name, ROUTE),
        fx.AddRule(FULL.name, RULE),
    ]
    assert [each.text for each in out if isinstance(each, fx.WriteLog)][:5] == [
        "(VI) setting firewall drop rule",
        "(VI) setting VIPs.",
        "(VI) setting E-VIPs.",
        "(VI) setting Virtual Routes",
        "(VI) setting Virtual Rules",
    ]
    out = []
    assert holding.release(FULL, out) is holding.SILENT
    assert [each for each in out if not isinstance(each, fx.WriteLog)] == [
        fx.DeleteRule(FULL.name, RULE),
        fx.DeleteRoute(FULL.name, ROUTE),
        fx.DeleteAddress(FULL.name, VIP),
        fx.DeleteAddress(FULL.name, EXTRA),
        fx.UnblockAddresses(FULL.name, (VIP, EXTRA)),
    ]


@pytest.mark.parametrize(("fields", "blocks"), [({}, False), ({"accept": False}, True)])
def test_who_needs_the_firewall(fields: dict[str, Any], blocks: bool) -> None:
    assert holding.blocks(vi(**fields)) is blocks
    assert not holding.blocks(vi(base_priority=255, **fields))


def test_start_and_stop_with_static_things() -> None:
    life = live(FULL, **STATICS)
    contents = life.kernel.contents()
    assert contents[0] == {VIP, EXTRA, STATIC} and contents[1] == {ROUTE, STATIC_ROUTE}
    assert contents[2] == {RULE, STATIC_RULE} and len(contents[3]) == 2
    life.effects = []
    life.feed(ev.StopRequested())
    assert life.kernel.contents() == (frozenset(),) * 4
    assert [each for each in life.effects if isinstance(each, fx.DeleteAddress)][-1].address == STATIC
    assert core.next_deadline(life.node) is None


def test_a_stop_that_leaves_the_addresses_takes_static_things_out() -> None:
    life = live(FULL, **STATICS)
    life.feed(ev.StopRequested(release=False))
    assert life.kernel.contents()[0] == {VIP, EXTRA} and life.kernel.contents()[2] == {RULE}


def test_leftovers_are_taken_out_at_start() -> None:
    interfaces = list(machine())
    known = ev.InterfaceAddress(VIP.address, 24)
    interfaces[0] = ev.InterfaceFacts(
        ETH0, 2, True, mac=b"\2\0\0\0\0\0", addresses=(*interfaces[0].addresses, known)
    )
    life = Life(Configuration(instances=(FULL,)), interfaces)
    deleted = [each.address for each in life.effects if isinstance(each, fx.DeleteAddress)]
    assert deleted == [VIP]
    assert [text for text in kinds(life) if text.startswith(("Delete", "(VI) removing"))] == [
        "(VI) removing Virtual Rules",
        "(VI) removing Virtual Routes",
        "(VI) removing VIPs.",
        "(VI) removing E-VIPs.",
        "(VI) removing firewall drop rule",
        "DeleteRule",
        "DeleteRoute",
        "DeleteAddress",
    ]


# -- losses -----------------------------------------------------------------------


def test_a_stolen_address_is_put_back_with_growing_pauses() -> None:
    life = live(FULL)
    begun = life.now
    back = []
    for _ in range(8):
        life.steal((ETH0, VIP.address))
        stolen = life.now
        for _ in range(400):
            if (ETH0, VIP.address) in life.kernel.there():
                break
            life.until((life.now + 100_000) / 1_000_000)
        back.append((life.now - stolen) / 1_000_000)
    assert [round(each) for each in back] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert life.node.ledger.restored == {"VI": 8}
    assert life.state("VI").role is fx.Role.MASTER and life.state("VI").counters.release_master == 0
    life.until(life.now / 1_000_000 + 61)
    life.steal((ETH0, VIP.address))
    assert (ETH0, VIP.address) in life.kernel.there() and life.now > begun


def test_a_restored_address_is_announced_and_said() -> None:
    life = live(vi())
    life.effects = []
    life.steal((ETH0, VIP.address))
    assert kinds(life) == [
        "Netlink reflector reports IP 10.0.0.1 removed from eth0",
        "(VI) IP 10.0.0.1/24 dev eth0 is gone, put back at once",
        "AddAddress",
        "(VI) Sending/queueing gratuitous ARPs on eth0 for 10.0.0.1",
        "SendNeighbour",
        "Sending gratuitous ARP on eth0 for 10.0.0.1",
    ]


def test_what_is_not_tracked_stays_away() -> None:
    life = live(vi(addresses=(replace(VIP, tracked=False),), routes=(replace(ROUTE, tracked=False),)))
    life.steal((ETH0, VIP.address))
    life.feed(ev.RouteLost(replace(ROUTE, tracked=False)))
    life.until(100)
    assert life.kernel.there() == set() and life.node.ledger.ailing == {}


def test_routes_and_rules_are_put_back() -> None:
    life = live(FULL, **STATICS)
    life.kernel.routes.clear()
    life.kernel.rules.clear()
    for route in (ROUTE, STATIC_ROUTE):
        life.feed(ev.RouteLost(route))
    for rule in (RULE, STATIC_RULE):
        life.feed(ev.RuleLost(rule))
    assert life.kernel.routes == [ROUTE, STATIC_ROUTE] and life.kernel.rules == [RULE, STATIC_RULE]
    assert lines(life)[-4:] == [
        "(VI) route 172.16.0.0/16 dev eth0 is gone, put back at once",
        "Restoring deleted static route 172.17.0.0/16 dev eth1",
        "(VI) rule 100: table 100 is gone, put back at once (repaired 1 times so far)",
        "Restoring deleted static rule 300: table 300",
    ]


def test_a_backup_does_not_put_anything_back() -> None:
    life = Life(Configuration(instances=(FULL,)), machine())
    life.feed(ev.RouteLost(ROUTE))
    life.feed(ev.AddressRemoved(ETH0, ev.InterfaceAddress(VIP.address, 24)))
    assert life.node.ledger.ailing == {} and life.kernel.contents() == (frozenset(),) * 4


def test_giving_up_ends_the_restoring() -> None:
    life = live(vi())
    life.steal((ETH0, VIP.address))
    life.steal((ETH0, VIP.address))
    pending = life.node.ledger
    assert pending.due is not None and pending.ailing
    life.set_link("eth0", up=False)
    life.until(60)
    settled = life.node.ledger
    assert settled.due is None and not settled.ailing
    assert life.kernel.there() == set()


def test_a_removal_of_ours_that_comes_late_is_made_good() -> None:
    life = live(vi())
    life.node = life.node._replace(ledger=life.node.ledger._replace(removals={place_of(VIP): 1}))
    life.effects = []
    life.steal((ETH0, VIP.address))
    assert kinds(life) == ["AddAddress"] and life.kernel.there() == {(ETH0, VIP.address)}


def test_static_things_come_back_with_their_interface() -> None:
    life = live(**STATICS)
    life.set_link("eth1", up=False, index=0)
    life.kernel.addresses.clear()
    life.kernel.routes.clear()
    life.set_link("eth1", index=9)
    assert life.kernel.addresses == [STATIC] and life.kernel.routes == [STATIC_ROUTE]
    assert "Restoring deleted static address 192.168.77.1/24 dev eth1" in lines(life)


def test_routes_lost_with_a_link_that_nobody_tracks_come_back() -> None:
    life = live(vi(track_primary=False, routes=(ROUTE,)))
    life.kernel.routes.clear()
    life.set_link("eth0", up=False)
    life.set_link("eth0")
    assert life.kernel.routes == [ROUTE] and life.state("VI").role is fx.Role.MASTER


# -- what else is tracked -----------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"addresses": (VIP, replace(STATIC))},
        {"excluded_addresses": (STATIC,)},
        {"routes": (STATIC_ROUTE,)},
        {"rules": (replace(RULE, input_interface=ETH1),)},
    ],
)
def test_the_interfaces_of_what_is_held_are_tracked(fields: dict[str, Any]) -> None:
    life = live(vi(**fields))
    life.set_link("eth1", up=False)
    assert life.state("VI").role is fx.Role.FAULT
    assert "(VI): entering FAULT state (interface eth1 down)" in lines(life)
    life.set_link("eth1")
    assert life.state("VI").role is fx.Role.BACKUP


def test_a_track_group_fails_with_the_interface_of_a_static_address() -> None:
    grouped = replace(STATIC, track_group="T")
    groups = (TrackGroup(GroupName("T"), (InstanceName("VI"),)),)
    life = live(vi(), static_addresses=(grouped,), track_groups=groups)
    life.set_link("eth1", up=False)
    assert life.state("VI").role is fx.Role.FAULT
    alone = live(vi(), static_addresses=(STATIC,), track_groups=groups)
    alone.set_link("eth1", up=False)
    assert alone.state("VI").role is fx.Role.MASTER


# -- refusals -----------------------------------------------------------------------


def test_a_refused_address_is_asked_for_again_and_announced_at_last() -> None:
    life = Life(Configuration(instances=(vi(),)), machine())
    life.kernel.refusals[VIP.address] = errno.EPERM
    life.until(60)
    said = [line for line in lines(life) if "Netlink: error" in line]
    assert said == [
        "Netlink: error: Operation not permitted(1), type=RTM_NEWADDR(20): (VI) adding IP 10.0.0.1/24 dev eth0: "
        "the program has no right to do this (CAP_NET_ADMIN); next try in 1 s"
    ]
    tries = sum(isinstance(each, fx.AddAddress) for each in life.effects)
    assert tries == 6
    life.kernel.refusals.clear()
    life.effects = []
    life.until(100)
    assert kinds(life)[:2] == ["AddAddress", "(VI) adding IP 10.0.0.1/24 dev eth0: succeeded at last"]
    assert "SendNeighbour" in kinds(life) and life.node.ledger.ailing == {}


def test_what_can_never_be_is_reported_once() -> None:
    life = Life(Configuration(instances=(vi(),)), machine())
    life.kernel.refusals[VIP.address] = errno.EINVAL
    life.until(100)
    said = [line for line in lines(life) if "Netlink: error" in line]
    assert len(said) == 1 and said[0].endswith("; not tried again")
    assert sum(isinstance(each, fx.AddAddress) for each in life.effects) == 1


def test_an_interface_that_comes_up_hastens_the_next_try() -> None:
    life = live(**STATICS)
    life.feed(ev.EffectDone(fx.AddRoute(InstanceName(""), STATIC_ROUTE), fx.Failed(errno.ENETUNREACH)))
    due = life.node.ledger.due
    assert due is not None and due > life.now
    life.feed(ev.AddressAdded(ETH1, ev.InterfaceAddress(IPv4Address("10.9.9.9"), 24)))
    assert life.node.ledger.due == life.now


def test_a_deletion_from_an_interface_that_is_gone_is_no_trouble() -> None:
    life = live(vi())
    life.feed(ev.EffectDone(fx.DeleteAddress(InstanceName("VI"), VIP), fx.Failed(errno.ENODEV)))
    assert life.node.ledger.ailing == {}


def test_a_refused_deletion_is_tried_while_nobody_wants_the_address() -> None:
    life = Life(Configuration(instances=(vi(),)), machine())
    life.feed(ev.EffectDone(fx.DeleteAddress(InstanceName("VI"), VIP), fx.TimedOut()))
    life.until(2)
    assert sum(isinstance(each, fx.DeleteAddress) for each in life.effects) == 1


@pytest.mark.parametrize(
    "number", [0, 1, 5, 12, 13, 16, 17, 19, 22, 28, 97, 99, 100, 101, 105, 110, 113, 524]
)
def test_every_refusal_has_words(number: int) -> None:
    changes: tuple[fx.Effect, ...] = (
        fx.AddAddress(InstanceName("VI"), VIP),
        fx.DeleteRoute(InstanceName(""), ROUTE),
        fx.AddRule(InstanceName("VI"), RULE),
        fx.BlockAddresses(InstanceName("VI"), (VIP,)),
        fx.UnblockAddresses(InstanceName("VI"), (VIP,)),
    )
    for change in changes:
        line = line_for(change, fx.Failed(number), 2.0)
        assert (
            line.startswith("Netlink: error: ") and f"({number})" in line and line.endswith("next try in 2 s")
        )


def test_a_route_waits_for_its_preferred_source() -> None:
    invalid = fx.Failed(errno.EINVAL)
    assert is_permanent(fx.AddRoute(InstanceName("VI"), ROUTE), invalid)
    waiting = fx.AddRoute(InstanceName("VI"), replace(ROUTE, preferred_source=VIP.address))
    assert not is_permanent(waiting, invalid) and "preferred source" in line_for(waiting, invalid, 1)


def test_pauses() -> None:
    assert [pause_after_loss(number) // 1_000_000 for number in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]
    assert [pause_after_refusal(number) // 1_000_000 for number in (1, 2, 6, 50)] == [1, 2, 30, 30]


# -- devices, extra interfaces --------------------------------------------------------


def test_a_deleted_device_is_made_again() -> None:
    device = Device(
        InterfaceName("vrrp.1"), ETH0, DeviceKind.MACVLAN, InstanceName("VI"), 4, "private", b"\0\0\x5e\0\1\1"
    )
    made = vi(interface=device.name, base_interface=ETH0, addresses=(replace(VIP, interface=device.name),))
    facts = ev.InterfaceFacts(device.name, 50, True, mac=device.mac or b"")
    interfaces = {each.name: each for each in (*machine(), facts)}
    file = Configuration(instances=(made,), devices=(device,))
    node = core.start(file, interfaces, Micros(0)).node
    node = core.step(node, ev.Tick(), Micros(4_000_000)).node
    gone = ev.InterfaceFacts(device.name, 0, False)
    step = core.step(node, ev.LinkChanged(gone), Micros(5_000_000))
    assert fx.CreateDevice(InstanceName("VI"), device) in step.effects
    assert step.node.instances[InstanceName("VI")].role is fx.Role.FAULT
    failed = ev.EffectDone(fx.CreateDevice(InstanceName("VI"), device), fx.Failed(errno.EBUSY))
    node = core.step(step.node, failed, Micros(5_000_001)).node
    assert node.ledger.due == 6_000_001
    back = core.step(node, ev.LinkChanged(facts), Micros(5_500_000)).node
    assert back.instances[InstanceName("VI")].role is fx.Role.BACKUP
    done = core.step(back, ev.Tick(), Micros(6_100_000))
    assert not any(isinstance(each, fx.CreateDevice) for each in done.effects)


def test_a_base_that_comes_back_gets_its_device_again() -> None:
    device = Device(
        InterfaceName("vrrp.1"), ETH0, DeviceKind.MACVLAN, InstanceName("VI"), 4, "private", b"123456"
    )
    made = vi(interface=device.name, base_interface=ETH0, addresses=(replace(VIP, interface=device.name),))
    file = Configuration(instances=(made,), devices=(device,))
    node = core.start(file, {}, Micros(0)).node
    step = core.step(node, ev.LinkChanged(machine()[0]), Micros(1))
    assert fx.CreateDevice(InstanceName("VI"), device) in step.effects


def test_extra_interfaces_are_announced_again_and_again() -> None:
    other = replace(VIP, interface=ETH1)
    more = replace(VIP, interface=ETH1, address=IPv4Address("10.0.0.2"))
    extra = ExtraInterfaces(Micros(5_000_000), every=True)
    garp = replace(QUIET, extra_interfaces=extra)
    life = live(vi(excluded_addresses=(other, more), garp=garp))
    life.until(3.7)
    life.effects = []
    life.until(24)
    sent = [each.address for each in life.effects if isinstance(each, fx.SendNeighbour)]
    assert sent == [other] * 3
    only_devices = live(
        vi(excluded_addresses=(other,), garp=replace(garp, extra_interfaces=replace(extra, every=False)))
    )
    assert only_devices.state("VI").announcements is holding.SILENT
