"""Telling neighbours where an address is now, no faster than they can bear.

Some switches and hosts lose gratuitous ARPs or neighbour advertisements that
come too fast.  `vrrp_garp_interval` and `vrrp_gna_interval` keep those of one
physical interface apart, `garp_group` says so for interfaces of its own choice,
or has several of them wait for each other.  A virtual MAC device counts as the
interface below it.

Without an interval an announcement leaves at once.  With one, the first leaves at
once and the others wait in turn: every address once, then every address again, so
that the last of many addresses is not announced only after all repeats of the
others.  All repeats are sent, as newer versions of keepalived do (2.2.7 forgets
those that come while the address waits); but no address waits more often than its
instance repeats announcements, so that a queue never grows without end.

Whoever leaves MASTER empties its part of the queue (`forget`): an address that is
no longer here must not be announced.  Nor may one whose instance has lost its right to
it (`may_announce`); that is asked when an announcement leaves.  The frame is made when it leaves, with the
hardware address that the interface has by then.
"""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import NamedTuple

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election.ports import NeighbourPort
from keepalived_py.model.config import Configuration, GratuitousArp, VirtualAddress
from keepalived_py.model.effects import Done, Failed, Outcome
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.ndisc import unsolicited_advertisement

_LINK_ADDRESSES = (6, 20)
# ARP and neighbour discovery have intervals and queues of their own.
_FAMILIES = (4, 6)

Send = Callable[[InstanceName, VirtualAddress], Outcome]


class _Waiting(NamedTuple):
    """An address that has announcements to come."""

    instance: InstanceName
    address: VirtualAddress


class _Written(NamedTuple):
    """The announcement of `address`, good for as long as `facts` are those of its interface."""

    address: VirtualAddress
    facts: InterfaceFacts
    announcement: tuple[int, bytes]


class _Pool(NamedTuple):
    """What waits for each other: an interface or a whole group, for one family."""

    name: str
    family: int


class _Queue:
    """Announcements that are kept `interval_us` apart."""

    def __init__(self, interval_us: Micros, send: Send) -> None:
        self._interval_s = as_seconds(interval_us)
        self._send = send
        self._loop = asyncio.get_running_loop()
        # How often, in the order of their turns.
        self._pending: dict[_Waiting, int] = {}
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, what: _Waiting, most: int) -> Outcome:
        """Send now if it may be, else later; an address waits at most `most` times."""
        waits = self._pending.get(what, 0)
        if waits:
            self._pending[what] = min(waits + 1, max(most, waits))
            return Done()
        if not self._pending and self._loop.time() >= self._free_at:
            return self._send_now(what)
        self._pending[what] = 1
        self._arm()
        return Done()

    def forget(self, what: _Waiting) -> None:
        """Drop one address."""
        self._pending.pop(what, None)
        self._arm()

    def forget_instance(self, instance: InstanceName) -> None:
        """Drop all addresses of an instance."""
        self._pending = {what: n for what, n in self._pending.items() if what.instance != instance}
        self._arm()

    def clear(self) -> None:
        """Drop everything."""
        self._pending.clear()
        self._arm()

    def hand_over(self) -> dict[_Waiting, int]:
        """What waits, and how often; nothing waits here any more."""
        waiting, self._pending = self._pending, {}
        self._arm()
        return waiting

    def follow_on(self, before: "_Queue") -> None:
        """Nothing is sent sooner because the settings were read anew."""
        self._free_at = min(before._free_at, self._loop.time() + self._interval_s)

    def _send_now(self, what: _Waiting) -> Outcome:
        self._free_at = self._loop.time() + self._interval_s
        return self._send(what.instance, what.address)

    def _arm(self) -> None:
        if not self._pending:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            self._timer = self._loop.call_at(self._free_at, self._next)

    def _next(self) -> None:
        self._timer = None
        what = next(iter(self._pending))
        left = self._pending.pop(what) - 1
        if left:
            self._pending[what] = left
        self._send_now(what)
        self._arm()


