"""Asks the drivers of some interfaces once a second whether they have a link (`linkbeat_interfaces`).

For drivers that do not tell the kernel when their link changes.  Three ways
to ask, the first that works is kept: the PHY's status register by the MII
ioctls (IEEE 802.3 clause 22: bit 2 of register 1 is the link, and it latches
a loss until it was read), ETHTOOL_GLINK, and the interface's own flags.  The
flags must agree in any case.

The ioctls wait for the kernel's configuration lock and some drivers for slow
hardware, so a thread asks, never the event loop.

`Linkbeat` stands between the kernel's news and whoever listens: for an
interface that is polled, `up` in the news is replaced by what polling last
found, and a change that polling finds becomes news.
"""

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fcntl import ioctl
from typing import Protocol

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import Configuration
from keepalived_py.model.events import InterfaceFacts, LinkChanged
from keepalived_py.model.interfaces import LinkPolling

POLLING_S = 1.0

# linux/sockios.h, linux/mii.h, linux/ethtool.h, linux/if.h
_GET_FLAGS, _ETHTOOL, _GET_PHY, _GET_REGISTER = 0x8913, 0x8946, 0x8947, 0x8948
_GET_LINK = 0x0A
_CONTROL, _STATUS, _LINK_BIT = 0, 1, 0x4
_UP_AND_RUNNING = 0x1 | 0x40
_REQUEST = struct.Struct("=16s24s")


class Ask(Protocol):
    """Asks the kernel about an interface; tests give answers of their own.

    None: it cannot be asked this way.
    """

    def mii(self, name: InterfaceName) -> bool | None: ...

    def ethtool(self, name: InterfaceName) -> bool | None: ...

    def flags(self, name: InterfaceName) -> bool: ...


class KernelAsk:
    """`Ask` by ioctl, in the network namespace of the thread that asks first."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def mii(self, name: InterfaceName) -> bool | None:
        """The link bit of the PHY's status register."""
        try:
            phy = struct.unpack_from("=H", self._request(_GET_PHY, name))[0]
            if self._register(name, phy, _CONTROL) == 0xFFFF:
                return None
            first = self._register(name, phy, _STATUS)
            return None if first == 0 else bool((first | self._register(name, phy, _STATUS)) & _LINK_BIT)
        except OSError:
            return None

    def ethtool(self, name: InterfaceName) -> bool | None:
        """What the driver answers to ETHTOOL_GLINK."""
        answer = ctypes.create_string_buffer(struct.pack("=II", _GET_LINK, 0), 8)
        try:
            self._request(_ETHTOOL, name, struct.pack("P", ctypes.addressof(answer)))
        except OSError:
            return None
        return bool(struct.unpack("=II", answer.raw)[1])

    def flags(self, name: InterfaceName) -> bool:
        """Whether the interface is UP and RUNNING; it counts as up if the kernel does not say."""
        try:
            answer = self._request(_GET_FLAGS, name)
        except OSError as error:
            return error.errno != errno.ENODEV
        return bool(struct.unpack_from("=H", answer)[0] & _UP_AND_RUNNING == _UP_AND_RUNNING)

    def _register(self, name: InterfaceName, phy: int, register: int) -> int:
        answer = self._request(_GET_REGISTER, name, struct.pack("=HHHH", phy, register, 0, 0))
        return int(struct.unpack_from("=HHHH", answer)[3])

    def _request(self, number: int, name: InterfaceName, data: bytes = b"") -> bytes:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        request = _REQUEST.pack(name.encode("utf-8", "surrogateescape"), data)
        answer: bytes = _REQUEST.unpack(ioctl(self._socket, number, request))[1]
        return answer


class LinkbeatLog(Protocol):
    """Where log lines go."""

    def info(self, text: str) -> None: ...


