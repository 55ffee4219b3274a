"""Each rule of the election is taken out in turn; the simulation must notice.

Each bug is looked for where it would hurt: with clocks as wrong as they may be, a tiny
margin, and the faults that have to do with it.  Then several of the few seeds that are
played show it, and a change of the simulator hides none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft import claims, fencing, member, membership, promises
from keepalived_py.core.raft.state import Claim, Member, Phase
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import Answer, RaftTiming, Refusal, Takeover
from keepalived_py.simulation.raft.failover import scenario
from keepalived_py.simulation.raft.host import Pace
from keepalived_py.simulation.raft.judge import RuleBroken
from keepalived_py.simulation.raft.run import Outcome, run_scenario
from keepalived_py.simulation.raft.scenario import Play, Scenario, Slant, draw
from keepalived_py.simulation.raft.world import World

SEEDS = 40
OVERLAP = ("two leases", "two holders")
CUTS = ("isolate", "heal")
HARDEST = Slant(Play.CHAOS, ample=False, extreme=True)


def _as_drawn(drawn: Scenario) -> Scenario:
    return drawn


def _one_is_slow(drawn: Scenario) -> Scenario:
    """The first machine takes long to remove addresses, the others do not."""
    first, *others = drawn.machines
    slow = drawn.promise_us // 3
    pace = Pace(slow, slow, first.pace.late_us)
    return replace(drawn, machines=(replace(first, pace=pace), *others))


def _two_that_shoot(drawn: Scenario) -> bool:
    return len(drawn.machines) == 2 and drawn.cluster.fencing.takeover is Takeover.FENCE_FIRST


@dataclass(frozen=True, slots=True)
class Planted:
    """What stands in whose place, the rules that may notice, and in which scenarios they look for it."""

    parts: Mapping[tuple[Any, str], Any]
    slant: Slant
    rules: tuple[str, ...] = OVERLAP
    change: Callable[[Scenario], Scenario] = field(default=_as_drawn)
    wanted: Callable[[Scenario], bool] = field(default=lambda drawn: True)

    def scenarios(self) -> Iterator[Scenario]:
        """The first few that fit."""
        drawn = filter(self.wanted, (draw(seed, self.slant) for seed in range(100 * SEEDS)))
        return map(self.change, islice(drawn, SEEDS))

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put it there."""
        for (module, name), part in self.parts.items():
            monkeypatch.setattr(module, name, part)


def _twice_the_promise(stamp: Micros, promise_us: Micros, timing: RaftTiming) -> Micros:
    return Micros(stamp + 2 * promise_us)


def _the_whole_promise(stamp: Micros, promise_us: Micros, timing: RaftTiming) -> Micros:
    return Micros(stamp + promise_us)


ANSWERED, STEP, START, OBJECTION = claims.answered, member.step, member.start, promises.objection


def _from_the_arrival(turn: Turn, sender: MemberId, answer: Answer) -> None:
    claim = [each.asked_at for each in turn.claims.values()]
    if answer.stamp >= min(claim, default=Micros(0)):
        ANSWERED(turn, sender, answer._replace(stamp=turn.now))


def _promises_to_all(turn: Turn, asker: MemberId, lease: LeaseName, token: int, **how: Any) -> Refusal | None:
    promise = turn.promises.pop(lease, None)
    if promise is not None and promise.to in (turn.own, asker):
        turn.promises[lease] = promise
    return OBJECTION(turn, asker, lease, token, **how)


def _not_silent(*of: Any, **how: Any) -> Member:
    begun = START(*of, **how)
    return begun._replace(silent_until=begun.started_at)


def _freed_at_once(
    turn: Turn, lease: LeaseName, claim: Claim, reason: str, evidence: str, successor: MemberId | None
) -> None:
    GIVE_UP(turn, lease, claim, reason, evidence, successor)
    candidate = turn.candidates.get(lease)
    if candidate is not None and claim.phase is Phase.HOLDING:
        turn.candidates[lease] = candidate._replace(settled=True)


GIVE_UP = claims.give_up


def _the_same_token(turn: Turn, lease: LeaseName) -> int:
    return max(turn.tokens.get(lease, 0), 1)


