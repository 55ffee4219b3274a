"""The source of an instance, and when its own interfaces put it at fault."""

from dataclasses import replace as replace_facts
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core.track import interface
from keepalived_py.model import effects as fx
from keepalived_py.model.config import Configuration, Election, Instance, VirtualAddress
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.vrrp import Ipvlan, UnicastPeer, Vmac

ETH0, DEVICE = InterfaceName("eth0"), InterfaceName("vrrp.51")
MAC = bytes((2, 0, 0, 0, 0, 1))
VIP = ip_address("10.0.0.100")
BASE_SOURCE, OWN_SOURCE = ip_address("10.0.0.5"), ip_address("fe80::5")


def link(name: InterfaceName, *addresses: str, **more: Any) -> InterfaceFacts:
    known = tuple(
        InterfaceAddress(ip_address(one.rstrip("*")), 24, secondary=one.endswith("*")) for one in addresses
    )
    return InterfaceFacts(name, **{"index": 2, "up": True, "mac": MAC, "addresses": known, **more})


def links(*facts: InterfaceFacts) -> dict[InterfaceName, InterfaceFacts]:
    return {one.name: one for one in facts}


EVERYTHING = links(
    link(ETH0, "10.0.0.100", "10.0.0.4*", "10.0.0.5", "10.0.0.6", "fd00::1", "fe80::100", "fe80::5"),
    link(DEVICE, "10.0.0.100", "fe80::100", "fe80::9"),
)
VIRTUAL = frozenset((VIP, ip_address("fe80::100")))


def router(**settings: Any) -> Instance:
    return Instance(InstanceName("V"), **{"interface": ETH0, "vrid": 51, **settings})


def on_device(**settings: Any) -> Instance:
    return router(**{"interface": DEVICE, "base_interface": ETH0, "vmac": Vmac(), **settings})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (router(), "10.0.0.5"),
        (on_device(), "10.0.0.5"),
        (on_device(vmac_xmit_base=True), "10.0.0.5"),
        (router(family=6), "fe80::5"),
        (on_device(family=6), "fe80::9"),
        (on_device(family=6, vmac_xmit_base=True), "fe80::5"),
        (router(source=ip_address("10.9.9.9")), "10.9.9.9"),
        (router(interface=InterfaceName(""), source=ip_address("10.9.9.9")), "10.9.9.9"),
        (router(interface=InterfaceName("gone")), None),
        (router(interface=InterfaceName("")), None),
    ],
)
def test_source(settings: Instance, expected: str | None) -> None:
    found = interface.source_of(settings, EVERYTHING, VIRTUAL)
    assert found == (None if expected is None else ip_address(expected))


def test_an_ipvlan_sends_from_its_own_address() -> None:
    device = on_device(vmac=None, ipvlan=Ipvlan(address=ip_address("10.0.0.7")))
    there = links(link(ETH0, "10.0.0.5"), link(DEVICE, "10.0.0.7"))
    assert interface.source_of(device, there, VIRTUAL) == ip_address("10.0.0.7")


def test_virtual_addresses_are_those_of_all_instances() -> None:
    one = router(addresses=(VirtualAddress(VIP, 24, ETH0),))
    two = router(excluded_addresses=(VirtualAddress(OWN_SOURCE, 64, ETH0),))
    assert interface.virtual_addresses(Configuration(instances=(one, two))) == {VIP, OWN_SOURCE}


def faults(settings: Instance, there: dict[InterfaceName, InterfaceFacts]) -> dict[str, str]:
    source = interface.source_of(settings, there, VIRTUAL)
    return {fault.key: fault.line for fault in interface.link_faults(settings, there, source)}


def test_all_is_well() -> None:
    assert faults(router(), EVERYTHING) == faults(on_device(), EVERYTHING) == {}


def test_own_link_and_the_one_below() -> None:
    down = {**EVERYTHING, ETH0: replace_facts(EVERYTHING[ETH0], up=False)}
    line = "(V): entering FAULT state (interface eth0 down)"
    assert faults(router(), down) == {"link": line}
    assert faults(on_device(), down) == {"base link": line}
    assert faults(router(track_primary=False), down) == faults(on_device(track_primary=False), down) == {}
    device_down = {**EVERYTHING, DEVICE: replace_facts(EVERYTHING[DEVICE], up=False)}
    assert list(faults(on_device(), device_down)) == ["link"]


