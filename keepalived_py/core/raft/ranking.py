"""Who is the best holder of a lease, and who would take it from whom.

The order is that of VRRP: the higher effective priority.  Before it comes what
the operator has ordered (`Orders.pinned`), behind it the place in the list of
members.  Members that are not able to hold do not take part; nobody who is
only equally good in priority takes a lease from its holder.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft.state import Phase
from keepalived_py.core.raft.turn import Turn
from keepalived_py.model.raft import Standing

Rank = tuple[bool, int, int]
NOTHING = Standing(0, able=False)


def may_hold(turn: Turn, member: MemberId) -> bool:
    """Whether the configuration and the operator let the member hold anything."""
    return member in turn.holders_to_be and member not in turn.orders.drained


def may_take(turn: Turn) -> bool:
    """Whether this member may hold anything now."""
    return not turn.stopping and may_hold(turn, turn.own)


def own_standing(turn: Turn, lease: LeaseName) -> Standing:
    """What this member publishes of itself."""
    candidate, claim = turn.candidates.get(lease), turn.claims.get(lease)
    if candidate is None:
        return NOTHING
    able = candidate.able and may_take(turn)
    holding = claim is not None and claim.phase in (Phase.HOLDING, Phase.GIVING_UP)
    return Standing(
        priority=candidate.priority,
        able=able,
        eager=able and is_eager(turn, lease),
        holding=holding,
        token=claim.token if holding and claim is not None else 0,
    )


def standing_of(turn: Turn, member: MemberId, lease: LeaseName) -> Standing:
    """What the member says of itself; a member that is not heard says nothing."""
    if member == turn.own:
        return own_standing(turn, lease)
    if not turn.is_live(member):
        return NOTHING
    standing = turn.peer(member).standings.get(lease, NOTHING)
    return standing if may_hold(turn, member) else standing._replace(able=False, eager=False)


def rank_of(turn: Turn, member: MemberId, standing: Standing, lease: LeaseName) -> Rank:
    """The greater, the better."""
    return (turn.orders.pinned.get(lease) == member, standing.priority, -turn.place(member))


def better_members(turn: Turn, lease: LeaseName) -> list[MemberId]:
    """Live members that are able, and come before this one; the best first."""
    own = rank_of(turn, turn.own, own_standing(turn, lease), lease)
    found = []
    for member in turn.live():
        standing = standing_of(turn, member, lease)
        rank = rank_of(turn, member, standing, lease)
        if standing.able and rank > own:
            found.append((rank, member))
    return [member for _, member in sorted(found, reverse=True)]


def best_other(turn: Turn, lease: LeaseName) -> MemberId | None:
    """Who of the other members should have the lease next."""
    able = [
        (rank_of(turn, member, standing, lease), member)
        for member in turn.live()
        if (standing := standing_of(turn, member, lease)).able
    ]
    return max(able)[1] if able else None


def outranks(turn: Turn, member: MemberId, lease: LeaseName) -> bool:
    """Whether the member comes before this one."""
    theirs = standing_of(turn, member, lease)
    if not theirs.able:
        return False
    ours = own_standing(turn, lease)
    return not ours.able or rank_of(turn, member, theirs, lease) > rank_of(turn, turn.own, ours, lease)


def challenger(turn: Turn, lease: LeaseName) -> MemberId | None:
    """Who shall have the lease in place of this member, which holds it; None: nobody is better."""
    ours = rank_of(turn, turn.own, own_standing(turn, lease), lease)[:2]
    eager = [
        (rank, member)
        for member in turn.live()
        if (standing := standing_of(turn, member, lease)).able
        and standing.eager
        and (rank := rank_of(turn, member, standing, lease))[:2] > ours
    ]
    return max(eager)[1] if eager else None


# -- preemption ----------------------------------------------------------------------


def is_eager(turn: Turn, lease: LeaseName) -> bool:
    """Whether this member would take the lease from the present holder now.

    Who is pinned would at once.  Others must want to (`preempt`), and have been better for
    `preempt_delay`, but for no less than a promise, so that what is only passing moves nothing.
    """
    since = turn.ahead_since.get(lease)
    if since is None:
        return False
    if turn.orders.pinned.get(lease) == turn.own:
        return True
    settings = turn.leases.get(lease)
    if settings is None or not settings.preempt:
        return False
    return turn.now >= eager_at(turn, lease, since)


def eager_at(turn: Turn, lease: LeaseName, since: Micros) -> Micros:
    """When a member that is ahead since `since` has been so for long enough."""
    settings = turn.leases[lease]
    return Micros(since + max(settings.preempt_delay_us, turn.timing.promise_us))


def watch_holder(turn: Turn, lease: LeaseName) -> None:
    """Note since when this member has been better than the holder that it hears."""
    candidate, holder = turn.candidates.get(lease), turn.holders.get(lease)
    able = candidate is not None and candidate.able and may_take(turn)
    if not able or candidate is None or holder is None or holder == turn.own or not turn.is_live(holder):
        turn.ahead_since.pop(lease, None)
        return
    theirs = standing_of(turn, holder, lease)
    ours = Standing(candidate.priority, able=True)
    ahead = rank_of(turn, turn.own, ours, lease)[:2] > rank_of(turn, holder, theirs, lease)[:2]
    if ahead:
        turn.ahead_since.setdefault(lease, turn.now)
    else:
        turn.ahead_since.pop(lease, None)
