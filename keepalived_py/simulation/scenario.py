"""From a seed to a whole plan: routers, their configurations, the faults, the times.

A run has five phases.  *Chaos*: faults come and go, configurations change.
*Split*: the network falls into parts without loss, lasting faults go on; after
`settle_us` each part must have settled.  *Whole*: everything heals; after
`settle_us` all must have one master.  *Reload*: every router gets another
configuration that gives no reason for another master: no role may change.
*Stop*: the master is stopped cleanly; the next must follow within `takeover_us`.

How long these times are, and why, is said in `bounds`; what routers share, and
what is drawn for each, in `cluster`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from random import Random

from keepalived_py.base.clock import MILLISECOND
from keepalived_py.base.names import Address
from keepalived_py.base.record import replace
from keepalived_py.model.config import Configuration
from keepalived_py.simulation import bounds
from keepalived_py.simulation.clock import DriftingClock
from keepalived_py.simulation.cluster import (
    Cluster,
    Layout,
    draw_cluster,
    draw_configuration,
    draw_layout,
    inessential,
    without_one,
)
from keepalived_py.simulation.faults import (
    FILTER,
    FLAPPING,
    LIFECYCLE,
    OBJECTS,
    TABLES,
    UNRULY,
    LinkFault,
    Reload,
    RouterFault,
    RouterName,
    Trouble,
)


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """One router: its configurations, own address, clock, and when it is first started.

    `later` are the configurations that reloads bring during chaos, `last` the one after the healing.
    `shortest_us` is the shortest advert interval of the cluster, `longest_down_us` the longest
    master_down_interval.
    """

    name: RouterName
    configuration: Configuration
    later: tuple[Configuration, ...]
    last: Configuration
    source: Address
    clock: DriftingClock
    start_us: int
    shortest_us: int
    longest_down_us: int

    def all_configurations(self) -> tuple[Configuration, ...]:
        """All that it ever runs."""
        return (self.configuration, *self.later, self.last)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything a run depends on, besides the random streams derived from `seed`.

    `mend_us` is 0 if no kernel was troubled.
    """

    seed: int
    cluster: Cluster
    routers: tuple[RouterPlan, ...]
    link_faults: tuple[LinkFault, ...]
    router_faults: tuple[RouterFault, ...]
    reloads: tuple[Reload, ...]
    parts: tuple[frozenset[RouterName], ...]
    junk_us: tuple[int, ...]
    chaos_us: int
    settle_us: int
    mend_us: int
    watch_us: int
    takeover_us: int

    @property
    def heal_us(self) -> int:
        """The virtual instant at which every fault is over."""
        return self.chaos_us + self.settle_us + self.watch_us


def draw(seed: int) -> Scenario:
    """The scenario of `seed`; the same seed always gives an equal one."""
    random = Random(f"{seed}/scenario")
    names = [RouterName(f"r{number + 1}") for number in range(random.randint(2, 5))]
    cluster = draw_cluster(random, names)
    routers = _draw_routers(random, cluster, names)
    configurations = [each for router in routers for each in router.all_configurations()]
    settle, watch = bounds.settle_us(configurations), bounds.watch_us(configurations)
    chaos = random.randint(8, 20) * max(cluster.intervals)
    heal = chaos + settle + watch
    parts = _draw_parts(random, names)
    possible = _possible(random, cluster)
    faults = [fault for name in names for fault in _draw_troubles(random, name, possible, chaos, heal)]
    troubled = any(fault.trouble in UNRULY for fault in faults)
    return Scenario(
        seed=seed,
        cluster=cluster,
        routers=routers,
        link_faults=(*_draw_link_faults(random, names, chaos), *_split(parts, chaos, heal)),
        router_faults=tuple(faults),
        reloads=tuple(_draw_reloads(random, routers, chaos)),
        parts=parts,
        junk_us=_draw_junk(random, heal + settle),
        chaos_us=chaos,
        settle_us=settle,
        mend_us=bounds.MEND_US if troubled else 0,
        watch_us=watch,
        takeover_us=bounds.takeover_us(configurations),
    )


# -- routers ------------------------------------------------------------------


def _draw_routers(random: Random, cluster: Cluster, names: list[RouterName]) -> tuple[RouterPlan, ...]:
    """Each is reloaded a few times; at the end of chaos all have the same addresses again."""
    layouts = [draw_layout(random, cluster) for _ in range(3)]
    most = random.choice((0, 0, 1, 3))
    return tuple(_draw_router(random, cluster, name, layouts, most) for name in names)


def _draw_router(
    random: Random, cluster: Cluster, name: RouterName, layouts: list[Layout], most: int
) -> RouterPlan:
    first, settled, last = layouts
    later: list[Configuration] = []
    for _ in range(random.randint(0, most)):
        between = draw_configuration(random, cluster, name, random.choice(layouts))
        later.append(without_one(random, between) if random.random() < 0.2 else between)
    if most:
        later.append(draw_configuration(random, cluster, name, settled))
    configuration = draw_configuration(random, cluster, name, first)
    slowest = replace(configuration.instances[0], advert_interval_us=max(cluster.intervals))
    drift = random.randint(-bounds.MAX_DRIFT_PPM, bounds.MAX_DRIFT_PPM)
    return RouterPlan(
        name=name,
        configuration=configuration,
        later=tuple(later),
        last=inessential(random, cluster, later[-1] if later else configuration, last),
        source=cluster.sources[name],
        clock=DriftingClock(random.randint(0, 10**12), drift),
        start_us=random.randint(0, 2 * max(cluster.intervals)),
        shortest_us=min(cluster.intervals),
        longest_down_us=bounds.master_down_us(slowest),
    )


