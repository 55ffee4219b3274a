"""Virtual servers at work: a timer for each check, and what follows from its results.

Everything that decides is in `core.checks`.  This shell keeps the values between the
steps: a pool for each virtual server, a `Checking` for each check, found by the
check's number.  A number is never used twice, so whatever comes back late (from a check that
a reload has ended) finds nobody and means nothing.

Each check has one timer of its own, which is up to a millisecond late, so that
thousands of checks a second need a thousand wake-ups.  A check that runs is a task; it ends
within the time limits of its kind, so there are never more tasks than checks.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.core.checks import files, pool_reload, schedule, sessions
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.checking import Checking, extra_weight, failed_count
from keepalived_py.core.checks.healing import Wanted
from keepalived_py.core.checks.monitor import resolve
from keepalived_py.core.checks.names import places_in_groups, server_name, virtual_name
from keepalived_py.core.checks.orders import Orders, order_at, ordered_weight
from keepalived_py.core.checks.pool import Pool
from keepalived_py.core.checks.services import destination
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.core.checks.view import View
from keepalived_py.health.performing import Performer
from keepalived_py.health.ports import Machine
from keepalived_py.health.presence import Presence, Range, is_within, ranges_of
from keepalived_py.model.check_events import CheckEffect, CheckResult, StartCheck
from keepalived_py.model.checks import BfdCheck, Check, FileCheck, MiscCheck, WebCheck
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import RunCheck, WriteLog
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    BfdChanged,
    FileRead,
    InterfaceAddress,
    ScriptFinished,
)
from keepalived_py.model.globals import LvsFlush
from keepalived_py.model.ipvs import Destination, FlushTable, Service, TableChange
from keepalived_py.model.virtual_server import RealServer, VirtualServer
from keepalived_py.system.loop import call_at

_STEP_US = 1_000


class _Virtual:
    """A virtual server that runs.  `numbers`: those of the checks of each real server."""

    __slots__ = ("numbers", "place", "pool")

    pool: Pool

    def __init__(self, place: int) -> None:
        self.place = place
        self.numbers: list[tuple[int, ...]] = []

    def indices(self) -> dict[Hashable, int]:
        """Where each real server stands."""
        return {
            pools.server_identity(server.settings): index for index, server in enumerate(self.pool.servers)
        }


class _Item:
    """A check that runs again and again, for the server at `index` of `virtual`."""

    __slots__ = ("checking", "index", "task", "timer", "virtual")

    def __init__(self, virtual: _Virtual, index: int, checking: Checking) -> None:
        self.virtual = virtual
        self.index = index
        self.checking = checking
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Nothing of it shall happen any more."""
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()
        self.timer = self.task = None


class _Groups:
    """Virtual servers by their groups: only within one may they have services in common."""

    def __init__(self, virtuals: Iterable[_Virtual]) -> None:
        self._members: dict[str, list[_Virtual]] = {}
        for virtual in virtuals:
            group = virtual.pool.settings.group
            if group is not None:
                self._members.setdefault(group, []).append(virtual)

    def others(self, virtual: _Virtual) -> list[_Virtual]:
        """Those of the same group."""
        group = virtual.pool.settings.group
        return [] if group is None else [one for one in self._members.get(group, ()) if one is not virtual]

    def later(self, virtual: _Virtual) -> list[_Virtual]:
        """Those of the same group that come after it."""
        group = virtual.pool.settings.group
        if group is None:
            return []
        members = self._members[group]
        return members[members.index(virtual) + 1 :]


class _Former(NamedTuple):
    """What was there before a reload: virtual servers by what makes them the same, and their checks."""

    virtuals: Mapping[Hashable, _Virtual]
    items: Mapping[int, _Item]


