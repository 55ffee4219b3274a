"""Which virtual interfaces a configuration gets, what they are called, and who moves onto them."""

from ipaddress import ip_address
from itertools import islice
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.core.holder.devices import (
    ExistingDevice,
    is_ethernet,
    name_candidates,
    plan,
    virtual_mac,
)
from keepalived_py.model.config import Configuration, Globals, Instance, VirtualAddress
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.interfaces import DeviceKind
from keepalived_py.model.vrrp import Ipvlan, IpvlanMode, Vmac

MAC = bytes((2, 0, 0, 0, 0, 1))
OTHER = bytes.fromhex("021122334455")
MACVLAN, IPVLAN = DeviceKind.MACVLAN, DeviceKind.IPVLAN


def link(name: str, index: int = 2, mac: bytes = MAC, *addresses: str) -> InterfaceFacts:
    known = tuple(InterfaceAddress(ip_address(one), 24) for one in addresses)
    return InterfaceFacts(InterfaceName(name), index, True, mac=mac, addresses=known)


def links(*more: InterfaceFacts) -> dict[InterfaceName, InterfaceFacts]:
    return {one.name: one for one in (link("eth0"), link("eth1", 3), *more)}


def vip(text: str, interface: str = "eth0", **more: Any) -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, 24, InterfaceName(interface), **more)


def router(name: str = "V", **settings: Any) -> Instance:
    usual: dict[str, Any] = {
        "interface": InterfaceName("eth0"),
        "vrid": 51,
        "vmac": Vmac(),
        "addresses": (vip("10.0.0.100"),),
    }
    return Instance(InstanceName(name), **{**usual, **settings})


def existing(name: str, mac: bytes = virtual_mac(51, 4), base: str = "eth0", **more: Any) -> ExistingDevice:
    usual: dict[str, Any] = {"kind": MACVLAN, "mode": "private", "mac": mac}
    return ExistingDevice(InterfaceName(name), InterfaceName(base), **{**usual, **more})


def names(configuration: Configuration) -> list[tuple[str, str]]:
    return [(device.name, device.base) for device in configuration.devices]


def homes(instance: Instance) -> list[str]:
    return [one.interface for one in instance.addresses + instance.excluded_addresses]


def test_without_virtual_mac_nothing_changes() -> None:
    configuration = Configuration(instances=(router(vmac=None),))
    assert plan(configuration, links()) is configuration


def test_an_instance_moves_with_the_addresses_of_its_family() -> None:
    six = (vip("fd00::9"), vip("10.0.0.101"), vip("10.0.1.7", "eth1"))
    planned = plan(Configuration(instances=(router(excluded_addresses=six),)), links())
    (instance,), (device,) = planned.instances, planned.devices
    assert (instance.interface, instance.base_interface) == ("vrrp.51", "eth0")
    assert instance.configured_interface == "eth0" and instance.advert_interface == "vrrp.51"
    assert homes(instance) == ["vrrp.51", "eth0", "vrrp.51", "eth1"]
    assert (device.kind, device.mode, device.mac) == (MACVLAN, "private", b"\0\0\x5e\0\1\x33")
    assert device.other_family and not device.for_address and device.instance == "V"


def test_planning_twice_changes_nothing() -> None:
    planned = plan(Configuration(instances=(router(),)), links())
    assert plan(planned, links()) is planned


def test_an_ipv6_source_goes_along_unless_the_base_sends() -> None:
    source = ip_address("fe80::7")
    for xmit_base, expected in ((False, (source, 64)), (True, (None, None))):
        six = router(family=6, source=source, vmac_xmit_base=xmit_base, addresses=(vip("fe80::100"),), vrid=7)
        planned = plan(Configuration(instances=(six,)), links())
        (device,) = planned.devices
        assert (device.address, device.prefix_length) == expected
        assert device.mac == b"\0\0\x5e\0\2\7" and device.transmits_by_base is xmit_base
        assert planned.instances[0].advert_interface == ("eth0" if xmit_base else "vrrp.7")


@pytest.mark.parametrize(
    ("prefix", "vrid", "family", "expected"),
    [
        ("vrrp", 51, 4, ["vrrp.51", "vrrp1.51", "vrrp2.51", "vrrp3.51"]),
        ("vrrp", 51, 6, ["vrrp.51", "vrrp6.51", "vrrp1.51", "vrrp2.51"]),
        ("averylongprefix", 200, 4, ["averylongpr.200", "averylongp1.200", "averylongp2.200"]),
    ],
)
def test_names_are_tried_in_order(prefix: str, vrid: int, family: int, expected: list[str]) -> None:
    assert list(islice(name_candidates(prefix, vrid, family), len(expected))) == expected


