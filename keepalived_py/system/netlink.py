"""Interfaces and addresses through rtnetlink.

Requests go through pyroute2's asyncio socket, so a slow kernel holds up one
lane and never the loop.  Events have a socket of their own, bound to the
multicast groups before the first read, so that nothing falls in between.

The kernel drops events when that socket overflows, and says so once
(ENOBUFS).  The answer is to throw away what is left, read everything anew and
yield the differences.
"""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, ip_address
from typing import Any

from pyroute2 import AsyncIPRoute, NetlinkDumpInterrupted, NetlinkError
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.system.interface_table import InterfaceEvent, InterfaceTable

# linux/rtnetlink.h and linux/if.h.
_GROUP_LINK = 0x1
_GROUP_IPV4_ADDRESS = 0x10
_GROUP_IPV6_ADDRESS = 0x100
_NEW_LINK, _DELETE_LINK, _NEW_ADDRESS, _DELETE_ADDRESS = 16, 17, 20, 21
_UP_AND_RUNNING = 0x1 | 0x40
_MULTICAST = 0x1000
_SECONDARY = 0x01
_NO_DAD = 0x02
_HOME_ADDRESS = 0x10
_MANAGE_TEMPORARY = 0x100
_NO_PREFIX_ROUTE = 0x200
_SO_RCVBUFFORCE = 33

_EVENT_BUFFER = 4 * 1024 * 1024
_LONGEST_DATAGRAM = 64 * 1024
# A dump is interrupted when something changes meanwhile; after so many in a row it is taken as it is.
_DUMP_TRIES = 5


class Kernel:
    """This network namespace's interfaces and addresses.  Open it inside a running loop."""

    def __init__(self) -> None:
        self._requests: Any = AsyncIPRoute()
        self._marshal: Any = MarshalRtnl()
        self._table = InterfaceTable()
        self._events: socket.socket | None = None
        self._readable = asyncio.Event()

    async def open(self) -> None:
        """Open both sockets.  Raises OSError if the kernel refuses."""
        self._events = _open_events()
        await self._requests.setup_endpoint()
        self._table = InterfaceTable(await self._read())

    async def close(self) -> None:
        """Close both sockets; `events` ends."""
        if self._events is not None:
            asyncio.get_running_loop().remove_reader(self._events)
            self._events.close()
            self._events = None
            self._readable.set()
        self._requests.close()

    async def interfaces(self) -> dict[InterfaceName, InterfaceFacts]:
        """All interfaces with their addresses: what `open` read and `events` has yielded since."""
        return self._table.by_name()

    async def add_address(self, address: VirtualAddress) -> Outcome:
        """Put `address` on its interface; AlreadySo if it is there already."""
        wanted = _identity(address) | _attributes(address)
        return await self._change("add", address.interface, wanted, errno.EEXIST)

    async def delete_address(self, address: VirtualAddress) -> Outcome:
        """Take `address` off its interface; AlreadySo if it is not there."""
        return await self._change("del", address.interface, _identity(address), errno.EADDRNOTAVAIL)

    async def _change(
        self, command: str, interface: InterfaceName, what: dict[str, object], already: int
    ) -> Outcome:
        index = _index_of(interface)
        if index == 0:
            # An interface that is gone took its addresses along.
            return AlreadySo() if command == "del" else Failed(errno.ENODEV)
        try:
            await self._requests.addr(command, index=index, **what)
        except NetlinkError as error:
            return AlreadySo() if error.code == already else Failed(error.code)
        except OSError as error:
            return Failed(error.errno or errno.EIO)
        return Done()

    async def _read(self) -> list[InterfaceFacts]:
        for _ in range(_DUMP_TRIES):
            try:
                return await self._read_once()
            except NetlinkDumpInterrupted:
                continue
        return await self._read_once(accept_interrupted=True)

    async def _read_once(self, accept_interrupted: bool = False) -> list[InterfaceFacts]:
        table = InterfaceTable()
        for dump in (self._requests.get_links, self._requests.get_addr):
            try:
                async for message in await dump():
                    _feed(table, message)
            except NetlinkDumpInterrupted:
                if not accept_interrupted:
                    raise
        return list(table.by_name().values())

    async def events(self) -> AsyncIterator[InterfaceEvent]:
        """What changes from now on, as it changes.  For one reader; ends with `close`."""
        loop = asyncio.get_running_loop()
        events = self._events
        if events is None:
            return
        loop.add_reader(events, self._readable.set)
        try:
            while self._events is events:
                await self._readable.wait()
                self._readable.clear()
                for event in await self._arrived(events):
                    yield event
        finally:
            if self._events is events:
                loop.remove_reader(events)

    async def _arrived(self, events: socket.socket) -> list[InterfaceEvent]:
        if self._events is not events:
            return []
        try:
            data = events.recv(_LONGEST_DATAGRAM)
        except BlockingIOError:
            return []
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            _discard(events)
            return list(self._table.reread(await self._read()))
        messages = self._marshal.parse(data)
        return [event for message in messages for event in _feed(self._table, message)]


