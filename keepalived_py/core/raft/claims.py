"""This member's own claims: asking, holding, giving up.

    idle --free, able, its turn--> ASKING --majority--> (FENCING -->) HOLDING
    ASKING --no majority in time--> idle          HOLDING --lease over, better member,
    GIVING_UP --everything removed--> idle                  not able, stopping--> GIVING_UP

Asking begins with a promise to itself.  The lease lasts as long as a majority,
this member included, supports it (`core.raft.timing`).  Giving up comes before
telling anybody: others hear that a lease is free only when nothing of it is left
in this machine's kernel.  If that cannot be told (the network is cut), the
promises of the others end by themselves, later than the lease.
"""

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.core.raft import fencing, ranking
from keepalived_py.core.raft.promises import engaged_until, forget, promise, withdraw
from keepalived_py.core.raft.state import FOREVER, Claim, Phase
from keepalived_py.core.raft.timing import (
    CALLED_HURRY_US,
    SHORTEST_RETRY_US,
    asking_limit,
    hint_delay,
    hurry_delay,
    place_delay,
    rank_delay,
    relied_until,
    retry_delay,
)
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import Answer, Refusal
from keepalived_py.model.raft_events import Extend, Grant, Lose


def expire(turn: Turn) -> None:
    """Before anything else: claims whose time is over, however late this member comes to see it."""
    for lease, claim in list(turn.claims.items()):
        given = turn.promises.get(lease)
        own = given is not None and given.to == turn.own and given.until > turn.now
        if claim.phase is Phase.HOLDING and (claim.until <= turn.now or not own):
            evidence = f"the promises ended: {_last_answers(turn)}"
            give_up(turn, lease, claim, "no quorum", evidence, None)
        elif claim.phase is not Phase.GIVING_UP and not own:
            withdraw(turn, lease, None)


def review(turn: Turn) -> None:
    """Every lease: what follows from all that is known now."""
    for lease in turn.leases:
        ranking.watch_holder(turn, lease)
        claim = turn.claims.get(lease)
        if claim is None:
            _perhaps_ask(turn, lease)
        elif claim.phase is Phase.GIVING_UP:
            _perhaps_free(turn, lease, claim)
        else:
            _follow_claim(turn, lease, claim)


# -- idle -----------------------------------------------------------------------------


def ask_at(turn: Turn, lease: LeaseName) -> Micros | None:
    """When this member would ask for a lease that it has no claim to; None: it would not.

    An instant in the future may be too early: who is better then is not asked before it is there.
    """
    candidate = turn.candidates.get(lease)
    if candidate is None or not candidate.able or not candidate.settled:
        return None
    if not ranking.may_take(turn) or not enough_live(turn):
        return None
    free_at = turn.free_since.get(lease, turn.silent_until)
    given = turn.promises.get(lease)
    if given is not None and given.to != turn.own:
        free_at = max(free_at, given.until)
    free_at = max(free_at, engaged_until(turn, turn.own, lease, covers_of(turn, lease)))
    listened = turn.awake_since + turn.timing.heartbeat_us if turn.awake_since else 0
    earliest = Micros(max(free_at, turn.silent_until, turn.not_before.get(lease, 0), listened))
    if earliest > turn.now:
        return earliest
    delay = rank_delay(len(ranking.better_members(turn, lease)), turn.timing)
    return Micros(max(earliest, free_at + delay))


def enough_live(turn: Turn) -> bool:
    """Whether a majority could answer."""
    there = sum(turn.is_live(each) or fencing.stands_in(turn, each) for each in turn.others)
    return there + 1 >= turn.cluster.majority


def _perhaps_ask(turn: Turn, lease: LeaseName) -> None:
    at = ask_at(turn, lease)
    if at is None or at > turn.now:
        return
    turn.freed.pop(lease, None)
    token = next_token(turn, lease)
    retry_at = Micros(turn.now + retry_delay(turn.timing))
    called = lease in turn.called
    turn.claims[lease] = Claim(Phase.ASKING, turn.now, turn.now, token, retry_at=retry_at, called=called)
    _promise_itself(turn, lease, token)
    turn.beats_now = True
    _weigh(turn, lease)


def next_token(turn: Turn, lease: LeaseName) -> int:
    """A token greater than all that this member knows of."""
    published = [peer.standings[lease].token for peer in turn.peers.values() if lease in peer.standings]
    return 1 + max(turn.tokens.get(lease, 0), turn.orders.tokens.get(lease, 0), *published, 0)


def _promise_itself(turn: Turn, lease: LeaseName, token: int) -> None:
    promise(turn, lease, turn.own, token, covers_of(turn, lease))


def covers_of(turn: Turn, lease: LeaseName) -> frozenset[InstanceName]:
    """What the lease is about here, if that is not just the instance of its name."""
    configured = turn.leases.get(lease)
    return frozenset() if configured is None else configured.covers


