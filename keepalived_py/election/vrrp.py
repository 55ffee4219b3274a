"""The VRRP back-end: raw sockets and the kernel on one side, `core.node` on the other.

The whole decision is `core.node`.  This shell

* turns packets, netlink messages, ended scripts and signals into events,
* sends adverts at once, performs every other effect in its lane, and writes
  log lines last, when the adverts are out,
* keeps exactly one timer: the node's next deadline.

Events that arise while one is being handled wait for their turn, so a step is
never entered twice and effects keep their order.

When many instances take over at once, what others see comes first: all adverts that
are due, then the addresses of all of them in one request, then announcements.  What
only this node learns from it (outcomes of effects, the kernel's reports of added
addresses) waits until no foreseen deadline is left, and is told in one step; log lines
are written in the gaps.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.core import node as core
from keepalived_py.core.track import interface as links
from keepalived_py.election.announcing import Announcer
from keepalived_py.election.foresight import LONGEST_LEAD, Foresight
from keepalived_py.election.lanes import Lanes
from keepalived_py.election.listening import Listeners
from keepalived_py.election.orders import Orders, joined, sort
from keepalived_py.election.performing import Performer, lane_of_owner, refusal
from keepalived_py.election.ports import Machine
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.packet import Advert
from keepalived_py.wire.vrrp import Undecodable

EFFECT_LIMIT_S = 5.0
SCRIPTS_AT_STOP_S = 1.0
LOG_PATIENCE_S = 0.02
# How long lines are written in one go, and how long before a deadline no more.
_LINES_S = 0.0005
_QUIET_S = 0.0001
# How long the outcome of an effect may wait for deadlines, and how many are told in one go.
_LEISURE_S = 0.02
_SOON_S = 0.001
_TOLD_AT_ONCE = 64
# What is done on adverts alone before the rest of it is begun.
_STEPS_AT_ONCE = 64
# Effects whose outcome the core does not ask for.
_UNTOLD = (fx.SendNeighbour, fx.RunNotify, fx.RunCheck, fx.RunProbe, fx.AskServer, fx.WriteFifo)

Told = ev.EffectDone | ev.AddressAdded


class VrrpShell:
    """Runs one node.  `interfaces` is what the machine has when it starts, `found` what the
    tracked files and processes are like then.
    """

    def __init__(
        self,
        configuration: Configuration,
        interfaces: Mapping[InterfaceName, ev.InterfaceFacts],
        machine: Machine,
        found: Iterable[ev.FileRead | ev.ProcessesCounted] = (),
    ) -> None:
        self._configuration = configuration
        self._found = tuple(found)
        self._interfaces = dict(interfaces)
        self._machine = machine
        self._loop = asyncio.get_running_loop()
        self._announcer = Announcer(
            machine.neighbours, self._interfaces.get, lambda instance: self.may_announce(instance)
        )
        performer = Performer(machine, self._announcer)
        self._lanes = Lanes(
            performer.one,
            performer.batch,
            self._report,
            EFFECT_LIMIT_S,
            self._announcer.together,
            lambda: self._foresight.ends is None,
        )
        self._listeners = Listeners(self._on_packet, self._write_later)
        self._members: dict[str, tuple[str, ...]] = {}
        self._events: deque[ev.Event] = deque()
        self._handling = False
        self._lines: deque[fx.WriteLog] = deque()
        self._writing = False
        self._lines_due = 0.0
        self._preparing = False
        self._told: deque[Told] = deque()
        self._leisure_ends = 0.0
        self._foresight: Foresight[Orders] = Foresight(machine.now, self._prepare_due)
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = Micros(0)
        self.after_advert: Callable[[], None] = lambda: None
        # What decides about instances from outside (leases) hears of every step, before and after it.
        self.before_step: Callable[[], None] = _nothing
        self.after_step: Callable[[core.Node], None] = lambda node: None
        self.may_announce: Callable[[InstanceName], bool] = lambda instance: True
        # The core wants the program to end; everything has been released when it stops.
        self.ended: Callable[[str], None] = lambda reason: None
        self.released: Callable[[], None] = lambda: None
        self.node: core.Node | None = None

    def start(self) -> None:
        """Open the sockets and take the first step."""
        self._follow(self._configuration)
        step = core.start(self._configuration, self._interfaces, self._machine.now(), self._found)
        self.node = step.node
        self._handling = True
        self._carry_out(sort(step.effects))
        self.after_step(step.node)
        self._handle_waiting()

    def feed(self, event: ev.Event) -> None:
        """Handle `event` now, or right after the one that is being handled.

        Outcomes and added addresses may wait for some milliseconds, but no other news overtakes them.
        """
        if isinstance(event, Told):
            self._tell_later(event)
            return
        if self._told and not isinstance(event, ev.AdvertReceived | ev.PacketUndecodable):
            self._events.extend(self._told)
            self._told.clear()
        self._events.append(event)
        self._handle_now()

    def replace(self, configuration: Configuration) -> None:
        """A reload: from now on `configuration` holds."""
        self._configuration = configuration
        self._follow(configuration)
        self.feed(ev.SettingsReplaced(configuration))

    async def settled(self, limit_s: float = EFFECT_LIMIT_S) -> bool:
        """Wait until every effect so far is performed; False if that took longer than `limit_s`."""
        return await self._lanes.drained(limit_s)

    async def stop(self, release: bool) -> None:
        """Resign everywhere, wait for the lanes, give notify scripts a second."""
        self.feed(ev.StopRequested(release))
        await self._lanes.drained(EFFECT_LIMIT_S)
        self.released()
        # Who reads a pipe reads to its end, and ends then by itself.
        self._machine.fifos.close()
        await self._machine.scripts.finish(SCRIPTS_AT_STOP_S)
        if self._wake is not None:
            self._wake.cancel()
        self._listeners.close()
        self._announcer.close()
        self._write_lines()

    def on_interface(self, event: ev.LinkChanged) -> None:
        """The kernel reports an interface: sockets follow it before the core hears of it."""
        facts = event.facts
        self._interfaces[facts.name] = facts
        self._listeners.follow(self._configuration, self._interfaces)
        self.feed(event)

    def on_address(self, event: ev.AddressAdded | ev.AddressRemoved) -> None:
        """The kernel reports an address: sockets that are bound to it follow."""
        facts = self._interfaces.get(event.interface)
        if facts is not None and not self._is_virtual(event.address.address):
            moved = links.with_address if isinstance(event, ev.AddressAdded) else links.without_address
            self._interfaces[event.interface] = moved(facts, event.address)
            self._listeners.follow(self._configuration, self._interfaces)
        self.feed(event)

    def _is_virtual(self, address: Address) -> bool:
        """Nobody sends from a virtual address, unless told to."""
        shape = None if self.node is None else self.node.shape
        return shape is not None and address in shape.virtual and address not in shape.sources

    def on_pause(self, duration_us: Micros) -> None:
        """The process did not run for so long: nothing that was heard or is due counts before this."""
        self._foresight.forget()
        self.feed(ev.Paused(duration_us))

    def _follow(self, configuration: Configuration) -> None:
        self._members = {
            lane_of_owner(group.name): tuple(map(lane_of_owner, group.members))
            for group in configuration.groups
        }
        self._listeners.follow(configuration, self._interfaces)
        self._announcer.follow(configuration)
        self._machine.fifos.follow(configuration)

    # -- events ---------------------------------------------------------------

    def _on_packet(self, interface: InterfaceName, packet: Advert | Undecodable) -> None:
        if isinstance(packet, Advert):
            wall_clock_s = self._machine.wall_clock_s()
            self.feed(ev.AdvertReceived(interface, packet, wall_clock_s, self._listeners.age_us()))
        else:
            self.feed(ev.PacketUndecodable(interface, packet.reason))

    def _tell_later(self, event: Told) -> None:
        if not self._told:
            self._leisure_ends = self._loop.time() + _LEISURE_S
            self._loop.call_soon(self._tell)
        self._told.append(event)

    def _tell(self) -> None:
        """Tell the core what it asked for has happened, between two swarms of deadlines."""
        time, until = self._loop.time(), self._foresight.ends
        if (until is not None or self._lanes.asking) and time < self._leisure_ends:
            later = time + _SOON_S if until is None else as_seconds(until)
            self._loop.call_at(min(later, self._leisure_ends), self._tell)
            return
        for _ in range(min(_TOLD_AT_ONCE, len(self._told))):
            self._events.append(self._told.popleft())
        if self._told:
            self._loop.call_soon(self._tell)
        self._handle_now()

    def _handle_now(self) -> None:
        """Handle what waits, unless that is being done, or there is no node yet."""
        if self._events and not self._handling and self.node is not None:
            self._handling = True
            self._handle_waiting()

    def _handle_waiting(self) -> None:
        assert self.node is not None
        try:
            while self._events:
                self._look_first()
                step = self._next_step(self.node, self._events)
                self.node = step.node
                self._carry_out(sort(step.effects))
                self.after_step(step.node)
        finally:
            self._handling = False
        self._arm()

    def _look_first(self) -> None:
        """Whatever `before_step` finds out comes before the events that wait."""
        if self.before_step is _nothing:
            return
        waiting, self._events = self._events, deque()
        try:
            self.before_step()
        finally:
            self._events.extend(waiting)

    def _next_step(self, node: core.Node, events: deque[ev.Event]) -> core.Step:
        event = events.popleft()
        if not isinstance(event, Told):
            return core.step(node, event, self._machine.now())
        told: list[Told] = [event]
        while events and isinstance(events[0], Told):
            told.append(events.popleft())  # type: ignore[arg-type]
        return core.tell(node, told, self._machine.now())

    # -- deadlines ------------------------------------------------------------

    def _arm(self) -> None:
        """See to it that we wake in time; a wake-up that is too early is harmless, and costs less than
        setting another timer for each advert that is heard.
        """
        assert self.node is not None
        deadline = core.next_deadline(self.node)
        if deadline is None or (self._wake is not None and self._wake_at <= deadline - LONGEST_LEAD):
            return
        at = deadline
        if not self._foresight.knows(self.node):
            early = Micros(deadline - self._foresight.lead(self.node, deadline))
            at = early if early > self._machine.now() else deadline
        if self._wake is None or at < self._wake_at:
            self._wake_up(at)

    def _wake_up(self, at: Micros) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake_at = at
        self._wake = self._loop.call_at(as_seconds(at), self._on_wake)

    def _on_wake(self) -> None:
        assert self.node is not None
        self._wake = None
        deadline = core.next_deadline(self.node)
        if deadline is None:
            return
        left = deadline - self._machine.now()
        if left <= 0:
            self._on_deadline()
            return
        lead = self._foresight.lead(self.node, deadline)
        if left > lead:
            self._wake_up(Micros(deadline - lead))
            return
        if not self._foresight.knows(self.node):
            self._foresight.look(self.node, deadline)
        self._wake_up(deadline)

    def _on_deadline(self) -> None:
        assert self.node is not None
        self._handling = True
        try:
            self._look_first()
            # What has come to light just now comes before what was foreseen.
            if self._events or not self._take_foreseen(self.node):
                self._events.append(ev.Tick())
        finally:
            self._handle_waiting()

    def _take_foreseen(self, node: core.Node) -> bool:
        """Take the steps that were worked out ahead and are due; whether there was one."""
        due: list[Orders] = []
        nodes: list[core.Node] = []
        for _ in range(_STEPS_AT_ONCE):
            taken = self._foresight.take(node)
            if taken is None:
                break
            node, orders = taken
            due.append(orders)
            nodes.append(node)
        if due:
            self.node = node
            self._carry_out(joined(due))
            for self.node in nodes:
                self.after_step(self.node)
        return bool(due)

    def _prepare_due(self, effects: Sequence[fx.Effect]) -> Orders:
        orders = sort(effects)
        for one in orders.adverts:
            if isinstance(one, fx.SendAdvert):
                self._listeners.prepare(one.instance, one.advert)
        for effect in effects:
            if isinstance(effect, fx.SendNeighbour):
                self._announcer.prepare(effect.address)
        return orders

    def _prepare_adverts(self) -> None:
        """Build the adverts of all instances while there is time, not when they are due."""
        self._preparing = False
        assert self.node is not None
        for name, state in self.node.instances.items():
            if state.advert is not None:
                self._listeners.prepare(name, state.advert)

    # -- effects --------------------------------------------------------------

    def _carry_out(self, orders: Orders) -> None:
        """Everything in its order; adverts come first."""
        if orders.adverts:
            self._send(orders.adverts)
            self._loop.call_soon(self._after_advert)
        if orders.lines:
            self._write_later(*orders.lines)
            self._preparing = True
        if orders.lanes:
            self._perform(orders)
        if orders.ends is not None:
            self._loop.call_soon(self.ended, orders.ends)

    def _send(self, adverts: Sequence[fx.SendAdvert | fx.RaiseSequence]) -> None:
        """What must not wait; the order of adverts among themselves stays."""
        together: list[fx.SendAdvert] = []
        for one in adverts:
            if isinstance(one, fx.SendAdvert):
                together.append(one)
            else:
                self._send_together(together)
                together = []
                self._listeners.raise_sequence(one.instance, one.heard)
        self._send_together(together)

    def _send_together(self, adverts: Sequence[fx.SendAdvert]) -> None:
        dead_man = self._machine.dead_man
        watched = dead_man is not None and dead_man.needed
        # From before the adverts leave: who hears one counts from then at the earliest.
        began = dead_man.now() if dead_man is not None and watched else Micros(0)
        unsent: set[InstanceName] = set()
        for effect, destination, error in self._listeners.send_all(adverts):
            unsent.add(effect.instance)
            line = refusal(effect, destination, error)
            if line is not None:
                self._write_later(line)
        if dead_man is not None and watched and self.node is not None:
            for effect in adverts:
                if effect.advert.priority and effect.instance not in unsent:
                    dead_man.sent(self.node.instances[effect.instance].settings, began)

    def _after_advert(self) -> None:
        """Whoever wants to be called when there is time is called, unless there is something to do."""
        if not self._lanes.busy and not self._told:
            self.after_advert()

    def _perform(self, orders: Orders) -> None:
        for lane, deletions in orders.given_up.items():
            # As keepalived empties its queue: nothing is announced any more that is being given up.
            self._lanes.discard(lane, partial(_announces, {effect.address for effect in deletions}))
            for effect in deletions:
                self._announcer.forget(effect.instance, effect.address)
        self._lanes.put_many(orders.lanes, self._members)

    def _write_later(self, *lines: fx.WriteLog) -> None:
        if not self._writing:
            self._writing = True
            self._lines_due = self._loop.time() + LOG_PATIENCE_S
            self._loop.call_soon(self._write_when_idle)
        self._lines.extend(lines)

    def _write_when_idle(self) -> None:
        """Addresses first: a dozen log lines take as long as putting an address on.

        Lines are written in the gaps between deadlines, at least one at a time.
        """
        time = self._loop.time()
        if self._lanes.busy and time < self._lines_due:
            self._loop.call_later(LOG_PATIENCE_S / 10, self._write_when_idle)
            return
        if self._preparing:
            self._prepare_adverts()
        end = time + _LINES_S
        if self._wake is not None:
            end = min(end, self._wake.when() - _QUIET_S)
        self._write_lines(end)
        self._writing = bool(self._lines)
        if self._lines:
            self._loop.call_soon(self._write_when_idle)

    def _write_lines(self, end: float | None = None) -> None:
        """Write what waits, all of it or until `end`."""
        log = self._machine.log
        while self._lines:
            line = self._lines.popleft()
            (log.detail if line.detail else log.info)(line.text)
            if end is not None and self._loop.time() >= end:
                return

    def _report(self, effect: fx.Effect, outcome: fx.Outcome) -> None:
        if not isinstance(effect, _UNTOLD):
            self.feed(ev.EffectDone(effect, outcome))


def _nothing() -> None:
    """Nobody wants to look first."""


def _announces(addresses: set[VirtualAddress], effect: fx.Effect) -> bool:
    return isinstance(effect, fx.SendNeighbour) and effect.address in addresses