def test_what_is_gone_is_never_excused() -> None:
    gone = {ETH0: EVERYTHING[ETH0], DEVICE: link(DEVICE, index=0, up=False)}
    line = "(V): entering FAULT state (interface vrrp.51 down)"
    assert faults(on_device(track_primary=False), gone) == {"link": line}
    assert faults(on_device(), links(EVERYTHING[ETH0])) == {"link": line}


def test_no_address() -> None:
    bare = links(link(ETH0, "10.0.0.100", "fd00::1"))
    assert faults(router(), bare) == {"address": "(V) entering FAULT state (no IPv4 address for interface)"}
    assert faults(router(family=6), bare) == {
        "address": "(V) entering FAULT state (no IPv6 address for interface)"
    }


def test_a_tracked_source_must_exist() -> None:
    configured = router(source=ip_address("10.0.0.77"))
    assert faults(configured, EVERYTHING) == {}
    tracked = router(source=ip_address("10.0.0.77"), track_source=True)
    assert faults(tracked, EVERYTHING) == {"source": "(V): entering FAULT state (src address not configured)"}
    assert faults(router(source=BASE_SOURCE, track_source=True), EVERYTHING) == {}
    assert faults(on_device(source=BASE_SOURCE, track_source=True), EVERYTHING) == {}
    anywhere = router(interface=InterfaceName(""), source=BASE_SOURCE, track_source=True)
    assert faults(anywhere, EVERYTHING) == {}
    assert list(faults(anywhere, {})) == ["source"]


def test_multicast_is_needed_without_peers() -> None:
    deaf = links(link(ETH0, "10.0.0.5", multicast=False))
    assert faults(router(), deaf) == {
        "multicast": "(V) interface eth0 does not support multicast, specify unicast peers - disabling"
    }
    assert faults(router(unicast_peers=(UnicastPeer(VIP),)), deaf) == {}


def test_unicast_without_peers_may_be_a_fault() -> None:
    """The configuration has reported it: no second line."""
    assert faults(router(unicast_fault_no_peer=True), EVERYTHING) == {"peers": ""}
    assert faults(router(unicast_fault_no_peer=True, unicast_peers=(UnicastPeer(VIP),)), EVERYTHING) == {}


def test_a_virtual_mac_needs_ethernet() -> None:
    tunnel = links(link(ETH0, "10.0.0.5", mac=b"\1\2\3\4"))
    line = "(V): vmacs are only supported on Ethernet type interfaces"
    assert faults(router(vmac=Vmac()), tunnel) == {"vmac": line}
    assert faults(router(), tunnel) == {}


def test_an_ipvlan_for_ipv4_needs_an_address() -> None:
    device = on_device(vmac=None, ipvlan=Ipvlan(), source=BASE_SOURCE)
    assert faults(device, EVERYTHING) == {"ipvlan address": ""}
    assert faults(replace_ipvlan(device), EVERYTHING) == {}


def replace_ipvlan(settings: Instance) -> Instance:
    return on_device(vmac=None, ipvlan=Ipvlan(address=BASE_SOURCE), source=settings.source)


def test_who_reports_a_link() -> None:
    lines: list[fx.Effect] = []
    was = link(ETH0, "10.0.0.5")
    now = interface.link_changed(was, link(ETH0, up=False), lines)
    assert now.addresses == was.addresses
    interface.link_changed(now, link(ETH0, polled=True), lines)
    assert lines == [fx.WriteLog("Netlink reports eth0 down"), fx.WriteLog("Linkbeat reports eth0 up")]


def test_a_changed_hardware_address_is_logged() -> None:
    lines: list[fx.Effect] = []
    was = link(ETH0, "10.0.0.5")
    now = interface.link_changed(was, link(ETH0, mac=bytes((2, 0, 0, 0, 0, 0x77))), lines)
    assert now.addresses == was.addresses
    text = "(eth0) MAC Address changed from 02:00:00:00:00:01 to 02:00:00:00:00:77"
    assert lines == [fx.WriteLog(text, detail=True)]
    assert interface.link_changed(now, now, lines) == now and len(lines) == 1


def test_who_is_elected_by_a_quorum_needs_neither_multicast_nor_a_source() -> None:
    assert faults(router(election=Election.RAFT), links(link(ETH0, multicast=False))) == {}
    assert list(faults(router(), links(link(ETH0)))) == ["address"]
