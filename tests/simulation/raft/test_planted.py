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
from keepalived_py.simulation.raft.run import Outcome, run_seed

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


def _support_of_any_token(turn: Turn, sender: MemberId, answer: Answer) -> None:
    before = {lease: claim.support for lease, claim in turn.claims.items()}
    ANSWERED(turn, sender, answer)
    for lease, claim in turn.claims.items():
        if not claim.support and before.get(lease):
            turn.claims[lease] = claim._replace(support=before[lease])


def _no_objection(*of: Any) -> None:
    return None


def _all_go_together(*of: Any) -> bool:
    return True


def _old_news_too(*of: Any) -> bool:
    return False


def _even_if_unfit(turn: Turn) -> bool:
    return True


PLANTED: dict[str, Planted] = {
    "lease longer than the promise": Planted({(claims, "relied_until"): _twice_the_promise}),
    "lease counted from the answer": Planted({(claims, "answered"): _from_the_arrival}),
    "no allowance for clocks": Planted({(claims, "relied_until"): _the_whole_promise}),
    "promises are not exclusive": Planted({(promises, "objection"): _promises_to_all}),
    "promises forgotten at a restart": Planted({(member, "start"): _not_silent}),
    "free before it is removed": Planted({(claims, "give_up"): _freed_at_once}),
    "token used twice": Planted(
        {(claims, "next_token"): _the_same_token, (promises, "objection"): _any_token}, ("token",)
    ),
    "members changed by two": Planted(
        {
            (membership, "objection"): _no_objection,
            (member, "turn_objection"): _no_objection,
            (promises, "goes_together"): _all_go_together,
        }
    ),
    "old promises outlive a change of members": Planted(
        {(membership, "longest_of_others"): lambda timing: 0}
    ),
    "an overtaken message ends a promise": Planted({(member, "_is_overtaken"): _old_news_too}),
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
