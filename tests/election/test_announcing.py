"""Announcements: at once, or in turn with an interval between them."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from keepalived_py.base.clock import Micros, seconds
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.election.announcing import Announcer
from keepalived_py.model.config import Configuration, Globals, GratuitousArp, Instance, VirtualAddress
from keepalived_py.model.effects import Done, Failed
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.globals import GarpDefaults
from keepalived_py.model.interfaces import Device, DeviceKind, GarpGroup
from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.ndisc import unsolicited_advertisement
from tests.virtual_loop import VirtualLoop

A, B = InstanceName("A"), InstanceName("B")
MAC = bytes.fromhex("020000000001")


def facts(name: str, mac: bytes = MAC, index: int = 7) -> InterfaceFacts:
    return InterfaceFacts(InterfaceName(name), index, up=True, mac=mac, forwards=name == "routing")


class Wire:
    """Writes down what is sent, and when (milliseconds)."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, str]] = []
        self.frames: list[bytes] = []
        self.calls: list[int] = []
        self.error = 0

    def send(self, interface_index: int, frame: bytes) -> int:
        arp = frame[12:14] == b"\x08\x06"
        address = ip_address(frame[28:32] if arp else frame[22:38])
        self.frames.append(frame)
        self.sent.append((round(asyncio.get_running_loop().time() * 1000), str(address)))
        return self.error

    def send_many(self, frames: Sequence[tuple[int, bytes]]) -> list[int]:
        self.calls.append(len(frames))
        return [self.send(*frame) for frame in frames]


def vip(text: str, interface: str = "eth0") -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, address.max_prefixlen, InterfaceName(interface))


def instance(
    name: InstanceName, *addresses: VirtualAddress, interface: str = "eth0", **more: Any
) -> Instance:
    return Instance(name=name, interface=InterfaceName(interface), vrid=1, addresses=addresses, **more)


ONE, TWO, SIX = vip("10.0.0.1"), vip("10.0.0.2"), vip("fd00::1")


def paced(garp_s: float = 0, gna_s: float = 0, *instances: Instance, **more: Any) -> Configuration:
    garp = GarpDefaults(interval_us=seconds(garp_s), gna_interval_us=seconds(gna_s))
    members = instances or (instance(A, ONE, TWO, SIX),)
    return Configuration(globals=Globals(garp=garp), instances=members, **more)


def run(configuration: Configuration, scenario: Callable[[Announcer, Wire], Awaitable[None]]) -> Wire:
    wire = Wire()
    known = {name: facts(name) for name in ("eth0", "eth1", "eth2", "vrrp.1", "routing")}

    async def main() -> None:
        announcer = Announcer(wire, lambda name: known.get(name))
        announcer.follow(configuration)
        await scenario(announcer, wire)
        announcer.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    return wire


def burst(announcer: Announcer, repeat: int, *addresses: VirtualAddress, name: InstanceName = A) -> None:
    for _ in range(repeat):
        for address in addresses:
            assert announcer.announce(name, address) == Done()


def test_without_interval_at_once() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 5, ONE, SIX)

    wire = run(paced(), scenario)
    assert wire.sent == [(0, "10.0.0.1"), (0, "fd00::1")] * 5


def test_together_in_one_call_unless_something_is_to_follow() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        with announcer.together():
            burst(announcer, 1, ONE, TWO)
            with announcer.together():
                burst(announcer, 1, SIX)
            assert not wire.sent
            announcer.flush()
            assert len(wire.sent) == 3
            burst(announcer, 2, ONE)
        burst(announcer, 1, TWO)

    wire = run(paced(), scenario)
    assert wire.calls == [3, 2]
    assert [address for _, address in wire.sent] == [
        "10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.1", "10.0.0.2",
    ]  # fmt: skip


def test_a_frame_has_the_hardware_address_of_now() -> None:
    wire = Wire()
    known = {"eth0": facts("eth0")}
    other = bytes.fromhex("020000000002")

    async def main() -> None:
        announcer = Announcer(wire, lambda name: known.get(name))
        announcer.follow(paced())
        announcer.prepare(ONE)
        burst(announcer, 1, ONE)
        known["eth0"] = facts("eth0", other)
        burst(announcer, 1, ONE)
        del known["eth0"]
        assert announcer.announce(A, ONE) == Failed(errno.ENODEV)

    asyncio.run(main())
    assert [frame[6:12] for frame in wire.frames] == [MAC, other]


def test_frames_by_family() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 1, ONE, SIX, vip("fd00::2", "routing"))

    wire = run(paced(), scenario)
    assert wire.frames == [
        gratuitous_arp(MAC, IPv4Address("10.0.0.1")),
        unsolicited_advertisement(MAC, IPv6Address("fd00::1"), False),
        unsolicited_advertisement(MAC, IPv6Address("fd00::2"), True),
    ]


def test_all_repeats_are_sent_in_turn() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 3, ONE, TWO)
        await asyncio.sleep(5)

    wire = run(paced(0.1), scenario)
    one, two = "10.0.0.1", "10.0.0.2"
    assert wire.sent == [(0, one), (100, two), (200, one), (300, two), (400, one), (500, two)]