def _any_token(turn: Turn, asker: MemberId, lease: LeaseName, token: int, **how: Any) -> Refusal | None:
    return OBJECTION(turn, asker, lease, token, **{**how, "holding": True})


def _no_objection(*of: Any) -> None:
    return None


def _all_go_together(*of: Any) -> bool:
    return True


PLANTED: dict[str, Planted] = {
    "lease longer than the promise": Planted(
        {(claims, "relied_until"): _twice_the_promise}, HARDEST._replace(faults=CUTS)
    ),
    "lease counted from the answer": Planted(
        {(claims, "answered"): _from_the_arrival}, HARDEST._replace(faults=("linger", "weigh"))
    ),
    "no allowance for clocks": Planted(
        {(claims, "relied_until"): _the_whole_promise}, HARDEST._replace(faults=CUTS)
    ),
    "promises are not exclusive": Planted(
        {(promises, "objection"): _promises_to_all}, HARDEST._replace(faults=CUTS)
    ),
    "promises forgotten at a restart": Planted(
        {(member, "start"): _not_silent}, HARDEST._replace(faults=("forget",))
    ),
    "free before it is removed": Planted(
        {(claims, "give_up"): _freed_at_once},
        Slant(Play.CHAOS, ample=True, guarded=False, faults=("sicken",)),
        change=_one_is_slow,
    ),
    "token used twice": Planted(
        {(claims, "next_token"): _the_same_token, (promises, "objection"): _any_token},
        Slant(Play.CHAOS, faults=("sicken", "weigh", *CUTS)),
        ("token",),
    ),
    "old promises outlive a change of members": Planted(
        {(membership, "longest_of_others"): lambda timing: 0},
        Slant(
            Play.MEMBERSHIP,
            ample=False,
            extreme=True,
            guarded=True,
            faults=("pause", "isolate", "power_loss"),
        ),
    ),
    "the last of two does not shoot": Planted(
        {(fencing, "lonely_target"): _no_objection}, Slant(), ("one holder",), wanted=_two_that_shoot
    ),
    "who starts shoots at once": Planted(
        {(fencing, "PATIENCE_AT_START"): Micros(0)}, Slant(), ("impatience",), wanted=_two_that_shoot
    ),
}


def play(planted: Planted) -> Outcome | None:
    """The first scenario that notices."""
    outcomes = (run_scenario(drawn) for drawn in planted.scenarios())
    return next((outcome for outcome in outcomes if not outcome.passed), None)


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_bug_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.plant(monkeypatch)
    found = play(planted)
    assert found is not None, "no seed noticed the bug"
    assert found.rule in planted.rules, found


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_without_the_bug_the_same_scenarios_hold(planted: Planted) -> None:
    outcomes = [run_scenario(drawn) for drawn in islice(planted.scenarios(), 2)]
    assert all(outcome.passed for outcome in outcomes), outcomes


def two_more_at_once(seed: int) -> World:
    """a, b and c run; a is told that d and e belong to them as well, and is cut off from b and c."""
    world = World(scenario("lan", 5, seed))
    everybody = world.scenario.cluster.members
    a, b, c, d, e = (each.id for each in everybody)
    promise = world.scenario.promise_us
    for each in (a, b, c):
        world.boot(each, everybody[:3])
    world.advance(6 * promise)
    for each in (d, e):
        world.boot(each, everybody)
    world.hosts[a].reload(world.cluster_of(a, everybody))
    world.network.part({a, d, e}, {b, c})
    world.advance(14 * promise)
    return world


def test_a_jump_of_the_members_by_two_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each half would have a majority of its own list; the core does not take the second list."""
    assert len([host for host in two_more_at_once(1).running() if host.present]) == 1
    monkeypatch.setattr(membership, "objection", _no_objection)
    monkeypatch.setattr(member, "turn_objection", _no_objection)
    monkeypatch.setattr(promises, "goes_together", _all_go_together)
    with pytest.raises(RuleBroken) as broken:
        two_more_at_once(1)
    assert broken.value.rule in OVERLAP
