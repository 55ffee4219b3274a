"""What a member says of itself to readers: the part of the snapshot that the electing process knows.

Readers (status, metrics) never ask the electing process: it tells the keeper from
time to time, and the keeper writes what it was told where everybody may read it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft import member as core
from keepalived_py.core.raft.state import UNHEARD, Member, Phase
from keepalived_py.core.raft.timing import live_for
from keepalived_py.model.raft import LOG_LEASE, RaftMember

_WORDS = {
    Phase.ASKING: "candidate",
    Phase.FENCING: "candidate",
    Phase.HOLDING: "leader",
    Phase.GIVING_UP: "follower",
}


def live_members(member: Member, now: Micros) -> frozenset[MemberId]:
    """The other members that were heard lately."""
    limit = live_for(member.cluster.timing)
    return frozenset(
        each
        for each, peer in member.peers.items()
        if peer.heard_at is not None and peer.heard_at + limit > now
    )


def promised_to(member: Member, lease: LeaseName, now: Micros) -> MemberId | None:
    """Who has this member's promise for a lease."""
    promise = member.promises.get(lease)
    return promise.to if promise is not None and promise.until > now else None


def snapshot(
    member: Member,
    now: Micros,
    *,
    checks: Sequence[tuple[str, str, bool]],
    gate: bool,
    keepvip: str | None,
    counters: Mapping[str, int],
) -> dict[str, Any]:
    """Everything but what the log knows."""
    cluster = member.cluster
    live = live_members(member, now)
    return {
        "cluster": cluster.id,
        "own": cluster.own,
        "witness": cluster.member(cluster.own).witness,
        "gate": gate,
        "no_quorum": cluster.no_quorum.value,
        "members": [_member(member, each, each.id in live, now) for each in cluster.members],
        "leases": [_lease(member, name, now) for name in member.leases if name != LOG_LEASE],
        "checks": [{"name": name, "address": address, "good": good} for name, address, good in checks],
        "keepvip": None if keepvip is None else {"vip": keepvip},
        "counters": dict(counters),
    }


def _member(member: Member, each: RaftMember, live: bool, now: Micros) -> dict[str, Any]:
    own = each.id == member.own
    peer = member.peers.get(each.id, UNHEARD)
    return {
        "id": each.id,
        "address": str(each.endpoint),
        "witness": each.witness,
        "live": own or live,
        "heard_us_ago": None if own or peer.heard_at is None else now - peer.heard_at,
        "guarded": member.guarded if own else peer.guarded,
    }


def _lease(member: Member, name: LeaseName, now: Micros) -> dict[str, Any]:
    claim = member.claims.get(name)
    candidate = member.candidates.get(name)
    mine = claim is not None and claim.phase is Phase.HOLDING
    return {
        "name": name,
        "holder": core.holders(member).get(name),
        "mine": mine,
        "state": "follower" if claim is None else _WORDS[claim.phase],
        "token": claim.token if claim is not None and mine else member.tokens.get(name, 0),
        "left_us": claim.until - now if claim is not None and mine else None,
        "priority": 0 if candidate is None else candidate.priority,
        "able": candidate is not None and candidate.able,
    }
