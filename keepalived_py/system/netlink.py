"""This network namespace's tables: interfaces, addresses, routes and rules, through rtnetlink.

Changes are requests, made by a thread (`system.requests`): all that are handed
over together are sent together.  A request is written once for each address,
route and rule, best ahead of time (`prepare`).

Events have a socket of their own, bound to the multicast groups before the
first read, so that nothing falls in between.  Routes and rules are listened to
only while some of ours are there: where others fill the tables by the thousand
that would be a flood.

The kernel drops events when that socket overflows, and says so once
(ENOBUFS).  The answer is to throw away what is left, read everything anew and
yield the differences.
"""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, assert_never

from keepalived_py.base.names import InterfaceName
from keepalived_py.base.record import replace
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
    TimedOut,
)
from keepalived_py.model.events import InterfaceFacts, RouteLost, RuleLost
from keepalived_py.model.globals import ReceiveBuffers
from keepalived_py.model.network import PROTOCOL_KEEPALIVED, Route, Rule, VirtualAddress
from keepalived_py.system import addresses, links, receive_buffer, routes, rtnetlink, rules
from keepalived_py.system.held import Held
from keepalived_py.system.interface_table import InterfaceEvent, InterfaceTable
from keepalived_py.system.requests import Answer, Conversation, Requests, Unanswered
from keepalived_py.system.rtnetlink import Message, Request

KernelEvent = InterfaceEvent | RouteLost | RuleLost

# Python has no names for these (linux/socket.h, linux/netlink.h).
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP = 1, 2

_EVENT_BUFFER = 4 * 1024 * 1024
_LONGEST_DATAGRAM = 64 * 1024
# How many datagrams are read before others have their turn.
_AT_ONCE = 16
# So long after a request reports of the kernel wait once.
_PATIENCE_S = 0.005
_GROUPS = (
    rtnetlink.GROUP_LINK,
    rtnetlink.GROUP_IPV4_ADDRESS,
    rtnetlink.GROUP_IPV6_ADDRESS,
    rtnetlink.GROUP_IPV6_NETCONF,
)
_GROUPS_OF_HELD = (
    rtnetlink.GROUP_IPV4_ROUTE,
    rtnetlink.GROUP_IPV6_ROUTE,
    rtnetlink.GROUP_IPV4_RULE,
    rtnetlink.GROUP_IPV6_RULE,
)
_OF_ADDRESSES = (AddAddress, DeleteAddress)
_NOT_THERE = (errno.EADDRNOTAVAIL, errno.ESRCH, errno.ENOENT, errno.ENODEV)