def renew(turn: Turn) -> None:
    """A heartbeat goes out: this member's promises to itself are as young as those it asks for."""
    for lease, claim in turn.claims.items():
        if claim.phase is not Phase.GIVING_UP:
            _promise_itself(turn, lease, claim.token)


# -- answers ---------------------------------------------------------------------------


def answered(turn: Turn, member: MemberId, answer: Answer) -> None:
    """Another member promised something, or refused to."""
    until = relied_until(answer.stamp, answer.promise_us, turn.timing)
    for lease in answer.granted:
        claim = turn.claims.get(lease)
        if claim is None or claim.phase is Phase.GIVING_UP or answer.stamp < claim.asked_at:
            continue
        support = {**claim.support, member: max(until, claim.support.get(member, until))}
        turn.claims[lease] = claim._replace(support=support, refused=claim.refused - {member})
    for lease, refusal in answer.refused.items():
        claim = turn.claims.get(lease)
        if claim is None or claim.phase is not Phase.ASKING or answer.stamp < claim.asked_at:
            continue
        if refusal.token >= claim.token:
            # A majority must have seen the very token that is used, so all are asked anew.
            _promise_itself(turn, lease, refusal.token + 1)
            claim = claim._replace(token=refusal.token + 1, asked_at=turn.now, support={})
            turn.beats_now = True
        turn.claims[lease] = _refused(turn, lease, claim, member, refusal)


def _refused(turn: Turn, lease: LeaseName, claim: Claim, member: MemberId, refusal: Refusal) -> Claim:
    """Ask again if the other promise ends soon; else do without this member."""
    if refusal.wait_us == 0:
        return claim
    if claim.called:
        # Soon at first, since the news of the holder's going is on its way; then at the usual pace.
        early = turn.now < claim.since + CALLED_HURRY_US
        again_at = turn.now + SHORTEST_RETRY_US if early else claim.retry_at
        return claim._replace(retry_at=Micros(min(again_at, claim.retry_at)))
    again_at = Micros(turn.now + max(refusal.wait_us, SHORTEST_RETRY_US))
    if again_at < claim.since + asking_limit(turn.timing):
        return claim._replace(retry_at=min(again_at, claim.retry_at))
    wait = min(refusal.wait_us, turn.timing.promise_us)
    turn.wait_until(lease, Micros(turn.now + wait))
    return claim._replace(refused=claim.refused | {member})


# -- a claim -----------------------------------------------------------------------------


def _follow_claim(turn: Turn, lease: LeaseName, claim: Claim) -> None:
    if not ranking.own_standing(turn, lease).able:
        give_up(turn, lease, claim, *_why_not_able(turn, lease), ranking.best_other(turn, lease))
        return
    _weigh(turn, lease)
    claim = turn.claims[lease]
    if claim.phase is Phase.HOLDING:
        _make_way(turn, lease, claim)
    elif claim.phase is Phase.FENCING:
        if claim.until <= turn.now:
            withdraw(turn, lease, None)
    elif _is_hopeless(turn, claim):
        _retreat(turn, lease)
    elif claim.retry_at <= turn.now:
        turn.claims[lease] = claim._replace(retry_at=Micros(turn.now + retry_delay(turn.timing)))
        turn.beats_now = True


def _is_hopeless(turn: Turn, claim: Claim) -> bool:
    if claim.since + asking_limit(turn.timing) <= turn.now:
        return True
    return len(turn.places) - len(claim.refused) < turn.cluster.majority


def _retreat(turn: Turn, lease: LeaseName) -> None:
    """No majority: give back what was promised, and let others try before asking again."""
    rank = len(ranking.better_members(turn, lease))
    pause = rank_delay(1 + rank, turn.timing) + place_delay(turn.place(turn.own), turn.timing)
    withdraw(turn, lease, ranking.best_other(turn, lease))
    turn.wait_until(lease, Micros(turn.now + pause))


def _weigh(turn: Turn, lease: LeaseName) -> None:
    """Until when a majority supports the claim, and what follows from it."""
    claim = turn.claims[lease]
    until = lease_until(turn, claim)
    if claim.phase is Phase.HOLDING:
        if until > claim.until:
            turn.claims[lease] = claim._replace(until=until)
            turn.out.append(Extend(lease, until))
        return
    claim = claim._replace(until=until)
    turn.claims[lease] = claim
    # With less than a heartbeat left it would be over before it can be renewed.
    if until <= turn.now + turn.timing.heartbeat_us:
        return
    if not fencing.must_fence(turn, lease, claim.since):
        grant(turn, lease, claim)
    elif claim.phase is Phase.ASKING:
        turn.claims[lease] = claim._replace(phase=Phase.FENCING)


