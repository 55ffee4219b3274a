"""What must hold at every instant of true time, and what must hold when nothing goes wrong any more.

At every instant, for each lease:

* two leases: no two members may rely on it;
* two holders: no two hosts answer for its addresses.  A host answers while the
  addresses are in its kernel and its gate, if it has one, lets them pass.  A host
  without a gate is not judged while its process is stopped: nothing can end it then;
* token: each grant's is greater than the last one's, unless a member forgot
  what it knew in between;
* unfit: nobody asks or holds that is not healthy, is a witness or is drained;
* impatience: who has started, and has not heard the other of two, shoots nobody for half a minute;
* storm: a member sends no more than so many messages in a promise's time;
* spin: time goes on between the wake-ups of a member.

In the end: one holder, the one that should be, and nothing moves.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.core.raft.state import Member, Phase

# Heartbeats, answers and questions of one member to each other one, in the time of one promise.
MOST_MESSAGES = 90
MOST_STEPS_AT_ONCE = 60
# So long the other of two machines that are switched on together may take for its start.
PATIENCE_US = 30_000_000


class RuleBroken(KeepalivedError):
    """A property does not hold.  `rule` is its short name, `detail` says who and how."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule, self.detail = rule, detail


class Judged(Protocol):
    """What is asked of a host."""

    id: MemberId
    member: Member | None

    def relies_on(self, lease: LeaseName) -> bool:
        """Whether the member may take the lease for its own now."""
        ...

    def answers_for(self, lease: LeaseName) -> bool:
        """Whether the addresses of the lease are reachable here."""
        ...

    def could_hold(self, lease: LeaseName) -> bool:
        """Whether the lease may be here."""
        ...

    def priority(self, lease: LeaseName) -> int:
        """What it has for a lease."""
        ...


def judge_lease(hosts: Iterable[Judged], lease: LeaseName) -> None:
    """Nobody else relies on a lease that somebody has just got more of."""
    relying = [host.id for host in hosts if host.relies_on(lease)]
    if len(relying) > 1:
        raise RuleBroken("two leases", f"{lease} is relied on by {' and '.join(relying)}")


def judge_wire(hosts: Iterable[Judged], lease: LeaseName) -> None:
    """Nobody else answers for addresses that somebody has just begun to answer for."""
    answering = [host.id for host in hosts if host.answers_for(lease)]
    if len(answering) > 1:
        raise RuleBroken("two holders", f"{lease} is answered for by {' and '.join(answering)}")


def judge_fitness(host: Judged) -> None:
    """Who asks or holds is able to."""
    member = host.member
    if member is None:
        return
    own = member.cluster.member(member.own)
    for lease, claim in member.claims.items():
        if claim.phase is Phase.GIVING_UP:
            continue
        candidate = member.candidates.get(lease)
        fit = candidate is not None and candidate.able and not member.stopping
        if not fit or own.witness or member.own in member.orders.drained:
            raise RuleBroken("unfit", f"{host.id} is {claim.phase.value} {lease}")


def judge_patience(host: Judged, target: MemberId, ran_us: int) -> None:
    """Nobody shoots a machine that may just be starting too; `ran_us`: how long `host` has run."""
    peer = None if host.member is None else host.member.peers.get(target)
    if ran_us < PATIENCE_US and (peer is None or peer.heard_at is None):
        raise RuleBroken("impatience", f"{host.id} shoots {target} {ran_us / 1e6:.3f} s after its start")


def judge_end(hosts: Sequence[Judged], lease: LeaseName) -> None:
    """One holder; who is pinned, and with `preempt` nobody better is there."""
    able = [host for host in hosts if host.could_hold(lease)]
    holding = [host for host in hosts if host.answers_for(lease) and host.relies_on(lease)]
    if len(holding) != (1 if able else 0):
        names = " and ".join(host.id for host in holding) or "nobody"
        raise RuleBroken("one holder", f"{lease} is held by {names}, {len(able)} could")
    if not holding or holding[0].member is None:
        return
    holder, pinned = holding[0], holding[0].member.orders.pinned.get(lease)
    best = max(host.priority(lease) for host in able)
    if pinned in [host.id for host in able]:
        if holder.id != pinned:
            raise RuleBroken("pinned", f"{lease} is held by {holder.id}, not by {pinned}")
    elif holder.member is not None and holder.member.leases[lease].preempt and holder.priority(lease) < best:
        raise RuleBroken("preemption", f"{lease} is held by {holder.id}, which is not the best")