class Announcer:
    """Sends announcements.  `interfaces` says what is known of an interface, if it exists,
    `may_announce` whether an instance may still say that it has its addresses.

    Make it inside a running loop; `follow` must have been called before `announce`.
    """

    def __init__(
        self,
        neighbours: NeighbourPort,
        interfaces: Callable[[InterfaceName], InterfaceFacts | None],
        may_announce: Callable[[InstanceName], bool] = lambda instance: True,
    ) -> None:
        self._neighbours = neighbours
        self._interfaces = interfaces
        self._may_announce = may_announce
        self._queues: dict[_Pool, _Queue] = {}
        self._pools: dict[tuple[str, int], _Pool] = {}
        self._below: dict[InterfaceName, InterfaceName] = {}
        self._repeats: dict[InstanceName, int] = {}
        # By the identity of the address: comparing two takes longer than writing a frame.
        self._written: dict[int, _Written] = {}
        # Frames that are to leave together, with the indices of their interfaces.
        self._gathered: list[tuple[int, bytes]] | None = None

    def follow(self, configuration: Configuration) -> None:
        """The intervals of `configuration` hold from now on; what waits goes on waiting."""
        self._written.clear()
        self._below = {device.name: device.base for device in configuration.devices}
        self._repeats = {instance.name: _most(instance.garp) for instance in configuration.instances}
        intervals = _intervals(configuration, self._below)
        before, self._queues = self._queues, {}
        self._pools = {}
        for (interface, family), (pool_name, interval_us) in intervals.items():
            pool = _Pool(pool_name, family)
            self._pools[interface, family] = pool
            if pool not in self._queues:
                self._queues[pool] = queue = _Queue(interval_us, self._send)
                if pool in before:
                    queue.follow_on(before[pool])
        for old in before.values():
            for what, times in old.hand_over().items():
                for _ in range(times):
                    self.announce(what.instance, what.address)

    def announce(self, instance: InstanceName, address: VirtualAddress) -> Outcome:
        """Announce `address` once, now or when its turn comes.

        Done if it waits, or may not be announced; Failed with the errno of the socket, or ENODEV
        without an interface that has a hardware address.
        """
        queue = self._queue_of(address) if self._queues else None
        if queue is None:
            return self._send(instance, address)
        return queue.add(_Waiting(instance, address), self._repeats.get(instance, 1))

    def prepare(self, address: VirtualAddress) -> None:
        """Write the announcement of `address` now, so that it costs next to nothing later."""
        self._announcement(address)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What may leave at once inside the block leaves at its end, all of it in one call of the kernel.

        Such an announcement counts as Done, whatever becomes of it.
        """
        if self._gathered is not None:
            yield
            return
        self._gathered = []
        try:
            yield
        finally:
            self.flush()
            self._gathered = None

    def flush(self) -> None:
        """Send what was gathered so far: something is to follow it."""
        if self._gathered:
            self._neighbours.send_many(self._gathered)
            self._gathered = []

    def forget(self, instance: InstanceName, address: VirtualAddress | None = None) -> None:
        """Announce nothing more of `instance`, or of one address of it."""
        for queue in self._queues.values():
            if address is None:
                queue.forget_instance(instance)
            else:
                queue.forget(_Waiting(instance, address))

    def close(self) -> None:
        """Forget everything."""
        for queue in self._queues.values():
            queue.clear()

    def _queue_of(self, address: VirtualAddress) -> _Queue | None:
        interface = self._below.get(address.interface, address.interface)
        pool = self._pools.get((interface, address.address.version))
        return None if pool is None else self._queues[pool]

    def _send(self, instance: InstanceName, address: VirtualAddress) -> Outcome:
        if not self._may_announce(instance):
            return Done()
        announcement = self._announcement(address)
        if announcement is None:
            return Failed(errno.ENODEV)
        if self._gathered is not None:
            self._gathered.append(announcement)
            return Done()
        error = self._neighbours.send(*announcement)
        return Failed(error) if error else Done()

    def _announcement(self, address: VirtualAddress) -> tuple[int, bytes] | None:
        """The frame and the index of its interface; None if that has no hardware address."""
        facts = self._interfaces(address.interface)
        written = self._written.get(id(address))
        if written is not None and written.facts is facts and written.address is address:
            return written.announcement
        if facts is None or not facts.index or len(facts.mac) not in _LINK_ADDRESSES:
            return None
        what = address.address
        if isinstance(what, IPv4Address):
            frame = gratuitous_arp(facts.mac, what)
        else:
            frame = unsolicited_advertisement(facts.mac, what, facts.forwards)
        announcement = facts.index, frame
        self._written[id(address)] = _Written(address, facts, announcement)
        return announcement


def _most(garp: GratuitousArp) -> int:
    """The most announcements that an instance makes of an address in one go."""
    return max(1, garp.repeat, garp.refresh_repeat, garp.lower_priority_repeat)


_Paced = dict[tuple[str, int], tuple[str, Micros]]


def _intervals(configuration: Configuration, below: Mapping[InterfaceName, InterfaceName]) -> _Paced:
    """By interface and family: the name of the pool it belongs to, and the interval that holds in it.

    The groups come first; the global intervals hold for the other interfaces of instances and
    their addresses.  An interface of a group without an interval for a family has none.
    """
    paced: _Paced = {}
    grouped: set[str] = set()
    for number, group in enumerate(configuration.garp_groups):
        for family, interval_us in zip(
            _FAMILIES, (group.garp_interval_us, group.gna_interval_us), strict=True
        ):
            if interval_us:
                paced |= {(one, family): (one, interval_us) for one in group.interfaces}
                paced |= {(one, family): (f"group {number}", interval_us) for one in group.shared}
        grouped.update(group.interfaces, group.shared)
    common = configuration.globals.garp
    for family, interval_us in zip(_FAMILIES, (common.interval_us, common.gna_interval_us), strict=True):
        if interval_us:
            used = {below.get(one, one) for one in _used(configuration)} - grouped
            paced |= {(one, family): (one, interval_us) for one in used}
    return paced


def _used(configuration: Configuration) -> Iterator[InterfaceName]:
    for instance in configuration.instances:
        yield instance.configured_interface
        for address in (*instance.addresses, *instance.excluded_addresses):
            yield address.interface
