"""One simulated router: a process around the core, and the machine it runs on.

It does what the real shell does: feeds events, arms one wake-up at the core's
next deadline, sends adverts at once, and leads every other effect through a
lane, in order, whose outcome comes back as an event.  A paused process queues
its work.  A crash forgets the process and keeps the kernel.
"""

from collections.abc import Callable
from random import Random
from typing import Protocol, assert_never

from keepalived_py.base.clock import MILLISECOND, SECOND, Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.core.node import Node, Step
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    AlreadySo,
    BlockAddresses,
    CreateDevice,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Done,
    Effect,
    Outcome,
    RaiseSequence,
    Role,
    RoleChanged,
    RunCheck,
    RunNotify,
    SendAdvert,
    SendNeighbour,
    UnblockAddresses,
    WriteFifo,
    WriteLog,
)
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    EffectDone,
    Event,
    InterfaceAddress,
    LinkChanged,
    ScriptFinished,
    StopRequested,
    Tick,
)
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.simulation.faults import RouterName, Trouble
from keepalived_py.simulation.invariants import RuleBroken, check_step
from keepalived_py.simulation.kernel import Kernel
from keepalived_py.simulation.machine import Machine
from keepalived_py.simulation.scenario import INTERFACE, RouterPlan

MAX_TICKS_PER_SECOND = 2_000
DOWN = {Trouble.CRASH, Trouble.POWER_LOSS, Trouble.STOP}
Laned = AddAddress | DeleteAddress | SendNeighbour | RunNotify
Work = Callable[[], None]


class Surroundings(Protocol):
    """What a router needs of the world."""

    now: int
    random: Random
    machine: Machine

    def at(self, when: int, work: Work) -> None:
        """Do `work` at the virtual instant `when`."""

    def transmit(self, sender: RouterName, advert: AdvertToSend) -> None:
        """Put `advert` on the wire."""

    def note(self, router: RouterName, mark: str, what: object) -> None:
        """Write a line of the trace."""

    def role_changed(self, router: RouterName, change: RoleChanged) -> None:
        """An instance of `router` changed its role."""


