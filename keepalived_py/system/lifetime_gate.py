"""A gate for kernels without a packet filter: the addresses get a lifetime that is prolonged again and again.

The kernel removes an address whose lifetime (`valid_lft`) has ended.  It counts whole
seconds and looks late: two seconds are gone after 2.0 to 2.5.  So a process that is stopped
or dead loses its addresses by itself, but up to that long after somebody else may have
them; `works` is therefore False.

Others put the addresses on, without a lifetime, after they are guarded.  So the first
extension that finds an address gives it one.  An address that is not there is left alone;
but the kernel adds what it is asked to change, so an address that was deleted between our
look and our request would come back.  Whoever is shut before the request has ended is
therefore looked at again, and what is there is deleted: it was to be given up anyway.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import replace
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Done, Outcome
from keepalived_py.system import addresses, rtnetlink
from keepalived_py.system.attributes import attribute
from keepalived_py.system.requests import Conversation, Refused, Requests
from keepalived_py.system.rtnetlink import Request

LIFETIME_S = 2
_REFRESH_S = 0.25
_REPLACE = 0x100
_LIFETIME = struct.Struct("=IIII")


class _Owner(NamedTuple):
    """What an owner guards; another object whenever it is guarded anew."""

    addresses: tuple[VirtualAddress, ...]


class LifetimeGate:
    """See `election.ports.GatePort`.  Make it inside a running loop, after all forks.

    `say` gets a line when lifetimes cannot be set, once.  Raises OSError if the kernel refuses the socket.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._requests = Requests()
        self._requests.open()
        self._owners: dict[str, _Owner] = {}
        self._due: dict[str, float] = {}
        self._working: set[asyncio.Task[None]] = set()
        self._complained = False

    @property
    def works(self) -> bool:
        """The kernel ends the time by itself, but late."""
        return False

    async def guard(self, owner: str, addresses: Sequence[VirtualAddress], until: Micros) -> Outcome:
        """From now on the addresses get lifetimes whenever `owner` is extended."""
        self._owners[owner] = _Owner(tuple(addresses))
        self._due.pop(owner, None)
        return Done()

    def extend(self, owner: str, until: Micros) -> None:
        """They live for two seconds more, if they are there; every quarter of a second."""
        found, time = self._owners.get(owner), self._loop.time()
        if found is None or time < self._due.get(owner, time):
            return
        self._due[owner] = time + _REFRESH_S
        task = self._loop.create_task(self._refresh(owner, found))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    def shut(self, owner: str) -> None:
        """Their lifetimes run out, unless they are deleted before."""
        self.release(owner)

    def release(self, owner: str) -> None:
        """The addresses are not on this machine any more."""
        self._owners.pop(owner, None)
        self._due.pop(owner, None)

    async def close(self, release: bool) -> None:
        """Prolong nothing any more."""
        self._owners.clear()
        while self._working:
            await asyncio.wait(self._working)
        self._requests.close()

    async def _refresh(self, owner: str, found: _Owner) -> None:
        try:
            refused = await self._requests.call(lambda talk: _prolong(talk, found.addresses))
            if self._owners.get(owner) is not found:
                guarded = {one for each in self._owners.values() for one in each.addresses}
                left = [one for one in found.addresses if one not in guarded]
                await self._requests.call(lambda talk: talk.perform([addresses.removal(one) for one in left]))
        except OSError as error:
            refused = error.errno or 0
        if refused and not self._complained:
            self._complained = True
            self._say(f"gate: addresses get no lifetime (error {refused}): a stopped process keeps them")


def _prolong(talk: Conversation, wanted: Sequence[VirtualAddress]) -> int:
    """In the thread: prolong those that are there; an errno or 0."""
    there = _there(talk)
    requests = [_prolonged(one) for one in wanted if _place(one) in there]
    answers = talk.perform(requests)
    return next((answer.errno for answer in answers if isinstance(answer, Refused)), 0)


def _there(talk: Conversation) -> set[tuple[int, Address, int]]:
    """Index of the interface, address and length of the prefix of all addresses."""
    found = (addresses.read(message.payload) for message in talk.dump(addresses.DUMP))
    return {(about[0], about[1].address, about[1].prefix_length) for about in found if about is not None}


def _place(one: VirtualAddress) -> tuple[int, Address, int]:
    try:
        index = socket.if_nametoindex(one.interface)
    except OSError:
        index = 0
    length = one.prefix_length if one.peer is None else one.peer_prefix_length
    return index, one.address, one.address.max_prefixlen if length is None else length


def _prolonged(one: VirtualAddress) -> Request:
    """The request that gives an address two seconds; one that is not to be preferred stays so."""
    plain = addresses.addition(replace(one, preferred_lifetime_s=None))
    preferred = 0 if one.preferred_lifetime_s == 0 else LIFETIME_S
    lifetime = attribute(addresses.CACHE_INFO, _LIFETIME.pack(preferred, LIFETIME_S, 0, 0))
    return Request(rtnetlink.framed(rtnetlink.NEW_ADDRESS, _REPLACE, plain.payload + lifetime), plain.indices)