def test_the_name_with_a_six_comes_once() -> None:
    six = list(islice(name_candidates("v", 1, 6), 9))
    assert six == ["v.1", "v6.1", "v1.1", "v2.1", "v3.1", "v4.1", "v5.1", "v7.1", "v8.1"]
    assert "v6.1" in list(islice(name_candidates("v", 1, 4), 9))


def test_taken_names_are_passed_over() -> None:
    instances = (
        router("A"),
        router("B", interface=InterfaceName("eth1")),
        router("C", family=6, addresses=()),
        router("D", vrid=9, vmac=Vmac(interface=InterfaceName("vrrp2.51"))),
        router("E", vrid=51, interface=InterfaceName("eth2")),
    )
    planned = plan(Configuration(instances=instances), links(link("vrrp.51", 9), link("eth2", 8)))
    assert [name for name, _ in names(planned)] == [
        "vrrp1.51",
        "vrrp3.51",
        "vrrp6.51",
        "vrrp2.51",
        "vrrp4.51",
    ]


def test_prefixes() -> None:
    extra = (vip("10.0.0.100"), vip("10.0.1.9", "eth1", use_vmac=True))
    for globals_, expected in (
        (Globals(vmac_prefix="a"), ["a.51", "a1.51"]),
        (Globals(vmac_prefix="a", vmac_address_prefix="b"), ["a.51", "b.51"]),
        (Globals(vmac_address_prefix="b"), ["vrrp.51", "b.51"]),
    ):
        planned = plan(Configuration(globals=globals_, instances=(router(addresses=extra),)), links())
        assert [name for name, _ in names(planned)] == expected


def test_addresses_that_do_not_move_may_get_devices_of_their_own() -> None:
    marked = (
        vip("10.0.0.1"),
        vip("10.0.1.1", "eth1", use_vmac=True),
        vip("fd00::1"),
        vip("10.0.1.2", "eth1"),
    )
    planned = plan(Configuration(instances=(router(addresses=marked),)), links())
    assert homes(planned.instances[0]) == ["vrrp.51", "vrrp1.51", "eth0", "eth1"]
    every = plan(Configuration(instances=(router(addresses=marked, vmac_addresses=True),)), links())
    assert homes(every.instances[0]) == ["vrrp.51", "vrrp1.51", "vrrp6.51", "vrrp1.51"]
    assert [one.use_vmac for one in every.instances[0].addresses] == [False, True, True, True]
    assert [(one.name, one.family, one.for_address) for one in every.devices] == [
        ("vrrp.51", 4, False),
        ("vrrp1.51", 4, True),
        ("vrrp6.51", 6, True),
    ]


def test_an_address_device_for_an_instance_without_one() -> None:
    marked = (vip("10.0.0.1", use_vmac=True), vip("10.0.0.2"))
    planned = plan(Configuration(instances=(router(vmac=None, addresses=marked),)), links())
    assert homes(planned.instances[0]) == ["vrrp.51", "eth0"]
    assert planned.instances[0].base_interface is None


def test_a_given_mac_is_shared_by_the_families() -> None:
    """As in keepalived: a device with a MAC address that was asked for serves both."""
    one = router(vmac=Vmac(mac=OTHER), vmac_addresses=True, excluded_addresses=(vip("fd00::1"),))
    planned = plan(Configuration(instances=(one,)), links())
    assert homes(planned.instances[0]) == ["vrrp.51", "vrrp.51"]


def test_what_a_killed_run_left_is_taken_over() -> None:
    for wanted in (Vmac(), Vmac(interface=InterfaceName("mine"))):
        planned = plan(
            Configuration(instances=(router(vmac=wanted),)), links(link("old", 9)), [existing("old")]
        )
        assert names(planned) == [("old", "eth0")]


@pytest.mark.parametrize(
    "other",
    [
        existing("old", mac=virtual_mac(52, 4)),
        existing("old", mac=virtual_mac(51, 6)),
        existing("old", base="eth1"),
        existing("old", mode="bridge"),
        existing("old", kind=IPVLAN),
    ],
)
def test_what_is_not_the_same_is_not_taken_over(other: ExistingDevice) -> None:
    planned = plan(Configuration(instances=(router(),)), links(link("old", 9)), [other])
    assert names(planned) == [("vrrp.51", "eth0")]


