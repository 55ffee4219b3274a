"""One simulated router: a process around the core, and the machine it runs on.

It does what the real shell does: feeds events, arms one wake-up at the core's
next deadline, sends adverts at once, and leads every other effect through a
lane, in order, whose outcome comes back as an event.  A paused process queues
its work; when it goes on, it may or may not notice how long it was away before
anything else is handled.  A crash forgets the process and keeps the kernel.
"""

from collections.abc import Callable
from random import Random
from typing import Protocol, assert_never

from keepalived_py.base.clock import MILLISECOND, Micros
from keepalived_py.base.names import Address
from keepalived_py.core.node import Node, Step
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    AskServer,
    BlockAddresses,
    CreateDevice,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    EndProgram,
    KernelChange,
    RaiseSequence,
    Role,
    RoleChanged,
    RunCheck,
    RunNotify,
    RunProbe,
    SendAdvert,
    SendNeighbour,
    UnblockAddresses,
    WriteFifo,
    WriteLog,
)
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    AdvertReceived,
    BfdChanged,
    EffectDone,
    Event,
    FileRead,
    LinkChanged,
    Paused,
    ProcessesCounted,
    ScriptFinished,
    SettingsReplaced,
    StopRequested,
    Tick,
)
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.simulation.bounds import BFD_NOTICE_US, MAX_LATE_US
from keepalived_py.simulation.cluster import BFD, FILE, FILE_NUMBER, INTERFACE, PROCESS
from keepalived_py.simulation.faults import KERNEL, OBJECTS, RouterName, Trouble
from keepalived_py.simulation.invariants import RuleBroken, check_step, state_of
from keepalived_py.simulation.kernel import Kernel
from keepalived_py.simulation.lanes import Laned, Lanes
from keepalived_py.simulation.machine import Machine
from keepalived_py.simulation.scenario import RouterPlan
from keepalived_py.simulation.watch import Ration, Silence

DOWN = {Trouble.CRASH, Trouble.POWER_LOSS, Trouble.STOP}
Work = Callable[[], object]


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

    def role_changed(self) -> None:
        """Some instance changed its role."""

    def look(self) -> None:
        """Whether two routers are MASTER may be another question now."""