def test_families_have_intervals_of_their_own() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 3, ONE, SIX)
        await asyncio.sleep(5)

    wire = run(paced(0, 0.5), scenario)
    assert [when for when, what in wire.sent if what == "10.0.0.1"] == [0, 0, 0]
    assert [when for when, what in wire.sent if what == "fd00::1"] == [0, 500, 1000]


def test_no_address_waits_more_often_than_it_is_repeated() -> None:
    few = instance(A, ONE, garp=GratuitousArp(repeat=2, lower_priority_repeat=1))

    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 50, ONE)
        await asyncio.sleep(60)

    wire = run(paced(1, 0, few), scenario)
    assert [when for when, _ in wire.sent] == [0, 1000, 2000]


def test_leaving_master_empties_the_queue() -> None:
    other = instance(B, TWO)

    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 3, ONE)
        burst(announcer, 2, TWO, name=B)
        announcer.forget(A)
        await asyncio.sleep(5)

    wire = run(paced(0.1, 0, instance(A, ONE), other), scenario)
    assert wire.sent == [(0, "10.0.0.1"), (100, "10.0.0.2"), (200, "10.0.0.2")]


def test_one_address_is_forgotten_and_may_come_back() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 2, ONE, TWO)
        announcer.forget(A, ONE)
        announcer.forget(A, SIX)
        await asyncio.sleep(0.15)
        burst(announcer, 1, ONE)
        await asyncio.sleep(5)

    wire = run(paced(0.1), scenario)
    assert wire.sent == [(0, "10.0.0.1"), (100, "10.0.0.2"), (200, "10.0.0.2"), (300, "10.0.0.1")]


def test_interfaces_do_not_wait_for_each_other_unless_they_share() -> None:
    addresses = (vip("10.0.0.1"), vip("10.1.0.1", "eth1"), vip("10.2.0.1", "eth2"))

    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 1, *addresses)
        await asyncio.sleep(5)

    apart = paced(1, 0, instance(A, *addresses))
    assert [when for when, _ in run(apart, scenario).sent] == [0, 0, 0]
    group = GarpGroup(garp_interval_us=seconds(0.2), shared=("eth0", "eth1"))
    shared = replace(apart, garp_groups=(group,))
    assert run(shared, scenario).sent == [(0, "10.0.0.1"), (0, "10.2.0.1"), (200, "10.1.0.1")]


def test_group_without_interval_for_a_family_has_none() -> None:
    group = GarpGroup(gna_interval_us=seconds(0.2), interfaces=("eth0",))

    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 2, ONE, SIX)
        await asyncio.sleep(5)

    wire = run(replace(paced(1, 1), garp_groups=(group,)), scenario)
    assert wire.sent == [(0, "10.0.0.1"), (0, "fd00::1"), (0, "10.0.0.1"), (200, "fd00::1")]


def test_device_counts_as_the_interface_below() -> None:
    device = Device(
        InterfaceName("vrrp.1"), InterfaceName("eth0"), DeviceKind.MACVLAN, B, family=4, mode="private"
    )
    above = vip("10.0.0.2", "vrrp.1")
    moved = instance(B, above, interface="vrrp.1", base_interface=InterfaceName("eth0"))

    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 1, ONE)
        burst(announcer, 1, above, name=B)
        await asyncio.sleep(5)

    wire = run(paced(0.3, 0, instance(A, ONE), moved, devices=(device,)), scenario)
    assert wire.sent == [(0, "10.0.0.1"), (300, "10.0.0.2")]


def test_reload_keeps_what_waits() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 3, ONE)
        await asyncio.sleep(0.05)
        announcer.follow(paced(0.2))
        await asyncio.sleep(5)

    assert [when for when, _ in run(paced(0.1), scenario).sent] == [0, 100, 300]

    async def unlimited(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 3, ONE)
        await asyncio.sleep(0.05)
        announcer.follow(paced())
        await asyncio.sleep(5)

    assert [when for when, _ in run(paced(0.1), unlimited).sent] == [0, 50, 50]


def test_failures_are_outcomes() -> None:
    async def scenario(announcer: Announcer, wire: Wire) -> None:
        assert announcer.announce(A, vip("10.0.0.9", "missing")) == Failed(errno.ENODEV)
        wire.error = errno.ENETDOWN
        assert announcer.announce(A, ONE) == Failed(errno.ENETDOWN)

    run(paced(), scenario)

    async def without_mac() -> None:
        announcer = Announcer(Wire(), lambda name: facts(name, mac=b"\0" * 8))
        assert announcer.announce(A, ONE) == Failed(errno.ENODEV)

    asyncio.run(without_mac())


def test_sent_without_an_announcement_between() -> None:
    """The interval is kept from the last frame, also when nothing waited."""

    async def scenario(announcer: Announcer, wire: Wire) -> None:
        burst(announcer, 1, ONE)
        await asyncio.sleep(0.04)
        burst(announcer, 1, TWO)
        await asyncio.sleep(0.5)
        burst(announcer, 1, ONE)

    wire = run(paced(0.1), scenario)
    assert [when for when, _ in wire.sent] == [0, 100, 540]
    assert Micros(100_000) == seconds(0.1)
