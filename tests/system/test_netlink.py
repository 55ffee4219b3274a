"""Addresses and links of a namespace of our own, through the real kernel."""

import asyncio
import errno
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import AlreadySo, Done, Failed
from keepalived_py.model.events import AddressAdded, AddressRemoved, InterfaceAddress, LinkChanged
from keepalived_py.system import loop, netlink
from keepalived_py.system.interface_table import InterfaceEvent
from keepalived_py.system.netlink import Kernel

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]
V0 = InterfaceName("v0")


def virtual(text: str, prefix_length: int = 32, **rest: Any) -> VirtualAddress:
    return VirtualAddress(ip_address(text), prefix_length, rest.pop("interface", V0), **rest)


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
        self.heard: list[InterfaceEvent] = []
        self._kernel = kernel
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self._kernel.events():
            self.heard.append(event)

    async def until(self, wanted: Callable[[InterfaceEvent], bool]) -> InterfaceEvent:
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
            assert await kernel.add_address(address) == Done()
            assert await kernel.add_address(address) == AlreadySo()
            assert shown("10.0.0.100") is not None
            assert await kernel.delete_address(address) == Done()
            assert await kernel.delete_address(address) == AlreadySo()
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
                assert await kernel.add_address(address) == Done()
            labelled = shown("10.3.0.5") or {}
            assert (labelled["label"], labelled["scope"]) == ("v0:web", "link")
            assert (labelled["broadcast"], labelled["prefixlen"]) == ("10.3.0.255", 24)
            assert (shown("10.4.0.1") or {})["address"] == "10.4.0.2"
            assert (shown("10.5.0.1") or {})["prefixlen"] == 24
            deprecated = shown("fd00::5") or {}
            assert deprecated["nodad"] and deprecated["deprecated"]
            assert (shown("fd00::6") or {})["noprefixroute"]
            assert await kernel.delete_address(virtual("10.4.0.1", peer=IPv4Address("10.4.0.2"))) == Done()
            assert shown("10.4.0.1") is None

    loop.run(scenario())


def test_refusals_are_outcomes(ip: Ip) -> None:
    async def scenario() -> None:
        async with opened() as kernel:
            nowhere = virtual("10.0.0.9", interface=InterfaceName("nope"))
            assert await kernel.add_address(nowhere) == Failed(errno.ENODEV)
            assert await kernel.delete_address(nowhere) == AlreadySo()
            # A subnet's later address may not have a narrower scope than its first.
            assert await kernel.add_address(virtual("10.0.0.9", 24, scope=253)) == Failed(errno.EINVAL)

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


def test_overflow_is_made_up_for(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "_EVENT_BUFFER", 2048)

    async def scenario() -> None:
        async with opened() as kernel:
            for host in range(1, 120):
                assert await kernel.add_address(virtual(f"10.77.0.{host}")) == Done()
            listener = Listener(kernel)
            last = InterfaceAddress(IPv4Address("10.77.0.119"), 32)
            await listener.until(lambda event: event == AddressAdded(V0, last))
            added = [event for event in listener.heard if isinstance(event, AddressAdded)]
            assert len(added) == 119
            facts = (await kernel.interfaces())[V0]
            assert len([a for a in facts.addresses if a.prefix_length == 32]) == 119
            listener.task.cancel()

    loop.run(scenario())