class Router:
    """A process (perhaps dead, paused or stopped) and its kernel.

    `guarded`: addresses that must not leave the kernel now.  `unruly`: while its process lived, its
    kernel was slow, refused, hung, or was robbed, and has not had its time to mend.
    """

    def __init__(self, plan: RouterPlan, world: Surroundings) -> None:
        self.plan = plan
        self.name = plan.name
        self.configuration: Configuration = plan.configuration
        self.kernel = Kernel(INTERFACE, plan.source)
        self.node: Node | None = None
        self.stopped = False
        self.unruly = False
        self.troubles: set[Trouble] = set()
        self.guarded: frozenset[Address] = frozenset()
        self._world = world
        self._life = 0
        self._armed: Micros | None = None
        self._backlog: list[Work] = []
        self._paused_at = 0
        self._reload_waits = False
        self._lanes = Lanes(self)
        self._netlink_free = 0
        self._ration = Ration(plan.name, plan.shortest_us)
        self._silence = Silence(plan.name, plan.shortest_us, plan.longest_down_us)

    # What judges and lanes ask.

    @property
    def now(self) -> int:
        """Virtual microseconds."""
        return self._world.now

    @property
    def random(self) -> Random:
        """The run's random stream."""
        return self._world.random

    @property
    def running(self) -> bool:
        """Whether its process is alive, not paused and not on its way out."""
        return self.node is not None and Trouble.PAUSE not in self.troubles

    @property
    def on_air(self) -> bool:
        """Whether it can send and hear."""
        return self.running and self.kernel.up

    def role(self, vrid: int) -> Role:
        """The role of its instance of `vrid`; INIT if no process runs, or there is none."""
        state = state_of(self.node, vrid)
        return Role.INIT if state is None else state.role

    def mastered(self) -> set[int]:
        """The VRIDs that it is MASTER of."""
        return {each.vrid for each in self.configuration.instances if self.role(each.vrid) is Role.MASTER}

    # Life and death.

    def start(self) -> None:
        """Start the process, unless it runs or must stay down."""
        if self.node is not None or self.troubles & DOWN:
            return
        self._forget()
        self.unruly = bool(self.troubles & KERNEL)
        self.kernel.tidy(self.configuration)
        self._world.note(self.name, "!", "start")
        interfaces = {INTERFACE: self.kernel.facts()}
        found = (self._file(), self._processes())
        self._take(
            None, None, self._world.machine.start(self.configuration, interfaces, self._local(), found)
        )
        self._hear_of_sessions()

    def stop(self) -> None:
        """Stop the process cleanly; its lanes still run to their end."""
        if self.node is None:
            return
        self._feed(StopRequested())
        self.node = None
        self.stopped = True
        self._world.look()

    def reload(self, configuration: Configuration) -> None:
        """Go on with `configuration`; a process that does not run finds it when it starts."""
        self.configuration = configuration
        self._silence.broken()
        self._reload_waits = Trouble.PAUSE in self.troubles
        if self.node is not None:
            for event in (SettingsReplaced(configuration), self._file(), self._processes()):
                self.hear(event)
            self._hear_of_sessions()

    def begin(self, trouble: Trouble) -> None:
        """`trouble` befalls this router."""
        self.troubles.add(trouble)
        self.unruly |= trouble in KERNEL
        match trouble:
            case Trouble.CRASH | Trouble.POWER_LOSS:
                self._die(trouble)
            case Trouble.STOP:
                self.stop()
            case Trouble.PAUSE:
                self._paused_at = self.now
            case Trouble.LINK_DOWN:
                for event in self.kernel.take_down():
                    self.netlink(event)
                self.netlink(LinkChanged(self.kernel.facts()))
            case Trouble.SOURCE_LOST:
                self.kernel.source_present = False
                self.netlink(AddressRemoved(INTERFACE, self.kernel.source))
            case Trouble.STOLEN:
                self._steal()
            case Trouble.THIEF:
                self._steal_again()
            case _:
                self._tell_objects(trouble)
        self._world.look()

    def end(self, trouble: Trouble) -> None:
        """`trouble` is over."""
        self.troubles.discard(trouble)
        match trouble:
            case Trouble.CRASH | Trouble.POWER_LOSS | Trouble.STOP:
                self.start()
            case Trouble.PAUSE:
                self._resume()
            case Trouble.LINK_DOWN:
                self.kernel.up = True
                self.netlink(LinkChanged(self.kernel.facts()))
            case Trouble.SOURCE_LOST:
                self.kernel.source_present = True
                self.netlink(AddressAdded(INTERFACE, self.kernel.source))
            case _:
                self._tell_objects(trouble)
        self._world.look()

    def hear(self, event: Event) -> None:
        """`event` reaches the process, now or when it is no longer paused."""
        self._when_running(lambda: self._feed(event))

    def _die(self, trouble: Trouble) -> None:
        self._forget()
        if trouble is Trouble.POWER_LOSS:
            self.kernel.lose_power()

    def _forget(self) -> None:
        # A new life makes all that was under way for the old process void.
        self._life += 1
        self.node = None
        self.stopped = False
        self._armed = None
        self._backlog.clear()
        self._lanes.clear()
        self._silence.broken()

    def _resume(self) -> None:
        backlog, self._backlog = self._backlog, []
        node, armed = self.node, self._armed
        if node is None:
            return
        self._silence.resumed(self.now, self.now - self._paused_at, node)
        self._armed = None
        away = 0 if armed is None else self._local() - max(armed, self.plan.clock.read(self._paused_at))
        # The loop notices a pause before anything else is handled.  The core must do without: the overdue
        # deadline or the queued packets may come first.  (But not a reload, which came by another process.)
        first = 0.0 if self._reload_waits else self.random.random()
        if first < 0.5 and away > pause_threshold_us(self.plan.shortest_us):
            self._feed(Paused(Micros(away)))
        elif first < 0.8:
            self._feed(Tick())
        for work in backlog:
            work()
        self._rearm()

    # The machine around the process.

    def _steal(self) -> None:
        for event in self.kernel.steal():
            self.netlink(event)

    def _steal_again(self) -> None:
        if Trouble.THIEF in self.troubles:
            self._steal()
            self._world.at(self.now + self.random.randint(20, 200) * MILLISECOND, self._steal_again)

    def _tell_objects(self, trouble: Trouble) -> None:
        """A tracked object is another one: the process hears of it a little later, in order."""
        if trouble not in OBJECTS:
            return
        match trouble:
            case Trouble.FILE_BAD:
                self.netlink(self._file())
            case Trouble.PROCESS_GONE:
                self.netlink(self._processes())
            case Trouble.BFD_DOWN:
                self.netlink(self._bfd())

    def _file(self) -> FileRead:
        return FileRead(FILE, FILE_NUMBER if Trouble.FILE_BAD in self.troubles else 0)

    def _processes(self) -> ProcessesCounted:
        return ProcessesCounted(PROCESS, 0 if Trouble.PROCESS_GONE in self.troubles else 1)

    def _bfd(self) -> BfdChanged:
        return BfdChanged(BFD, Trouble.BFD_DOWN not in self.troubles)

    def _hear_of_sessions(self) -> None:
        """The BFD process tells its sessions' states when it has them."""
        self.later(self.now + self.random.randint(1, BFD_NOTICE_US // 2), lambda: self._feed(self._bfd()))

    def netlink(self, event: Event) -> None:
        """The kernel reports `event` a moment later, in order."""
        self._netlink_free = max(self._netlink_free, self.now) + self.random.randint(1, 2 * MILLISECOND)
        self.later(self._netlink_free, lambda: self._feed(event))

    def later(self, when: int, work: Work) -> None:
        """Do `work` at `when`, unless this process is dead by then."""
        life = self._life
        self._world.at(when, lambda: self._when_running(work) if life == self._life else None)

    def answer(self, event: EffectDone) -> None:
        """The kernel's answer reaches the process that asked."""
        self._feed(event)

    def performed(self, change: KernelChange) -> None:
        """Raise RuleBroken if `change` made an address vanish that must stay."""
        if isinstance(change, DeleteAddress):
            address = change.address.address
            if address in self.guarded and address not in self.kernel.addresses:
                raise RuleBroken("blink", f"{self.name}: {address} left the kernel in a reload that keeps it")

    def _when_running(self, work: Work) -> None:
        if Trouble.PAUSE in self.troubles:
            self._backlog.append(work)
        else:
            work()

    def _local(self) -> Micros:
        return self.plan.clock.read(self.now)

    # The process.

    def _feed(self, event: Event, now: Micros | None = None) -> None:
        before = self.node
        if before is None:
            return
        self._world.note(self.name, "<", event)
        if isinstance(event, AdvertReceived):
            self._silence.heard(event.advert.priority)
        self._take(
            before, event, self._world.machine.step(before, event, self._local() if now is None else now)
        )

    def _take(self, before: Node | None, event: Event | None, step: Step) -> None:
        self.node = step.node
        check_step(self.name, before, event, step, self._local())
        self._ration.step(self.now, event, step.effects, self.configuration)
        waiting: list[Laned] = []
        roles_changed = False
        for effect in step.effects:
            self._world.note(self.name, ">", effect)
            self._perform(effect, waiting)
            roles_changed |= isinstance(effect, RoleChanged)
        self._lanes.put(waiting)
        if roles_changed:
            self._world.role_changed()
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
            due = max(self.now, self.plan.clock.when(deadline))
            late = self.random.randint(0, MAX_LATE_US)
            self._world.at(due + late, lambda: self._wake(deadline))

    def _wake(self, deadline: Micros) -> None:
        if deadline != self._armed or not self.running:
            return
        self._armed = None
        self._feed(Tick(), max(deadline, self._local()))

    # Effects.

    def _perform(self, effect: Effect, waiting: list[Laned]) -> None:
        match effect:
            case SendAdvert():
                self._silence.sent(self.now, effect.advert.vrid, effect.advert.priority)
                if self.kernel.up:
                    self._world.transmit(self.name, effect.advert)
            case WriteLog() | WriteFifo() | RaiseSequence() | RoleChanged():
                pass
            case RunCheck():
                self._run_check(effect)
            case AddAddress() | DeleteAddress() | AddRoute() | DeleteRoute() | AddRule() | DeleteRule():
                waiting.append(effect)
            case BlockAddresses() | UnblockAddresses() | SendNeighbour() | RunNotify():
                waiting.append(effect)
            case CreateDevice():
                raise RuleBroken("effects", f"{self.name} has no devices: {effect}")
            case RunProbe() | AskServer() | EndProgram():
                raise RuleBroken("effects", f"{self.name} has no such check: {effect}")
            case _:
                assert_never(effect)

    def _run_check(self, effect: RunCheck) -> None:
        """The script's verdict is what holds when it starts; now and then a failing one hangs."""
        failing = Trouble.SCRIPT_FAILS in self.troubles
        hangs = failing and self.random.random() < 0.2
        lasts = effect.timeout_us if hangs else self.random.randint(1, 300) * MILLISECOND
        finished = ScriptFinished(
            effect.name, status=int(failing and not hangs), signal=15 if hangs else 0, timed_out=hangs
        )
        self.later(self.now + lasts, lambda: self._feed(finished))


def pause_threshold_us(shortest_us: int) -> int:
    """What the shell calls a pause: half of the shortest master_down_interval."""
    return shortest_us * 3 // 2
