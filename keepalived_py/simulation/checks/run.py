"""One seed from beginning to end: a configuration, its life, some reloads, its stop.

After each step the strict kernel must hold what the model says, those who follow must
have been told what the model says, in that order, and nothing that is the same
before and after may have been moved in between: its connections would be lost.
"""

import traceback
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from random import Random

from keepalived_py.base.names import Address
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.pool import Pool
from keepalived_py.core.checks.pool_reload import carried_over
from keepalived_py.core.checks.verdicts import CheckerVerdict
from keepalived_py.model.check_events import CheckEffect, SendAlert, StartCheck
from keepalived_py.model.effects import RunNotify, WriteFifo, WriteLog
from keepalived_py.model.globals import LvsFlush
from keepalived_py.model.ipvs import DestinationSettings, FlushTable, Service
from keepalived_py.model.virtual_server import Protocol
from keepalived_py.simulation.checks.checking import Checks
from keepalived_py.simulation.checks.kernel import Kernel, Place, RuleBroken
from keepalived_py.simulation.checks.model import Model, Row, Told
from keepalived_py.simulation.checks.scenario import Plan, Scene, changed, draw

STEPS = 40
EXTRAS = (-(2**40), -5, -1, 0, 0, 0, 1, 2, 7, 2**40)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed ended.  `rule` is empty if everything held; `changes` are those of the kernel's table."""

    seed: int
    rule: str
    detail: str
    steps: int
    reloads: int
    changes: int
    trace: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every property held."""
        return not self.rule

    def __str__(self) -> str:
        if self.passed:
            return f"seed {self.seed}: held, {self.steps} steps, {self.changes} changes of the table"
        return f"seed {self.seed}: BROKEN {self.rule} at step {self.steps}: {self.detail}"


def run_seed(seed: int, *, trace: bool = False) -> Outcome:
    """Play `seed`.  Never raises for what the core does."""
    world = World(Random(seed), trace)
    rule = detail = ""
    try:
        world.play()
    except RuleBroken as broken:
        rule, detail = broken.rule, broken.detail
    except Exception:  # Any exception of the core is a finding, to be reported with its seed.
        rule, detail = "exception", traceback.format_exc()
    return Outcome(seed, rule, detail, world.steps, world.reloads, world.kernel.changes, tuple(world.lines))


@dataclass
class Live:
    """A virtual server that is played, and the checks of its servers."""

    plan: Plan
    pool: Pool
    row: Row

    @property
    def key(self) -> Hashable:
        return pools.identity(self.plan.virtual, self.plan.place)


class World:
    """The decisions, the kernel, and the model beside them."""

    def __init__(self, random: Random, trace: bool) -> None:
        self.random = random
        self.trace = trace
        self.scene = draw(random)
        self.kernel = Kernel()
        self.model = Model()
        self.lives: list[Live] = []
        self.said: dict[str, str] = {}
        self.others: frozenset[Service] = frozenset()
        self.changed: frozenset[Address] = frozenset()
        self.steps = self.reloads = 0
        self.lines: list[str] = []

    def play(self) -> None:
        """From the start to the stop."""
        self.start()
        for _ in range(self.random.randint(5, STEPS)):
            kind = self.random.random()
            if kind < 0.1:
                self.reload()
            elif kind < 0.25:
                self.weigh()
            else:
                self.result()
        self.stop()

    # -- what happens --------------------------------------------------------------

    def start(self) -> None:
        out: list[CheckEffect] = []
        for plan in self.scene.plans:
            row = {index: Checks.begun(checks) for index, checks in enumerate(plan.checks)}
            begun = self._begun(plan, row)
            pool = pools.initialised(begun, out, shared=self._shared(begun))
            self.lives.append(Live(plan, pool, row))
        self._judge("start", out, self.model.start(self.scene, [live.row for live in self.lives]))

    def _begun(self, plan: Plan, row: Row) -> Pool:
        return pools.begun(
            plan.virtual,
            self.scene.group if plan.virtual.group else None,
            plan.place,
            [row[index].failed for index in range(len(plan.checks))],
            self.scene.general,
            [row[index].extra for index in range(len(plan.checks))],
        )

    def _shared(self, pool: Pool) -> frozenset[Service]:
        """The services that others have in the kernel, too."""
        return pools.shared_services(pool, (live.pool for live in self.lives))

    def result(self) -> None:
        which = self.random.randrange(len(self.lives))
        live = self.lives[which]
        index = self.random.randrange(len(live.plan.checks))
        checks = live.row[index].by_number
        if not checks:
            return
        number = self.random.choice(list(checks))
        check, good = checks[number], self.random.random() < 0.5
        out: list[CheckEffect] = []
        verdict = CheckerVerdict(good, check.up, check.has_run, check.alpha)
        live.pool = pools.verdict(live.pool, index, verdict, out)
        told = self.model.result(which, index, number, good)
        check.up, check.has_run = good, True
        self._judge(f"{live.pool.name} server {index} check {number} good={good}", out, told)

    def weigh(self) -> None:
        which = self.random.randrange(len(self.lives))
        live = self.lives[which]
        index = self.random.randrange(len(live.plan.checks))
        extra = self.random.choice(EXTRAS)
        out: list[CheckEffect] = []
        weight = live.pool.servers[index].weight + extra - live.row[index].extra
        live.pool = pools.weight_changed(live.pool, index, weight, out)
        live.row[index].extra = extra
        told = self.model.weigh(which, index, extra)
        self._judge(f"{live.pool.name} server {index} weight {extra:+}", out, told)

    def reload(self) -> None:
        """As keepalived does it: everything old first, then everything new."""
        self.reloads += 1
        old, self.scene = self.scene, changed(self.random, self.scene)
        olds = {live.key: live for live in self.lives}
        news = [self._next(plan, olds) for plan in self.scene.plans]
        heirs = {live.key: live for live in news}
        out: list[CheckEffect] = []
        for live in list(self.lives):
            shared, heir = self._shared(live.pool), heirs.get(live.key)
            self.lives.remove(live)
            if heir is None:
                self.said.pop(live.pool.name, None)
                pools.dissolved(live.pool, out, stopping=False, shared=shared)
            else:
                heir.pool = carried_over(live.pool, heir.pool, out, shared=shared)
                self.lives.append(heir)
        self.lives = news
        for live in news:
            live.pool = pools.initialised(live.pool, out, shared=self._shared(live.pool))
        self._excuse(old)
        told = self.model.reload(self.scene, [live.row for live in news])
        self._judge(f"reload {old} -> {self.scene}", out, told)
        self.others, self.changed = frozenset(), frozenset()

    def _excuse(self, old: Scene) -> None:
        """What may be away for a moment since it is not the same as before.

        Virtual servers of a group that have other places since the reload are others; and a server that does
        not keep its place any more when it fails, or is the sorry server no more, may lose it before it
        gets it back.
        """
        if _by_group(old) != _by_group(self.scene):
            grouped = (live.pool.services for live in self.lives if live.plan.virtual.group is not None)
            self.others = frozenset(service for services in grouped for service in services)
        inhibits = _inhibits(old).items() ^ _inhibits(self.scene).items()
        twins = _sorry_servers(old).intersection(_inhibits(old))
        self.changed = twins.union(address for address, _ in inhibits)

    def _next(self, plan: Plan, olds: dict[Hashable, Live]) -> Live:
        old = olds.get(pools.identity(plan.virtual, plan.place))
        row: Row = {}
        for index, server in enumerate(plan.virtual.real_servers):
            row[index] = Checks.begun(plan.checks[index])
            before = [] if old is None else list(enumerate(old.plan.virtual.real_servers))
            for place, had in before:
                if old is not None and pools.server_identity(had) == pools.server_identity(server):
                    alive = old.pool.servers[place].alive
                    row[index] = Checks.migrated(plan.checks[index], old.row[place], alive)
        return Live(plan, self._begun(plan, row), row)

    def stop(self) -> None:
        out: list[CheckEffect] = []
        if self.scene.general.lvs.flush_on_stop is LvsFlush.ALL:
            out.append(FlushTable())
        for live in list(self.lives):
            shared = self._shared(live.pool)
            self.lives.remove(live)
            pools.dissolved(live.pool, out, stopping=True, shared=shared)
        self._judge("stop", out, self.model.stop(self.scene))

    # -- what must hold ------------------------------------------------------------

    def _judge(self, what: str, out: list[CheckEffect], told: list[Told]) -> None:
        self.steps += 1
        if self.trace:
            self.lines.append(f"{self.steps}: {what}")
            self.lines.extend(f"    {effect}" for effect in out)
        before, services = self.kernel.places(), set(self.kernel.entries)
        self.kernel.calm()
        for effect in out:
            if not isinstance(effect, RunNotify | WriteFifo | WriteLog | SendAlert | StartCheck):
                self.kernel.apply(effect)
        _same("services", self.kernel.services(), self.model.services())
        _same("table", self.kernel.places(), self.model.table())
        _same("told", [line for effect in out for line in _heard(effect)], told)
        self._undisturbed(before, services)
        self._alternate(out)

    def _undisturbed(self, before: Mapping[Place, DestinationSettings], services: set[Service]) -> None:
        """What is the same as before was not away in between.

        But the server that is the sorry server, too: it fails first and serves then.
        """
        after = self.kernel.places()
        excused = _sorry_servers(self.scene).intersection(_inhibits(self.scene)) | self.changed
        moved = [
            f"{service} {destination}"
            for service, destination in self.kernel.moved
            if before.get((service, destination), 0) == after.get((service, destination), 1)
            and destination.address not in excused
            and service not in self.others
        ]
        remade = self.kernel.moved_services & services & set(self.kernel.entries)
        moved += [str(service) for service in remade - self.others]
        if moved:
            raise RuleBroken("disturbed", ", ".join(moved))

    def _alternate(self, out: list[CheckEffect]) -> None:
        """A virtual server is said to be up and down in turns; but at a start, and at the very end."""
        for effect in out:
            if isinstance(effect, WriteFifo) and effect.line.startswith("VS "):
                name, state = effect.line.removeprefix("VS ").rsplit(" ", 1)
                if self.said.get(name) == state == "UP":
                    raise RuleBroken("alternation", effect.line)
                self.said[name] = state


def _by_group(scene: Scene) -> list[tuple[int, Protocol | None]]:
    """Which virtual servers the group has, in their places."""
    return [(plan.kind, plan.virtual.protocol) for plan in scene.plans if plan.virtual.group is not None]


def _inhibits(scene: Scene) -> dict[Address, bool]:
    """Which servers keep their place when they fail."""
    every = (server for plan in scene.plans for server in plan.virtual.real_servers)
    return {server.address: server.inhibit_on_failure for server in every}


def _sorry_servers(scene: Scene) -> frozenset[Address]:
    every = (plan.virtual.sorry_server for plan in scene.plans)
    return frozenset(sorry.address for sorry in every if sorry is not None)


def _same(rule: str, found: object, expected: object) -> None:
    if found == expected:
        return
    if isinstance(found, dict) and isinstance(expected, dict):
        extra = {key: value for key, value in found.items() if expected.get(key) != value}
        lacking = {key: value for key, value in expected.items() if found.get(key) != value}
        raise RuleBroken(rule, f"found {_brief(extra)}, expected {_brief(lacking)}")
    raise RuleBroken(rule, f"found {found}, expected {expected}")


def _brief(table: dict[object, object]) -> str:
    """Services and servers in few words."""
    words: list[str] = []
    for key, value in table.items():
        name = "/".join(map(str, key)) if isinstance(key, tuple) and len(key) == 2 else str(key)
        words.append(f"{name} {getattr(value, 'weight', value)}")
    return ", ".join(words) or "nothing"


def _heard(effect: CheckEffect) -> list[Told]:
    match effect:
        case RunNotify():
            return [f"run {' '.join(effect.command.argv)}"]
        case WriteFifo():
            return [effect.line]
        case SendAlert():
            return [f"mail {effect.subject}"]
        case _:
            return []
