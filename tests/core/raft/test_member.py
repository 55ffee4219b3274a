"""The rules of promises and leases, one by one."""

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import MemberId
from keepalived_py.base.record import replace
from keepalived_py.core.raft import member as core
from keepalived_py.core.raft.membership import objection
from keepalived_py.core.raft.state import Phase
from keepalived_py.model import raft_events as ev
from keepalived_py.model.raft import Answer, Fencing, Orders, Refusal, Standing, Takeover
from tests.core.raft.raft_solo import MS, A, B, C, D, Fed, Told, V, cluster, members

HOLDS = Standing(100, able=True, holding=True, token=5)
BETTER = Standing(200, able=True)


def test_a_start_is_silent_for_longer_than_a_promise() -> None:
    fed = Fed()
    fed.standing(able=False)
    refused = fed.asked_of(B, Told(1, asks=1), after_ms=319).refused
    assert refused[V].wait_us == 1 * MS
    assert fed.asked_of(B, Told(2, asks=1), after_ms=2).granted == (V,)


def test_nobody_asks_without_a_majority_that_could_answer() -> None:
    fed = Fed()
    fed.until(fed.now + 2_000 * MS)
    assert not any(beat.asks for beat in fed.beats())


def test_a_lease_lasts_from_the_question_less_allowance_and_margin() -> None:
    fed = Fed().holder()
    grant = fed.of_kind(ev.Grant)[0]
    assert isinstance(grant, ev.Grant)
    assert grant.until == fed.beats()[-2].stamp + 300 * MS * 90 // 100 - 25 * MS


def test_the_lease_ends_without_answers_and_the_loss_comes_in_time() -> None:
    fed = Fed().holder()
    claim = fed.member.claims[V]
    fed.until(claim.until - 1)
    assert not fed.of_kind(ev.Lose)
    fed.until(claim.until)
    assert [e.reason for e in fed.of_kind(ev.Lose) if isinstance(e, ev.Lose)] == ["no quorum"]


def test_a_loss_is_seen_before_a_late_message_is_answered() -> None:
    fed = Fed().holder()
    fed.sleep(5_000)
    effects = core.step(fed.member, ev.Heard(C, Told(9, asks=9).heartbeat()), fed.now).effects
    kinds = [type(effect) for effect in effects if not isinstance(effect, ev.Send)]
    answer = next(e.message for e in effects if isinstance(e, ev.Send) and isinstance(e.message, Answer))
    assert kinds == [ev.Lose]
    # Its addresses may still be in use, and no kernel ends that.
    assert not answer.granted


def test_promises_are_exclusive_until_they_end() -> None:
    fed = Fed()
    assert fed.asked_of(B, Told(1, HOLDS, asks=5), after_ms=330).granted == (V,)
    refusal = fed.asked_of(C, Told(1, BETTER, asks=7), after_ms=299).refused[V]
    assert refusal == Refusal(Micros(1 * MS), 5)
    assert fed.asked_of(C, Told(2, BETTER, asks=7), after_ms=2).granted == (V,)


@pytest.mark.parametrize(("token", "promised"), [(4, False), (5, False), (6, True)])
def test_a_new_claim_needs_a_new_token(token: int, promised: bool) -> None:
    fed = Fed()
    fed.standing(able=False)
    fed.asked_of(B, Told(1, HOLDS, asks=5), after_ms=330)
    fed.hear(B, Told(2, freed=True))
    assert bool(fed.asked_of(C, Told(1, BETTER, asks=token)).granted) is promised


def test_a_holder_is_renewed_although_others_have_used_greater_tokens_in_vain() -> None:
    fed = Fed()
    fed.asked_of(C, Told(1, BETTER, asks=9), after_ms=330)
    fed.hear(C, Told(2, BETTER, freed=True, successor=B))
    assert fed.asked_of(B, Told(1, HOLDS, asks=5)).granted == (V,)
    assert fed.member.tokens[V] == 9


