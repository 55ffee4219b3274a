"""One member's whole decision as a fold: state and event in, state and effects out.

Every member sends every other one a heartbeat, with its own standing for each
lease and the leases it asks for.  Who hears it promises or refuses.  What follows
is worked out anew after each event: who is the best, whose turn it is, how long
the lease lasts (`claims`, `promises`, `ranking`, `fencing`).

`next_deadline` says when a `Tick` is due at the latest; a `Tick` that comes early
does nothing.  `now` never goes back.
"""

from collections.abc import Iterable
from typing import NamedTuple, assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.core.raft import claims, fencing, promises, ranking
from keepalived_py.core.raft.membership import ids, learn, next_revision, turn_objection
from keepalived_py.core.raft.state import Member, Peer, Phase
from keepalived_py.core.raft.timing import live_for, silence
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model import raft_events as ev
from keepalived_py.model.raft import Answer, Heartbeat, Lease, LogPart, Orders, RaftCluster


class Step(NamedTuple):
    """The member after an event, and what shall be done, in this order."""

    member: Member
    effects: tuple[ev.RaftEffect, ...]


def start(cluster: RaftCluster, leases: Iterable[Lease], now: Micros, *, guarded: bool = False) -> Member:
    """A member that begins; `guarded`: the kernel here ends a lease even if no process can."""
    silent_until = Micros(now + silence(cluster.timing.promise_us))
    if len(cluster.members) == 1:
        silent_until = now
    return Member(
        cluster,
        {lease.name: lease for lease in leases},
        silent_until=silent_until,
        started_at=now,
        beat_at=now,
        wake_at=now,
        listed_since=now,
        revision_known=len(cluster.members) == 1,
        guarded=guarded,
    )


def step(member: Member, event: ev.RaftEvent, now: Micros) -> Step:
    """What `event` makes of the member."""
    turn = Turn(member, now)
    claims.expire(turn)
    match event:
        case ev.Tick():
            pass
        case ev.Heard():
            _hear(turn, event)
        case ev.StandingsChanged():
            _follow_node(turn, event)
        case ev.OrdersChanged():
            _obey(turn, event.orders)
        case ev.FenceDone():
            fencing.done(turn, event.target, event.succeeded)
        case ev.ClusterReplaced():
            _replace(turn, event)
        case ev.StopRequested():
            turn.stopping = True
        case _:
            assert_never(event)
    fencing.review(turn)
    claims.review(turn)
    _beat(turn)
    return Step(turn.close(_deadline(turn)), tuple(turn.out))


def next_deadline(member: Member) -> Micros:
    """When the member wants a `Tick`."""
    return member.wake_at


def _deadline(turn: Turn) -> Micros:
    """The earliest instant at which something follows from the mere passing of time."""
    due = [turn.beat_at, claims.hurry_at(turn), fencing.next_deadline(turn)]
    due += [claims.next_deadline(turn, lease) for lease in turn.leases]
    # Who falls silent is not waited for any more.
    patience = live_for(turn.timing)
    due += [Micros((turn.peer(each).heard_at or 0) + patience) for each in turn.live()]
    return min(due)


def is_finished(member: Member) -> bool:
    """After `StopRequested`: whether everything has been given up."""
    return member.stopping and not member.claims


# -- events ------------------------------------------------------------------------------


def _hear(turn: Turn, event: ev.Heard) -> None:
    if event.member == turn.own or event.member not in turn.places:
        return
    match event.message:
        case Heartbeat():
            _hear_heartbeat(turn, event, event.message)
        case Answer():
            fencing.heard(turn, event.member, acts=bool(event.message.granted))
            claims.answered(turn, event.member, event.message)
        case LogPart():
            pass
        case _:
            assert_never(event.message)


