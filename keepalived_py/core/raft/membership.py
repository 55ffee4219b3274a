"""Which lists of members may act side by side, and when a list may be changed.

Majorities of two lists that differ by one member always share a member.  Lists
that differ by more need not, so at any time only two neighbours may be in use:

* who goes by the older of two neighbours gets no promise from who goes by the newer
  one; the newer one is served by both;
* a member begins a new list only when a majority of its present one has been seen to go
  by that present one (or by the new one already) for longer than a promise lasts: then no
  older list can win anything any more, not even by promises from before;
* a newer list that somebody goes by already can be joined at any time.

A list has a revision, which tells older from newer.  A member that starts does not
know it, and learns it from the others; until a majority goes by the same list it
promises nothing to anybody else's.  Who goes by the same list with another revision
does not count as going by it, since it may still serve what is older.  What this
cannot see is two members that are given different lists at the same time, and
members that are restarted with a list that was never announced; lists are changed by
reload, one after the other.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import MemberId
from keepalived_py.core.raft.state import Member
from keepalived_py.core.raft.timing import longest_of_others
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import Heartbeat, RaftCluster


def ids(cluster: RaftCluster) -> frozenset[MemberId]:
    """The list of members, as it is compared."""
    return frozenset(each.id for each in cluster.members)


def goes_together(turn: Turn, beat: Heartbeat) -> bool:
    """Whether who goes by the sender's list may have promises of who goes by ours."""
    own = ids(turn.cluster)
    if beat.members == own:
        return True
    return len(own ^ beat.members) <= 1 and beat.revision > turn.revision and turn.revision_known


def learn(turn: Turn, beat: Heartbeat) -> None:
    """The same list has the same revision everywhere."""
    own = ids(turn.cluster)
    if beat.members != own:
        return
    if beat.revision > turn.revision:
        turn.revision, turn.listed_since = beat.revision, turn.now
    if not turn.revision_known:
        alike = 1 + sum(turn.peer(member).members == own for member in turn.live())
        turn.revision_known = alike >= turn.cluster.majority


def next_revision(turn: Turn, members: frozenset[MemberId]) -> int:
    """That of the same list elsewhere; a list nobody has gets a greater one than all that are known."""
    for peer in turn.peers.values():
        if peer.members == members and peer.revision > turn.revision:
            return peer.revision
    return 1 + max([turn.revision, *(peer.revision for peer in turn.peers.values())])


def objection(member: Member, cluster: RaftCluster, now: Micros) -> str | None:
    """Why the members of `cluster` cannot replace the present ones now; None: they can."""
    return turn_objection(Turn(member, now), cluster)


def turn_objection(turn: Turn, cluster: RaftCluster) -> str | None:
    """`objection`, within a step."""
    before, after = ids(turn.cluster), ids(cluster)
    if after == before:
        return None
    if cluster.own != turn.own or turn.own not in after:
        return f"{turn.own} itself cannot be taken out by a reload; stop it, and reload the others"
    for member in turn.live():
        peer = turn.peer(member)
        if peer.members == after and peer.revision > turn.revision:
            return None
    if len(before ^ after) > 1:
        changed = ", ".join(sorted(before ^ after))
        return f"{changed} would change at once; add or take out one member at a time"
    agreeing = sum(_has_long_gone_by(turn, member, before, after) for member in (turn.own, *turn.live()))
    if agreeing < turn.cluster.majority:
        return (
            f"{agreeing} of {len(before)} members are there and have gone by the present list for a while, "
            f"{turn.cluster.majority} are needed; bring the others back, or reload them, and try again"
        )
    return None


def _has_long_gone_by(
    turn: Turn, member: MemberId, before: frozenset[MemberId], after: frozenset[MemberId]
) -> bool:
    """Whether the member serves nothing older than `before`, and what it promised earlier is over.

    Who goes by the list after it serves only that one and its neighbours, whatever it knows of revisions.
    """
    if member == turn.own:
        return turn.listed_since + longest_of_others(turn.timing) <= turn.now
    peer = turn.peer(member)
    serves = (peer.members, peer.revision) == (before, turn.revision) or peer.members == after
    return serves and peer.listed_since + longest_of_others(turn.timing) <= turn.now
