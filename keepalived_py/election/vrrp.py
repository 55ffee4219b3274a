"""The VRRP back-end: raw sockets and the kernel on one side, `core.node` on the other.

The whole decision is `core.node`.  This shell

* turns packets, netlink messages, ended scripts and signals into events,
* sends adverts at once, performs every other effect in its lane, and writes
  log lines last, when the adverts are out,
* keeps exactly one timer: the node's next deadline.

Events that arise while one is being handled wait for their turn, so a step is
never entered twice and effects keep their order.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InterfaceName
from keepalived_py.core import node as core
from keepalived_py.core.track import interface as links
from keepalived_py.election.announcing import Announcer
from keepalived_py.election.lanes import Lanes
from keepalived_py.election.listening import Listeners
from keepalived_py.election.performing import Performer, explanation, lane_of, lane_of_owner, refusal
from keepalived_py.election.ports import Machine
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, VirtualAddress
from keepalived_py.model.packet import Advert
from keepalived_py.wire.vrrp import Undecodable

EFFECT_LIMIT_S = 5.0
SCRIPTS_AT_STOP_S = 1.0
LOG_PATIENCE_S = 0.02
# How long before a deadline its step is worked out: late enough for caches to stay warm until it is due.
FORESIGHT = Micros(1_000)


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
        self._announcer = Announcer(machine.neighbours, self._interfaces.get)
        performer = Performer(machine, self._announcer)
        self._lanes = Lanes(performer.one, performer.batch, self._report, EFFECT_LIMIT_S)
        self._listeners = Listeners(self._on_packet, self._write_later)
        self._members: dict[str, tuple[str, ...]] = {}
        self._events: deque[ev.Event] = deque()
        self._handling = False
        self._lines: deque[fx.WriteLog] = deque()
        self._wake: asyncio.TimerHandle | None = None
        self._foreseen: tuple[core.Node, core.Step] | None = None
        self._lines_due = 0.0
        self._preparing = False
        self._armed: Micros | None = None
        self.after_advert: Callable[[], None] = lambda: None
        self.node: core.Node | None = None

    def start(self) -> None:
        """Open the sockets and take the first step."""
        self._follow(self._configuration)
        step = core.start(self._configuration, self._interfaces, self._machine.now(), self._found)
        self.node = step.node
        self._handling = True
        self._carry_out(step.effects)
        self._handle_waiting()

    def feed(self, event: ev.Event) -> None:
        """Handle `event` now, or right after the one that is being handled."""
        self._events.append(event)
        if not self._handling and self.node is not None:
            self._handling = True
            self._handle_waiting()

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
        if facts is not None:
            moved = links.with_address if isinstance(event, ev.AddressAdded) else links.without_address
            self._interfaces[event.interface] = moved(facts, event.address)
            self._listeners.follow(self._configuration, self._interfaces)
        self.feed(event)

    def on_pause(self, duration_us: Micros) -> None:
        """The process did not run for so long: nothing that was heard or is due counts before this."""
        self._foreseen = None
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
            self.feed(ev.AdvertReceived(interface, packet, self._machine.wall_clock_s()))
        else:
            self.feed(ev.PacketUndecodable(interface, packet.reason))

    def _foresee(self, deadline: Micros) -> None:
        """Work out the next deadline's step shortly before it is due.

        The core is a pure function and a deadline is known: unless an event
        comes in between, the step is the same a millisecond earlier.  What is
        left to do at the deadline itself is to send.
        """
        assert self.node is not None
        self._foreseen = (self.node, core.step(self.node, ev.Tick(), deadline))
        self._prepare_adverts()
        self._wake = self._loop.call_at(as_seconds(deadline), self._on_deadline)

    def _on_deadline(self) -> None:
        self._wake = None
        self._armed = None
        foreseen, self._foreseen = self._foreseen, None
        if foreseen is None or foreseen[0] is not self.node:
            self.feed(ev.Tick())
            return
        self._handling = True
        self.node = foreseen[1].node
        self._carry_out(foreseen[1].effects)
        self._handle_waiting()

    def _handle_waiting(self) -> None:
        assert self.node is not None
        try:
            while self._events:
                step = core.step(self.node, self._events.popleft(), self._machine.now())
                self.node = step.node
                self._carry_out(step.effects)
        finally:
            self._handling = False
        self._arm()

    def _arm(self) -> None:
        assert self.node is not None
        deadline = core.next_deadline(self.node)
        if deadline == self._armed and self._wake is not None:
            return
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._armed = deadline
        if deadline is None:
            return
        if deadline - self._machine.now() > 2 * FORESIGHT:
            self._wake = self._loop.call_at(as_seconds(deadline - FORESIGHT), self._foresee, deadline)
        else:
            self._wake = self._loop.call_at(as_seconds(deadline), self._on_deadline)

    def _prepare_adverts(self) -> None:
        """Build the adverts of all instances while there is time, not when they are due."""
        self._preparing = False
        assert self.node is not None
        for name, state in self.node.instances.items():
            if state.advert is not None:
                self._listeners.prepare(name, state.advert)

    # -- effects --------------------------------------------------------------

    def _carry_out(self, effects: Iterable[fx.Effect]) -> None:
        sent = False
        lanes: dict[str, list[fx.Effect]] = {}
        for effect in effects:
            match effect:
                case fx.SendAdvert():
                    self._send_advert(effect)
                    sent = True
                case fx.WriteLog():
                    self._write_later(effect)
                    self._expect_other_adverts()
                case fx.RoleChanged():
                    self._write_later(explanation(effect))
                    self._expect_other_adverts()
                case fx.RaiseSequence():
                    self._listeners.raise_sequence(effect.instance, effect.heard)
                case _:
                    lanes.setdefault(lane_of(effect), []).append(effect)
        for lane, waiting in lanes.items():
            self._put(lane, waiting)
        if sent:
            self._loop.call_soon(self.after_advert)

    def _put(self, lane: str, effects: list[fx.Effect]) -> None:
        given_up = {effect.address for effect in effects if isinstance(effect, fx.DeleteAddress)}
        if given_up:
            # As keepalived empties its queue: nothing is announced any more that is being given up.
            self._lanes.discard(lane, lambda waiting: _announces(waiting, given_up))
            for effect in effects:
                if isinstance(effect, fx.DeleteAddress):
                    self._announcer.forget(effect.instance, effect.address)
        self._lanes.put_all(lane, effects, self._members.get(lane, ()))

    def _expect_other_adverts(self) -> None:
        """Whatever is logged or changes a role may change what an instance advertises."""
        if not self._preparing:
            self._preparing = True
            self._loop.call_soon(self._prepare_adverts)

    def _send_advert(self, effect: fx.SendAdvert) -> None:
        for destination, error in self._listeners.send_each(effect.instance, effect.advert):
            line = refusal(effect, destination, error)
            if line is not None:
                self._write_later(line)

    def _write_later(self, line: fx.WriteLog) -> None:
        if not self._lines:
            self._lines_due = self._loop.time() + LOG_PATIENCE_S
            self._loop.call_soon(self._write_when_idle)
        self._lines.append(line)

    def _write_when_idle(self) -> None:
        """Addresses first: a dozen log lines take as long as putting an address on."""
        if self._lanes.busy and self._loop.time() < self._lines_due:
            self._loop.call_later(LOG_PATIENCE_S / 10, self._write_when_idle)
        else:
            self._write_lines()

    def _write_lines(self) -> None:
        log = self._machine.log
        while self._lines:
            line = self._lines.popleft()
            (log.detail if line.detail else log.info)(line.text)

    def _report(self, effect: fx.Effect, outcome: fx.Outcome) -> None:
        if not isinstance(effect, fx.SendNeighbour | fx.RunNotify | fx.RunCheck | fx.WriteFifo):
            self.feed(ev.EffectDone(effect, outcome))


def _announces(effect: fx.Effect, addresses: set[VirtualAddress]) -> bool:
    return isinstance(effect, fx.SendNeighbour) and effect.address in addresses