class Shell:
    """All virtual servers of this process.  Make it inside its running loop; `start` comes first.

    `orders`: those of an administrator that stand now.  `wanted`: what the kernel has of us.
    `changed` is called when something happened that readers should see.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._performer = Performer(machine, self._begin, self._changed)
        self._configuration = Configuration()
        self._virtuals: list[_Virtual] = []
        self._items: dict[int, _Item] = {}
        self._numbers = 0
        self._files: dict[str, int] = {}
        self._presence = Presence()
        self.wanted = Wanted()
        self.orders: Callable[[], Orders] = Orders
        self.changed: Callable[[], object] = lambda: None

    # -- begin, reload, end ---------------------------------------------------------

    def present(self, addresses: Iterable[AddressAdded]) -> None:
        """Addresses that this machine has, before news of them come."""
        for event in addresses:
            self._presence.said(event)

    def start(self, configuration: Configuration, read: Iterable[FileRead]) -> None:
        """Put everything into the kernel, and have every check wait for its first time.

        `read`: what is in the tracked files.
        """
        self._configuration = configuration
        self._files.update((file.name, file.value or 0) for file in read)
        out: list[CheckEffect] = []
        if configuration.globals.lvs.flush and configuration.virtual_servers:
            out.append(FlushTable())
        self._virtuals = self._made()
        self._initialise(out)
        self._announce(out)
        self._performer.perform(out)
        self._arm_all()
        self.changed()

    def replace(self, configuration: Configuration, read: Iterable[FileRead]) -> None:
        """A reload: what is the same stays in the kernel, with its connections."""
        self._files.update((file.name, file.value or 0) for file in read)
        olds = self._virtuals
        kept = dict(zip(_identities(olds), olds, strict=True))
        before, self._items = self._items, {}
        former = _Former(kept, before)
        self._configuration = configuration
        out: list[CheckEffect] = []
        news = self._made(former)
        heirs = dict(zip(_identities(news), news, strict=True))
        before_groups, groups = _Groups(olds), _Groups(news)
        for key, old in kept.items():
            heir = heirs.get(key)
            others = before_groups.later(old) + [one for one in groups.others(old) if one is not heir]
            shared = pools.shared_services(old.pool, (one.pool for one in others))
            if heir is None:
                what = "Group " if old.pool.settings.group is not None else ""
                name = f"[{old.pool.settings.group}]" if what else old.pool.name
                out.append(WriteLog(f"Removing Virtual Server {what}{name}"))
                pools.dissolved(old.pool, out, stopping=False, shared=shared)
            else:
                heir.pool = pool_reload.carried_over(old.pool, heir.pool, out, shared=shared)
        self._virtuals = news
        self._initialise(out)
        self._announce(out)
        self._performer.perform(out)
        for item in before.values():
            item.end()
        self._arm_all()
        self.wanted.configured(_configured(news))
        self.changed()

    def stop(self, *, release: bool) -> None:
        """End all checks and, with `release`, take everything out of the kernel."""
        for item in self._items.values():
            item.end()
        self._items = {}
        out: list[CheckEffect] = []
        if release:
            if self._virtuals and self._configuration.globals.lvs.flush_on_stop is LvsFlush.ALL:
                out.append(FlushTable())
            groups = _Groups(self._virtuals)
            for virtual in self._virtuals:
                shared = pools.shared_services(virtual.pool, (one.pool for one in groups.later(virtual)))
                virtual.pool = pools.dissolved(virtual.pool, out, stopping=True, shared=shared)
        self._performer.perform(out)

    # -- making -----------------------------------------------------------------------

    def _made(self, former: _Former | None = None) -> list[_Virtual]:
        """A pool and checks for each virtual server; the `former` ones hand over what their checks knew."""
        configuration = self._configuration
        groups = {group.name: group for group in configuration.server_groups}
        places = places_in_groups(configuration.virtual_servers)
        made: list[_Virtual] = []
        for settings, place in zip(configuration.virtual_servers, places, strict=True):
            virtual = _Virtual(place)
            checks = self._checks_made(settings, place, former)
            group = groups.get(settings.group) if settings.group is not None else None
            failed = [failed_count(one) for one in checks]
            virtual.pool = pools.begun(settings, group, place, failed, configuration.globals)
            virtual.numbers = [
                tuple(self._kept(virtual, index, checking) for checking in one)
                for index, one in enumerate(checks)
            ]
            servers = [
                server._replace(weight=self._weight(virtual, index))
                for index, server in enumerate(virtual.pool.servers)
            ]
            virtual.pool = virtual.pool._replace(servers=tuple(servers))
            made.append(virtual)
        return made

    def _checks_made(
        self, settings: VirtualServer, place: int, former: _Former | None
    ) -> list[tuple[Checking, ...]]:
        name = virtual_name(settings, place)
        old = None if former is None else former.virtuals.get(pools.identity(settings, place))
        indices = {} if old is None else old.indices()
        awake = not settings.ha_suspend or self._is_here(settings)
        made: list[tuple[Checking, ...]] = []
        for server in settings.real_servers:
            begun = [
                schedule.enabled(self._begun(settings, server, name, check, reload=former is not None), awake)
                for check in server.checks
            ]
            index = indices.get(pools.server_identity(server))
            if former is None or old is None or index is None:
                made.append(tuple(begun))
                continue
            olds = [former.items[number].checking for number in old.numbers[index]]
            made.append(schedule.migrated(begun, olds, old.pool.servers[index].alive))
        return made

    def _begun(
        self, settings: VirtualServer, server: RealServer, name: str, check: Check, *, reload: bool
    ) -> Checking:
        machine = self._machine
        self._numbers += 1
        made = schedule.begun(
            self._numbers,
            _with_host(check, server, settings),
            server,
            server_name(settings, server),
            name,
            machine.now(),
            machine.chance(),
            reload=reload,
        )
        if isinstance(check, FileCheck):
            made = files.first_number(made, self._files.get(check.track_file, 0))
        return made

    def _kept(self, virtual: _Virtual, index: int, checking: Checking) -> int:
        self._items[checking.number] = _Item(virtual, index, checking)
        return checking.number

    def _initialise(self, out: list[CheckEffect]) -> None:
        groups = _Groups(self._virtuals)
        for virtual in self._virtuals:
            shared = pools.shared_services(virtual.pool, (one.pool for one in groups.others(virtual)))
            virtual.pool = pools.initialised(virtual.pool, out, shared=shared)

    def _announce(self, out: list[CheckEffect]) -> None:
        lines = (schedule.activity_line(item.checking, starting=True) for item in self._items.values())
        out.extend(line for line in lines if line is not None)

    def _arm_all(self) -> None:
        for item in self._items.values():
            self._arm(item)

    # -- checks -----------------------------------------------------------------------

    def _arm(self, item: _Item) -> None:
        at = item.checking.next_at
        if item.timer is not None:
            item.timer.cancel()
        item.timer = None if at is None else call_at(_rounded(at), partial(self._due, item))

    def _due(self, item: _Item) -> None:
        item.timer = None
        out: list[Consequence] = []
        item.checking = schedule.due(item.checking, self._machine.now(), out)
        self._conclude(item, out)
        self._arm(item)

    def _begin(self, order: StartCheck) -> None:
        if isinstance(order.check, MiscCheck):
            name = ScriptName(str(order.number))
            virtual = self._items[order.number].virtual.pool.settings
            limit = schedule.misc_timeout_us(order.check, virtual.delay_loop_us)
            self._machine.programs.check(RunCheck(name, order.check.command, limit))
            return
        item = self._items[order.number]
        item.task = asyncio.get_running_loop().create_task(self._probe(item, order))

    async def _probe(self, item: _Item, order: StartCheck) -> None:
        result = await self._machine.probes.run(order)
        item.task = None
        self._finish(item, result)

    def _finish(self, item: _Item, result: CheckResult) -> None:
        out: list[Consequence] = []
        item.checking = schedule.finished(item.checking, result, self._machine.now(), out)
        self._conclude(item, out)
        self._arm(item)
        self.changed()  # at least what was found, and how long it took

    def _conclude(self, item: _Item, consequences: Sequence[Consequence]) -> None:
        if not consequences:
            return
        if len(consequences) == 1 and isinstance(consequences[0], StartCheck):
            # As most of them: nothing is said about the server, so there is nothing to resolve.
            self._begin(consequences[0])
            return
        out: list[CheckEffect] = []
        virtual = item.virtual
        virtual.pool = resolve(
            virtual.pool,
            item.index,
            consequences,
            self._weight(virtual, item.index),
            out,
            no_checker_emails=self._configuration.globals.mail.no_checker_emails,
        )
        self._performer.perform(out)
        if any(not isinstance(effect, StartCheck) for effect in out):
            self.changed()

    def _weight(self, virtual: _Virtual, index: int) -> int:
        """What the server is to weigh, by the configuration, its checks, and orders."""
        added = extra_weight(self._items[number].checking for number in virtual.numbers[index])
        order = order_at(self.orders(), virtual.pool, index)
        return ordered_weight(order, virtual.pool.servers[index].settings.weight, added)

    # -- news -------------------------------------------------------------------------

    def program_ended(self, event: ScriptFinished) -> None:
        """The program of a MISC_CHECK has ended."""
        item = self._items.get(int(event.name))
        if item is None or not isinstance(item.checking.check, MiscCheck):
            return
        took = Micros(self._machine.now() - item.checking.started_at)
        check = item.checking.check
        result = schedule.misc_result(check, event.status, event.signal, event.timed_out, took)
        self._finish(item, result)

    def file_read(self, event: FileRead) -> None:
        """There is another number in a tracked file."""
        number = self._files[event.name] = event.value or 0
        for item in self._of_kind(FileCheck):
            check = item.checking.check
            if isinstance(check, FileCheck) and check.track_file == event.name:
                out: list[Consequence] = []
                item.checking = files.number_read(item.checking, number, out)
                self._conclude(item, out)

    def session_changed(self, event: BfdChanged) -> None:
        """A BFD session came up or went down."""
        for item in self._of_kind(BfdCheck):
            check = item.checking.check
            if isinstance(check, BfdCheck) and check.name == event.name:
                out: list[Consequence] = []
                item.checking = sessions.session_said(item.checking, event.up, out)
                self._conclude(item, out)

    def address_changed(self, event: AddressAdded | AddressRemoved, *, told: bool = False) -> None:
        """An address came to this machine or went: checks with `ha_suspend` go on or rest.

        `told`: that it did is in the log already.
        """
        self._presence.said(event)
        address = event.address.address
        concerned = [
            virtual
            for virtual in self._virtuals
            if virtual.pool.settings.ha_suspend and is_within(address, self._ranges(virtual.pool.settings))
        ]
        if concerned and not told:
            came = "added" if isinstance(event, AddressAdded) else "removed"
            line = WriteLog(f"Netlink reflector reports IP {address} {came}", detail=True)
            self._performer.perform([line])
        for virtual in concerned:
            self._suspend(virtual, self._is_here(virtual.pool.settings))

    def interface_gone(self, interface: InterfaceName) -> None:
        """An interface is deleted or has another name now: the kernel does not tell of its addresses."""
        for address, length in list(self._presence.of_interface(interface)):
            self.address_changed(AddressRemoved(interface, InterfaceAddress(address, length)))

    def _suspend(self, virtual: _Virtual, on: bool) -> None:
        lines: list[CheckEffect] = []
        for number in (number for numbers in virtual.numbers for number in numbers):
            item = self._items[number]
            if item.checking.enabled != on:
                item.checking = schedule.enabled(item.checking, on)
                line = schedule.activity_line(item.checking)
                if line is not None:
                    lines.append(line)
        self._performer.perform(lines)

    def _is_here(self, settings: VirtualServer) -> bool:
        return self._presence.has(self._ranges(settings))

    def _ranges(self, settings: VirtualServer) -> tuple[Range, ...]:
        groups = self._configuration.server_groups if settings.group is not None else ()
        return ranges_of(settings, next((one for one in groups if one.name == settings.group), None))

    def _of_kind(self, kind: type[Check]) -> list[_Item]:
        return [item for item in self._items.values() if isinstance(item.checking.check, kind)]

    # -- orders, views, healing ---------------------------------------------------------

    def ordered(self, virtual: int, server: int) -> None:
        """There is a new order about a server: its weight follows."""
        out: list[CheckEffect] = []
        one = self._virtuals[virtual]
        one.pool = pools.weight_changed(one.pool, server, self._weight(one, server), out)
        self._performer.perform(out)
        self.changed()

    def view(self) -> View:
        """What is so now."""
        return View(
            tuple(virtual.pool for virtual in self._virtuals),
            self._checkings,
            self.orders(),
            self._machine.now(),
        )

    def _checkings(self, virtual: int, server: int) -> Iterator[Checking]:
        if virtual < len(self._virtuals) and server < len(self._virtuals[virtual].numbers):
            for number in self._virtuals[virtual].numbers[server]:
                if number in self._items:
                    yield self._items[number].checking

    def heal(self, changes: Iterable[TableChange]) -> None:
        """Put right what somebody else has changed."""
        done = list(changes)
        self._performer.perform(done)
        if done:
            self.changed()

    def _changed(self, change: TableChange) -> None:
        self.wanted.apply(change)


def _rounded(at: Micros) -> Micros:
    """The next whole step of the clock: checks that are due within one step share a wake-up."""
    return Micros(-(-at // _STEP_US) * _STEP_US)


def _with_host(check: Check, server: RealServer, virtual: VirtualServer) -> Check:
    """A check of pages asks for the host that its server or virtual server names, if it names none itself."""
    host = server.virtualhost or virtual.virtualhost
    if isinstance(check, WebCheck) and check.virtualhost is None and host is not None:
        return replace(check, virtualhost=host)
    return check


def _identities(virtuals: Iterable[_Virtual]) -> Iterator[Hashable]:
    return (pools.identity(virtual.pool.settings, virtual.place) for virtual in virtuals)


def _configured(virtuals: Iterable[_Virtual]) -> dict[Service, set[Destination]]:
    """Which servers each service could have."""
    found: dict[Service, set[Destination]] = {}
    for virtual in virtuals:
        for service in virtual.pool.services:
            mine = found.setdefault(service, set())
            for server in virtual.pool.settings.real_servers:
                mine.add(destination(service, server.address, server.port, server.method))
    return found
