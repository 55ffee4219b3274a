"""The quorum back-end: frames and the kernel's gate on one side, `core.raft.member` on the other.

The whole decision is `core.raft.member`.  This shell

* turns what other members send, what the log decides and what the node is able to
  do into events,
* sends messages at once, opens the kernel's gate before the node is told of a lease
  and shuts it before the node is told of its end,
* keeps one timer, the member's next deadline.

Time here is that of CLOCK_BOOTTIME, which goes on while the machine sleeps: who wakes
up finds its leases over.  `catch_up` is called before the node does anything, so
that nothing is done by a lease that is over, in whatever order the loop finds what
is due after a pause.

The gate is released when nothing of the lease is left on this machine; only then does
the core tell the others that the lease is free.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import assert_never

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.core.raft import member as core
from keepalived_py.core.raft.state import Member, Phase
from keepalived_py.election.raft import report
from keepalived_py.election.raft.ports import Surroundings
from keepalived_py.election.raft.views import Holding, View
from keepalived_py.model import raft_events as ev
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Failed, TimedOut
from keepalived_py.model.events import LeaseGranted, LeaseLost
from keepalived_py.model.raft import LOG_LEASE, Lease, LogPart, Orders, RaftCluster, RaftMessage

# Whoever reads the snapshot sees what is no older than this and the keeper's own pace.
_SNAPSHOT_S = 0.5
_LOOK_AGAIN_S = 0.005
_NEVER = Micros(1 << 62)
Addresses = Callable[[Sequence[InstanceName]], Sequence[VirtualAddress]]
# The log's lease is held with nothing in the kernel.
_LOG_CANDIDATE = ev.Candidate(1, able=True, settled=True)


class RaftShell:
    """Runs one member.  Make it inside its running loop; `start` before anything else."""

    def __init__(self, cluster: RaftCluster, leases: Iterable[Lease], around: Surroundings) -> None:
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._leases = _with_log(cluster, leases)
        guarded = around.gate is not None and around.gate.works
        self._member = core.start(cluster, self._leases, around.now(), guarded=guarded)
        self._events: deque[ev.RaftEvent] = deque()
        self._handling = False
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = _NEVER
        self._told: Mapping[LeaseName, ev.Candidate] | None = None
        self._viewed: tuple[bool, MemberId | None, frozenset[MemberId]] | None = None
        self._reporting: asyncio.TimerHandle | None = None
        self._granted: dict[LeaseName, ev.Grant] = {}
        self._given: dict[LeaseName, tuple[InstanceName, ...]] = {}
        self._holding: dict[LeaseName, Micros] = {}
        self._ends = _NEVER
        self._guarded: set[LeaseName] = set()
        # Leases that are asked for: whether the kernel shuts their addresses already.
        self._foreseen: dict[LeaseName, bool] = {}
        self._lease_of: dict[InstanceName, LeaseName] = {}
        self._renamed: dict[LeaseName, ev.Candidate] = {}
        # From `prepare` to `reloaded`: what instances have in the new configuration.
        self._coming: Addresses | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        self._left_behind: set[LeaseName] = set()
        self._index()

    @property
    def member(self) -> Member:
        """The present state, for readers."""
        return self._member

    def start(self) -> None:
        """Tell what the node is able to do; heartbeats begin."""
        self.follow_node()
        self.feed(ev.Tick())
        self._report()

    # -- what happens ---------------------------------------------------------------

    def feed(self, event: ev.RaftEvent) -> None:
        """Handle `event` now, or right after the one that is being handled."""
        self._events.append(event)
        if not self._handling:
            self._handle_waiting()

    def heard(self, sender: MemberId, message: RaftMessage, age_us: Micros) -> None:
        """An authentic message of another member."""
        if isinstance(message, LogPart):
            self._around.keeper.heard(sender, message)
        else:
            self.feed(ev.Heard(sender, message, age_us))

    def decided(self, orders: Orders) -> None:
        """The log has decided something."""
        self.feed(ev.OrdersChanged(orders))

    def follow_node(self) -> None:
        """The node has taken a step: what it could do now may be something else."""
        candidates = dict(self._around.node.candidates()) if self._around.node is not None else {}
        candidates[LOG_LEASE] = _LOG_CANDIDATE
        candidates.update(self._renamed)
        if candidates == self._told:
            return
        self._told = candidates
        self._release_settled(candidates)
        self.feed(ev.StandingsChanged(candidates))

    def catch_up(self) -> None:
        """Nothing is done by a lease that is over: called before whatever the node does."""
        if self._ends <= self._around.now():
            self.feed(ev.Tick())

    def may_announce(self, instance: InstanceName) -> bool:
        """Whether this machine may tell neighbours that it has the addresses of an instance."""
        lease = self._lease_of.get(instance)
        return lease is None or self._holding.get(lease, Micros(0)) > self._around.now()

    async def prepare(self, leases: Iterable[Lease], wanted: Addresses) -> None:
        """Before a reload of the node: addresses that come to a lease that is held are guarded first.

        `wanted` are those of instances in the new configuration.  What the lease has now stays guarded.
        """
        wanted_leases = tuple(leases)
        self._renamed = self._going_on(wanted_leases)
        # A lease may be taken meanwhile, and is then guarded with these as well.
        self._coming = wanted
        for lease in wanted_leases:
            if lease.name in self._holding:
                await self._guard(lease, self._holding[lease.name])

    def _going_on(self, leases: Sequence[Lease]) -> dict[LeaseName, ev.Candidate]:
        """Leases that are held, and go on under other names: until these can be asked for nobody is told
        that they are free.
        """
        names = {lease.name for lease in leases}
        parts = {part for lease in leases for part in lease.instances}
        told = self._told or {}
        return {
            lease.name: told[lease.name]._replace(settled=False)
            for lease in self._leases
            if lease.name in self._holding and lease.name in told and lease.name not in names
            if not parts.isdisjoint(lease.instances)
        }

    async def reloaded(self) -> None:
        """The node has carried a reload out: what it does not have any more is not guarded any longer."""
        self._coming = None
        for lease in self._leases:
            if lease.instances and lease.name in self._holding and lease.name not in self._granted:
                await self._guard(lease, self._holding[lease.name])

    def replace(self, cluster: RaftCluster, leases: Iterable[Lease]) -> None:
        """A reload: from now on this cluster and these leases are configured."""
        self._leases = _with_log(cluster, leases)
        before = self._member.cluster
        self._index()
        self._told = None
        self._renamed = {}
        self.feed(ev.ClusterReplaced(cluster, self._leases))
        self._rearrange()
        # A list of members that was refused is nobody's business.
        taken = self._member.cluster
        if taken != before:
            self._around.links.replace(taken)
            self._around.keeper.replace(taken)
        self.follow_node()

    # -- the end ---------------------------------------------------------------------

    def begin_stop(self) -> None:
        """Take nothing any more and shut the gate; the node is about to take everything out by itself."""
        self._leaving = True
        self._left_behind = {name for name in self._holding if name != LOG_LEASE}
        self.feed(ev.StopRequested())

    def node_released(self) -> None:
        """After `begin_stop`: nothing is left on this machine, the others may take over."""
        self._told = {name: ev.Candidate(0, able=False, settled=True) for name in self._member.leases}
        self._release_settled(self._told)
        self.feed(ev.StandingsChanged(self._told))

    async def farewell(self) -> None:
        """Stay until others have what was given up here, a promise's time at most.

        Each heartbeat tells again that it is free; the first of them may get lost.
        """
        end = self._around.now() + self._member.cluster.timing.promise_us
        while self._is_missed() and self._around.now() < end:
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _is_missed(self) -> bool:
        holders = core.holders(self._member)
        missed = any(holders.get(lease) in (None, self._member.own) for lease in self._left_behind)
        return missed and bool(report.live_members(self._member, self._around.now()))

    def close(self) -> None:
        """Say nothing any more."""
        for timer in (self._wake, self._reporting):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._around.fences.close()
        self._around.keeper.close()
        self._around.links.close()

    # -- steps ------------------------------------------------------------------------

    def _handle_waiting(self) -> None:
        self._handling = True
        try:
            while self._events:
                step = core.step(self._member, self._events.popleft(), self._around.now())
                self._member = step.member
                for effect in step.effects:
                    self._perform(effect)
        finally:
            self._handling = False
        self._ends = min(self._holding.values(), default=_NEVER)
        self._look()
        self._arm()

    def _arm(self) -> None:
        """See to it that we wake in time; to wake too early does no harm."""
        deadline = core.next_deadline(self._member)
        if self._wake is not None and self._wake_at <= deadline:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake_at = deadline
        delay = max(as_seconds(deadline - self._around.now()), 0.0)
        self._wake = self._loop.call_later(delay, self._on_wake)

    def _on_wake(self) -> None:
        self._wake = None
        self.feed(ev.Tick())

    def _perform(self, effect: ev.RaftEffect) -> None:
        match effect:
            case ev.Send():
                self._around.links.send(effect.to, effect.message)
            case ev.Grant():
                self._grant(effect)
            case ev.Extend():
                self._extend(effect)
            case ev.Lose():
                self._lose(effect)
            case ev.Fence():
                self._do(self._fence(effect))
            case ev.Say():
                self._say(effect.text, detail=effect.detail)
            case _:
                assert_never(effect)

    def _say(self, text: str, *, detail: bool = False) -> None:
        """A log line, when what hurries is done."""
        log = self._around.log
        self._loop.call_soon(log.detail if detail else log.info, text)

    # -- leases -----------------------------------------------------------------------

    def _grant(self, grant: ev.Grant) -> None:
        self._holding[grant.lease] = grant.until
        if grant.lease != LOG_LEASE:
            self._granted[grant.lease] = grant
            self._do(self._take(grant))
        # Only after that: nobody waits for the history, and everybody for the address.
        entry = Holding(grant.lease, self._member.own, grant.token, grant.evidence)
        self._loop.call_soon(self._around.keeper.record, entry)

    async def _take(self, grant: ev.Grant) -> None:
        """The gate first: from the first moment the address ends with the lease."""
        lease = self._configured(grant.lease)
        if self._granted.get(grant.lease) is not grant:
            return
        foreseen = self._foreseen.pop(grant.lease, False)
        if lease is not None and foreseen:
            # The addresses are shut until the kernel has heard of this: they may come meanwhile.
            self._do(self._guard(lease, grant.until))
        elif lease is not None:
            await self._guard(lease, grant.until)
        if self._granted.get(grant.lease) is not grant:
            return
        self.catch_up()
        if self._granted.get(grant.lease) is not grant or lease is None or self._around.node is None:
            return
        del self._granted[grant.lease]
        self._give(lease, grant.token, grant.evidence)

    def _give(self, lease: Lease, token: int, evidence: str) -> None:
        assert self._around.node is not None
        self._given[lease.name] = lease.instances
        self._around.node.feed(LeaseGranted(lease.name, lease.instances, token, evidence))

    async def _guard(self, lease: Lease, until: Micros) -> None:
        """What the node has with the lease; during a reload also what it was given, and what comes."""
        around = self._around
        if around.gate is None or around.node is None:
            return
        addresses = list(around.node.held(lease.instances))
        if self._coming is not None:
            given = self._given.get(lease.name, ())
            addresses += [*around.node.held(given), *self._coming(lease.instances)]
        self._guarded.add(lease.name)
        outcome = await around.gate.guard(lease.name, addresses, until)
        if isinstance(outcome, Failed | TimedOut):
            text = f"({lease.name}) the kernel does not guard the addresses: {outcome}"
            around.log.info(f"{text}; a process that hangs would keep them")

    def _foresee(self) -> None:
        """Who asks has the gate shut beforehand, while the others answer: that shortens a hand-over."""
        gate = self._around.gate
        if gate is None or not gate.works:
            return
        for name in list(self._foreseen):
            if name not in self._member.claims:
                del self._foreseen[name]
                self._guarded.discard(name)
                gate.release(name)
        for lease in self._leases:
            claim = self._member.claims.get(lease.name)
            asking = claim is not None and claim.phase in (Phase.ASKING, Phase.FENCING)
            if asking and lease.instances and lease.name not in self._guarded:
                self._guarded.add(lease.name)
                self._foreseen[lease.name] = False
                self._do(self._shut_beforehand(lease))

    async def _shut_beforehand(self, lease: Lease) -> None:
        if lease.name in self._foreseen:
            await self._guard(lease, Micros(0))
        if lease.name in self._foreseen:
            self._foreseen[lease.name] = True

    def _extend(self, effect: ev.Extend) -> None:
        self._holding[effect.lease] = effect.until
        if self._around.gate is not None and effect.lease in self._guarded:
            self._around.gate.extend(effect.lease, effect.until)

    def _lose(self, effect: ev.Lose) -> None:
        self._holding.pop(effect.lease, None)
        if self._around.gate is not None and effect.lease in self._guarded:
            self._around.gate.shut(effect.lease)
        # Whatever was told so far is from before the loss.
        self._told = None
        text = f"({effect.lease}) lease given up: {effect.reason} ({effect.evidence})"
        self._say(text if effect.successor is None else f"{text}, for {effect.successor}")
        self._granted.pop(effect.lease, None)
        if self._leaving:
            return
        self._take_away(effect.lease, self._given.pop(effect.lease, ()), effect.reason, effect.evidence)
        # Also where the node had never heard of it.
        self._loop.call_soon(self.follow_node)

    def _take_away(
        self, lease: LeaseName, instances: tuple[InstanceName, ...], reason: str, evidence: str
    ) -> None:
        if instances and self._around.node is not None:
            self._around.node.feed(LeaseLost(lease, instances, reason, evidence))

    def _rearrange(self) -> None:
        """A reload: leases that are held may be about other instances now."""
        for lease in self._leases:
            before = self._given.get(lease.name, lease.instances)
            claim = self._member.claims.get(lease.name)
            if before == lease.instances or claim is None:
                continue
            gone = tuple(name for name in before if name not in lease.instances)
            self._take_away(lease.name, gone, "reload", f"it is not part of {lease.name} any more")
            self._give(lease, claim.token, "the lease is held already")

    def _release_settled(self, candidates: Mapping[LeaseName, ev.Candidate]) -> None:
        gate = self._around.gate
        if gate is None:
            return
        kept = self._holding.keys() | self._foreseen.keys()
        for lease in [name for name in self._guarded if name not in kept]:
            candidate = candidates.get(lease)
            if candidate is None or candidate.settled:
                gate.release(lease)
                self._guarded.discard(lease)

    def _configured(self, name: LeaseName) -> Lease | None:
        return next((lease for lease in self._leases if lease.name == name), None)

    def _index(self) -> None:
        self._lease_of = {name: lease.name for lease in self._leases for name in lease.instances}

    # -- fencing ------------------------------------------------------------------------

    async def _fence(self, order: ev.Fence) -> None:
        succeeded = await self._around.fences.shoot(order, self._member.cluster.fencing)
        self.feed(ev.FenceDone(order.target, succeeded))

    def _do(self, work: Coroutine[object, object, None]) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what the keeper is told ----------------------------------------------------------

    def _look(self) -> None:
        """Tell the keeper at once who leads the log and whom it can reach; the rest can wait."""
        now, member = self._around.now(), self._member
        lease = member.cluster.log_lease
        claim = member.claims.get(lease)
        leads = claim is not None and claim.phase is Phase.HOLDING
        self._foresee()
        view = (leads, report.promised_to(member, lease, now), report.live_members(member, now))
        if view != self._viewed:
            self._viewed = view
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        if self._viewed is None:
            return
        around = self._around
        shown = report.snapshot(
            self._member,
            around.now(),
            checks=around.node.checks() if around.node is not None else (),
            gate=around.gate is not None and around.gate.works,
            keepvip=around.keepvip,
            counters=around.counters(),
        )
        around.keeper.follow(View(*self._viewed, shown))

    def _report(self) -> None:
        self._tell()
        self._reporting = self._loop.call_later(_SNAPSHOT_S, self._report)


def _with_log(cluster: RaftCluster, leases: Iterable[Lease]) -> tuple[Lease, ...]:
    found = tuple(leases)
    return (*found, Lease(LOG_LEASE, (), preempt=False)) if cluster.log_lease == LOG_LEASE else found