def _draw_reloads(random: Random, routers: tuple[RouterPlan, ...], chaos: int) -> Iterator[Reload]:
    for router in routers:
        times = sorted(random.randrange(chaos) for _ in router.later)
        for when, configuration in zip(times, router.later, strict=True):
            yield Reload(when, router.name, configuration)


# -- faults -------------------------------------------------------------------


def _draw_parts(random: Random, names: list[RouterName]) -> tuple[frozenset[RouterName], ...]:
    """Who stays together in the split phase: one, two or three parts."""
    part_of = {name: random.randrange(random.choice((1, 2, 2, 3))) for name in names}
    parts = (frozenset(name for name in names if part_of[name] == part) for part in range(3))
    return tuple(part for part in parts if part)


def _split(parts: tuple[frozenset[RouterName], ...], begin: int, end: int) -> Iterator[LinkFault]:
    names = sorted(name for part in parts for name in part)
    apart = frozenset(
        (sender, receiver)
        for sender, receiver in permutations(names, 2)
        if not any(sender in part and receiver in part for part in parts)
    )
    if apart:
        yield LinkFault(begin, end, "split", apart, loss=1.0)


def _draw_link_faults(random: Random, names: list[RouterName], chaos: int) -> Iterator[LinkFault]:
    everybody = frozenset(permutations(names, 2))
    for _ in range(random.randint(0, 4)):
        begin = random.randrange(chaos)
        end = random.randint(begin, chaos)
        kind = random.choice(("partition", "one-way", "lossy", "slow"))
        if kind == "partition":
            yield from _split(_draw_parts(random, names), begin, end)
        elif kind == "one-way":
            yield LinkFault(begin, end, kind, frozenset([random.choice(sorted(everybody))]), loss=1.0)
        elif kind == "lossy":
            loss = random.uniform(0.05, 0.9)
            yield LinkFault(begin, end, kind, everybody, loss=loss, duplicate=random.random() / 3)
        else:
            yield LinkFault(begin, end, kind, everybody, delay_us=random.randint(1, 600) * MILLISECOND)


def _possible(random: Random, cluster: Cluster) -> tuple[Trouble, ...]:
    """What may happen in this scenario: unruly kernels are rare, they make a run long."""
    unruly = TABLES if random.random() < 0.3 else frozenset({Trouble.STOLEN})
    if cluster.closed and random.random() < 0.5:
        unruly |= FILTER
    return tuple(
        trouble
        for trouble in Trouble
        if trouble not in LIFECYCLE
        and not (trouble in UNRULY and trouble not in unruly)
        and not (trouble in OBJECTS and trouble not in cluster.tracked)
    )


def _draw_troubles(
    random: Random, name: RouterName, possible: tuple[Trouble, ...], chaos: int, heal: int
) -> Iterator[RouterFault]:
    yield from _draw_series(random, name, LIFECYCLE, chaos, heal)
    for trouble in possible:
        if trouble in FLAPPING and random.random() < 0.1:
            yield from _draw_flapping(random, name, trouble, chaos)
        else:
            yield from _draw_series(random, name, (trouble,), chaos, heal)


def _draw_series(
    random: Random, name: RouterName, choice: tuple[Trouble, ...], chaos: int, heal: int
) -> Iterator[RouterFault]:
    """Troubles of one kind for one router, one after the other; the last may last until `heal`."""
    chance = 0.6 if len(choice) > 1 else 0.2
    end = 0
    while random.random() < chance and end < chaos - 1:
        begin = random.randrange(end, chaos - 1)
        trouble = random.choice(choice)
        lasting = random.random() < 0.25 and trouble is not Trouble.SLOW_KERNEL
        end = heal if lasting else random.randint(begin + 1, chaos)
        yield RouterFault(begin, end, name, trouble)
        end += 1


def _draw_flapping(random: Random, name: RouterName, trouble: Trouble, chaos: int) -> Iterator[RouterFault]:
    """On and off in quick succession."""
    period = random.choice((5, 50, 500)) * MILLISECOND
    end = random.randrange(chaos)
    for _ in range(random.randint(3, 30)):
        begin = end + random.randint(1, period)
        end = begin + random.randint(1, period)
        if end > chaos:
            return
        yield RouterFault(begin, end, name, trouble)
        end += 1


def _draw_junk(random: Random, until: int) -> tuple[int, ...]:
    """When somebody sends a packet that every router must refuse."""
    if random.random() < 0.7:
        return ()
    return tuple(sorted(random.randrange(until) for _ in range(random.randint(1, 30))))