class Router:
    """A process (perhaps dead, paused or stopped) and its kernel."""

    def __init__(self, plan: RouterPlan, world: Surroundings) -> None:
        self.plan = plan
        self.name = plan.name
        self.kernel = Kernel(INTERFACE, plan.source)
        self.node: Node | None = None
        self.stopped = False
        self.troubles: set[Trouble] = set()
        self._world = world
        self._life = 0
        self._armed: int | None = None
        self._backlog: list[Work] = []
        self._lanes: dict[str, int] = {}
        self._netlink_free = 0
        self._ticks = (0, 0)

    # What judges ask.

    @property
    def configuration(self) -> Configuration:
        """The configuration that this router runs."""
        return self.plan.configuration

    @property
    def running(self) -> bool:
        """Whether its process is alive, not paused and not on its way out."""
        return self.node is not None and Trouble.PAUSE not in self.troubles

    @property
    def judged(self) -> bool:
        """Whether what its kernel holds is this router's doing (and not a dead process's)."""
        return self.running or self.stopped

    def role(self, instance: InstanceName) -> Role:
        """The role of `instance`; INIT if no process runs."""
        return Role.INIT if self.node is None else self.node.instances[instance].role

    # Life and death.

    def start(self) -> None:
        """Start the process, unless it runs or must stay down."""
        if self.node is not None or self.troubles & DOWN:
            return
        self._forget()
        self._world.note(self.name, "!", "start")
        interfaces = {INTERFACE: self.kernel.facts()}
        step = self._world.machine.start(self.configuration, interfaces, self._local())
        self._take(None, step)

    def stop(self) -> None:
        """Stop the process cleanly; its lanes still run to their end."""
        if self.node is None:
            return
        self._feed(StopRequested())
        self.node = None
        self.stopped = True

    def begin(self, trouble: Trouble) -> None:
        """`trouble` befalls this router."""
        self.troubles.add(trouble)
        match trouble:
            case Trouble.CRASH | Trouble.POWER_LOSS:
                self._die(trouble)
            case Trouble.STOP:
                self.stop()
            case Trouble.LINK_DOWN:
                self._set_link(False)
            case Trouble.SOURCE_LOST:
                self.kernel.source_present = False
                self._netlink(AddressRemoved(INTERFACE, self.kernel.source))
            case Trouble.ADDRESS_STOLEN:
                self._steal()
            case Trouble.PAUSE | Trouble.SCRIPT_FAILS | Trouble.SLOW_KERNEL:
                pass

    def end(self, trouble: Trouble) -> None:
        """`trouble` is over."""
        self.troubles.discard(trouble)
        match trouble:
            case Trouble.CRASH | Trouble.POWER_LOSS | Trouble.STOP:
                self.start()
            case Trouble.PAUSE:
                self._resume()
            case Trouble.LINK_DOWN:
                self._set_link(True)
            case Trouble.SOURCE_LOST:
                self.kernel.source_present = True
                self._netlink(AddressAdded(INTERFACE, self.kernel.source))
            case Trouble.SCRIPT_FAILS | Trouble.SLOW_KERNEL | Trouble.ADDRESS_STOLEN:
                pass

    def hear(self, event: Event) -> None:
        """`event` reaches the process, now or when it is no longer paused."""
        self._when_running(lambda: self._feed(event))

    def _die(self, trouble: Trouble) -> None:
        self._forget()
        if trouble is Trouble.POWER_LOSS:
            self.kernel.held.clear()

    def _forget(self) -> None:
        # A new life makes all that was under way for the old process void.
        self._life += 1
        self.node = None
        self.stopped = False
        self._armed = None
        self._backlog.clear()
        self._lanes.clear()

    def _resume(self) -> None:
        backlog, self._backlog = self._backlog, []
        # Which comes first after a pause, the queued packets or the overdue deadline,
        # is up to the event loop; the outcome must be sound either way.
        if self._world.random.random() < 0.3:
            self._feed(Tick())
        for work in backlog:
            work()
        self._rearm()

    # The machine around the process.

    def _set_link(self, up: bool) -> None:
        self.kernel.up = up
        self._netlink(LinkChanged(self.kernel.facts()))

    def _steal(self) -> None:
        for address in list(self.kernel.held):
            removed = self.kernel.remove(address)
            if removed is not None:
                self._netlink(AddressRemoved(INTERFACE, removed))

    def _netlink(self, event: Event) -> None:
        """The kernel reports `event` a moment later, in order."""
        world = self._world
        self._netlink_free = max(self._netlink_free, world.now) + world.random.randint(1, 2 * MILLISECOND)
        self._later(self._netlink_free, lambda: self._feed(event))

    def _later(self, when: int, work: Work) -> None:
        """Do `work` at `when`, unless this process is dead by then."""
        life = self._life
        self._world.at(when, lambda: self._when_running(work) if life == self._life else None)

    def _when_running(self, work: Work) -> None:
        if Trouble.PAUSE in self.troubles:
            self._backlog.append(work)
        else:
            work()

    def _local(self) -> Micros:
        return self.plan.clock.read(self._world.now)

    # The process.

    def _feed(self, event: Event, now: Micros | None = None) -> None:
        before = self.node
        if before is None:
            return
        self._world.note(self.name, "<", event)
        self._take(before, self._world.machine.step(before, event, self._local() if now is None else now))

    def _take(self, before: Node | None, step: Step) -> None:
        self.node = step.node
        check_step(self.name, before, step)
        for effect in step.effects:
            self._perform(effect)
        self._rearm()

    def _rearm(self) -> None:
        """Arm the wake-up for the core's next deadline; a wake-up is never early, often a little late."""
        if self.node is None:
            return
        deadline = self._world.machine.next_deadline(self.node)
        if deadline == self._armed:
            return
        self._armed = deadline
        if deadline is not None:
            due = max(self._world.now, self.plan.clock.when(deadline))
            late = self._world.random.randint(0, 2 * MILLISECOND)
            self._world.at(due + late, lambda: self._wake(deadline))

    def _wake(self, deadline: Micros) -> None:
        if deadline != self._armed:
            return
        self._armed = None
        if not self.running:
            return
        self._count_tick()
        self._feed(Tick(), max(deadline, self._local()))

    def _count_tick(self) -> None:
        second, count = self._world.now // SECOND, self._ticks[1]
        self._ticks = (second, count + 1 if second == self._ticks[0] else 1)
        if self._ticks[1] > MAX_TICKS_PER_SECOND:
            raise RuleBroken("deadlines", f"{self.name} wakes up {MAX_TICKS_PER_SECOND} times in a second")

    # Effects.

    def _perform(self, effect: Effect) -> None:
        self._world.note(self.name, ">", effect)
        match effect:
            case SendAdvert():
                if self.kernel.up:
                    self._world.transmit(self.name, effect.advert)
            case RoleChanged():
                self._world.role_changed(self.name, effect)
            case WriteLog() | WriteFifo() | RaiseSequence():
                pass
            case RunCheck():
                self._run_check(effect)
            case AddAddress() | DeleteAddress() | SendNeighbour():
                self._enqueue(effect.instance, effect)
            case RunNotify():
                self._enqueue(effect.owner, effect)
            case AddRoute() | DeleteRoute() | AddRule() | DeleteRule():
                raise RuleBroken("effects", f"{self.name} was never given a route or rule: {effect}")
            case BlockAddresses() | UnblockAddresses() | CreateDevice():
                raise RuleBroken("effects", f"{self.name} has neither a filter nor devices: {effect}")
            case _:
                assert_never(effect)

    def _run_check(self, effect: RunCheck) -> None:
        """The script's verdict is what holds when it starts; now and then a failing one hangs."""
        random = self._world.random
        failing = Trouble.SCRIPT_FAILS in self.troubles
        hangs = failing and random.random() < 0.2
        lasts = effect.timeout_us if hangs else random.randint(1, 300) * MILLISECOND
        finished = ScriptFinished(
            effect.name, status=int(failing and not hangs), signal=15 if hangs else 0, timed_out=hangs
        )
        self._later(self._world.now + lasts, lambda: self._feed(finished))

    def _enqueue(self, lane: str, effect: Laned) -> None:
        begin = max(self._world.now, self._lanes.get(lane, 0))
        self._lanes[lane] = begin + self._world.random.randint(1, self._slowest_us(effect))
        self._later(self._lanes[lane], lambda: self._finish(effect))

    def _slowest_us(self, effect: Laned) -> int:
        # Sending a frame never waits; it is the kernel's answer to an address change that may.
        if isinstance(effect, SendNeighbour):
            return 50
        if Trouble.SLOW_KERNEL in self.troubles and not isinstance(effect, RunNotify):
            return 400 * MILLISECOND
        return 3 * MILLISECOND

    def _finish(self, effect: Laned) -> None:
        outcome: Outcome = Done()
        if isinstance(effect, AddAddress):
            outcome = self._report(AddressAdded, self.kernel.add(effect.address))
        elif isinstance(effect, DeleteAddress):
            outcome = self._report(AddressRemoved, self.kernel.remove(effect.address.address))
        self._feed(EffectDone(effect, outcome))

    def _report(
        self, kind: type[AddressAdded] | type[AddressRemoved], changed: InterfaceAddress | None
    ) -> Outcome:
        if changed is None:
            return AlreadySo()
        self._netlink(kind(INTERFACE, changed))
        return Done()
