"""What this member promises to others.

A promise is exclusive: until it ends, this member supports nobody else for that
lease and does not ask for it itself.  Two leases at one instant would need two
majorities of promises that have not ended, so some member would have given two.
It never does; nor does it support two members for two leases that are about the same
instance, as leases are while the members get a new configuration one after the other
(an instance joins a group, and has its lease from then on).  And a restart, which
forgets promises, is followed by a silence that is longer than any of them.  Nothing
else is needed for safety: no term, no vote and no log.

Every claim has a token.  A new claim is promised something only if its token is
greater than all that this member has seen, so the tokens of a lease that are used
only grow.  A claim that is held already is renewed whatever has been seen since:
those greater tokens belong to members that asked in vain.

A promise always lasts this member's own E, whatever the asker would like, since
the silence after a restart is that long.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.core.raft import ranking
from keepalived_py.core.raft.membership import goes_together
from keepalived_py.core.raft.state import Freed, Phase, Promise
from keepalived_py.core.raft.timing import hint_delay, live_for, rank_delay
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import Answer, Heartbeat, Refusal
from keepalived_py.model.raft_events import Send


def answer(turn: Turn, asker: MemberId, beat: Heartbeat) -> None:
    """Promise what can be promised."""
    duration = turn.timing.promise_us
    granted: list[LeaseName] = []
    refused: dict[LeaseName, Refusal] = {}
    compatible = goes_together(turn, beat)
    for lease, token in beat.asks.items():
        standing = beat.standings.get(lease, ranking.NOTHING)
        holding = standing.holding and standing.token == token
        covers = beat.covers.get(lease, frozenset())
        refusal = objection(turn, asker, lease, token, holding=holding, compatible=compatible, covers=covers)
        if refusal is None:
            promise(turn, lease, asker, token, covers)
            granted.append(lease)
        else:
            refused[lease] = refusal
        if holding:
            # Who is heard to hold is not disturbed, whether or not it has our promise.
            turn.wait_until(lease, Micros(turn.now + live_for(turn.timing)))
    turn.out.append(Send(asker, Answer(beat.stamp, duration, tuple(granted), refused)))


def objection(
    turn: Turn,
    asker: MemberId,
    lease: LeaseName,
    token: int,
    *,
    holding: bool,
    compatible: bool,
    covers: frozenset[InstanceName] = frozenset(),
) -> Refusal | None:
    """Why `asker` gets no promise now; None: it gets one."""
    seen = turn.tokens.get(lease, 0)
    if turn.now < turn.silent_until:
        return Refusal(Micros(turn.silent_until - turn.now), seen)
    if not compatible:
        return Refusal(turn.timing.promise_us, seen)
    if _still_removing(turn, lease):
        return Refusal(turn.timing.heartbeat_us, seen)
    given = turn.promises.get(lease)
    if given is not None and given.to != asker and given.until > turn.now:
        if given.to != turn.own or not _stands_back(turn, asker, lease):
            return Refusal(Micros(given.until - turn.now), seen)
    engaged = engaged_until(turn, asker, lease, covers)
    if engaged > turn.now:
        return Refusal(Micros(engaged - turn.now), seen)
    renewed = given is not None and given.to == asker and given.token == token
    return None if token > seen or renewed or holding else Refusal(Micros(0), seen)


def promise(
    turn: Turn, lease: LeaseName, member: MemberId, token: int, covers: frozenset[InstanceName]
) -> None:
    """From now on for E, this member supports `member` alone for the lease and what that is about."""
    turn.promises[lease] = Promise(member, Micros(turn.now + turn.timing.promise_us), token, covers)
    turn.tokens[lease] = max(token, turn.tokens.get(lease, 0))
    for each in covers:
        known = turn.covering.get(each, frozenset())
        if lease not in known:
            turn.covering[each] = known | {lease}


def engaged_until(turn: Turn, member: MemberId, lease: LeaseName, covers: frozenset[InstanceName]) -> Micros:
    """Until when this member supports another one than `member` for a part of what the lease is about,
    by a lease of another name.
    """
    until = Micros(0)
    for part in covers or (InstanceName(lease),):
        for other in (LeaseName(part), *turn.covering.get(part, ())):
            given = turn.promises.get(other)
            if other == lease or given is None or given.to == member:
                continue
            if part in given.covers or (not given.covers and other == part):
                until = max(until, given.until)
    return until


def _still_removing(turn: Turn, lease: LeaseName) -> bool:
    """Whether addresses of the lease may be in use here, with no kernel that ends that by itself."""
    claim = turn.claims.get(lease)
    return claim is not None and claim.phase is Phase.GIVING_UP and not turn.guarded


def _stands_back(turn: Turn, asker: MemberId, lease: LeaseName) -> bool:
    """Of two members that ask at the same time the worse one gives way, as long as it has nothing yet."""
    claim = turn.claims.get(lease)
    if claim is None or claim.phase is not Phase.ASKING or not ranking.outranks(turn, asker, lease):
        return False
    withdraw(turn, lease, asker)
    return True


def withdraw(turn: Turn, lease: LeaseName, successor: MemberId | None) -> None:
    """This member has nothing of the lease: whoever promised it something is free again."""
    forget(turn, lease)
    turn.freed[lease] = Freed(successor, Micros(turn.now + turn.timing.promise_us))
    turn.free_since[lease] = turn.now
    turn.beats_now = True


def forget(turn: Turn, lease: LeaseName) -> None:
    """The claim is over, and so is what this member promised itself; the others are not told."""
    turn.claims.pop(lease, None)
    given = turn.promises.get(lease)
    if given is not None and given.to == turn.own:
        del turn.promises[lease]


def released(turn: Turn, holder: MemberId, lease: LeaseName, successor: MemberId | None) -> None:
    """`holder` has given up its claim to the lease, for `successor` if that is known."""
    claim = turn.claims.get(lease)
    if claim is not None and claim.phase is Phase.ASKING and claim.refused:
        # Whoever refused because of `holder` is free now.
        turn.claims[lease] = claim._replace(refused=frozenset())
        turn.beats_now = True
    given = turn.promises.get(lease)
    if given is None or given.to != holder:
        return
    del turn.promises[lease]
    turn.free_since[lease] = turn.now
    if successor is not None and successor != turn.own:
        turn.not_before[lease] = Micros(turn.now + hint_delay(turn.timing))
        return
    if successor == turn.own:
        # It is called by name: no better one has to be waited for.
        turn.called.add(lease)
        turn.free_since[lease] = Micros(turn.now - rank_delay(len(turn.places), turn.timing))
    if turn.holders.get(lease) == holder:
        # What it waited for was the holder.  Who only asked in vain says nothing about those that refused.
        turn.not_before.pop(lease, None)
