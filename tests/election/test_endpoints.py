"""Which sockets a configuration asks for, without opening any."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.election.endpoints import wanted_endpoints, watched
from keepalived_py.model.config import AuthType, Configuration, Election, Globals, Instance, VirtualAddress
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.globals import AdvertBuffers, RxBufferPolicy
from keepalived_py.model.vrrp import AuthHmac, HmacMode, UnicastPeer

ETH0, VMAC, VRF = InterfaceName("eth0"), InterfaceName("vrrp.51"), InterfaceName("blue")
GROUP = IPv4Address("224.0.0.18")
OWN = IPv4Address("10.0.0.1")
INTERFACES = {
    ETH0: InterfaceFacts(
        ETH0,
        2,
        True,
        mtu=1500,
        addresses=(InterfaceAddress(IPv4Address("10.0.0.100"), 24), InterfaceAddress(OWN, 24)),
    ),
    VMAC: InterfaceFacts(VMAC, 7, True, mtu=1400),
    VRF: InterfaceFacts(VRF, 9, True),
}
PEERS = (UnicastPeer(address=IPv4Address("10.0.0.2")),)
VIPS = tuple(
    VirtualAddress(address=IPv4Address(f"10.0.0.{n}"), prefix_length=24, interface=ETH0) for n in (100, 101)
)


def instance(name: str = "A", interface: InterfaceName = ETH0, **more: Any) -> Instance:
    return Instance(
        **{"name": InstanceName(name), "interface": interface, "vrid": 51, "addresses": VIPS, **more}
    )


def told(*instances: Instance, **settings: Any) -> dict[tuple[object, ...], tuple[object, ...]]:
    configuration = Configuration(instances=instances, globals=Globals(**settings))
    return {tuple(e): tuple(w) for e, w in wanted_endpoints(configuration, INTERFACES).items()}


def test_instances_of_one_group_share() -> None:
    assert told(instance(), instance("B", vrid=52)) == {
        (ETH0, 4, 112, GROUP, ""): (2, frozenset({51, 52}), 0),
    }


def test_who_is_elected_by_a_quorum_asks_for_no_socket() -> None:
    assert told(instance(election=Election.RAFT)) == {}
    assert len(told(instance(election=Election.RAFT), instance("B", vrid=52))) == 1


def test_protocol_group_and_family_tell_apart() -> None:
    group6 = IPv6Address("ff02::12")
    found = told(
        instance(),
        instance("ah", auth_type=AuthType.AH),
        instance("group", destination=IPv4Address("224.0.0.99")),
        instance("six", family=6, destination=group6),
    )
    assert [key[1:4] for key in found] == [
        (4, 112, GROUP),
        (4, 51, GROUP),
        (4, 112, IPv4Address("224.0.0.99")),
        (6, 112, group6),
    ]


def test_a_virtual_mac_device_or_its_base() -> None:
    own = instance(interface=VMAC, base_interface=ETH0)
    assert list(told(own)) == [(VMAC, 4, 112, GROUP, "")]
    assert list(told(replace(own, vmac_xmit_base=True))) == [(ETH0, 4, 112, GROUP, "")]


def test_unicast_is_bound_to_its_source() -> None:
    """A virtual address is no source, though it may stand first on the interface."""
    by_interface = instance(unicast_peers=PEERS)
    configured = instance("B", unicast_peers=PEERS, source=IPv4Address("10.0.0.9"))
    assert list(told(by_interface, configured)) == [
        (ETH0, 4, 112, OWN, ""),
        (ETH0, 4, 112, IPv4Address("10.0.0.9"), ""),
    ]


def test_without_interface() -> None:
    plain = instance(interface=InterfaceName(""), unicast_peers=PEERS, source=OWN)
    assert told(plain) == {("", 4, 112, OWN, ""): (0, frozenset({51}), 0)}
    assert told(replace(plain, vrf=VRF)) == {("", 4, 112, OWN, VRF): (9, frozenset({51}), 0)}


def test_what_is_not_there_is_not_opened() -> None:
    gone = InterfaceName("gone")
    assert told(instance(interface=gone)) == {}
    assert told(instance(interface=gone, unicast_peers=PEERS)) == {}
    assert told(instance(interface=VMAC, unicast_peers=PEERS)) == {}


SIGNED = AuthHmac(mode=HmacMode.ENFORCE)
LISTENING = AuthHmac(mode=HmacMode.RECEIVE_ONLY)


@pytest.mark.parametrize(
    ("buffers", "more", "expected"),
    [
        (AdvertBuffers(), {}, 0),
        (AdvertBuffers(policy=4096), {}, 4096),
        (AdvertBuffers(policy=RxBufferPolicy.MTU), {}, 3 * 1500),
        (AdvertBuffers(policy=RxBufferPolicy.MTU, multiplier=5), {"interface": VMAC}, 5 * 1400),
        (AdvertBuffers(policy=RxBufferPolicy.ADVERT), {}, 3 * (20 + 8 + 8 + 8)),
        (AdvertBuffers(policy=RxBufferPolicy.ADVERT), {"version": 3}, 3 * (20 + 8 + 8)),
        (AdvertBuffers(policy=RxBufferPolicy.ADVERT), {"auth_type": AuthType.AH}, 3 * (20 + 24 + 24)),
        (AdvertBuffers(policy=RxBufferPolicy.ADVERT), {"version": 3, "auth_hmac": SIGNED}, 3 * (36 + 28)),
        (AdvertBuffers(policy=RxBufferPolicy.ADVERT), {"version": 3, "auth_hmac": LISTENING}, 3 * 36),
        (AdvertBuffers(policy=RxBufferPolicy.MTU), {"receive_buffer_bytes": 777}, 777),
    ],
)
def test_receive_buffers(buffers: AdvertBuffers, more: dict[str, Any], expected: int) -> None:
    ((_, _, one),) = told(instance(**more), advert_buffers=buffers).values()
    ((_, _, two),) = told(instance(**more), instance("B", **more), advert_buffers=buffers).values()
    assert (one, two) == (expected, 2 * expected)


def test_what_has_to_be_watched() -> None:
    floating = instance("A", unicast_peers=PEERS)
    fixed = instance("B", VMAC, unicast_peers=PEERS, source=OWN)
    links, sources = watched(Configuration(instances=(floating, fixed, instance("C", VRF))))
    assert links >= {ETH0, VMAC, VRF}
    assert sources == {ETH0}
