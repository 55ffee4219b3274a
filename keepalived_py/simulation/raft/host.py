"""One machine: a member of the cluster, its node, its kernel.

The node takes time to put addresses in and to take them out.  The kernel's gate
lets them pass until the lease ends on this machine's clock, whatever the process
does.  A process can be stopped and go on later, killed (its addresses stay),
and a machine can lose its power.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple, assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft import member as core
from keepalived_py.core.raft import membership
from keepalived_py.core.raft.state import Member, Phase
from keepalived_py.model import raft_events as ev
from keepalived_py.model.raft import Lease, Orders, RaftCluster, RaftMessage
from keepalived_py.simulation.raft.clock import Clock
from keepalived_py.simulation.raft.judge import (
    MOST_MESSAGES,
    MOST_STEPS_AT_ONCE,
    RuleBroken,
    judge_fitness,
    judge_patience,
)
from keepalived_py.simulation.raft.ports import Surroundings

MOST_WAITING = 200
_SLOW_PERCENT = 5


class Health(NamedTuple):
    """What the node says of one lease."""

    priority: int
    able: bool


class Pace(NamedTuple):
    """The longest that the kernel takes to put addresses in or out, and that a timer is late."""

    kernel_us: int
    slow_kernel_us: int
    late_us: int


class Host:
    """A machine that is off until `boot`."""

    def __init__(self, id: MemberId, clock: Clock, guarded: bool, pace: Pace, around: Surroundings) -> None:
        self.id, self.clock, self.guarded = id, clock, guarded
        self._pace, self._around = pace, around
        self._random: Random = around.random
        self.cluster: RaftCluster | None = None
        self.leases: tuple[Lease, ...] = ()
        self.health: dict[LeaseName, Health] = {}
        self.member: Member | None = None
        self.paused = False
        # Addresses that are in the kernel, and until when its gate lets them pass.
        self.present: set[LeaseName] = set()
        self.gate: dict[LeaseName, Micros] = {}
        # Where no gate ends them: addresses of a process that was stopped, until it has taken them out.
        self._excused: set[LeaseName] = set()
        self._work: dict[LeaseName, int] = {}
        self._serial = self._life = self._wake = 0
        self._booted_at = Micros(0)
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._sent_since = self._sent = self._steps_at = self._steps = 0

    # -- what judges ask ---------------------------------------------------------------

    def relies_on(self, lease: LeaseName) -> bool:
        """Whether the member may take the lease for its own now."""
        claim = None if self.member is None else self.member.claims.get(lease)
        return claim is not None and claim.phase is Phase.HOLDING and claim.until > self.now()

    def answers_for(self, lease: LeaseName) -> bool:
        """Whether the addresses of the lease are reachable here."""
        if lease not in self.present:
            return False
        if self.guarded:
            return self.gate.get(lease, Micros(0)) > self.now()
        return lease not in self._excused

    def could_hold(self, lease: LeaseName) -> bool:
        """Whether the lease may be here."""
        if self.member is None or self.member.stopping or self.paused:
            return False
        orders, own = self.member.orders, self.member.cluster.member(self.id)
        return self.health[lease].able and not own.witness and self.id not in orders.drained

    def priority(self, lease: LeaseName) -> int:
        """What it has for a lease."""
        return self.health[lease].priority

    def now(self) -> Micros:
        """What the machine's clock shows."""
        return self.clock.at(self._around.now())

    # -- the machine ----------------------------------------------------------------------

    def boot(self, cluster: RaftCluster, leases: tuple[Lease, ...]) -> None:
        """The process begins; what an earlier life left in the kernel is taken out first."""
        self.cluster, self.leases = cluster, leases
        self._life += 1
        self._booted_at = self.now()
        self.paused = False
        self._waiting.clear()
        self.member = core.start(cluster, leases, self.now(), guarded=self.guarded)
        for lease in self.present:
            self.gate.pop(lease, None)
            self._begin(lease, self._take_out)
        self.tell_standings()

    def kill(self) -> None:
        """The process is gone; the kernel stays as it is."""
        self._life += 1
        self.member = None
        self.paused = False
        self._work.clear()
        self._waiting.clear()

    def power_off(self) -> None:
        """Everything is gone."""
        self.kill()
        self.present.clear()
        self._excused.clear()
        self.gate.clear()

    def pause(self) -> None:
        """The process does nothing until `resume`."""
        self.paused = self.member is not None
        if self.paused and not self.guarded:
            self._excused |= self.present

    def resume(self, *, keep: bool) -> None:
        """It goes on, with what waits in its sockets if `keep`, in an order that nobody knows."""
        if not self.paused:
            return
        self.paused = False
        waiting, self._waiting = self._waiting, []
        if not keep:
            waiting = [each for each in waiting if each[0] < 0]
        todo = [work for _, work in waiting]
        todo.insert(self._random.choice((0, len(todo))), self._tick)
        life = self._life
        self._excused = {lease for lease in self._excused if not self.relies_on(lease)}
        for work in todo:
            self._steps = 0
            if self._life == life:
                work()

    # -- what happens to the process ----------------------------------------------------

    def arrive(self, sender: MemberId, message: RaftMessage) -> None:
        """A message is in the socket."""
        if self.member is None:
            return
        if self.paused:
            if len(self._waiting) < MOST_WAITING:
                at = self.now()
                self._waiting.append((at, lambda: self._read(sender, message, at)))
            return
        self.feed(ev.Heard(sender, message))

    def _read(self, sender: MemberId, message: RaftMessage, arrived_at: Micros) -> None:
        self.feed(ev.Heard(sender, message, Micros(self.now() - arrived_at)))

    def run(self, life: int, work: Callable[[], None]) -> None:
        """The process does a piece of work, or when it goes on."""
        if life != self._life:
            return
        if self.paused:
            self._waiting.append((-1, work))
            return
        work()

    def later(self, after_us: int, work: Callable[[], None]) -> None:
        """The process will do a piece of work."""
        life = self._life
        self._around.at(self._around.now() + after_us, lambda: self.run(life, work))

    def stop(self) -> None:
        """The operator stops the program; it ends when everything is given up."""
        self.run(self._life, lambda: self.feed(ev.StopRequested()))

    def obey(self, orders: Orders) -> None:
        """The log has decided something."""
        self.run(self._life, lambda: self.feed(ev.OrdersChanged(orders)))

    def change(self, lease: LeaseName, health: Health) -> None:
        """The node's health changes."""
        self.health[lease] = health
        self.run(self._life, self.tell_standings)

    def reload(self, cluster: RaftCluster) -> bool:
        """Take another list of members; False: not now."""
        if self.member is None or self.paused:
            return False
        if membership.objection(self.member, cluster, self.now()) is not None:
            return False
        self.feed(ev.ClusterReplaced(cluster, self.leases))
        self.cluster = self.member.cluster
        return True

    def tell_standings(self) -> None:
        """What the node could do with each lease."""
        candidates = {
            lease: ev.Candidate(health.priority, health.able, self._is_settled(lease))
            for lease, health in self.health.items()
        }
        self.feed(ev.StandingsChanged(candidates))

    def _is_settled(self, lease: LeaseName) -> bool:
        return lease not in self.present and lease not in self._work

    # -- steps ------------------------------------------------------------------------------

    def feed(self, event: ev.RaftEvent) -> None:
        """One step of the core, and what follows from it."""
        if self.member is None:
            return
        self._count_step()
        step = core.step(self.member, event, self.now())
        self.member = step.member
        self._around.note(self.id, event, step.effects)
        for effect in step.effects:
            self._perform(effect)
        judge_fitness(self)
        self._arm()
        if core.is_finished(self.member) and not self._work:
            self.kill()

    def _arm(self) -> None:
        assert self.member is not None
        self._wake += 1
        serial, life = self._wake, self._life
        late = int(self._random.random() * self._pace.late_us)
        at = max(self.clock.true(core.next_deadline(self.member)) + late, self._around.now())
        self._around.at(at, lambda: self._awake(serial, life))

    def _awake(self, serial: int, life: int) -> None:
        if life == self._life and serial == self._wake and not self.paused:
            self._tick()

    def _tick(self) -> None:
        self.feed(ev.Tick())

    def _count_step(self) -> None:
        true = self._around.now()
        self._steps = self._steps + 1 if true == self._steps_at else 1
        self._steps_at = true
        if self._steps > MOST_STEPS_AT_ONCE:
            raise RuleBroken("spin", f"{self.id} took {self._steps} steps at one instant")

    def _count_message(self) -> None:
        assert self.member is not None
        true, cluster = self._around.now(), self.member.cluster
        if true - self._sent_since > cluster.timing.promise_us:
            self._sent_since, self._sent = true, 0
        self._sent += 1
        if self._sent > MOST_MESSAGES * len(cluster.others):
            raise RuleBroken("storm", f"{self.id} sent {self._sent} messages in a promise's time")

    def _perform(self, effect: ev.RaftEffect) -> None:
        match effect:
            case ev.Send():
                self._count_message()
                self._around.send(self.id, effect.to, effect.message)
            case ev.Grant():
                self._around.granted(self, effect)
                self._begin(effect.lease, self._open)
            case ev.Extend():
                self._around.extended(self, effect.lease)
                if effect.lease in self.gate:
                    self.gate[effect.lease] = effect.until
            case ev.Lose():
                self._around.lost(self, effect)
                self.gate.pop(effect.lease, None)
                self._begin(effect.lease, self._take_out)
            case ev.Fence():
                judge_patience(self, effect.target, self.now() - self._booted_at)
                self._around.fence(self, effect)
            case ev.Say():
                pass
            case _:
                assert_never(effect)

    # -- the node and its kernel -----------------------------------------------------------

    def _begin(self, lease: LeaseName, work: Callable[[LeaseName], None]) -> None:
        """What was under way for the lease is called off, and this begins."""
        self._serial += 1
        serial = self._work[lease] = self._serial
        self.later(self._kernel_time(), lambda: self._go_on(lease, serial, work))

    def _go_on(self, lease: LeaseName, serial: int, work: Callable[[LeaseName], None]) -> None:
        claims = {} if self.member is None else self.member.claims
        if any(claim.phase is Phase.HOLDING and claim.until <= self.now() for claim in claims.values()):
            # Nothing is done by a lease that is over, however late the process comes to it.
            self._tick()
        if self._work.get(lease) == serial:
            work(lease)

    def _kernel_time(self) -> int:
        slow = self._random.random() * 100 < _SLOW_PERCENT
        return int(self._random.random() * (self._pace.slow_kernel_us if slow else self._pace.kernel_us))

    def _open(self, lease: LeaseName) -> None:
        """The gate is open until the lease ends; the addresses come next."""
        claim = None if self.member is None else self.member.claims.get(lease)
        if claim is None or claim.phase is not Phase.HOLDING:
            return
        self.gate[lease] = claim.until
        self._begin(lease, self._put_in)

    def _put_in(self, lease: LeaseName) -> None:
        self._work.pop(lease)
        self.present.add(lease)
        self._around.reachable(self, lease)
        self.tell_standings()

    def _take_out(self, lease: LeaseName) -> None:
        self._work.pop(lease)
        self.present.discard(lease)
        self._excused.discard(lease)
        self.tell_standings()
