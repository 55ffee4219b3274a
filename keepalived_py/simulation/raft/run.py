"""One seed from beginning to end.

* chaos: everything goes wrong for a time; then all is mended, and each lease must be
  in the right place soon, and stay there.  Of two nodes with `fence_first` one is then off for
  good: the other one must shoot and hold; and so it must when it is started alone, but patiently;
* steady: with a sound holder the followers are cut off, stopped, restarted, and
  hear only part of what is said, one after the other: nothing may move.  Then a
  holder falls ill and gets well: `preempt` decides where the lease is;
* membership: the list of members changes twice, by reloads at any time, in a
  network that fails.
"""

import traceback
from dataclasses import dataclass
from functools import partial

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.model.raft import Orders, Takeover
from keepalived_py.simulation.raft.faults import FAULTS
from keepalived_py.simulation.raft.host import Host
from keepalived_py.simulation.raft.judge import PATIENCE_US, RuleBroken, judge_end
from keepalived_py.simulation.raft.scenario import Play, Scenario, draw
from keepalived_py.simulation.raft.world import World

CHAOS, SETTLE, WATCH, PEACE = 20, 12, 3, 3
# The longest that a fencing may take beyond a few promises, the retries of failed ones included.
_FENCING_US = 3_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed ended.  `rule` is empty if everything held; `steps` is how many the core took."""

    seed: int
    play: str
    rule: str
    detail: str
    virtual_us: int
    steps: int
    trace: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every property held."""
        return not self.rule

    def __str__(self) -> str:
        where = f"seed {self.seed} ({self.play})"
        if self.passed:
            return f"{where}: held, {self.steps} steps in {self.virtual_us / 1e6:.1f} s"
        return f"{where}: BROKEN {self.rule} at {self.virtual_us / 1e6:.6f} s: {self.detail}"


def run_seed(seed: int, *, trace: bool = False) -> Outcome:
    """Play `seed`.  Never raises for what the core does."""
    return run_scenario(draw(seed), trace=trace)


def run_scenario(scenario: Scenario, *, trace: bool = False) -> Outcome:
    """Play what was drawn.  Never raises for what the core does."""
    world = World(scenario, trace=trace)
    rule = detail = ""
    try:
        {Play.CHAOS: chaos, Play.STEADY: steady, Play.MEMBERSHIP: membership}[scenario.play](world, scenario)
    except RuleBroken as broken:
        rule, detail = broken.rule, broken.detail
    except Exception:  # Any exception of the core is a finding, to be reported with its seed.
        rule, detail = "exception", traceback.format_exc()
    return Outcome(
        scenario.seed, scenario.play.value, rule, detail, world.now(), world.steps, tuple(world.lines)
    )


def boot_all(world: World, scenario: Scenario) -> None:
    """Every member of the first list begins within two promises' time."""
    for member in scenario.lists[0]:
        wait = world.random.randrange(2 * scenario.promise_us)
        world.at(world.now() + wait, partial(world.boot, member.id))


def mend_all(world: World) -> None:
    """The network is whole, everybody runs, and has heard every order."""
    world.network.heal()
    world.fences_work = world.calm = True
    for host in world.hosts.values():
        host.resume(keep=True)
        if host.cluster is not None:
            world.boot(host.id)
    world.order(world.orders)


def settle(world: World, scenario: Scenario) -> None:
    """After a bounded time each lease is in the right place, and stays there."""
    delay = max(lease.preempt_delay_us for lease in scenario.leases)
    slowest = _FENCING_US if scenario.cluster.fencing.script is not None else 0
    world.advance(world.now() + SETTLE * scenario.promise_us + 2 * delay + slowest)
    settled = len(world.moved)
    judge_all(world, scenario)
    world.advance(world.now() + WATCH * scenario.promise_us)
    if len(world.moved) > settled:
        raise RuleBroken("stability", f"{world.moved[-1]}")
    judge_all(world, scenario)


def judge_all(world: World, scenario: Scenario) -> None:
    """Every lease is where it should be."""
    hosts = [host for host in world.running() if _counts(world, host)]
    for lease in scenario.leases:
        judge_end(hosts, lease.name)