def test_who_is_told_of_a_greater_token_starts_anew_with_all() -> None:
    fed = Fed(cluster("abcde"))
    for other in (B, C, D):
        fed.hear(other, Told(1, Standing(10, able=True), names="abcde"), after_ms=110)
    asked = fed.asking()
    fed.feed(ev.Heard(B, Answer(asked.stamp, Micros(300 * MS), (V,), {})), 1)
    fed.feed(ev.Heard(C, Answer(asked.stamp, Micros(300 * MS), (), {V: Refusal(Micros(0), 7)})), 1)
    # An answer to the first question does not count for the second.
    fed.feed(ev.Heard(D, Answer(asked.stamp, Micros(300 * MS), (V,), {})), 1)
    assert not fed.of_kind(ev.Grant)
    assert fed.asking().asks[V] == 8
    fed.granted_by(B)
    fed.granted_by(D)
    assert [e.token for e in fed.of_kind(ev.Grant) if isinstance(e, ev.Grant)] == [8]


def test_an_overtaken_free_does_not_end_a_newer_promise() -> None:
    fed = Fed()
    fed.asked_of(B, Told(20, asks=2), after_ms=330)
    fed.hear(B, Told(10, freed=True))
    assert not fed.asked_of(C, Told(1, BETTER, asks=9)).granted


def test_an_old_message_is_not_believed() -> None:
    fed = Fed()
    fed.hear(B, Told(1), after_ms=330, age_ms=500)
    assert not any(beat.asks for beat in fed.beats())


def test_who_wakes_up_listens_before_it_asks() -> None:
    fed = Fed()
    fed.asked_of(B, Told(1, HOLDS, asks=5), after_ms=330)
    fed.sleep(5_000)
    fed.hear(C, Told(2, Standing(10, able=True)))
    assert not any(beat.asks for beat in fed.beats())
    assert fed.asked_of(B, Told(3, HOLDS, asks=5), after_ms=20).granted == (V,)


def test_free_is_told_when_everything_is_removed() -> None:
    fed = Fed().holder()
    fed.standing(100, settled=False)
    fed.hear(B, Told(2, Standing(10, able=True)))
    fed.feed(ev.StopRequested())
    assert [e.successor for e in fed.of_kind(ev.Lose) if isinstance(e, ev.Lose)] == [B]
    assert not fed.beats()[-1].freed and not core.is_finished(fed.member)
    fed.standing(100)
    assert fed.beats()[-1].freed == {V: B} and core.is_finished(fed.member)


def test_who_is_called_by_name_asks_at_once() -> None:
    fed = Fed(priority=50)
    fed.hear(C, Told(1, BETTER), after_ms=330)
    fed.asked_of(B, Told(1, HOLDS, asks=5))
    fed.hear(B, Told(2, freed=True, successor=A), after_ms=1)
    assert fed.beats()[-1].asks == {V: 6}


def test_of_two_that_ask_the_worse_one_stands_back() -> None:
    fed = Fed()
    fed.hear(B, Told(1, Standing(10, able=True)), after_ms=325)
    assert fed.member.claims[V].phase is Phase.ASKING
    assert fed.asked_of(C, Told(1, BETTER, asks=7)).granted == (V,)
    assert V not in fed.member.claims


@pytest.mark.parametrize(("preempt", "eager"), [(True, True), (False, False)])
def test_only_preempt_makes_eager_and_only_after_a_promise(preempt: bool, eager: bool) -> None:
    fed = Fed(preempt=preempt)
    weak = Standing(50, able=True, holding=True, token=5)
    for number in range(1, 7):
        fed.hear(B, Told(number, weak, asks=5), after_ms=330 if number == 1 else 55)
    assert not any(beat.standings[V].eager for beat in fed.beats())
    fed.hear(B, Told(8, weak, asks=5), after_ms=55)
    fed.until(fed.now + 60 * MS)
    assert fed.beats()[-1].standings[V].eager is eager


def test_a_pinned_member_is_eager_at_once_and_a_drained_one_gives_up() -> None:
    fed = Fed(preempt=False)
    fed.hear(B, Told(1, replace_priority(HOLDS, 250), asks=5), after_ms=330)
    fed.feed(ev.OrdersChanged(Orders(pinned={V: A})))
    fed.until(fed.now + 60 * MS)
    assert fed.beats()[-1].standings[V].eager
    holder = Fed().holder()
    holder.feed(ev.OrdersChanged(Orders(drained=frozenset({A}))))
    assert [e.reason for e in holder.of_kind(ev.Lose) if isinstance(e, ev.Lose)] == ["maintenance"]


