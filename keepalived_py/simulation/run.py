"""One seed from beginning to end: chaos, split, whole, stop."""

import traceback
from dataclasses import dataclass

from keepalived_py.model.effects import Role
from keepalived_py.simulation.invariants import RuleBroken
from keepalived_py.simulation.judge import judge_part
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
    for_parts = [[world.routers[name] for name in sorted(part)] for part in scenario.parts]
    _settle(world, scenario, for_parts, "split")
    _settle(world, scenario, [list(world.routers.values())], "whole")
    _stop_master(world, scenario)


def _settle(world: World, scenario: Scenario, parts: list[list[Router]], phase: str) -> None:
    world.advance(world.now + scenario.settle_us)
    settled = world.now
    for part in parts:
        judge_part(part, phase)
    # Up to, not including, the instant at which the next phase begins.
    world.advance(settled + scenario.watch_us - 1)
    if world.last_role_change_us > settled:
        raise RuleBroken("stability", f"{phase}: a role changed after {settled / 1e6:.6f} s")
    for part in parts:
        judge_part(part, phase)
    world.advance(settled + scenario.watch_us)


def _stop_master(world: World, scenario: Scenario) -> None:
    instance = scenario.routers[0].configuration.instances[0].name
    master = next(router for router in world.routers.values() if router.role(instance) is Role.MASTER)
    master.stop()
    world.advance(world.now + scenario.takeover_us)
    # Skew times closer to each other than the wire's delay may let the second best win first.
    judge_part(world.routers.values(), "stop", preemption=False)
