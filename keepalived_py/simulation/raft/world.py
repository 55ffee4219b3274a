"""True time, the wire between the hosts, the operator, and the judges."""

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from random import Random

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.core.raft.timing import longest_of_others
from keepalived_py.model import raft_events as ev
from keepalived_py.model.raft import Orders, RaftCluster, RaftMember, RaftMessage
from keepalived_py.simulation.raft import judge
from keepalived_py.simulation.raft.host import Host
from keepalived_py.simulation.raft.network import Network
from keepalived_py.simulation.raft.ports import Shooter
from keepalived_py.simulation.raft.scenario import ORDINARY_DELAY_US, Scenario

_FENCE_WORKS = 0.75
_LONGEST_TRACE = 400_000


class World:
    """Everything that a scenario needs to be played."""

    def __init__(self, scenario: Scenario, *, trace: bool = False) -> None:
        self.scenario = scenario
        self.random = Random(scenario.seed ^ 0x5EED)
        self.network = Network(self.random, ORDINARY_DELAY_US)
        self._now = self._count = self.steps = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._trace = trace
        self.lines: list[str] = []
        self.orders = Orders()
        self.fences_work = True
        self.calm = False
        # Machines that are not switched on again.
        self.gone: set[MemberId] = set()
        self.moved: list[tuple[int, LeaseName, str]] = []
        self.must_stay: set[LeaseName] = set()
        self._tokens: dict[LeaseName, int] = {}
        # Leases of which somebody may have forgotten the token that was granted last.
        self._forgotten: set[LeaseName] = set()
        self._forgotten_at = 0
        self.hosts = {
            each.id: Host(each.id, each.clock, each.guarded, each.pace, self) for each in scenario.machines
        }
        for machine in scenario.machines:
            for lease, health in zip(scenario.leases, machine.health, strict=True):
                self.hosts[machine.id].health[lease.name] = health

    # -- time --------------------------------------------------------------------------------

    def now(self) -> int:
        """True time."""
        return self._now

    def at(self, true_us: int, work: Callable[[], None]) -> None:
        """Do something at a true instant that is not over."""
        self._count += 1
        heappush(self._due, (max(true_us, self._now), self._count, work))

    def advance(self, until: int) -> None:
        """Play up to a true instant."""
        while self._due and self._due[0][0] <= until:
            self._now, _, work = heappop(self._due)
            work()
        self._now = until

    # -- hosts -------------------------------------------------------------------------------

    def boot(self, id: MemberId, members: Sequence[RaftMember] | None = None) -> None:
        """A machine begins, or its program begins anew; it has forgotten everything."""
        host = self.hosts[id]
        if host.member is not None or id in self.gone:
            return
        cluster = host.cluster or replace(self.scenario.cluster, own=id)
        if members is not None:
            cluster = replace(cluster, members=tuple(members))
        if id not in [each.id for each in cluster.members]:
            return
        self.tokens_may_be_forgotten()
        host.boot(cluster, self.scenario.leases)
        self.tell_orders(id)

    def tokens_may_be_forgotten(self) -> None:
        """Who knew one forgot it, or does not vote any more: then only the log knows, which is not played."""
        self._forgotten.update(self._tokens)
        self._forgotten_at = self._now

    def running(self) -> list[Host]:
        """Hosts whose program runs."""
        return [host for host in self.hosts.values() if host.member is not None]

    def cluster_of(self, id: MemberId, members: Sequence[RaftMember]) -> RaftCluster:
        """The same cluster with another list of members."""
        return replace(self.scenario.cluster, own=id, members=tuple(members))

    def order(self, orders: Orders) -> None:
        """The operator decides; each member hears of it at a time of its own."""
        self.orders = orders
        for id in self.hosts:
            self.tell_orders(id)

    def tell_orders(self, id: MemberId) -> None:
        """The log reaches a member some time."""
        wait = self.random.randrange(2 * self.scenario.promise_us)
        self.at(self._now + wait, lambda: self.hosts[id].obey(self.orders))

    def send(self, sender: MemberId, to: MemberId, message: RaftMessage) -> None:
        """A message leaves."""
        target = self.hosts.get(to)
        if target is None:
            return
        for delay in self.network.delays((sender, to)):
            self.at(self._now + delay, partial(target.arrive, sender, message))

    def fence(self, host: Shooter, order: ev.Fence) -> None:
        """The target loses its power, or the agent fails."""
        took = self.random.randrange(5_000, 2 * self.scenario.promise_us)
        works = self.fences_work or self.random.random() < _FENCE_WORKS

        def shot() -> None:
            target = self.hosts[order.target]
            if works:
                target.power_off()
                self.tokens_may_be_forgotten()
                self.at(self._now + self.random.randrange(200_000, 2_000_000), partial(self.boot, target.id))
            after = self.random.choice((0, 0, self.random.randrange(self.scenario.promise_us)))
            host.later(after, lambda: host.feed(ev.FenceDone(order.target, works)))

        self.at(self._now + took, shot)

    # -- what hosts tell ------------------------------------------------------------------------

    def note(self, host: MemberId, event: ev.RaftEvent, effects: tuple[ev.RaftEffect, ...]) -> None:
        """A step was taken."""
        self.steps += 1
        if self._trace and len(self.lines) < _LONGEST_TRACE:
            clock = self.hosts[host].now()
            self.lines.append(f"{self._now / 1e6:11.6f} {host} ({clock}) {event}")
            self.lines.extend(f"{'':13}-> {effect}" for effect in effects)

    def granted(self, host: judge.Judged, grant: ev.Grant) -> None:
        """A lease begins."""
        last = self._tokens.get(grant.lease, 0)
        if grant.token <= last and grant.lease not in self._forgotten:
            raise judge.RuleBroken("token", f"{grant.lease} granted with {grant.token} after {last}")
        self._tokens[grant.lease] = grant.token
        if self._now > self._forgotten_at + longest_of_others(self.scenario.cluster.timing):
            # Else it may rest on an answer from before somebody forgot, who does not know this token either.
            self._forgotten.discard(grant.lease)
        judge.judge_lease(self.hosts.values(), grant.lease)

    def extended(self, host: judge.Judged, lease: LeaseName) -> None:
        """A lease goes on."""
        judge.judge_lease(self.hosts.values(), lease)
        judge.judge_wire(self.hosts.values(), lease)

    def lost(self, host: judge.Judged, loss: ev.Lose) -> None:
        """A lease is over or given up."""
        self.moved.append((self._now, loss.lease, f"{host.id}: {loss.reason} ({loss.evidence})"))
        if loss.lease in self.must_stay:
            raise judge.RuleBroken("moved", f"{loss.lease} left {host.id}: {loss.reason} ({loss.evidence})")

    def reachable(self, host: judge.Judged, lease: LeaseName) -> None:
        """The addresses of a lease are in the kernel."""
        judge.judge_wire(self.hosts.values(), lease)