def replace_priority(standing: Standing, priority: int) -> Standing:
    return standing._replace(priority=priority)


def test_a_witness_promises_and_never_asks() -> None:
    fed = Fed(cluster("abc", witnesses="a"))
    fed.hear(B, Told(1, Standing(10, able=False)), after_ms=330)
    fed.until(fed.now + 1_000 * MS)
    assert not any(beat.asks for beat in fed.beats())
    assert fed.asked_of(B, Told(2, asks=3)).granted == (V,)


def test_a_thin_lease_is_renewed_faster() -> None:
    fed = Fed().holder()
    sent = len(fed.beats())
    fed.until(fed.member.claims[V].until - 1)
    assert len(fed.beats()) - sent >= 7


# -- the list of members ------------------------------------------------------------------------


def test_members_change_one_at_a_time_and_with_a_majority() -> None:
    fed = Fed()
    wanted = replace(cluster(), members=members("abcd"))
    assert "0 of 3 members" in str(objection(fed.member, wanted, fed.now))
    fed.hear(B, Told(1), after_ms=100)
    assert "for a while" in str(objection(fed.member, wanted, fed.now))
    for number in range(2, 6):
        fed.hear(B, Told(number), after_ms=100)
    assert objection(fed.member, wanted, fed.now) is None
    assert "d, e would change at once" in str(
        objection(fed.member, replace(cluster(), members=members("abcde")), fed.now)
    )
    assert "a itself" in str(objection(fed.member, replace(cluster(), members=members("bc")), fed.now))


def hear_often(fed: Fed, sender: MemberId, names: str, revision: int, stamp: int) -> None:
    """Half a second of heartbeats."""
    for number in range(5):
        fed.hear(sender, Told(stamp + number, names=names, revision=revision), after_ms=100)


def test_who_has_an_older_revision_of_the_same_list_does_not_agree_to_another_one() -> None:
    fed = Fed()
    wanted = replace(cluster(), members=members("abcd"))
    hear_often(fed, B, "abc", 0, 1)
    fed.hear(C, Told(1, revision=3))
    hear_often(fed, B, "abc", 0, 10)
    assert "1 of 3 members" in str(objection(fed.member, wanted, fed.now))
    fed.hear(B, Told(20, revision=3), after_ms=100)
    assert "1 of 3 members" in str(objection(fed.member, wanted, fed.now))
    hear_often(fed, B, "abc", 3, 21)
    assert objection(fed.member, wanted, fed.now) is None


def test_a_list_can_be_joined_although_those_that_have_it_forgot_that_it_is_newer() -> None:
    fed = Fed(cluster("ab"))
    wanted = replace(cluster("ab"), members=members("abc"))
    hear_often(fed, B, "ab", 1, 1)
    fed.hear(B, Told(10, names="abc"), after_ms=100)
    assert "1 of 2 members" in str(objection(fed.member, wanted, fed.now))
    hear_often(fed, B, "abc", 0, 11)
    assert objection(fed.member, wanted, fed.now) is None
    fed.feed(ev.ClusterReplaced(wanted, tuple(fed.member.leases.values())))
    assert fed.member.revision == 2


def test_a_refused_list_changes_nothing_else() -> None:
    fed = Fed()
    fed.feed(
        ev.ClusterReplaced(replace(cluster(), members=members("abcde")), tuple(fed.member.leases.values()))
    )
    assert [each.id for each in fed.member.cluster.members] == [A, B, C]
    assert any("stays as it is" in e.text for e in fed.of_kind(ev.Say) if isinstance(e, ev.Say))


@pytest.mark.parametrize(
    ("names", "revision", "promised"),
    [("abc", 0, True), ("abcd", 1, True), ("abcd", 0, False), ("ab", 1, True), ("abcde", 2, False)],
)
def test_a_neighbouring_newer_list_is_served(names: str, revision: int, promised: bool) -> None:
    fed = Fed()
    fed.hear(C, Told(1), after_ms=330)
    answer = fed.asked_of(B, Told(1, BETTER, asks=50, names=names, revision=revision))
    assert bool(answer.granted) is promised


