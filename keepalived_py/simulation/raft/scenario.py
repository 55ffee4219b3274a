"""What a seed stands for: members, clocks, timing, leases and the kind of play."""

from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import NamedTuple

from keepalived_py.base.clock import MILLISECOND, Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import (
    PRESETS,
    Fencing,
    Lease,
    NoQuorum,
    RaftCluster,
    RaftMember,
    RaftTiming,
    Takeover,
)
from keepalived_py.model.scripts import Command
from keepalived_py.simulation.raft.clock import Clock
from keepalived_py.simulation.raft.host import Health, Pace

NAMES = tuple(MemberId(name) for name in "abcdefg")
# Any clock may run this much too fast or too slow (as much as `CLOCK_ALLOWANCE_PERCENT` covers).
MOST_PPM = 50_000
ORDINARY_DELAY_US = (200, 2_000)


class Play(Enum):
    """The kinds of play."""

    CHAOS = "chaos"
    STEADY = "steady"
    MEMBERSHIP = "membership"


class Slant(NamedTuple):
    """What is not left to chance, so that a certain kind of fault shows under most seeds.

    `ample`: the margin is that of the preset, or (False) tiny.  `extreme`: each clock is as wrong as
    it may be.  `guarded`: each kernel ends leases by itself, or (False) none does.  `faults`: nothing
    else goes wrong (names of functions of `faults`).
    """

    play: Play | None = None
    ample: bool | None = None
    extreme: bool = False
    guarded: bool | None = None
    faults: tuple[str, ...] = ()


UNSLANTED = Slant()


@dataclass(frozen=True, slots=True)
class Machine:
    """One host of the scenario; `health` in the order of the leases."""

    id: MemberId
    clock: Clock
    guarded: bool
    pace: Pace
    health: tuple[Health, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that is drawn before the play begins; `lists` are those of the members, one after the other.

    `faults`: only these happen; empty: all do.
    """

    seed: int
    play: Play
    cluster: RaftCluster
    lists: tuple[tuple[RaftMember, ...], ...]
    leases: tuple[Lease, ...]
    machines: tuple[Machine, ...]
    faults: tuple[str, ...] = ()

    @property
    def promise_us(self) -> int:
        """E."""
        return self.cluster.timing.promise_us


def draw(seed: int, slant: Slant = UNSLANTED) -> Scenario:
    """The scenario of a seed."""
    random = Random(seed)
    chosen = random.choices(list(Play), (65, 25, 10))[0]
    play = slant.play or chosen
    timing = _timing(random, slant)
    fencing, no_quorum = Fencing(), NoQuorum.DROP
    count, witnesses = random.choice(((3, 0), (3, 0), (3, 0), (3, 1), (3, 1), (3, 1), (5, 0), (5, 2)))
    if play is Play.CHAOS and random.random() < 0.2:
        fencing = _fencing(random)
        if random.random() < 0.5:
            count, witnesses, fencing = 2, 0, replace(fencing, takeover=Takeover.FENCE_FIRST)
            no_quorum = random.choice(list(NoQuorum))
    elif play is Play.CHAOS and random.random() < 0.1:
        count, witnesses = 2, 0
    lists = _lists(random, list_of(count, witnesses), 2 if play is Play.MEMBERSHIP else 0)
    cluster = RaftCluster(
        "simulated", NAMES[0], lists[0], timing=timing, fencing=fencing, no_quorum=no_quorum
    )
    leases = _leases(random, timing.promise_us)
    names = sorted({member.id for each in lists for member in each})
    machines = tuple(_machine(random, name, play, timing, leases, slant) for name in names)
    return Scenario(seed, play, cluster, lists, leases, machines, slant.faults)


def _timing(random: Random, slant: Slant) -> RaftTiming:
    """Margins are mostly tiny, so that they hide nothing that the allowance for clocks must cover."""
    timing = PRESETS[random.choice(("lan", "lan", "fast", "noisy"))]
    ample = random.random() < 0.5 if slant.ample is None else slant.ample
    return replace(timing, margin_us=timing.margin_us if ample else Micros(MILLISECOND))


def _fencing(random: Random) -> Fencing:
    takeover = random.choice((Takeover.FENCE_FIRST, Takeover.LEASE_OR_FENCE))
    return Fencing(takeover, Command(("shoot",), 0, 0))


def list_of(count: int, witnesses: int) -> tuple[RaftMember, ...]:
    """The first `count` members, the last of them witnesses."""
    return tuple(
        RaftMember(
            name,
            Endpoint("192.0.2.1", 1000 + place),
            witness=place >= count - witnesses,
            fence_delay_us=Micros(400_000 * place),
        )
        for place, name in enumerate(NAMES[:count])
    )


def _lists(random: Random, first: tuple[RaftMember, ...], changes: int) -> tuple[tuple[RaftMember, ...], ...]:
    """The first list, and those that the operator goes on to, each with one member more or less."""
    lists = [first]
    for _ in range(changes):
        last = lists[-1]
        spare = [name for name in NAMES if all(name != each.id for each in last)]
        if len(last) > 2 and (random.random() < 0.5 or not spare):
            gone = random.choice(last[1:])
            lists.append(tuple(each for each in last if each is not gone))
        else:
            lists.append((*last, RaftMember(spare[-1], Endpoint("192.0.2.1", 2000 + len(lists)))))
    return tuple(lists)


def _leases(random: Random, promise_us: int) -> tuple[Lease, ...]:
    return tuple(
        Lease(
            LeaseName(f"V{number}"),
            (InstanceName(f"V{number}"),),
            preempt=random.random() < 0.5,
            preempt_delay_us=Micros(random.choice((0, 0, 2 * promise_us))),
        )
        for number in range(random.choice((1, 1, 2, 3)))
    )


def _machine(
    random: Random, name: MemberId, play: Play, timing: RaftTiming, leases: tuple[Lease, ...], slant: Slant
) -> Machine:
    between = random.randint(-MOST_PPM, MOST_PPM)
    ppm = random.choice((-MOST_PPM, MOST_PPM) if slant.extreme else (-MOST_PPM, MOST_PPM, between))
    clock = Clock(random.randrange(1, 10**9), ppm)
    guarded = random.random() < 0.6 if slant.guarded is None else slant.guarded
    # Without a gate the node must be done within the margin; with one it may take its time.
    within = timing.margin_us * 6 // 10
    quick = Pace(within, within, timing.margin_us // 10)
    slow = Pace(8_000, timing.promise_us, 1_000)
    if play is Play.STEADY:
        slow = Pace(4_000, 8_000, 1_000)
    health = tuple(Health(random.choice((50, 100, 100, 150, 200)), able=True) for _ in leases)
    return Machine(name, clock, guarded, slow if guarded else quick, health)
