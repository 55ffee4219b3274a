"""What must hold over time, at every instant: no two MASTERs for long, no storms, silence after a pause.

Three watchers, each fed with what happens:

* `Overlaps` sees every pair of routers.  A pair that hears each other and has
  two MASTERs of one VRID must be down to one within `bounds.overlap_us`;
* `Ration` sees one router.  What it does in a second must be in proportion to
  what happened to it: adverts to its intervals and to what it heard, kernel
  and neighbour effects to the things that it holds and to what came upon it.  One
  address is not put back more often than pauses that grow allow;
* `Silence` sees one router that was paused: after a long pause nothing is
  claimed until a master_down_interval was silent (or a master resigned).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import combinations
from typing import NamedTuple, Protocol

from keepalived_py.base.clock import SECOND
from keepalived_py.base.names import Address
from keepalived_py.core.node import InstanceState, Node
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.effects import AddAddress, Effect, Role, RoleChanged, SendAdvert
from keepalived_py.model.events import (
    AddressRemoved,
    AdvertReceived,
    Event,
    LinkChanged,
    RouteLost,
    SettingsReplaced,
    Tick,
)
from keepalived_py.simulation.bounds import overlap_us, with_drift
from keepalived_py.simulation.faults import Pair, RouterName
from keepalived_py.simulation.invariants import RuleBroken, state_of

# -- two masters --------------------------------------------------------------


class Contestant(Protocol):
    """What is asked about a router."""

    name: RouterName
    node: Node | None

    @property
    def on_air(self) -> bool:
        """Whether it runs and its link is up."""


class Contest(NamedTuple):
    """Two MASTERs as they are; another priority is another contest, which has its own time."""

    one: int
    other: int
    bound_us: int


class Overlaps:
    """Pairs that both are MASTER.  `sound_since` says from when on two routers hear each other."""

    def __init__(
        self,
        at: Callable[[int, Callable[[], object]], None],
        sound_since: Callable[[Pair], int | None],
        look_again: Callable[[], None],
    ) -> None:
        self._at = at
        self._sound_since = sound_since
        self._look_again = look_again
        self._open: dict[tuple[RouterName, RouterName, int], tuple[Contest, int]] = {}

    def look(self, now: int, routers: Iterable[Contestant], vrids: Iterable[int]) -> None:
        """Something that matters has changed."""
        on_air = [router for router in routers if router.on_air]
        found: dict[tuple[RouterName, RouterName, int], tuple[Contest, int]] = {}
        for vrid in vrids:
            masters = [
                (router, state)
                for router in on_air
                if (state := state_of(router.node, vrid)) is not None and state.role is Role.MASTER
            ]
            for (one, mine), (other, theirs) in combinations(masters, 2):
                since = self._heard_since((one.name, other.name))
                contest = _contest(mine, theirs)
                if since is not None and contest is not None:
                    found[one.name, other.name, vrid] = (contest, max(now, since))
        self._follow(found)

    def _heard_since(self, pair: Pair) -> int | None:
        there, back = self._sound_since(pair), self._sound_since((pair[1], pair[0]))
        return None if there is None or back is None else max(there, back)

    def _follow(self, found: dict[tuple[RouterName, RouterName, int], tuple[Contest, int]]) -> None:
        for key, (contest, since) in found.items():
            known = self._open.get(key)
            if known is not None and known[0] == contest:
                found[key] = known
            else:
                self._at(since + contest.bound_us, partial(self._due, key, (contest, since)))
        self._open = found

    def _due(self, key: tuple[RouterName, RouterName, int], due: tuple[Contest, int]) -> None:
        if self._open.get(key) != due:
            return
        # A priority may have changed without a change of roles.
        self._look_again()
        if self._open.get(key) == due:
            one, other, vrid = key
            contest, since = due
            raise RuleBroken(
                "two masters",
                f"vrid {vrid}: {one} ({contest.one}) and {other} ({contest.other}) since {since / 1e6:.6f} s",
            )


def _contest(one: InstanceState, other: InstanceState) -> Contest | None:
    """None: they drop each other's adverts, as they must."""
    mine, theirs = one.settings, other.settings
    if mine.version == 2 and mine.advert_interval_us != theirs.advert_interval_us:
        return None
    return Contest(one.effective_priority, other.effective_priority, overlap_us(mine, theirs))


# -- storms -------------------------------------------------------------------

MAX_TICKS = 500
PERIOD_S = 10
MAX_RESTORED = 8