def _index_of(interface: InterfaceName) -> int:
    """From the kernel, not from the table: the table is as old as the last event that was read."""
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


def _open_events() -> socket.socket:
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        _enlarge(events)
        events.bind((0, _GROUP_LINK | _GROUP_IPV4_ADDRESS | _GROUP_IPV6_ADDRESS))
    except OSError:
        events.close()
        raise
    return events


def _enlarge(events: socket.socket) -> None:
    try:
        events.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _EVENT_BUFFER)
    except PermissionError:
        # Without CAP_NET_ADMIN the system's own limit holds; overflow is dealt with anyway.
        events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _EVENT_BUFFER)


def _discard(events: socket.socket) -> None:
    """Empty the socket; a second overflow meanwhile changes nothing."""
    while True:
        try:
            events.recv(_LONGEST_DATAGRAM)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


def _feed(table: InterfaceTable, message: Any) -> list[InterfaceEvent]:
    return list(_changes(table, message))


def _changes(table: InterfaceTable, message: Any) -> Iterator[InterfaceEvent]:
    kind = message["header"]["type"]
    # A bridge speaks of its ports in link messages of its own family; the link itself did not change.
    if kind in (_NEW_LINK, _DELETE_LINK) and message["family"] != socket.AF_UNSPEC:
        return
    if kind == _NEW_LINK:
        yield from table.link(_link_facts(message))
    elif kind == _DELETE_LINK:
        yield from table.link_gone(message["index"])
    elif kind == _NEW_ADDRESS:
        yield from table.address(message["index"], _interface_address(message))
    elif kind == _DELETE_ADDRESS:
        yield from table.address_gone(message["index"], _interface_address(message))


def _link_facts(message: Any) -> InterfaceFacts:
    flags = message["flags"]
    return InterfaceFacts(
        name=InterfaceName(message.get_attr("IFLA_IFNAME")),
        index=message["index"],
        up=flags & _UP_AND_RUNNING == _UP_AND_RUNNING,
        multicast=bool(flags & _MULTICAST),
        mac=bytes.fromhex((message.get_attr("IFLA_ADDRESS") or "").replace(":", "")),
        mtu=message.get_attr("IFLA_MTU") or 0,
    )


def _interface_address(message: Any) -> InterfaceAddress:
    """IFA_ADDRESS is the far end of a point-to-point link; IFA_LOCAL, if there, is ours."""
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    return InterfaceAddress(
        address=ip_address(text),
        prefix_length=message["prefixlen"],
        secondary=bool(message["flags"] & _SECONDARY),
    )


def _identity(address: VirtualAddress) -> dict[str, object]:
    """What tells the kernel which address is meant."""
    if address.peer is None:
        far_end, prefix_length = address.address, address.prefix_length
    else:
        far_end = address.peer
        given = address.peer_prefix_length
        prefix_length = address.peer.max_prefixlen if given is None else given
    identity: dict[str, object] = {"address": str(far_end), "prefixlen": prefix_length}
    if address.peer is not None or isinstance(address.address, IPv4Address):
        identity["local"] = str(address.address)
    return identity


def _attributes(address: VirtualAddress) -> dict[str, object]:
    """What an address is like once it is there."""
    attributes: dict[str, object] = {"scope": address.scope}
    if address.label is not None:
        attributes["label"] = address.label
    if address.broadcast is not None:
        attributes["broadcast"] = str(address.broadcast)
    if flags := _flags(address):
        attributes["flags"] = flags
    if address.preferred_lifetime_s is not None:
        attributes["preferred_lft"] = address.preferred_lifetime_s
    return attributes


def _flags(address: VirtualAddress) -> int:
    # Duplicate address detection would keep an IPv6 address silent for a second after the takeover.
    flags = 0 if isinstance(address.address, IPv4Address) else _NO_DAD
    flags |= _HOME_ADDRESS if address.home else 0
    flags |= _MANAGE_TEMPORARY if address.mngtmpaddr else 0
    return flags | (_NO_PREFIX_ROUTE if address.noprefixroute else 0)