def test_a_lease_that_is_not_configured_any_more_is_lost_without_a_word() -> None:
    fed = Fed().holder()
    fed.feed(ev.ClusterReplaced(cluster(), ()))
    assert [e.reason for e in fed.of_kind(ev.Lose) if isinstance(e, ev.Lose)] == ["reload"]
    assert not fed.beats()[-1].freed


# -- fencing ----------------------------------------------------------------------------------------

FENCED = Fencing(Takeover.FENCE_FIRST)


def left_alone() -> Fed:
    """Of two that shoot, one that has heard the other for the last time, and has just shot it."""
    fed = Fed(cluster("ab", fencing=FENCED))
    fed.hear(B, Told(1, Standing(100, able=False), names="ab"), after_ms=330)
    fed.until(fed.now + 300 * MS - 1)
    assert not fed.of_kind(ev.Fence)
    fed.until(fed.now + 1)
    assert len(fed.of_kind(ev.Fence)) == 1
    return fed


def test_the_lonely_one_of_two_shoots_and_then_holds() -> None:
    fed = left_alone()
    assert not fed.of_kind(ev.Grant)
    fed.feed(ev.FenceDone(B, succeeded=True))
    assert fed.of_kind(ev.Grant)


def test_who_never_heard_the_other_of_two_waits_half_a_minute_before_it_shoots() -> None:
    fed = Fed(cluster("ab", fencing=FENCED))
    due = fed.now + 320 * MS + 30_000 * MS + 300 * MS
    fed.until(due - 1)
    assert not fed.of_kind(ev.Fence)
    fed.until(due)
    assert len(fed.of_kind(ev.Fence)) == 1 and not fed.of_kind(ev.Grant)
    fed.feed(ev.FenceDone(B, succeeded=True))
    assert fed.of_kind(ev.Grant)


def test_the_half_minute_is_over_as_soon_as_the_other_was_heard() -> None:
    fed = Fed(cluster("ab", fencing=FENCED))
    fed.hear(B, Told(1, names="ab"), after_ms=29_000)
    fed.until(fed.now + 300 * MS)
    assert len(fed.of_kind(ev.Fence)) == 1


def test_a_shot_does_not_count_for_who_was_heard_meanwhile() -> None:
    fed = left_alone()
    fed.hear(B, Told(1, names="ab"), after_ms=1)
    fed.feed(ev.FenceDone(B, succeeded=True), 1)
    assert not fed.member.peers[B].fenced and not fed.of_kind(ev.Grant)


def test_of_three_nobody_stands_in_for_who_was_shot() -> None:
    fed = Fed(cluster("abc", fencing=FENCED))
    fed.hear(B, Told(1, HOLDS, asks=5), after_ms=330)
    fed.until(fed.now + 310 * MS)
    fed.hear(C, Told(1, Standing(10, able=True)))
    fed.until(fed.now + 1 * MS)
    fed.granted_by(C)
    assert [e.target for e in fed.of_kind(ev.Fence) if isinstance(e, ev.Fence)] == [B]
    assert not fed.of_kind(ev.Grant)
    fed.feed(ev.FenceDone(B, succeeded=True), 5)
    assert fed.of_kind(ev.Grant)
    fed.until(fed.now + 400 * MS)
    assert fed.of_kind(ev.Lose)


def test_after_two_failures_the_shot_is_tried_again_later() -> None:
    fed = left_alone()
    fed.feed(ev.FenceDone(B, succeeded=False))
    fed.until(fed.now + 1_001 * MS)
    fed.feed(ev.FenceDone(B, succeeded=False))
    fed.until(fed.now + 1_999 * MS)
    assert [e.attempt for e in fed.of_kind(ev.Fence) if isinstance(e, ev.Fence)] == [1, 2]
    fed.until(fed.now + 2 * MS)
    assert [e.attempt for e in fed.of_kind(ev.Fence) if isinstance(e, ev.Fence)] == [1, 2, 3]