class Kernel:
    """Interfaces, addresses, routes and rules.  Open it inside a running loop, after all forks."""

    def __init__(self) -> None:
        self._requests = Requests()
        self._table = InterfaceTable()
        self._vrf_tables: dict[InterfaceName, int] = {}
        self._held = Held()
        self._listens_to_held = False
        self._written: dict[tuple[type[KernelChange], int], tuple[object, Request]] = {}
        self._events: socket.socket | None = None
        self._readable = asyncio.Event()
        self._asked_at = -_PATIENCE_S

    async def open(self) -> None:
        """Open both sockets.  Raises OSError if the kernel refuses."""
        self._events = _open_events()
        self._requests.open()
        found = await self._requests.call(_read_all)
        self._vrf_tables = found.vrf_tables
        self._table = InterfaceTable(found.interfaces)

    def size_buffers(self, buffers: ReceiveBuffers) -> tuple[str, ...]:
        """Size both sockets' buffers as `global_defs` says; what the kernel refused, for the log.

        A size of 0 is ours: keepalived's 64 KiB overflow where hundreds of addresses come at once.
        """
        if self._events is None:
            return ()
        of_events, of_answers = buffers.vrrp_monitor_force, buffers.vrrp_command_force
        refused = (
            (_size_events(self._events, buffers.vrrp_monitor, of_events), of_events),
            (self._requests.resize(buffers.vrrp_command, of_answers), of_answers),
        )
        return tuple(_refusal(error, force) for error, force in refused if error)

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

    # -- changes --------------------------------------------------------------

    def prepare(self, changes: Iterable[KernelChange]) -> None:
        """Write the requests of `changes`, and forget those of all others.

        They are found again by the very value that is added or deleted, not by one that equals it.
        """
        self._written = {
            _place(change): (subject, _request(change))
            for change in changes
            if not _has_vrf(subject := subject_of(change))
        }

    def apply(self, changes: Sequence[KernelChange]) -> Awaitable[Sequence[Outcome]]:
        """Ask the kernel for `changes`, in order; the outcomes come in that order.

        AlreadySo: what was to be added was there, or what was to be deleted (or its interface) was not.
        Failed(ENODEV): an interface that is named does not exist.  TimedOut: the kernel did not answer.
        The request is on its way when this returns; nobody has to wait for the outcomes.
        """
        requests = [self._request(change) for change in changes]
        for change, request in zip(changes, requests, strict=True):
            if not isinstance(change, _OF_ADDRESSES):
                self._held.requested(change, request)
        self._follow_held()
        outcomes: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()

        def ended(answers: Sequence[Answer]) -> None:
            found = [_outcome(change, answer) for change, answer in zip(changes, answers, strict=True)]
            for place, outcome in enumerate(found):
                if isinstance(outcome, Failed):
                    self._held.forget(changes[place], requests[place])
            if not outcomes.done():
                outcomes.set_result(found)

        self._asked_at = asyncio.get_running_loop().time()
        self._requests.perform(requests, ended)
        return outcomes

    def _request(self, change: KernelChange) -> Request:
        subject = subject_of(change)
        kept = self._written.get((type(change), id(subject)))
        if kept is not None and kept[0] is subject:
            return kept[1]
        return _request(change, self._vrf_tables)

    def _follow_held(self) -> None:
        """Listen to routes and rules from just before the first of ours is there to after the last."""
        wanted = bool(self._held)
        if self._events is None or wanted == self._listens_to_held:
            return
        self._listens_to_held = wanted
        option = _ADD_MEMBERSHIP if wanted else _DROP_MEMBERSHIP
        for group in _GROUPS_OF_HELD:
            self._events.setsockopt(_SOL_NETLINK, option, group)

    # -- events ---------------------------------------------------------------

    async def events(self) -> AsyncIterator[KernelEvent]:
        """What changes from now on, as it changes.  For one reader; ends with `close`."""
        loop = asyncio.get_running_loop()
        events = self._events
        if events is None:
            return
        loop.add_reader(events, self._readable.set)
        try:
            while self._events is events:
                await self._readable.wait()
                if loop.time() < self._asked_at + _PATIENCE_S:
                    # Mostly what we have just asked for: what we do with the answers comes first.
                    loop.remove_reader(events)
                    await asyncio.sleep(_PATIENCE_S)
                    if self._events is not events:
                        break
                    loop.add_reader(events, self._readable.set)
                self._readable.clear()
                for event in await self._arrived(events):
                    yield event
        finally:
            if self._events is events:
                loop.remove_reader(events)

    async def _arrived(self, events: socket.socket) -> list[KernelEvent]:
        found: list[KernelEvent] = []
        for _ in range(_AT_ONCE):
            if self._events is not events:
                break
            try:
                data = events.recv(_LONGEST_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return found + await self._read_anew(events)
            for message in rtnetlink.messages(data):
                found += self._changes(message)
        return found

    async def _read_anew(self, events: socket.socket) -> list[KernelEvent]:
        _discard(events)
        before = self._held.all() if self._listens_to_held else None
        found = await self._requests.call(lambda talk: _read_all(talk, with_held=before is not None))
        self._vrf_tables = found.vrf_tables
        lost = [] if before is None else self._held.missing(before, found.held)
        return [*self._table.reread(found.interfaces), *lost]

    def _changes(self, message: Message) -> Iterable[KernelEvent]:
        if message.kind in (rtnetlink.DELETE_ROUTE, rtnetlink.DELETE_RULE):
            return self._lost(message)
        return _feed(self._table, self._vrf_tables, message)

    def _lost(self, message: Message) -> Iterator[KernelEvent]:
        if self._held and message.port != self._requests.port_id:
            lost = self._held.lost(message, self._table.name_of)
            if lost is not None:
                yield lost


class _Found(NamedTuple):
    """What a fresh read of everything found; `held` are messages about routes and rules."""

    interfaces: list[InterfaceFacts]
    vrf_tables: dict[InterfaceName, int]
    held: list[Message]


def _read_all(talk: Conversation, with_held: bool = False) -> _Found:
    """Links come before addresses.  Routes of others are left out."""
    table = InterfaceTable()
    vrf_tables: dict[InterfaceName, int] = {}
    for message in (*talk.dump(links.DUMP), *talk.dump(addresses.DUMP)):
        for _ in _feed(table, vrf_tables, message):
            pass
    held: list[Message] = []
    if with_held:
        own = PROTOCOL_KEEPALIVED
        held += (found for found in talk.dump(routes.DUMP) if routes.protocol_of(found.payload) == own)
        held += talk.dump(rules.DUMP)
    return _Found(list(table.by_name().values()), vrf_tables, held)


def _feed(
    table: InterfaceTable, vrf_tables: dict[InterfaceName, int], message: Message
) -> Iterator[InterfaceEvent]:
    """Put what a message says into the tables."""
    payload = message.payload
    match message.kind:
        case rtnetlink.NEW_ADDRESS | rtnetlink.DELETE_ADDRESS:
            if about := addresses.read(payload):
                change = table.address if message.kind == rtnetlink.NEW_ADDRESS else table.address_gone
                yield from change(*about)
        case rtnetlink.NEW_LINK:
            if link := links.read(payload):
                if link.vrf_table:
                    vrf_tables[link.facts.name] = link.vrf_table
                yield from table.link(link.facts)
        case rtnetlink.DELETE_LINK:
            index = links.index_of(payload)
            if index is not None:
                yield from table.link_gone(index)
        case rtnetlink.NEW_NETCONF:
            if forwarding := links.forwarding(payload):
                yield from table.forwards(*forwarding)


def subject_of(change: KernelChange) -> VirtualAddress | Route | Rule:
    """The address, route or rule that is added or deleted."""
    match change:
        case AddAddress() | DeleteAddress():
            return change.address
        case AddRoute() | DeleteRoute():
            return change.route
        case AddRule() | DeleteRule():
            return change.rule
        case _:
            assert_never(change)


def _place(change: KernelChange) -> tuple[type[KernelChange], int]:
    """Where the written request is kept: looking at a record's fields takes longer than writing it."""
    return type(change), id(subject_of(change))


def _has_vrf(subject: VirtualAddress | Route | Rule) -> bool:
    return isinstance(subject, Route) and subject.vrf is not None


def _request(change: KernelChange, vrf_tables: Mapping[InterfaceName, int] | None = None) -> Request:
    """A route of a VRF goes into the table that its device has now."""
    match change:
        case AddAddress():
            return addresses.addition(change.address)
        case DeleteAddress():
            return addresses.removal(change.address)
        case AddRoute():
            return routes.addition(_in_table(change.route, vrf_tables))
        case DeleteRoute():
            return routes.removal(_in_table(change.route, vrf_tables))
        case AddRule():
            return rules.addition(change.rule)
        case DeleteRule():
            return rules.removal(change.rule)
        case _:
            assert_never(change)


def _in_table(route: Route, vrf_tables: Mapping[InterfaceName, int] | None) -> Route:
    if route.vrf is None or vrf_tables is None or route.vrf not in vrf_tables:
        return route
    return replace(route, table=vrf_tables[route.vrf])


def _outcome(change: KernelChange, answer: Answer) -> Outcome:
    if answer is None:
        return Done()
    if isinstance(answer, Unanswered):
        return TimedOut()
    adds = isinstance(change, AddAddress | AddRoute | AddRule)
    already = answer.errno == errno.EEXIST if adds else answer.errno in _NOT_THERE
    return AlreadySo() if already else Failed(answer.errno)


def _open_events() -> socket.socket:
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    try:
        _size_events(events, 0, False)
        events.bind((0, 0))
        for group in _GROUPS:
            events.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except OSError:
        events.close()
        raise
    return events


def _size_events(events: socket.socket, size: int, force: bool) -> int:
    """0, or the errno of the kernel's refusal; `size` 0: as large as usual."""
    if size:
        return receive_buffer.resize(events, size, force)
    if receive_buffer.resize(events, _EVENT_BUFFER, True):
        # Without CAP_NET_ADMIN the system's own limit holds; overflow is dealt with anyway.
        receive_buffer.resize(events, _EVENT_BUFFER, False)
    return 0


def _refusal(error: int, force: bool) -> str:
    """keepalived's words."""
    option = "cant set SO_RCVBUFFORCE" if force else "Cannot set SO_RCVBUF"
    return f"{option} IP option. errno={error} ({os.strerror(error)})"


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