def _hear_heartbeat(turn: Turn, event: ev.Heard, beat: Heartbeat) -> None:
    sender, before = event.member, turn.peer(event.member)
    if event.age_us > live_for(turn.timing) or _is_overtaken(turn, before, beat):
        return
    heard_at = Micros(turn.now - max(event.age_us, 0))
    same_list = (beat.members, beat.revision) == (before.members, before.revision)
    peer = Peer(
        heard_at=heard_at,
        stamp=beat.stamp,
        standings=beat.standings,
        members=beat.members,
        listed_since=before.listed_since if same_list else turn.now,
        revision=beat.revision,
        fenced=before.fenced,
        guarded=beat.guarded,
    )
    turn.put_peer(sender, peer)
    if beat.promise_us > turn.timing.promise_us and turn.silent_until > turn.now:
        # An earlier life may have promised for as long as that member does.
        turn.silent_until = Micros(max(turn.silent_until, turn.started_at + silence(beat.promise_us)))
    fencing.heard(turn, sender, acts=any(standing.holding for standing in beat.standings.values()))
    learn(turn, beat)
    for lease, successor in beat.freed.items():
        if lease not in beat.asks:
            promises.released(turn, sender, lease, successor)
    for lease, standing in beat.standings.items():
        if standing.holding:
            turn.holders[lease] = sender
            turn.tokens[lease] = max(standing.token, turn.tokens.get(lease, 0))
        elif turn.holders.get(lease) == sender:
            del turn.holders[lease]
    if beat.asks:
        promises.answer(turn, sender, beat)


def _is_overtaken(turn: Turn, before: Peer, beat: Heartbeat) -> bool:
    """Whether the sender has said something newer: an old "free" must not end a new promise.

    After a promise's time nothing can be harmed any more, and the sender's clock may have begun anew.
    """
    if before.heard_at is None or beat.stamp >= before.stamp:
        return False
    return before.heard_at + turn.timing.promise_us > turn.now


def _follow_node(turn: Turn, event: ev.StandingsChanged) -> None:
    for lease, candidate in event.candidates.items():
        before = turn.candidates.get(lease)
        if before is None or (before.able, before.priority) != (candidate.able, candidate.priority):
            turn.beats_now = True
    turn.candidates = dict(event.candidates)


def _obey(turn: Turn, orders: Orders) -> None:
    turn.orders = orders
    turn.beats_now = True
    for lease, token in orders.tokens.items():
        turn.tokens[lease] = max(token, turn.tokens.get(lease, 0))


def _replace(turn: Turn, event: ev.ClusterReplaced) -> None:
    refused = turn_objection(turn, event.cluster)
    cluster = event.cluster
    if refused is not None:
        turn.say(f"The list of members stays as it is: {refused}")
        cluster = replace(cluster, own=turn.own, members=turn.cluster.members)
    before, after = ids(turn.cluster), ids(cluster)
    if after != before:
        turn.revision, turn.revision_known = next_revision(turn, after), True
        turn.listed_since = turn.now
        turn.peers = {member: peer for member, peer in turn.peers.items() if member in after}
    turn.cluster, turn.timing = cluster, cluster.timing
    turn.follow_members()
    had, turn.leases = turn.leases, {lease.name: lease for lease in event.leases}
    for name in list(turn.claims):
        lease = turn.leases.get(name)
        if lease is None or (name in had and not set(lease.instances) <= set(had[name].instances)):
            claims.drop(turn, name)
    turn.beats_now = True


# -- heartbeats ---------------------------------------------------------------------------


def _beat(turn: Turn) -> None:
    """Send a heartbeat to everybody if one is due, or if something is to be known at once."""
    if not turn.beats_now and min(turn.beat_at, claims.hurry_at(turn)) > turn.now:
        return
    claims.renew(turn)
    period = turn.timing.heartbeat_us
    next_at = turn.beat_at + period if turn.beat_at <= turn.now else turn.beat_at
    turn.beat_at = Micros(next_at if next_at > turn.now else turn.now + period)
    turn.sent_at = turn.now
    turn.freed = {lease: freed for lease, freed in turn.freed.items() if freed.until > turn.now}
    asks = {lease: claim.token for lease, claim in turn.claims.items() if claim.phase is not Phase.GIVING_UP}
    beat = Heartbeat(
        stamp=turn.now,
        promise_us=turn.timing.promise_us,
        standings={lease: ranking.own_standing(turn, lease) for lease in turn.leases},
        asks=asks,
        freed={lease: freed.successor for lease, freed in turn.freed.items()},
        members=ids(turn.cluster),
        revision=turn.revision,
        guarded=turn.guarded,
        covers={lease: each.covers for lease, each in turn.leases.items() if each.covers},
    )
    turn.out.extend(ev.Send(each, beat) for each in turn.others)


def holders(member: Member) -> dict[LeaseName, MemberId]:
    """Who has each lease, as far as this member knows."""
    known = dict(member.holders)
    known.update(
        {lease: member.own for lease, claim in member.claims.items() if claim.phase is Phase.HOLDING}
    )
    return known