class Ration:
    """What one router did and what happened to it, second by second."""

    def __init__(self, name: RouterName, shortest_us: int) -> None:
        self._name = name
        self._shortest_us = shortest_us
        self._second = -1
        self._period = -1
        self._now: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        self._restored: Counter[Address] = Counter()
        self._renewals = 0

    def step(
        self, now: int, event: Event | None, effects: Iterable[Effect], configuration: Configuration
    ) -> None:
        """A step was taken at virtual instant `now`; raises RuleBroken if the second before was too busy."""
        self._turn(now, configuration)
        done, reason = self._now, _reason(event)
        done[reason] += 1
        changed = event is None or isinstance(event, SettingsReplaced)
        added = []
        for effect in effects:
            if isinstance(effect, SendAdvert):
                done["adverts"] += 1
            elif isinstance(effect, RoleChanged):
                done["causes"] += 1
                changed = True
            elif not hasattr(effect, "text"):
                done["effects"] += 1
            if isinstance(effect, AddAddress):
                added.append(effect.address.address)
        if changed or isinstance(event, LinkChanged):
            self._renewals += 1
        elif added:
            self._count_restored(added)

    def _count_restored(self, added: list[Address]) -> None:
        self._restored.update(added)
        for address in added:
            if self._restored[address] > MAX_RESTORED + 2 * self._renewals:
                times = f"{self._restored[address]} times in {PERIOD_S} s"
                raise RuleBroken("storm", f"{self._name} put {address} back {times}")

    def _turn(self, now: int, configuration: Configuration) -> None:
        second = now // SECOND
        if second == self._second:
            return
        self._judge(configuration)
        self._last = self._now if second == self._second + 1 else Counter()
        self._now = Counter()
        self._second = second
        if second // PERIOD_S != self._period:
            self._period = second // PERIOD_S
            self._restored.clear()
            self._renewals = 0

    def _judge(self, configuration: Configuration) -> None:
        done, heard = self._now, self._now["heard"] + self._last["heard"]
        causes = heard + self._now["causes"] + self._last["causes"]
        instances = len(configuration.instances) + 1
        things = sum(map(_things, configuration.instances)) + instances
        limits = {
            "ticks": MAX_TICKS,
            "adverts": instances * (with_drift(SECOND) // self._shortest_us + 2) + 3 * causes,
            "effects": 20 * (things + 1) + (8 * things + 6) * causes,
        }
        for what, limit in limits.items():
            if done[what] > limit:
                raise RuleBroken(
                    "storm", f"{self._name}: {done[what]} {what} in second {self._second}, not {limit}"
                )


def _reason(event: Event | None) -> str:
    match event:
        case AdvertReceived():
            return "heard"
        case Tick():
            return "ticks"
        case None | SettingsReplaced() | LinkChanged() | AddressRemoved() | RouteLost():
            return "causes"
        case _:
            return "others"


def _things(instance: Instance) -> int:
    return len(instance.addresses) + len(instance.excluded_addresses) + len(instance.routes)


# -- pauses -------------------------------------------------------------------


class Silence:
    """Until when a router that was paused must not claim anything, by VRID.

    `shortest_us` and `longest_down_us` are the shortest interval, and the longest
    master_down_interval, that any router of the cluster may have taught it.
    """

    def __init__(self, name: RouterName, shortest_us: int, longest_down_us: int) -> None:
        self._name = name
        self._least_us = 3 * shortest_us
        # Whatever was due became so at most one master_down_interval after the pause began,
        # and must then be late by more than half of one.
        self._long_us = with_drift(longest_down_us * 3 // 2)
        self._until: dict[int, int] = {}

    def resumed(self, now: int, paused_us: int, node: Node) -> None:
        """The process runs again after `paused_us`."""
        if paused_us <= self._long_us + node.configuration.globals.startup_delay_us:
            return
        for state in node.instances.values():
            if state.role in (Role.BACKUP, Role.MASTER):
                self._until[state.settings.vrid] = now + self._least_us * 98 // 100

    def broken(self) -> None:
        """The process began anew, or with another configuration."""
        self._until.clear()

    def heard(self, priority: int) -> None:
        """A master that resigns need not be waited for; a sync group follows its member."""
        if not priority:
            self._until.clear()

    def sent(self, now: int, vrid: int, priority: int) -> None:
        """Raise RuleBroken if this advert claims the addresses too early."""
        until = self._until.get(vrid)
        if until is not None and priority and now < until:
            raise RuleBroken("pause", f"{self._name} claims vrid {vrid} before it has listened again")
