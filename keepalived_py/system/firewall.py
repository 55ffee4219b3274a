"""The packet filter: addresses that are held but not accepted, and virtual MAC devices.

The owner of an address answers for it on the link, but with `no_accept` (RFC 9568
section 6.1, Accept_Mode) nothing may be delivered to it or come from it: only
neighbour discovery of IPv6 passes.  A virtual MAC device must not send IGMP and
MLD reports: switches would learn the virtual MAC at the wrong port of a backup.
They leave by the base interface instead, as copies, and router solicitations not
at all.

The table is keepalived's, name by name: `nft list ruleset` shows the same under
both programs.  It is made with the first thing that goes into it, stays with its
sets empty when nothing is left, and goes at the end; what a killed predecessor
left under its name is removed first.  As in newer versions the rules for IPv6
devices also cover reports of MLDv1, and advertisements for the link-local address
that the device shares with its base interface.

Link-local addresses count together with their interface: by its index, which costs
less to compare, or by its name if the instance does not track the interface and so
lives through its being replaced (`dont_track_primary`), unless `nftables_ifindex`.

If somebody flushes the packet filter (as a restart of nftables.service does), the
next change notices and puts everything in anew.

Two instances may hold the same address (a cluster that moves it between them in one
reload): an element stays until the last of them has given it up and the kernel has let
it go.  Who asks again, because a request was refused or nobody answered, asks for
the same thing (`system.firewall_claims`); what the kernel would not let go is tried
again with the next change, whoever asks for that.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Coroutine, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.interfaces import Device, DeviceKind
from keepalived_py.system import nftables as nft
from keepalived_py.system.firewall_claims import Claims
from keepalived_py.system.firewall_rules import BY_INDEX, BY_NAME, MAP, PARENTS, SET, VIPS, Element, Rules
from keepalived_py.system.nftables import IPV4, IPV6, Kind, Message

# Also what the kernel says of an element that is not there: then the table is not as we left it.
_VANISHED = Failed(errno.ENOENT)


class Vmac(NamedTuple):
    """A virtual MAC device as the filter knows it.

    `families` are 4 and 6, for whichever addresses live on it.  `shared`: the link-local
    address it has in common with its base interface, if it has.
    """

    name: InterfaceName
    own_index: int
    base_index: int
    families: tuple[int, ...]
    shared: Address | None = None


class _Block(NamedTuple):
    """The claim of an instance: an address is not to be reached."""

    owner: InstanceName
    address: Address
    interface: InterfaceName


class Firewall:
    """The filter's table in this network namespace.  Use it inside a running loop.

    `log` gets a line for each table that a predecessor has left.  Nothing raises:
    what the kernel refuses comes back as Failed, and all is as it was before then.
    """

    def __init__(self, configuration: Configuration, log: Callable[[str], None]) -> None:
        self._log = log
        self._settings = configuration.globals.firewall
        self._rules = Rules(self._settings)
        self._claims: Claims[Element] = Claims()
        self._untracked: frozenset[tuple[Address, InterfaceName]] = frozenset()
        self._channel: nft.Channel | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self.follow(configuration)

    def follow(self, configuration: Configuration) -> None:
        """A reload.  The table keeps its name and options until it has gone (`clear`)."""
        self._untracked = frozenset(
            (address.address, address.interface)
            for instance in configuration.instances
            if not instance.track_primary
            for address in (*instance.addresses, *instance.excluded_addresses)
            if address.interface == instance.interface or not address.tracked
        )
        if not self._rules.families:
            self._settings = configuration.globals.firewall
            self._rules = Rules(self._settings)

    async def block(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> Outcome:
        """Drop everything to and from `addresses`, but neighbour discovery, until `owner` takes it back.

        AlreadySo if they are blocked.  Failed(ENODEV) if a link-local address is on an interface
        that does not exist.
        """
        return await self._in_turn(self._block(owner, addresses))

    async def unblock(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> Outcome:
        """Take back what `owner` has blocked; AlreadySo if nothing had to be removed for that.

        Failed: something that nobody blocks any more is still there, to be asked for again.
        """
        return await self._in_turn(self._unblock(owner, addresses))

    async def settle(self, vmacs: Iterable[Vmac]) -> Outcome:
        """Have what exactly these devices must not send themselves leave by their bases.

        One that was made anew is taken anew.  Failed if one of them was refused.
        """
        return await self._in_turn(self._settle(tuple(vmacs)))

    async def clear(self) -> Outcome:
        """Remove the table with everything in it.  It is made again when something is added."""
        return await self._in_turn(self._clear())

    def close(self) -> None:
        """Close the socket and end the thread; the table stays."""
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def _in_turn(self, change: Coroutine[Any, Any, Outcome]) -> Outcome:
        """One after the other, and to the end: who stops waiting for a change does not undo it."""

        async def when_free() -> Outcome:
            async with self._turn:
                return await change

        return await asyncio.shield(when_free())

    async def _block(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> Outcome:
        wanted = [self._element(address) for address in addresses]
        found = [element for element in wanted if element is not None]
        if len(found) < len(wanted):
            return Failed(errno.ENODEV)
        outcome = await self._add(found)
        if not isinstance(outcome, Failed):
            for virtual, element in zip(addresses, found, strict=True):
                self._claims.make(_Block(owner, virtual.address, virtual.interface), (element,))
            await self._sweep()
        return outcome

    async def _unblock(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> Outcome:
        for virtual in addresses:
            self._claims.give_up(_Block(owner, virtual.address, virtual.interface))
        return await self._sweep()

    async def _settle(self, vmacs: Sequence[Vmac]) -> Outcome:
        wanted: dict[Hashable, tuple[Element, ...]] = {
            vmac.name: tuple(self._vmac_elements(vmac)) for vmac in vmacs
        }
        for claim in self._claims.names():
            if not isinstance(claim, _Block) and self._claims.of(claim) != wanted.get(claim):
                self._claims.give_up(claim)
        # What a device made anew had must go first: a map has room for one of the two.
        outcome = await self._sweep()
        for name, elements in wanted.items():
            added = await self._add(elements)
            if isinstance(added, Failed):
                outcome = added
            else:
                self._claims.make(name, elements)
        return outcome if isinstance(outcome, Failed) else Done()

    async def _clear(self) -> Outcome:
        families, table = self._rules.families, self._rules.table
        outcome: Outcome = AlreadySo()
        if families:
            outcome = await self._commit([nft.delete_table(family, table) for family in families])
        if not isinstance(outcome, Failed) or outcome == _VANISHED:
            self._claims.clear()
            self._rules = Rules(self._settings)
        return outcome

    def _element(self, address: VirtualAddress) -> Element | None:
        family = IPV4 if address.address.version == 4 else IPV6
        packed = address.address.packed
        if family == IPV4 or not address.address.is_link_local:
            return Element(family, VIPS, packed)
        if not self._settings.ifindex and (address.address, address.interface) in self._untracked:
            return Element(family, BY_NAME, packed + nft.name(address.interface))
        try:
            number = socket.if_nametoindex(address.interface)
        except OSError:
            return None
        return Element(family, BY_INDEX, packed + nft.index(number))

    def _vmac_elements(self, vmac: Vmac) -> Iterator[Element]:
        own, base = nft.index(vmac.own_index), nft.index(vmac.base_index)
        if 4 in vmac.families:
            yield Element(IPV4, MAP, own, base)
        if 6 in vmac.families:
            yield Element(IPV6, MAP, own, base)
            yield Element(IPV6, SET, own)
            if vmac.shared is not None:
                device = own if self._settings.ifindex else nft.name(vmac.name)
                yield Element(IPV6, PARENTS, vmac.shared.packed + device)

    async def _add(self, elements: Sequence[Element]) -> Outcome:
        new = self._claims.lacking(elements)
        outcome = await self._put(self._rules, new) if new else AlreadySo()
        if outcome == _VANISHED:
            return await self._restore((*self._claims.wanted, *new))
        if not isinstance(outcome, Failed):
            self._claims.came(new)
        return outcome

    async def _sweep(self) -> Outcome:
        """Remove what nobody claims."""
        spare = self._claims.spare
        if not spare:
            return AlreadySo()
        outcome = await self._commit(list(_by_set(Kind.DELETE_ELEMENTS, self._rules.table, spare)))
        if outcome == _VANISHED:
            return await self._restore(self._claims.wanted)
        if not isinstance(outcome, Failed):
            self._claims.went(spare)
        return outcome

    async def _put(self, rules: Rules, elements: Sequence[Element]) -> Outcome:
        before = rules.mark()
        messages = list(rules.needed_by(elements))
        messages += _by_set(Kind.NEW_ELEMENTS, rules.table, elements)
        outcome = await self._commit(messages, fresh=not before)
        if isinstance(outcome, Failed):
            rules.undo(before)
        return outcome

    async def _restore(self, elements: Sequence[Element]) -> Outcome:
        """Somebody flushed the packet filter: put in anew what is wanted."""
        rules = Rules(self._settings)
        outcome = await self._put(rules, elements)
        if not isinstance(outcome, Failed):
            self._rules = rules
            self._claims.went(self._claims.spare)
            self._claims.came(elements)
        return outcome

    async def _commit(self, messages: Sequence[Message], fresh: bool = False) -> Outcome:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "firewall", _as_the_main_thread)
        number, old = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._exchange, messages, fresh
        )
        for family in old:
            self._log(f"Deleting old ip{'' if family == IPV4 else '6'} {self._rules.table} table")
        return Failed(number) if number else Done()

    def _exchange(self, messages: Sequence[Message], fresh: bool) -> tuple[int, list[int]]:
        """In the thread: the errno, and the families of tables that were in the way."""
        try:
            if self._channel is None:
                self._channel = nft.Channel()
        except OSError as error:
            return error.errno or errno.EIO, []
        table = self._rules.table
        old = [family for family in (IPV4, IPV6) if fresh and self._channel.has_table(family, table)]
        batch = [*(nft.delete_table(family, table) for family in old), *messages]
        return self._channel.commit(batch) if batch else 0, old


def _as_the_main_thread() -> None:
    """A thread starts as an ordinary one; an address is not to wait for that."""
    with contextlib.suppress(OSError):
        process = os.getpid()
        os.sched_setscheduler(0, os.sched_getscheduler(process), os.sched_getparam(process))


def _by_set(kind: Kind, table: str, elements: Sequence[Element]) -> Iterator[Message]:
    """One message for each set, in the order of their first elements."""
    sets: dict[tuple[int, str], list[nft.Element]] = {}
    for element in elements:
        sets.setdefault((element.family, element.set_name), []).append((element.key, element.data))
    for (family, name), members in sets.items():
        yield nft.elements(kind, family, table, name, members)


def vmac_of(device: Device, families: Iterable[int], shared: Address | None = None) -> Vmac | None:
    """`device` as it exists now; None if it or its base interface does not."""
    try:
        own, base = socket.if_nametoindex(device.name), socket.if_nametoindex(device.base)
    except OSError:
        return None
    return Vmac(device.name, own, base, tuple(families), shared)


def vmacs_of(
    configuration: Configuration, interfaces: Mapping[InterfaceName, InterfaceFacts]
) -> Iterator[Vmac]:
    """The devices of a planned configuration that exist, for `Firewall.settle`.

    A device counts for both families if its instance has excluded addresses of the other one.
    IPv4 instances leave the filter alone with `disable_local_igmp`.  Devices of single addresses do not
    make keepalived use a filter; one that is used for another reason knows them.
    """
    if not _is_used(configuration):
        return
    excluded = {one.name: one.excluded_addresses for one in configuration.instances}
    for device in configuration.devices:
        if device.kind is not DeviceKind.MACVLAN:
            continue
        if device.family == 4 and configuration.globals.disable_local_igmp:
            continue
        more = () if device.for_address else excluded.get(device.instance, ())
        families = sorted({device.family, *(one.address.version for one in more)})
        vmac = vmac_of(device, families, _link_local(interfaces.get(device.base)))
        if vmac is not None:
            yield vmac


def _is_used(configuration: Configuration) -> bool:
    settings = configuration.globals.firewall
    return (
        settings.table is not None
        or settings.iptables is not None
        or any(not device.for_address for device in configuration.devices)
        or any(not instance.accept for instance in configuration.instances)
    )


def _link_local(base: InterfaceFacts | None) -> Address | None:
    found = () if base is None else base.addresses
    return next(
        (one.address for one in found if one.address.is_link_local and one.address.version == 6), None
    )
