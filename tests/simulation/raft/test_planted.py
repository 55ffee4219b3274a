"""Each rule of the election is taken out in turn; the simulation must notice.

`first` is where the few seeds begin that are played: rare bugs show only under some
seeds, and the whole run must stay short.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft import claims, member, membership, promises
from keepalived_py.core.raft.state import Claim, Member, Phase
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import Answer, RaftTiming, Refusal
from keepalived_py.simulation.raft.failover import scenario
from keepalived_py.simulation.raft.judge import RuleBroken
from keepalived_py.simulation.raft.run import Outcome, run_seed
from keepalived_py.simulation.raft.world import World

SEEDS = 25
OVERLAP = ("two leases", "two holders")


@dataclass(frozen=True, slots=True)
class Planted:
    """What stands in whose place, the rules that may notice, and the first seed to play."""

    parts: Mapping[tuple[Any, str], Callable[..., Any]]
    rules: tuple[str, ...] = OVERLAP
    first: int = 0

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


def _promises_to_all(
    turn: Turn, asker: MemberId, lease: LeaseName, token: int, **how: bool
) -> Refusal | None:
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


def _any_token(turn: Turn, asker: MemberId, lease: LeaseName, token: int, **how: bool) -> Refusal | None:
    return OBJECTION(turn, asker, lease, token, **{**how, "holding": True})


def _no_objection(*of: Any) -> None:
    return None


def _all_go_together(*of: Any) -> bool:
    return True


PLANTED: dict[str, Planted] = {
    "lease longer than the promise": Planted({(claims, "relied_until"): _twice_the_promise}),
    "lease counted from the answer": Planted({(claims, "answered"): _from_the_arrival}, first=25),
    "no allowance for clocks": Planted({(claims, "relied_until"): _the_whole_promise}),
    "promises are not exclusive": Planted({(promises, "objection"): _promises_to_all}),
    "promises forgotten at a restart": Planted({(member, "start"): _not_silent}),
    "free before it is removed": Planted({(claims, "give_up"): _freed_at_once}, first=140),
    "token used twice": Planted(
        {(claims, "next_token"): _the_same_token, (promises, "objection"): _any_token}, ("token",)
    ),
    "old promises outlive a change of members": Planted(
        {(membership, "longest_of_others"): lambda timing: 0}
    ),
}


def play(planted: Planted) -> Outcome | None:
    """The first seed that notices."""
    seeds = range(planted.first, planted.first + SEEDS)
    return next((outcome for seed in seeds if not (outcome := run_seed(seed)).passed), None)


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_bug_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.plant(monkeypatch)
    found = play(planted)
    assert found is not None, "no seed noticed the bug"
    assert found.rule in planted.rules, found


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
