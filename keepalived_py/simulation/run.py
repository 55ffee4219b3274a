"""One seed from beginning to end: chaos, split, whole, reload, stop."""

import traceback
from dataclasses import dataclass
from functools import partial

from keepalived_py.base.clock import SECOND
from keepalived_py.model.effects import Role
from keepalived_py.simulation.invariants import RuleBroken
from keepalived_py.simulation.judge import due_addresses, judge_kernels, judge_roles
from keepalived_py.simulation.machine import CORE, Machine
from keepalived_py.simulation.router import Router
from keepalived_py.simulation.scenario import Scenario, draw
from keepalived_py.simulation.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed ended.  `rule` is empty if everything held.

    `virtual_us` is the virtual time played, `worked` the number of happenings.
    """

    seed: int
    rule: str
    detail: str
    virtual_us: int
    worked: int
    trace: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every property held."""
        return not self.rule

    def __str__(self) -> str:
        if self.passed:
            return f"seed {self.seed}: held, {self.worked} happenings in {self.virtual_us / 1e6:.1f} s"
        return f"seed {self.seed}: BROKEN {self.rule} at {self.virtual_us / 1e6:.6f} s: {self.detail}"


def run_seed(seed: int, machine: Machine = CORE, *, trace: bool = False) -> Outcome:
    """Play `seed` with `machine`.  Never raises for what the machine does."""
    scenario = draw(seed)
    world = World(scenario, machine, trace)
    rule = detail = ""
    try:
        play(world, scenario)
    except RuleBroken as broken:
        rule, detail = broken.rule, broken.detail
    except Exception:  # Any exception of the core is a finding, to be reported with its seed.
        rule, detail = "exception", traceback.format_exc()
    return Outcome(seed, rule, detail, world.now, world.worked, tuple(world.lines))


def play(world: World, scenario: Scenario) -> None:
    """Play all phases; raises RuleBroken at the first property that does not hold."""
    world.advance(scenario.chaos_us)
    parts = [[world.routers[name] for name in sorted(part)] for part in scenario.parts]
    _settle(world, scenario, parts, "split")
    world.advance(scenario.heal_us)
    whole = [list(world.routers.values())]
    _settle(world, scenario, whole, "whole", mend_us=scenario.mend_us)
    _reload_all(world)
    _watch(world, scenario, whole, "reload")
    _stop_master(world, scenario)


def _settle(
    world: World, scenario: Scenario, parts: list[list[Router]], phase: str, mend_us: int = 0
) -> None:
    """After its time the network has masters, and these stay; what kernels spoilt is mended a while later."""
    world.advance(world.now + scenario.settle_us)
    for part in parts:
        judge_roles(part, phase)
    settled = world.now
    world.advance(settled + mend_us)
    if world.now >= scenario.heal_us:
        for router in world.routers.values():
            router.unruly = False
    _watch(world, scenario, parts, phase, settled)


def _watch(
    world: World, scenario: Scenario, parts: list[list[Router]], phase: str, settled: int | None = None
) -> None:
    since = world.now if settled is None else settled
    # Up to, not including, the instant at which the next phase begins.
    world.advance(world.now + scenario.watch_us - 1)
    if world.last_role_change_us > since:
        raise RuleBroken("stability", f"{phase}: a role changed after {since / 1e6:.6f} s")
    for part in parts:
        judge_roles(part, phase)
        judge_kernels(part, phase)
    world.now += 1


def _reload_all(world: World) -> None:
    """Every router, one after the other within a second; what it holds before and after must not vanish."""
    for router in world.routers.values():
        plan, mastered = router.plan, router.mastered()
        stays = due_addresses(router.configuration, mastered) & due_addresses(plan.last, mastered)
        router.guarded = frozenset(stays)
        world.note(router.name, "!", "reload at any moment")
        world.at(world.now + world.random.randrange(SECOND), partial(router.reload, plan.last))


def _stop_master(world: World, scenario: Scenario) -> None:
    for router in world.routers.values():
        router.guarded = frozenset()
    vrid = scenario.cluster.vrids[0]
    master = next(router for router in world.routers.values() if router.role(vrid) is Role.MASTER)
    master.stop()
    world.advance(world.now + scenario.takeover_us)
    # Skew times closer to each other than the wire's delay may let the second best win first.
    judge_roles(world.routers.values(), "stop", preemption=False)
    judge_kernels(world.routers.values(), "stop")