def test_a_name_that_something_else_has_is_not_used() -> None:
    wanted = Configuration(instances=(router(vmac=Vmac(interface=InterfaceName("mine"))),))
    there = links(link("mine", 9))
    assert names(plan(wanted, there)) == [("vrrp.51", "eth0")]
    assert names(plan(wanted, there, [existing("mine", mode="bridge")])) == [("vrrp.51", "eth0")]
    assert names(plan(wanted, there, [existing("mine", kind=IPVLAN, mode="bridge")])) == [("vrrp.51", "eth0")]
    # One that can become it is: it is changed or replaced.
    assert names(plan(wanted, there, [existing("mine", mac=OTHER)])) == [("mine", "eth0")]
    assert names(plan(wanted, there, [existing("mine", base="eth1")])) == [("mine", "eth0")]


def test_a_reload_keeps_names() -> None:
    ours = [existing("vrrp1.51", ours=True)]
    there = links(link("vrrp1.51", 9))
    assert names(plan(Configuration(instances=(router(),)), there, ours)) == [("vrrp1.51", "eth0")]


def test_a_reload_renames_when_the_file_says_so() -> None:
    ours = [existing("vrrp.51", ours=True)]
    there = links(link("vrrp.51", 9))
    named = Configuration(instances=(router(vmac=Vmac(interface=InterfaceName("mine"))),))
    assert names(plan(named, there, ours)) == [("mine", "eth0")]


def test_a_reload_leaves_the_names_of_devices_that_go() -> None:
    """Their instances still have to send a last advert."""
    ours = [existing("vrrp.51", ours=True)]
    there = links(link("vrrp.51", 9))
    moved = router("N", interface=InterfaceName("eth1"), addresses=())
    assert names(plan(Configuration(instances=(moved,)), there, ours)) == [("vrrp1.51", "eth1")]
    both = Configuration(instances=(moved, router("V")))
    assert names(plan(both, there, ours)) == [("vrrp1.51", "eth1"), ("vrrp.51", "eth0")]


def test_a_device_on_a_device_sits_on_the_interface_below() -> None:
    lower = existing("mv0", mac=OTHER)
    there = links(link("mv0", 9), link("old", 10))
    one = router(interface=InterfaceName("mv0"), addresses=(vip("10.0.0.1", "mv0"),))
    planned = plan(Configuration(instances=(one,)), there, [lower, existing("old")])
    assert names(planned) == [("old", "mv0")] and homes(planned.instances[0]) == ["old"]


def test_ipvlan() -> None:
    wanted = Ipvlan(address=ip_address("10.0.0.7"), prefix_length=32, mode=IpvlanMode.VEPA)
    one = router(vmac=None, ipvlan=wanted, source=ip_address("10.0.0.7"))
    planned = plan(Configuration(instances=(one,)), links())
    (device,) = planned.devices
    assert (device.name, device.kind, device.mode, device.mac) == ("vrrp.51", IPVLAN, "vepa", None)
    assert (device.address, device.prefix_length) == (ip_address("10.0.0.7"), 32)
    assert planned.instances[0].interface == "vrrp.51" and homes(planned.instances[0]) == ["eth0"]


def test_ipvlans_are_known_by_their_address() -> None:
    found = existing("old", mac=MAC, kind=IPVLAN, mode="bridge")
    mine = router(vmac=None, ipvlan=Ipvlan(address=ip_address("10.0.0.7"), prefix_length=32))
    for address, expected in (("10.0.0.7", "old"), ("10.0.0.8", "vrrp.51")):
        there = links(link("old", 9, MAC, address))
        assert names(plan(Configuration(instances=(mine,)), there, [found])) == [(expected, "eth0")]
    nameless = replace(mine, family=6, ipvlan=Ipvlan(), addresses=())
    there = links(link("old", 9))
    assert names(plan(Configuration(instances=(nameless,)), there, [found])) == [("vrrp.51", "eth0")]


def test_only_ethernet_carries_devices() -> None:
    tunnel = link("tun0", 9, b"")
    one = router(
        interface=InterfaceName("tun0"),
        addresses=(vip("10.0.0.1", "tun0"), vip("10.0.0.2", "tun0", use_vmac=True)),
    )
    configuration = Configuration(instances=(one,))
    assert plan(configuration, links(tunnel)) is configuration
    assert not is_ethernet(links(tunnel), InterfaceName("tun0"))
    # An interface that does not exist yet may turn out to be one.
    assert names(plan(configuration, links())) == [("vrrp.51", "tun0")]


def test_unicast_without_an_interface_stays_so() -> None:
    one = router(vmac=None, interface=InterfaceName(""), addresses=(vip("10.0.0.1", "eth1", use_vmac=True),))
    planned = plan(Configuration(instances=(one,)), links())
    assert planned.instances[0].interface == "" and homes(planned.instances[0]) == ["vrrp.51"]
