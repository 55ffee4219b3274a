"""Shooting a member before its leases are taken.

A holder stops by itself, and its kernel stops for it when the process cannot.
Who does not want to rely on that (a machine that is paused as a whole wakes up
with the rest of a lease) has the last holder shot first:

* `fence_first`: unless it was heard to give up, nothing is taken before the
  fencing has succeeded;
* `lease_or_fence`: the same, but only for a holder whose kernel does not end
  its lease for it.

A live holder that does not give up, although its lease is over, gets a promise's
time for it.

Of two nodes, none is a majority without the other.  With `fence_first` the one
that finds itself alone shoots, after its `fence_delay`, and counts the other as a
supporter until it is heard to promise or hold something again.  Who has just started
and has not heard the other one yet waits half a minute before that: of two machines
that are switched on together the quicker one must not shoot the other one's start.  Where more than
two are members nobody stands in for a member that is shot: back from its reboot
it could complete a majority elsewhere.

A fencing counts only for a target that was not heard since it was ordered: what
speaks afterwards may be its next life, which has promises again.
"""

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft.ranking import own_standing
from keepalived_py.core.raft.state import FOREVER, Shot
from keepalived_py.core.raft.timing import live_for
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import FencePolicy, NoQuorum, Takeover
from keepalived_py.model.raft_events import Fence

_LONGEST_PAUSE = Micros(30 * SECOND)
PATIENCE_AT_START = Micros(30 * SECOND)


def stands_in(turn: Turn, target: MemberId) -> bool:
    """Whether the member is off, and counts as a supporter all the same."""
    return len(turn.places) == 2 and turn.peer(target).fenced


def must_fence(turn: Turn, lease: LeaseName, asking_since: Micros) -> bool:
    """Whether somebody must be shot before this member may hold the lease; begins it if so."""
    policy = turn.cluster.fencing
    target = turn.holders.get(lease)
    if policy.takeover is Takeover.LEASE or target is None or target == turn.own:
        return False
    if not turn.leases[lease].instances:
        # With nothing in the kernel there is nothing to be afraid of.
        return False
    peer = turn.peer(target)
    if peer.fenced:
        return False
    if policy.takeover is Takeover.LEASE_OR_FENCE and peer.guarded:
        return False
    if not turn.is_live(target) or turn.now >= asking_since + turn.timing.promise_us:
        _shoot(turn, target, "not seen to give up")
    return True


def review(turn: Turn) -> None:
    """Try again what failed; shoot the other one of two that is gone."""
    for target, shot in list(turn.shots.items()):
        if shot.again_at is not None and shot.again_at <= turn.now and not turn.stopping:
            turn.shots[target] = Shot(shot.attempt + 1, turn.now)
            _order(turn, target, "the last attempt failed", shot.attempt + 1)
    lonely = lonely_target(turn)
    if lonely is not None and lonely_since(turn, lonely) <= turn.now:
        _shoot(turn, lonely, "lost")


def lonely_target(turn: Turn) -> MemberId | None:
    """The other one of two members, if it is to be shot when it is silent."""
    if turn.cluster.fencing.takeover is not Takeover.FENCE_FIRST or len(turn.others) != 1 or turn.stopping:
        return None
    target = turn.others[0]
    gone = not turn.is_live(target) and not turn.peer(target).fenced and target not in turn.shots
    wanted = any(lease.instances and own_standing(turn, name).able for name, lease in turn.leases.items())
    return target if gone and wanted and not turn.cluster.member(turn.own).witness else None


def lonely_since(turn: Turn, target: MemberId) -> Micros:
    """When the silent other one is due to be shot."""
    own = turn.cluster.member(turn.own)
    heard_at = turn.peer(target).heard_at
    start = max(turn.awake_since, turn.silent_until + PATIENCE_AT_START if heard_at is None else heard_at)
    holding = any(turn.holds(lease) for lease in turn.leases)
    if holding and turn.cluster.no_quorum is NoQuorum.KEEP:
        return Micros(start + live_for(turn.timing))
    return Micros(start + turn.timing.promise_us + own.fence_delay_us)


def _shoot(turn: Turn, target: MemberId, reason: str) -> None:
    if target not in turn.shots:
        turn.shots[target] = Shot(1, turn.now)
        _order(turn, target, reason, 1)


def _order(turn: Turn, target: MemberId, reason: str, attempt: int) -> None:
    leases = tuple(lease for lease, holder in turn.holders.items() if holder == target)
    token = max((turn.tokens.get(lease, 0) for lease in leases), default=0)
    turn.out.append(Fence(target, leases, token, reason, attempt))


def done(turn: Turn, target: MemberId, succeeded: bool) -> None:
    """A fencing ended."""
    shot = turn.shots.get(target)
    if shot is None:
        return
    heard_at = turn.peer(target).heard_at
    if succeeded and heard_at is not None and heard_at >= shot.since:
        del turn.shots[target]
        turn.say(f"Member {target} was fenced, and was heard meanwhile: it counts as there")
        return
    if succeeded:
        del turn.shots[target]
        turn.put_peer(target, turn.peer(target)._replace(fenced=True))
        turn.say(f"Member {target} was fenced")
        for lease, promise in list(turn.promises.items()):
            if promise.to == target:
                del turn.promises[lease]
                turn.free_since[lease] = turn.now
        return
    if turn.cluster.fencing.on_failure is FencePolicy.IGNORE and len(turn.cluster.members) > 2:
        # A majority stands behind this member; of two nodes none may go on alone without a certain end.
        del turn.shots[target]
        turn.holders = {lease: holder for lease, holder in turn.holders.items() if holder != target}
        turn.say(f"Fencing {target} failed, its leases are taken all the same")
        return
    pause = min(_LONGEST_PAUSE, SECOND << min(shot.attempt - 1, 5))
    turn.shots[target] = shot._replace(again_at=Micros(turn.now + pause))
    turn.say(f"Fencing {target} failed (attempt {shot.attempt}), trying again")


def heard(turn: Turn, target: MemberId, *, acts: bool) -> None:
    """A member that was shot speaks again: once it promises or holds something it is like any other."""
    shot = turn.shots.get(target)
    if shot is not None and shot.again_at is not None:
        del turn.shots[target]
    peer = turn.peer(target)
    if peer.fenced and acts:
        turn.put_peer(target, peer._replace(fenced=False))


def next_deadline(turn: Turn) -> Micros:
    """When a fencing is due."""
    due = [FOREVER]
    if not turn.stopping:
        due += [shot.again_at for shot in turn.shots.values() if shot.again_at is not None]
    target = lonely_target(turn)
    if target is not None:
        due.append(lonely_since(turn, target))
    return min(due)