def _counts(world: World, host: Host) -> bool:
    """Whether others still know the host as a member."""
    return any(
        host.id in [each.id for each in other.member.cluster.members]
        for other in world.running()
        if other is not host and other.member is not None
    )


def chaos(world: World, scenario: Scenario) -> None:
    """A time of faults, then one of peace."""
    world.fences_work = False
    boot_all(world, scenario)
    world.advance(2 * scenario.promise_us)
    _faults_until(world, scenario, (2 + CHAOS) * scenario.promise_us)
    mend_all(world)
    settle(world, scenario)
    if len(world.hosts) == 2 and scenario.cluster.fencing.takeover is Takeover.FENCE_FIRST:
        _alone(world, scenario)


def _alone(world: World, scenario: Scenario) -> None:
    """One of two is off for good: the other one takes what it can, after it has shot; a cold start too."""
    gone, left = world.random.sample(list(world.hosts.values()), 2)
    world.gone.add(gone.id)
    gone.power_off()
    for lease in scenario.leases:
        left.change(lease.name, left.health[lease.name]._replace(able=True))
    bound = SETTLE * scenario.promise_us + _FENCING_US
    world.advance(world.now() + bound)
    _judge_alone(scenario, left)
    left.power_off()
    world.boot(left.id)
    world.advance(left.clock.true(left.now() + PATIENCE_US) + bound)
    _judge_alone(scenario, left)


def _judge_alone(scenario: Scenario, left: Host) -> None:
    for lease in scenario.leases:
        judge_end([left], lease.name)


def _faults_until(world: World, scenario: Scenario, end: int) -> None:
    wanted = scenario.faults
    chosen = [each for each in FAULTS if not wanted or each[0].__name__ in wanted]
    kinds, weights = zip(*chosen, strict=True)
    while world.now() < end:
        world.advance(world.now() + world.random.randrange(1_000, 2 * scenario.promise_us))
        world.random.choices(kinds, weights)[0](world)


# -- followers may fail ----------------------------------------------------------------------


def steady(world: World, scenario: Scenario) -> None:
    """Nothing that happens to a follower moves anything."""
    boot_all(world, scenario)
    settle(world, scenario)
    for trouble in world.random.sample((_cut_one, _isolate_one, _pause_one, _restart_one, _lose_some), 3):
        target = world.random.choice(list(world.hosts))
        world.must_stay = {lease.name for lease in scenario.leases if holder_of(world, lease.name) != target}
        trouble(world, scenario, target)
        world.advance(world.now() + PEACE * scenario.promise_us)
        world.must_stay = set()
        # What the target itself held may be on its way back to it.
        delay = max(lease.preempt_delay_us for lease in scenario.leases)
        world.advance(world.now() + PEACE * scenario.promise_us + 2 * delay)
        judge_all(world, scenario)
    _fall_ill(world, scenario)


def holder_of(world: World, lease: LeaseName) -> MemberId | None:
    """Who holds a lease."""
    return next((host.id for host in world.running() if host.relies_on(lease)), None)


def _for_a_while(world: World, scenario: Scenario) -> None:
    world.advance(world.now() + world.random.randrange(1_000, 8 * scenario.promise_us))


def _cut_one(world: World, scenario: Scenario, target: MemberId) -> None:
    """Of one link nobody's majority depends, so that even its holders stay."""
    other = world.random.choice([id for id in world.hosts if id != target])
    world.must_stay = {lease.name for lease in scenario.leases}
    world.network.part({target}, {other}, one_way=world.random.random() < 0.5)
    _for_a_while(world, scenario)
    world.network.heal()


def _isolate_one(world: World, scenario: Scenario, target: MemberId) -> None:
    rest = set(world.hosts) - {target}
    ones, others = world.random.choice((({target}, rest), (rest, {target})))
    world.network.part(ones, others, one_way=world.random.random() < 0.5)
    _for_a_while(world, scenario)
    world.network.heal()


def _pause_one(world: World, scenario: Scenario, target: MemberId) -> None:
    world.hosts[target].pause()
    _for_a_while(world, scenario)
    world.hosts[target].resume(keep=world.random.random() < 0.7)