def lease_until(turn: Turn, claim: Claim) -> Micros:
    """The instant up to which a majority, this member included, supports the claim."""
    needed = turn.cluster.majority - 1
    own = relied_until(Micros(turn.now), turn.timing.promise_us, turn.timing)
    if needed == 0 or any(fencing.stands_in(turn, each) for each in turn.others):
        return own
    support = sorted((claim.support[each] for each in turn.others if each in claim.support), reverse=True)
    return support[needed - 1] if len(support) >= needed else Micros(0)


def grant(turn: Turn, lease: LeaseName, claim: Claim) -> None:
    """This member has the lease."""
    turn.claims[lease] = claim._replace(phase=Phase.HOLDING)
    previous = turn.holders.pop(lease, None)
    turn.ahead_since.pop(lease, None)
    supporters = sorted(member for member, until in claim.support.items() if until > turn.now)
    agreed = " and ".join(supporters) if supporters else "nobody else is needed"
    evidence = f"promised by {agreed}, token {claim.token}"
    if previous is not None:
        heard_at = turn.peer(previous).heard_at
        ago = "never" if heard_at is None else f"{as_seconds(turn.now - heard_at):.3f} s ago"
        evidence += f"; {previous} held it, and was last heard {ago}"
    turn.out.append(Grant(lease, claim.token, claim.until, evidence))
    turn.beats_now = True


def _make_way(turn: Turn, lease: LeaseName, claim: Claim) -> None:
    """Give the lease up for a better member that wants it."""
    better = ranking.challenger(turn, lease)
    if better is None:
        return
    theirs = ranking.standing_of(turn, better, lease).priority
    ours = ranking.own_standing(turn, lease).priority
    if turn.orders.pinned.get(lease) == better:
        evidence = f"{better} is to hold it by order"
    else:
        evidence = f"{better} has priority {theirs}, ours {ours}"
    give_up(turn, lease, claim, "a better member is there", evidence, better)


def _last_answers(turn: Turn) -> str:
    heard = []
    for each in turn.others:
        at = turn.peer(each).heard_at
        ago = "never heard" if at is None else f"heard {as_seconds(turn.now - at):.3f} s ago"
        heard.append(f"{each} {ago}")
    return ", ".join(heard)


def _why_not_able(turn: Turn, lease: LeaseName) -> tuple[str, str]:
    if turn.stopping:
        return "stopping", "the program ends"
    if turn.own in turn.orders.drained:
        return "maintenance", f"{turn.own} shall hold nothing, by order"
    return "fault", f"{lease} is not healthy here"


def give_up(
    turn: Turn, lease: LeaseName, claim: Claim, reason: str, evidence: str, successor: MemberId | None
) -> None:
    """Hold no more.  Who had nothing yet is done with it; a holder tells the others when all is removed."""
    if claim.phase is not Phase.HOLDING:
        withdraw(turn, lease, successor)
        return
    turn.claims[lease] = claim._replace(phase=Phase.GIVING_UP, successor=successor)
    candidate = turn.candidates.get(lease)
    if candidate is not None:
        # What is known of the node is from before it hears of this.
        turn.candidates[lease] = candidate._replace(settled=False)
    turn.out.append(Lose(lease, reason, evidence, successor))


def _perhaps_free(turn: Turn, lease: LeaseName, claim: Claim) -> None:
    candidate = turn.candidates.get(lease)
    if candidate is not None and not candidate.settled:
        return
    withdraw(turn, lease, claim.successor)
    wait = turn.timing.promise_us if claim.successor is not None else hint_delay(turn.timing)
    turn.wait_until(lease, Micros(turn.now + wait))


def drop(turn: Turn, lease: LeaseName) -> None:
    """The lease is not configured here any more, or is about more than was promised.

    The others wait for their promises to end, but those are still good for what comes in its place here.
    """
    claim = turn.claims[lease]
    if claim.phase is Phase.HOLDING:
        why = "it is about more now" if lease in turn.leases else "it is not configured any more"
        turn.out.append(Lose(lease, "reload", why))
    forget(turn, lease)


def next_deadline(turn: Turn, lease: LeaseName) -> Micros:
    """When the lease wants to be looked at again; FOREVER: when something happens."""
    claim = turn.claims.get(lease)
    if claim is None:
        at = ask_at(turn, lease)
        return FOREVER if at is None else at
    if claim.phase is Phase.GIVING_UP:
        return FOREVER
    if claim.phase is Phase.ASKING:
        return Micros(min(claim.since + asking_limit(turn.timing), claim.retry_at))
    return claim.until


def hurry_at(turn: Turn) -> Micros:
    """When to send a heartbeat earlier than usual, because half of a promise's time is lost."""
    ends = [claim.until for claim in turn.claims.values() if claim.phase is Phase.HOLDING]
    if not ends:
        return FOREVER
    thin = min(ends) - turn.timing.promise_us // 2
    return Micros(max(thin, turn.sent_at + hurry_delay(turn.timing)))
