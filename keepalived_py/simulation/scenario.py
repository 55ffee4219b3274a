"""From a seed to a whole plan: routers, their configurations, the faults, the times.

A run has four phases.  *Chaos*: faults come and go.  *Split*: the network falls
into parts without loss, lasting faults go on; after `settle_us` each part must
have settled.  *Whole*: everything heals; after `settle_us` all must have one
master.  *Stop*: that master is stopped cleanly; the next must follow within
`takeover_us`.

Version 2 adverts with another interval or password are dropped (RFC 3768
section 7.1), so all routers of a scenario share both.  At most one router is
the address owner: two owners are a configuration error with rules of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import permutations
from random import Random

from keepalived_py.base.clock import MILLISECOND, SECOND, Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.model.config import (
    AuthType,
    CheckScript,
    Command,
    Configuration,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
    TrackedScript,
    VirtualAddress,
)
from keepalived_py.simulation.clock import DriftingClock
from keepalived_py.simulation.faults import LIFECYCLE, LinkFault, RouterFault, RouterName, Trouble

INTERFACE = InterfaceName("eth0")
SCRIPT = ScriptName("check")
GROUP = GroupName("group")
OWNER = 255
MAX_DRIFT_PPM = 10_000
MAX_LATENCY_US = 20 * MILLISECOND


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """One router: its configuration, own address, clock, and when it is first started."""

    name: RouterName
    configuration: Configuration
    source: IPv4Address
    clock: DriftingClock
    start_us: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything a run depends on, besides the random streams derived from `seed`."""

    seed: int
    routers: tuple[RouterPlan, ...]
    link_faults: tuple[LinkFault, ...]
    router_faults: tuple[RouterFault, ...]
    parts: tuple[frozenset[RouterName], ...]
    junk_us: tuple[int, ...]
    chaos_us: int
    settle_us: int
    takeover_us: int
    watch_us: int

    @property
    def heal_us(self) -> int:
        """The virtual instant at which every fault is over."""
        return self.chaos_us + self.settle_us + self.watch_us


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all routers of a scenario have in common."""

    vrids: tuple[int, ...]
    interval: Micros
    auth_type: AuthType
    auth_data: bytes
    address_count: int
    grouped: bool
    with_script: bool
    with_preempt_delay: bool


def draw(seed: int) -> Scenario:
    """The scenario of `seed`; the same seed always gives an equal one."""
    random = Random(f"{seed}/scenario")
    shared = _draw_shared(random)
    names = [RouterName(f"r{number + 1}") for number in range(random.randint(2, 5))]
    owner = random.choice(names) if random.random() < 0.15 else None
    routers = tuple(_draw_router(random, shared, name, name == owner) for name in names)
    chaos = random.randint(8, 20) * shared.interval
    settle = _settle_us(routers)
    watch = 3 * shared.interval + SECOND
    heal = chaos + settle + watch
    parts = _draw_parts(random, names)
    router_faults = (fault for name in names for fault in _draw_troubles(random, name, chaos, heal))
    return Scenario(
        seed=seed,
        routers=routers,
        link_faults=(*_draw_link_faults(random, names, chaos), *_split(parts, chaos, heal)),
        router_faults=tuple(router_faults),
        parts=parts,
        junk_us=_draw_junk(random, heal + settle),
        chaos_us=chaos,
        settle_us=settle,
        takeover_us=_with_drift(SECOND + SECOND // 2),
        watch_us=watch,
    )


def _draw_shared(random: Random) -> _Shared:
    shape = random.choice(("one", "one", "one", "two", "group"))
    authenticated = random.random() < 0.4
    return _Shared(
        vrids=(51,) if shape == "one" else (51, 52),
        interval=Micros(random.choice((1, 1, 1, 2, 3)) * SECOND),
        auth_type=AuthType.PASS if authenticated else AuthType.NONE,
        auth_data=b"s3cret" if authenticated else b"",
        address_count=random.randint(1, 3),
        grouped=shape == "group",
        with_script=random.random() < 0.4,
        with_preempt_delay=random.random() < 0.15,
    )


def _draw_router(random: Random, shared: _Shared, name: RouterName, owner: bool) -> RouterPlan:
    return RouterPlan(
        name=name,
        configuration=_draw_configuration(random, shared, owner),
        source=IPv4Address(f"10.0.0.{name[1:]}"),
        clock=DriftingClock(random.randint(0, 10**12), random.randint(-MAX_DRIFT_PPM, MAX_DRIFT_PPM)),
        start_us=random.randint(0, 2 * shared.interval),
    )


def _draw_configuration(random: Random, shared: _Shared, owner: bool) -> Configuration:
    tracked = _draw_tracked(random, shared)
    # A group whose members disagree about their priority may stay in BACKUP for ever
    # (keepalived does the same), so members are alike.
    prototype = _draw_instance(random, shared, tracked, owner)
    drawn = (
        prototype if shared.grouped else _draw_instance(random, shared, tracked, owner) for _ in shared.vrids
    )
    instances = tuple(_for_vrid(each, vrid, shared) for each, vrid in zip(drawn, shared.vrids, strict=True))
    members = tuple(instance.name for instance in instances)
    return Configuration(
        instances=instances,
        groups=(SyncGroup(GROUP, members),) if shared.grouped else (),
        scripts=(_draw_script(random),) if tracked else (),
    )


def _draw_tracked(random: Random, shared: _Shared) -> tuple[TrackedScript, ...]:
    if not shared.with_script:
        return ()
    # Weights of members count in a sync group only with sync_group_tracking_weight.
    weight = 0 if shared.grouped else random.choice((0, 0, -40, -120, 30))
    return (TrackedScript(SCRIPT, weight),)


def _draw_script(random: Random) -> CheckScript:
    return CheckScript(
        name=SCRIPT,
        command=Command(("/usr/local/bin/check",), 0, 0),
        interval_us=Micros(random.choice((1, 2)) * SECOND),
        timeout_us=SECOND,
        rise=random.randint(1, 3),
        fall=random.randint(1, 3),
    )


def _draw_instance(
    random: Random, shared: _Shared, tracked: tuple[TrackedScript, ...], owner: bool
) -> Instance:
    initial = InitialState.MASTER if owner or random.random() < 0.3 else InitialState.BACKUP
    # `nopreempt` and `preempt_delay` do not go with `state MASTER`; the configuration drops them.
    free = initial is InitialState.BACKUP
    preempt = not (free and random.random() < 0.3)
    delayed = free and preempt and shared.with_preempt_delay
    return Instance(
        name=InstanceName("prototype"),
        interface=INTERFACE,
        vrid=0,
        base_priority=OWNER if owner else random.choice((50, 100, 150, 150, random.randint(1, 254))),
        initial_state=initial,
        preempt=preempt,
        preempt_delay_us=Micros(random.randint(1, 4) * SECOND if delayed else 0),
        advert_interval_us=shared.interval,
        auth_type=shared.auth_type,
        auth_data=shared.auth_data,
        track_scripts=tracked,
        notifies=Notifies(any=Command(("/usr/local/bin/notify",), 0, 0)),
    )


def _for_vrid(prototype: Instance, vrid: int, shared: _Shared) -> Instance:
    addresses = tuple(
        VirtualAddress(IPv4Address(f"10.0.{vrid}.{100 + number}"), 32, INTERFACE)
        for number in range(shared.address_count)
    )
    return replace(prototype, name=InstanceName(f"v{vrid}"), vrid=vrid, addresses=addresses)


def _with_drift(duration: int) -> int:
    """How long `duration` of the slowest clock may take, in virtual microseconds."""
    return duration + duration * 2 * MAX_DRIFT_PPM // 1_000_000


def _master_down_us(instance: Instance) -> int:
    """The longest master_down_interval (RFC 3768 section 6.1): skew_time is below one second."""
    return instance.down_timer_adverts * instance.advert_interval_us + SECOND


def _settle_us(routers: tuple[RouterPlan, ...]) -> int:
    """The time after which a network without new faults must have settled.

    First the scripts must have noticed, then a master_down_interval passes until
    somebody is master, and another until a better one has taken over from him;
    a preempt_delay comes on top.  One advert and a second pay for the packets and
    lanes that were under way.
    """
    instances = [instance for router in routers for instance in router.configuration.instances]
    scripts = [script for router in routers for script in router.configuration.scripts]
    notice = max((_notice_us(script) for script in scripts), default=0)
    down = max(_master_down_us(instance) for instance in instances)
    delay = max(instance.preempt_delay_us for instance in instances)
    interval = max(instance.advert_interval_us for instance in instances)
    return _with_drift(notice + 2 * down + delay + interval + SECOND)


def _notice_us(script: CheckScript) -> int:
    return (max(script.rise, script.fall) + 1) * script.interval_us + script.timeout_us


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


def _draw_troubles(random: Random, name: RouterName, chaos: int, heal: int) -> Iterator[RouterFault]:
    yield from _draw_series(random, name, LIFECYCLE, chaos, heal)
    for trouble in Trouble:
        if trouble not in LIFECYCLE:
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


def _draw_junk(random: Random, until: int) -> tuple[int, ...]:
    """When somebody sends a packet that every router must refuse."""
    if random.random() < 0.7:
        return ()
    return tuple(sorted(random.randrange(until) for _ in range(random.randint(1, 30))))