def _restart_one(world: World, scenario: Scenario, target: MemberId) -> None:
    world.hosts[target].power_off()
    _for_a_while(world, scenario)
    world.boot(target)


def _lose_some(world: World, scenario: Scenario, target: MemberId) -> None:
    world.must_stay = {lease.name for lease in scenario.leases}
    world.network.loss_percent = 20
    _for_a_while(world, scenario)
    world.network.heal()


def _fall_ill(world: World, scenario: Scenario) -> None:
    """The holder of the first lease is ill for a time: another one takes it; then `preempt` decides."""
    lease = scenario.leases[0]
    first = holder_of(world, lease.name)
    if first is None or sum(host.could_hold(lease.name) for host in world.running()) < 2:
        return
    host = world.hosts[first]
    host.change(lease.name, host.health[lease.name]._replace(able=False))
    world.advance(world.now() + scenario.promise_us // 2)
    second = holder_of(world, lease.name)
    if second is None or second == first:
        raise RuleBroken(
            "handed over", f"{lease.name} is with {second}, half a promise after {first} fell ill"
        )
    host.change(lease.name, host.health[lease.name]._replace(able=True))
    better = host.priority(lease.name) > world.hosts[second].priority(lease.name)
    world.advance(world.now() + max(lease.preempt_delay_us, scenario.promise_us) * 9 // 10)
    if holder_of(world, lease.name) != second:
        raise RuleBroken("preempt delay", f"{lease.name} left {second} too early")
    settle(world, scenario)
    last = holder_of(world, lease.name)
    if last != (first if better and lease.preempt else second):
        raise RuleBroken("preemption", f"{lease.name}: {first}, {second}, {last}; preempt {lease.preempt}")


# -- the list of members changes -----------------------------------------------------------------


def membership(world: World, scenario: Scenario) -> None:
    """Two changes of the list, each by reloads here and there, while the network fails."""
    boot_all(world, scenario)
    world.advance(6 * scenario.promise_us)
    for number, members in enumerate(scenario.lists[1:], start=1):
        for member in members:
            if world.hosts[member.id].cluster is None:
                world.boot(member.id, members)
            after = world.random.randrange(6 * scenario.promise_us)
            # Some are told of the last list at once.  It must not be taken before its time.
            which = number if world.random.random() < 0.7 else len(scenario.lists) - 1
            world.at(world.now() + after, partial(_reload, world, scenario, member.id, which))
        for _ in range(3):
            _faults_until(world, scenario, world.now() + scenario.promise_us)
            _part_by_list(world, number)
    world.advance(world.now() + 4 * scenario.promise_us)
    mend_all(world)
    world.order(Orders())
    for number, members in enumerate(scenario.lists):
        for member in members:
            _reload(world, scenario, member.id, number)
    world.advance(world.now() + 20 * scenario.promise_us)
    for member in scenario.lists[-1]:
        cluster = world.hosts[member.id].cluster
        if cluster is None or cluster.members != scenario.lists[-1]:
            raise RuleBroken("members stuck", f"{member.id} does not go by the last list")
    last = {member.id for member in scenario.lists[-1]}
    for host in world.running():
        if host.id not in last:
            host.stop()
    settle(world, scenario)


def _part_by_list(world: World, number: int) -> None:
    """Those with a newer list hear nothing of the others: they must not find a majority of their own."""
    lists = world.scenario.lists[:number]
    old = {id for id, host in world.hosts.items() if host.cluster and host.cluster.members in lists}
    if world.random.random() < 0.5:
        world.network.part(old, set(world.hosts) - old)


def _reload(world: World, scenario: Scenario, id: MemberId, number: int) -> None:
    """Try until the member takes the list; a later list is tried only after it."""
    host = world.hosts[id]
    present = host.cluster.members if host.cluster is not None else ()
    target = scenario.lists[number]
    if present in scenario.lists[number:] or id not in [each.id for each in target]:
        return
    if not host.reload(world.cluster_of(id, target)):
        again = world.random.randrange(1_000, scenario.promise_us)
        world.at(world.now() + again, partial(_reload, world, scenario, id, number))
        return
    world.tokens_may_be_forgotten()
