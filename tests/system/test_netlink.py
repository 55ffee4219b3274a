"""Addresses and links of a namespace of our own, through the real kernel."""

import asyncio
import errno
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    AlreadySo,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Done,
    Failed,
    KernelChange,
    Outcome,
)
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    InterfaceAddress,
    LinkChanged,
    RouteLost,
    RuleLost,
)
from keepalived_py.model.globals import ReceiveBuffers
from keepalived_py.model.network import (
    TABLE_MAIN,
    NextHop,
    Prefix,
    Range,
    Route,
    RouteType,
    Rule,
    RuleAction,
)
from keepalived_py.system import loop, netlink, receive_buffer
from keepalived_py.system.netlink import Kernel, KernelEvent

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]
V0 = InterfaceName("v0")
VI = InstanceName("VI")


def virtual(text: str, prefix_length: int = 32, **rest: Any) -> VirtualAddress:
    return VirtualAddress(ip_address(text), prefix_length, rest.pop("interface", V0), **rest)


async def add(kernel: Kernel, *wanted: VirtualAddress) -> Outcome:
    """The outcome of adding the last; all others must be done."""
    *others, last = await kernel.apply([AddAddress(VI, address) for address in wanted])
    assert others == [Done()] * len(others)
    return last


async def delete(kernel: Kernel, address: VirtualAddress) -> Outcome:
    return (await kernel.apply([DeleteAddress(VI, address)]))[0]


def shown(address: str) -> dict[str, Any] | None:
    """What iproute2 says about `address` on v0."""
    output = subprocess.run(
        ["ip", "-j", "addr", "show", "dev", "v0"], capture_output=True, check=True, timeout=10
    ).stdout
    found: list[dict[str, Any]] = json.loads(output)[0]["addr_info"]
    return next((entry for entry in found if entry["local"] == address), None)


@asynccontextmanager
async def opened() -> AsyncIterator[Kernel]:
    kernel = Kernel()
    await kernel.open()
    try:
        yield kernel
    finally:
        await kernel.close()


class Listener:
    """Collects events in the background."""

    def __init__(self, kernel: Kernel) -> None:
        self.heard: list[KernelEvent] = []
        self._kernel = kernel
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self._kernel.events():
            self.heard.append(event)

    async def until(self, wanted: Callable[[KernelEvent], bool]) -> KernelEvent:
        for _ in range(5000):
            for event in self.heard:
                if wanted(event):
                    return event
            await asyncio.sleep(0.001)
        raise AssertionError(f"not heard among {self.heard}")


