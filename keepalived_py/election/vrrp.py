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
import errno
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from os import strerror
from typing import Protocol

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InterfaceName
from keepalived_py.core import node as core
from keepalived_py.election.lanes import Lanes
from keepalived_py.election.listening import Listeners
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Command, Configuration, VirtualAddress
from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.vrrp import Undecodable, dissect

EFFECT_LIMIT_S = 5.0
SCRIPTS_AT_STOP_S = 1.0
LOG_PATIENCE_S = 0.02
# How long before a deadline its step is worked out: late enough for caches to stay warm until it is due.
FORESIGHT = Micros(1_000)


class LogPort(Protocol):
    """Where log lines go."""

    def info(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


class KernelPort(Protocol):
    """What is asked of the kernel by netlink."""

    async def add_address(self, address: VirtualAddress) -> fx.Outcome: ...

    async def delete_address(self, address: VirtualAddress) -> fx.Outcome: ...


class ScriptsPort(Protocol):
    """What is asked of the process runner; ended checks come back through `VrrpShell.feed`."""

    def notify(self, command: Command) -> int: ...

    def check(self, check: fx.RunCheck) -> int: ...

    async def finish(self, limit_s: float) -> None: ...


class NeighbourPort(Protocol):
    """Sends Ethernet frames; returns 0 or an errno."""

    def send(self, interface_index: int, frame: bytes) -> int: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of this machine that the shell works on; tests plug in recorders."""

    kernel: KernelPort
    scripts: ScriptsPort
    neighbours: NeighbourPort
    log: LogPort
    now: Callable[[], Micros]


class VrrpShell:
    """Runs one node.  `interfaces` is what the machine has when it starts."""

    def __init__(
        self,
        configuration: Configuration,
        interfaces: Mapping[InterfaceName, ev.InterfaceFacts],
        machine: Machine,
    ) -> None:
        self._configuration = configuration
        self._interfaces = dict(interfaces)
        self._machine = machine
        self._loop = asyncio.get_running_loop()
        self._lanes = Lanes(self._perform, self._report, EFFECT_LIMIT_S)
        self._listeners = Listeners(self._on_packet, self._write_later)
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
        self._listeners.follow(self._configuration, self._interfaces)
        step = core.start(self._configuration, self._interfaces, self._machine.now())
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
        self._listeners.follow(configuration, self._interfaces)
        self.feed(ev.SettingsReplaced(configuration))

    async def stop(self, release: bool) -> None:
        """Resign everywhere, wait for the lanes, give notify scripts a second."""
        self.feed(ev.StopRequested(release))
        await self._lanes.drained(EFFECT_LIMIT_S)
        await self._machine.scripts.finish(SCRIPTS_AT_STOP_S)
        if self._wake is not None:
            self._wake.cancel()
        self._listeners.close()
        self._write_lines()

    def on_interface(self, event: ev.LinkChanged) -> None:
        """The kernel reports an interface: sockets follow it before the core hears of it."""
        facts = event.facts
        self._interfaces[facts.name] = facts
        self._listeners.follow(self._configuration, self._interfaces)
        self.feed(event)

    # -- events ---------------------------------------------------------------

    def _on_packet(self, interface: InterfaceName, raw: bytes) -> None:
        packet = dissect(raw)
        if isinstance(packet, Undecodable):
            self.feed(ev.PacketUndecodable(interface, packet.reason))
        else:
            self.feed(ev.AdvertReceived(interface, packet))

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
        for effect in effects:
            if isinstance(effect, fx.SendAdvert):
                self._send_advert(effect)
                sent = True
            elif isinstance(effect, fx.WriteLog):
                self._write_later(effect)
            elif not isinstance(effect, fx.RoleChanged):
                self._put(effect)
            self._expect_other_adverts(effect)
        if sent:
            self._loop.call_soon(self.after_advert)

    def _put(self, effect: fx.Effect) -> None:
        lane = _lane(effect)
        if isinstance(effect, fx.DeleteAddress):
            # As keepalived empties its queue: nothing is announced any more that is being given up.
            self._lanes.discard(lane, lambda waiting: _announces(waiting, effect.address))
        self._lanes.put(lane, effect)

    def _expect_other_adverts(self, effect: fx.Effect) -> None:
        """Whatever is logged or changes a role may change what an instance advertises."""
        if not self._preparing and isinstance(effect, fx.RoleChanged | fx.WriteLog):
            self._preparing = True
            self._loop.call_soon(self._prepare_adverts)

    def _send_advert(self, effect: fx.SendAdvert) -> None:
        error = self._listeners.send(effect.instance, effect.advert)
        if error and effect.advert.priority:
            self._write_later(
                fx.WriteLog(f"({effect.instance}): send advert error {error} ({strerror(error)})")
            )

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

    def _perform(self, effect: fx.Effect) -> "fx.Outcome | asyncio.Future[fx.Outcome]":
        machine = self._machine
        match effect:
            case fx.AddAddress():
                return asyncio.ensure_future(machine.kernel.add_address(effect.address))
            case fx.DeleteAddress():
                return asyncio.ensure_future(machine.kernel.delete_address(effect.address))
            case fx.SendNeighbour():
                return self._announce(effect.address)
            case fx.RunNotify():
                return _outcome(machine.scripts.notify(effect.command))
            case fx.RunCheck():
                return _outcome(machine.scripts.check(effect))
            case _:
                raise AssertionError(f"{effect} does not go through a lane")

    def _announce(self, address: VirtualAddress) -> fx.Outcome:
        facts = self._interfaces.get(address.interface)
        if facts is None or not facts.index or len(facts.mac) != 6:
            return fx.Failed(errno.ENODEV)
        if not isinstance(address.address, IPv4Address):
            return fx.Failed(errno.EAFNOSUPPORT)
        return _outcome(
            self._machine.neighbours.send(facts.index, gratuitous_arp(facts.mac, address.address))
        )

    def _report(self, effect: fx.Effect, outcome: fx.Outcome) -> None:
        if isinstance(effect, fx.AddAddress | fx.DeleteAddress):
            self.feed(ev.EffectDone(effect, outcome))


def _lane(effect: fx.Effect) -> str:
    match effect:
        case fx.RunCheck():
            return f"script {effect.name}"
        case fx.RunNotify():
            return f"instance {effect.owner}"
        case fx.AddAddress() | fx.DeleteAddress() | fx.SendNeighbour():
            return f"instance {effect.instance}"
        case _:
            raise AssertionError(f"{effect} does not go through a lane")


def _announces(effect: fx.Effect, address: VirtualAddress) -> bool:
    return isinstance(effect, fx.SendNeighbour) and effect.address == address


def _outcome(error: int) -> fx.Outcome:
    return fx.Failed(error) if error else fx.Done()