class Linkbeat:
    """Polls the interfaces of a configuration; `emit` gets all news of interfaces, corrected."""

    def __init__(self, emit: Callable[[LinkChanged], None], log: LinkbeatLog, ask: Ask | None = None) -> None:
        self._emit = emit
        self._log = log
        self._ask: Ask = KernelAsk() if ask is None else ask
        self._methods: dict[InterfaceName, LinkPolling | None] = {}
        self._up: dict[InterfaceName, bool] = {}
        self._facts: dict[InterfaceName, InterfaceFacts] = {}
        self._worker: ThreadPoolExecutor | None = None
        self._polling: asyncio.Task[None] | None = None

    async def follow(
        self, configuration: Configuration, interfaces: Mapping[InterfaceName, InterfaceFacts]
    ) -> dict[InterfaceName, InterfaceFacts]:
        """Poll what `configuration` asks for, from now on; `interfaces` with what a first poll found."""
        wanted = self._wanted(configuration)
        self._up = {name: up for name, up in self._up.items() if name in wanted}
        known = {name: self._methods[name] for name in self._up}
        self._methods = wanted | {name: method for name, method in known.items() if method is not None}
        self._facts = {name: facts for name, facts in interfaces.items() if name in wanted}
        if wanted:
            self._log.info("Using MII-BMSR/ETHTOOL NIC polling thread(s)...")
            self._up |= await self._poll()
        if self._polling is not None:
            self._polling.cancel()
        self._polling = asyncio.ensure_future(self._poll_for_ever()) if wanted else None
        return self.corrected(interfaces)

    def feed(self, event: LinkChanged) -> None:
        """The kernel's news of an interface."""
        facts = event.facts
        if facts.name in self._methods:
            self._facts[facts.name] = facts
            if not facts.index:
                self._up[facts.name] = False
            event = LinkChanged(self._corrected(facts))
        self._emit(event)

    def close(self) -> None:
        """Poll no more."""
        if self._polling is not None:
            self._polling.cancel()
            self._polling = None
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
            self._worker = None
        if isinstance(self._ask, KernelAsk):
            self._ask.close()

    def _wanted(self, configuration: Configuration) -> dict[InterfaceName, LinkPolling | None]:
        listed = {InterfaceName(one.interface): one.method for one in configuration.linkbeat_interfaces}
        everywhere = configuration.globals.linkbeat_use_polling
        for instance in configuration.instances:
            if instance.configured_interface and (everywhere or instance.linkbeat_use_polling):
                listed.setdefault(instance.configured_interface, None)
        used, devices = _used(configuration), {device.name for device in configuration.devices}
        for name in list(listed):
            if name not in used:
                self._log.info(f"Turning off linkbeat for {name} since not used for tracking")
            elif name in devices:
                self._log.info(f"Turning off linkbeat for {name} since netlink works for vmacs/ipvlans")
            else:
                continue
            del listed[name]
        return listed

    def corrected(
        self, interfaces: Mapping[InterfaceName, InterfaceFacts]
    ) -> dict[InterfaceName, InterfaceFacts]:
        """`interfaces` with what the last poll found."""
        return {name: self._corrected(facts) for name, facts in interfaces.items()}

    def _corrected(self, facts: InterfaceFacts) -> InterfaceFacts:
        if facts.name not in self._methods:
            return facts
        return replace(facts, up=bool(facts.index) and self._up.get(facts.name, False), polled=True)

    async def _poll_for_ever(self) -> None:
        while True:
            await asyncio.sleep(POLLING_S)
            for name, up in (await self._poll()).items():
                if name in self._methods and up is not self._up.get(name):
                    self._up[name] = up
                    if (facts := self._facts.get(name)) is not None:
                        self._emit(LinkChanged(self._corrected(facts)))

    async def _poll(self) -> dict[InterfaceName, bool]:
        """What every polled interface that exists says now."""
        there = [name for name, facts in self._facts.items() if facts.index and name in self._methods]
        chosen = {name: self._methods[name] for name in there if name in self._up}
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "linkbeat")
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._worker, self._ask_all, there, chosen, dict(self._methods))
        for name, (method, _) in found.items():
            wanted = self._methods.get(name)
            if wanted is not None and name not in chosen and method is not wanted:
                text = (
                    f"({name}): Configured linkbeat type {wanted.value} not supported, using {method.value}"
                )
                self._log.info(text)
            if name in self._methods:
                self._methods[name] = method
        return {name: up for name, (_, up) in found.items()}

    def _ask_all(
        self,
        names: Iterable[InterfaceName],
        chosen: Mapping[InterfaceName, LinkPolling | None],
        wanted: Mapping[InterfaceName, LinkPolling | None],
    ) -> dict[InterfaceName, tuple[LinkPolling, bool]]:
        """In the thread: each interface's way of being asked, and whether its link is up."""
        found = {}
        for name in names:
            method = chosen.get(name)
            found[name] = (
                choose(self._ask, name, wanted[name]) if method is None else _again(self._ask, name, method)
            )
        return found


def choose(ask: Ask, name: InterfaceName, wanted: LinkPolling | None) -> tuple[LinkPolling, bool]:
    """The way to ask about an interface, and its first answer.

    What was asked for is tried first, then MII and ETHTOOL; the flags always answer.
    """
    if wanted is not LinkPolling.IOCTL:
        ways = [(LinkPolling.MII, ask.mii), (LinkPolling.ETHTOOL, ask.ethtool)]
        if wanted is LinkPolling.ETHTOOL:
            ways.reverse()
        for method, way in ways:
            answer = way(name)
            if answer is not None:
                return method, answer and ask.flags(name)
    return LinkPolling.IOCTL, ask.flags(name)


def _again(ask: Ask, name: InterfaceName, method: LinkPolling) -> tuple[LinkPolling, bool]:
    """The next answer of an interface; where the chosen way fails now, its flags decide."""
    answer: bool | None = True
    if method is LinkPolling.MII:
        answer = ask.mii(name)
    elif method is LinkPolling.ETHTOOL:
        answer = ask.ethtool(name)
    return method, answer is not False and ask.flags(name)


def _used(configuration: Configuration) -> set[InterfaceName]:
    """Every interface that something of the configuration watches."""
    used: set[InterfaceName] = set()
    for instance in configuration.instances:
        used |= {instance.interface, instance.configured_interface}
        used |= {link.name for link in instance.track_interfaces}
        used |= {one.interface for one in instance.addresses + instance.excluded_addresses}
        used |= {route.interface for route in instance.routes if route.interface is not None}
    for group in configuration.groups:
        used |= {link.name for link in group.track_interfaces}
    return used