def test_interfaces_with_their_addresses(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            interfaces = await kernel.interfaces()
            assert set(interfaces) == {"lo", "v0", "v1"}
            facts = interfaces[V0]
            assert facts.up
            assert facts.multicast
            assert (facts.mtu, len(facts.mac)) == (1500, 6)
            assert InterfaceAddress(IPv4Address("10.0.0.1"), 24) in facts.addresses
            assert not interfaces[InterfaceName("lo")].multicast

    loop.run(scenario())


def test_address_comes_and_goes(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            address = virtual("10.0.0.100")
            assert await add(kernel, address) == Done()
            assert await add(kernel, address) == AlreadySo()
            assert shown("10.0.0.100") is not None
            assert await delete(kernel, address) == Done()
            assert await delete(kernel, address) == AlreadySo()
            assert shown("10.0.0.100") is None

    loop.run(scenario())


def test_all_attributes_arrive(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            broadcast = IPv4Address("10.3.0.255")
            for address in (
                virtual("10.3.0.5", 24, label="v0:web", scope=253, broadcast=broadcast),
                virtual("10.4.0.1", peer=IPv4Address("10.4.0.2")),
                virtual("10.5.0.1", peer=IPv4Address("10.5.1.0"), peer_prefix_length=24),
                virtual("fd00::5", 128, preferred_lifetime_s=0),
                virtual("fd00::6", 64, noprefixroute=True),
            ):
                assert await add(kernel, address) == Done()
            labelled = shown("10.3.0.5") or {}
            assert (labelled["label"], labelled["scope"]) == ("v0:web", "link")
            assert (labelled["broadcast"], labelled["prefixlen"]) == ("10.3.0.255", 24)
            assert (shown("10.4.0.1") or {})["address"] == "10.4.0.2"
            assert (shown("10.5.0.1") or {})["prefixlen"] == 24
            deprecated = shown("fd00::5") or {}
            assert deprecated["nodad"] and deprecated["deprecated"]
            assert (shown("fd00::6") or {})["noprefixroute"]
            assert await delete(kernel, virtual("10.4.0.1", peer=IPv4Address("10.4.0.2"))) == Done()
            assert shown("10.4.0.1") is None

    loop.run(scenario())


def test_refusals_are_outcomes(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            nowhere = virtual("10.0.0.9", interface=InterfaceName("nope"))
            assert await add(kernel, nowhere) == Failed(errno.ENODEV)
            assert await delete(kernel, nowhere) == AlreadySo()
            # A subnet's later address may not have a narrower scope than its first.
            assert await add(kernel, virtual("10.0.0.9", 24, scope=253)) == Failed(errno.EINVAL)

    loop.run(scenario())


def test_changes_by_others_are_heard(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            listener = Listener(kernel)
            await asyncio.sleep(0)
            wanted = InterfaceAddress(IPv4Address("10.9.0.1"), 32)
            ip("addr add 10.9.0.1/32 dev v0")
            await listener.until(lambda event: event == AddressAdded(V0, wanted))
            ip("addr del 10.9.0.1/32 dev v0")
            await listener.until(lambda event: event == AddressRemoved(V0, wanted))
            ip("link set v1 down")
            await listener.until(
                lambda e: isinstance(e, LinkChanged) and e.facts.name == V0 and not e.facts.up
            )
            ip("link set v1 up")
            await listener.until(lambda e: isinstance(e, LinkChanged) and e.facts.name == V0 and e.facts.up)
            ip("link del v0")
            await listener.until(
                lambda e: isinstance(e, LinkChanged) and e.facts.name == V0 and e.facts.index == 0
            )
            assert V0 not in await kernel.interfaces()
            await kernel.close()
            await asyncio.wait_for(listener.task, 5)

    loop.run(scenario())


def test_port_leaving_its_bridge_is_no_lost_link(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            listener = Listener(kernel)
            await asyncio.sleep(0)
            ip("link add br0 type bridge")
            ip("link set v0 master br0")
            ip("link set v0 nomaster")
            ip("link add last type bridge")
            await listener.until(lambda e: isinstance(e, LinkChanged) and e.facts.name == "last")
            gone = [e for e in listener.heard if isinstance(e, LinkChanged) and e.facts.index == 0]
            assert gone == []
            listener.task.cancel()

    loop.run(scenario())


def test_255_addresses_in_one_request(ip: Ip) -> None:
    wanted = [virtual(f"10.9.0.{host}") for host in range(255)]

    async def scenario() -> None:
        async with opened() as kernel:
            adding = [AddAddress(VI, address) for address in wanted]
            kernel.prepare(adding)
            assert await kernel.apply(adding) == [Done()] * 255
            assert await kernel.apply(adding) == [AlreadySo()] * 255
            assert (shown("10.9.0.0"), shown("10.9.0.254")) != (None, None)
            deleting: list[KernelChange] = [DeleteAddress(VI, address) for address in wanted[1:]]
            assert await kernel.apply(deleting) == [Done()] * 254
            assert await kernel.apply([*deleting, *adding[:1]]) == [AlreadySo()] * 255

    loop.run(scenario())


def test_what_was_prepared_follows_a_new_interface(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            adding = [AddAddress(VI, virtual("10.9.0.1"))]
            kernel.prepare(adding)
            assert await kernel.apply(adding) == [Done()]
            ip("link del v0")
            assert await kernel.apply(adding) == [Failed(errno.ENODEV)]
            ip("link add v0 index 99 type veth peer name v1")
            assert await kernel.apply(adding) == [Done()]
            assert shown("10.9.0.1") is not None

    loop.run(scenario())


def test_batches_mix_everything_in_order(ip: Ip) -> None:
    """A route may need the address before it; what is refused does not stop what follows."""
    address = virtual("10.9.0.1", 24)
    route = Route(prefix("10.50.0.0", 16), gateway=ip_address("10.9.0.2"))
    unreachable = Route(prefix("10.51.0.0", 16), gateway=ip_address("10.99.0.2"))
    rule = Rule(4, 1000, RuleAction.TABLE, table=100)

    async def scenario() -> None:
        async with opened() as kernel:
            changes: list[KernelChange] = [
                AddRoute(VI, route),
                AddAddress(VI, address),
                AddRoute(VI, route),
                AddRoute(VI, unreachable),
                AddRule(VI, rule),
                AddRule(VI, rule),
                DeleteRoute(VI, route),
                DeleteRoute(VI, route),
                DeleteRule(VI, rule),
                DeleteRule(VI, rule),
            ]
            refused = Failed(errno.ENETUNREACH)
            assert await kernel.apply(changes) == [
                *(refused, Done(), Done(), refused, Done(), AlreadySo()),
                *(Done(), AlreadySo(), Done(), AlreadySo()),
            ]

    loop.run(scenario())


def prefix(text: str, length: int) -> Prefix:
    return Prefix(ip_address(text), length)


GATEWAY = ip_address("10.0.0.9")
ROUTES = (
    Route(prefix("0.0.0.0", 0), gateway=GATEWAY, interface=V0),
    Route(prefix("10.20.0.0", 16), gateway=GATEWAY),
    Route(prefix("10.21.0.0", 16), gateway=GATEWAY, interface=V0, metric=7, tos=16),
    Route(prefix("10.21.0.0", 16), gateway=ip_address("10.0.0.8"), interface=V0, metric=7, tos=16),
    Route(prefix("10.22.0.0", 16), gateway=GATEWAY, interface=V0, table=1000),
    Route(prefix("10.23.0.0", 16), type=RouteType.BLACKHOLE),
    Route(prefix("10.24.0.0", 16), next_hops=(NextHop(GATEWAY, V0, 3), NextHop(ip_address("10.0.0.8"), V0))),
    Route(prefix("10.25.0.0", 16), interface=V0, mtu=1400, scope=253),
    Route(prefix("fd20::", 64), interface=V0),
    Route(prefix("fd20::", 64), interface=V0, metric=5),
    Route(prefix("fd21::", 64), interface=InterfaceName("v1"), table=300),
    Route(prefix("::", 0), interface=V0),
    Route(prefix("fd22::", 64), type=RouteType.UNREACHABLE),
)
RULES = (
    Rule(4, 1000, RuleAction.TABLE, table=100, protocol=18, source=prefix("10.0.0.0", 24)),
    Rule(4, 1001, RuleAction.TABLE, table=TABLE_MAIN, protocol=18, suppressed_prefix_length=8),
    Rule(4, 1002, RuleAction.TABLE, table=1000, protocol=18, source=prefix("0.0.0.0", 0), inverted=True),
    Rule(4, 1003, RuleAction.BLACKHOLE, protocol=18, fwmark=5, tos=16),
    Rule(4, 1004, RuleAction.GOTO, target=2000, protocol=18, fwmark=5, fwmask=255, input_interface=V0),
    Rule(4, 1005, RuleAction.NOP, protocol=18, fwmask=255, output_interface=V0),
    Rule(4, 1006, RuleAction.TABLE, protocol=18),
    Rule(4, 1007, RuleAction.PROHIBIT, protocol=18, users=Range(5, 9), tunnel_id=9),
    Rule(4, 1008, RuleAction.TABLE, table=9, protocol=18, ip_protocol=17, source_ports=Range(1, 2),
         destination_ports=Range(3, 3), suppressed_group=4),
    Rule(6, 1000, RuleAction.TABLE, table=100, protocol=18, destination=prefix("fd00::", 64)),
    Rule(6, 1001, RuleAction.UNREACHABLE, protocol=18),
)  # fmt: skip


def test_lost_routes_and_rules_are_told_as_they_were_given(ip: Ip) -> None:
    """Whatever the kernel makes of them, a removal by others yields the very value."""

    async def scenario() -> None:
        async with opened() as kernel:
            listener = Listener(kernel)
            adding: list[KernelChange] = [
                *(AddRoute(VI, one) for one in ROUTES),
                *(AddRule(VI, one) for one in RULES),
            ]
            assert await kernel.apply(adding) == [Done()] * len(adding)
            for family, table in (("-4", "main"), ("-4", "1000"), ("-6", "main"), ("-6", "300")):
                ip(f"{family} route flush table {table} proto 18")
            for one in RULES:
                ip(f"-{one.family} rule del priority {one.priority}")
            for route in ROUTES:
                await listener.until(lambda event, route=route: event == RouteLost(route))  # type: ignore[misc]
            for rule in RULES:
                await listener.until(lambda event, rule=rule: event == RuleLost(rule))  # type: ignore[misc]
            lost = [event for event in listener.heard if isinstance(event, RouteLost | RuleLost)]
            assert len(lost) == len(adding)
            listener.task.cancel()

    loop.run(scenario())


def test_of_two_like_routes_the_right_one_is_lost(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            listener = Listener(kernel)
            assert await kernel.apply([AddRoute(VI, one) for one in ROUTES[2:4]]) == [Done(), Done()]
            ip("route del 10.21.0.0/16 via 10.0.0.8 tos 0x10 metric 7")
            await listener.until(lambda event: event == RouteLost(ROUTES[3]))
            ip("route del 10.21.0.0/16 tos 0x10 metric 7")
            await listener.until(lambda event: event == RouteLost(ROUTES[2]))
            listener.task.cancel()

    loop.run(scenario())


def test_what_is_not_tracked_or_ours_or_deleted_by_us_is_not_lost(ip: Ip) -> None:
    last = Route(prefix("10.29.0.0", 16), interface=V0)
    untracked = Route(prefix("10.28.0.0", 16), interface=V0, tracked=False)
    rule = Rule(4, 1000, RuleAction.TABLE, table=100, tracked=False)

    async def scenario() -> None:
        async with opened() as kernel:
            listener = Listener(kernel)
            adding: list[KernelChange] = [
                AddRoute(VI, last),
                AddRoute(VI, untracked),
                AddRule(VI, rule),
                AddRule(VI, RULES[0]),
            ]
            assert await kernel.apply(adding) == [Done()] * 4
            # Given up and taken again before any message about it can have been read.
            again: list[KernelChange] = [DeleteRoute(VI, last), DeleteRule(VI, RULES[0])]
            gave_up = kernel.apply(again)
            taken = kernel.apply([adding[0], adding[3]])
            assert (await gave_up, await taken) == ([Done()] * 2, [Done()] * 2)
            ip("route add 10.27.0.0/16 dev v0")
            ip("route del 10.27.0.0/16 dev v0")
            ip("route del 10.28.0.0/16 dev v0")
            ip("rule del priority 1000 table 100 from all")
            ip("route del 10.29.0.0/16 dev v0")
            await listener.until(lambda event: isinstance(event, RouteLost | RuleLost))
            lost = [event for event in listener.heard if isinstance(event, RouteLost | RuleLost)]
            assert lost == [RouteLost(last)]
            listener.task.cancel()

    loop.run(scenario())


def test_a_refused_route_is_not_held(ip: Ip) -> None:
    refused = Route(prefix("10.51.0.0", 16), gateway=ip_address("10.99.0.2"), interface=V0)

    async def scenario() -> None:
        async with opened() as kernel:
            listener = Listener(kernel)
            answers = await kernel.apply([AddRoute(VI, refused), AddRoute(VI, ROUTES[1])])
            assert answers == [Failed(errno.ENETUNREACH), Done()]
            ip("route add 10.51.0.0/16 dev v0 proto 18")
            ip("route flush proto 18")
            await listener.until(lambda event: event == RouteLost(ROUTES[1]))
            assert [event for event in listener.heard if isinstance(event, RouteLost)] == [
                RouteLost(ROUTES[1])
            ]
            listener.task.cancel()

    loop.run(scenario())


def test_a_route_of_a_vrf_goes_into_the_table_of_its_device(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    blue = InterfaceName("blue")
    route = Route(prefix("10.30.0.0", 16), interface=V0, vrf=blue)

    async def scenario() -> None:
        async with opened() as kernel:
            # Stands for the link message of a VRF device, which not every kernel can make.
            monkeypatch.setitem(kernel._vrf_tables, blue, 1234)
            kernel.prepare([AddRoute(VI, route)])
            listener = Listener(kernel)
            assert await kernel.apply([AddRoute(VI, route)]) == [Done()]
            ip("route del 10.30.0.0/16 dev v0 table 1234")
            await listener.until(lambda event: event == RouteLost(route))
            listener.task.cancel()

    loop.run(scenario())


def test_forwarding_is_heard(ip: Ip) -> None:
    def write(value: str) -> None:
        with open("/proc/sys/net/ipv6/conf/v0/forwarding", "w") as knob:
            knob.write(value)

    async def scenario() -> None:
        async with opened() as kernel:
            assert not (await kernel.interfaces())[V0].forwards
            listener = Listener(kernel)
            await asyncio.sleep(0)
            write("1")
            await listener.until(
                lambda e: isinstance(e, LinkChanged) and e.facts.name == V0 and e.facts.forwards
            )
            listener.task.cancel()
        async with opened() as kernel:
            assert (await kernel.interfaces())[V0].forwards

    loop.run(scenario())


def test_loop_goes_on_while_the_kernel_works(ip: Ip) -> None:
    """Two thousand addresses take tens of milliseconds; the loop turns all the while."""
    wanted = [AddAddress(VI, virtual(f"10.{net}.0.{host}")) for net in range(80, 88) for host in range(250)]

    async def scenario() -> None:
        async with opened() as kernel:
            kernel.prepare(wanted)
            doing = asyncio.ensure_future(kernel.apply(wanted))
            turns = 0
            while not doing.done():
                turns += 1
                await asyncio.sleep(0.0002)
            assert doing.result() == [Done()] * len(wanted)
            assert turns > 3

    loop.run(scenario())


def test_overflow_is_made_up_for(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_EVENT_BUFFER", 2048)

    async def scenario() -> None:
        async with opened() as kernel:
            kept, lost, rule = ROUTES[1], ROUTES[4], RULES[0]
            adding: list[KernelChange] = [AddRoute(VI, kept), AddRoute(VI, lost), AddRule(VI, rule)]
            assert await kernel.apply(adding) == [Done()] * 3
            assert await add(kernel, *(virtual(f"10.77.0.{host}") for host in range(1, 120))) == Done()
            ip("route flush table 1000")
            ip("rule del priority 1000")
            listener = Listener(kernel)
            last = InterfaceAddress(IPv4Address("10.77.0.119"), 32)
            await listener.until(lambda event: event == AddressAdded(V0, last))
            await listener.until(lambda event: event == RuleLost(rule))
            added = [event for event in listener.heard if isinstance(event, AddressAdded)]
            assert len(added) == 119
            assert [event for event in listener.heard if isinstance(event, RouteLost)] == [RouteLost(lost)]
            facts = (await kernel.interfaces())[V0]
            assert len([a for a in facts.addresses if a.prefix_length == 32]) == 119
            listener.task.cancel()

    loop.run(scenario())


def test_buffers_as_configured(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, then answers: twice what is asked for, as the kernel has it; without `force` it has a limit."""
    with socket.socket(socket.AF_UNIX) as other:
        receive_buffer.resize(other, 2**31 - 1, False)
        limit = other.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    resize, sizes = receive_buffer.resize, []

    def watched(opened: socket.socket, size: int, force: bool) -> int:
        error = resize(opened, size, force)
        sizes.append(opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2)
        return error

    async def work() -> None:
        async with opened() as kernel:
            monkeypatch.setattr(receive_buffer, "resize", watched)
            for settings in (
                ReceiveBuffers(vrrp_monitor=2 * limit, vrrp_command=50_000),
                ReceiveBuffers(vrrp_monitor=2 * limit, vrrp_monitor_force=True, vrrp_command=2**32 - 1),
                ReceiveBuffers(),
            ):
                assert kernel.size_buffers(settings) == ()

    asyncio.run(work())
    assert sizes == [limit, 50_000, 2 * limit, limit, 4 << 20, 1 << 20]


def test_buffers_that_are_refused(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[str, ...]:
        async with opened() as kernel:
            monkeypatch.setattr(receive_buffer, "resize", lambda opened, size, force: errno.EPERM)
            buffers = ReceiveBuffers(vrrp_monitor=1, vrrp_monitor_force=True, vrrp_command=1)
            return kernel.size_buffers(buffers)

    assert asyncio.run(work()) == (
        "cant set SO_RCVBUFFORCE IP option. errno=1 (Operation not permitted)",
        "Cannot set SO_RCVBUF IP option. errno=1 (Operation not permitted)",
    )
