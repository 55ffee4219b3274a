"""What may be wrong with a heard advert: counted each time, logged once.

Like keepalived after 2.4.3, every kind of complaint is logged once until the
master changes or the instance becomes MASTER, and names the sender: a broken
or hostile sender must not fill the log.
"""

from typing import NamedTuple

from keepalived_py.core.vrrp.state import Counters, InstanceState
from keepalived_py.model.effects import Effect, WriteLog


class Complaint(NamedTuple):
    """What is wrong: the counter that grows ("" for none) and the text ("": nothing is logged)."""

    counter: str
    kind: str
    text: str


def complain(state: InstanceState, complaint: Complaint, out: list[Effect]) -> InstanceState:
    """Count `complaint`, and log it the first time."""
    if complaint.counter:
        state = state._replace(counters=_count(state.counters, complaint.counter))
    if not complaint.text or complaint.kind in state.said:
        return state
    out.append(WriteLog(f"({state.settings.name}) {complaint.text}"))
    return state._replace(said=state.said | {complaint.kind})


def _count(counters: Counters, name: str) -> Counters:
    return counters._replace(**{name: getattr(counters, name) + 1})
