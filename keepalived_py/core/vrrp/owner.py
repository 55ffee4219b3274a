"""Two routers that both say they own the addresses (priority 255).

That is a mistake in one of the configurations, and the state machine alone
cannot end it: each of two equal MASTERs with priority 255 is entitled to stay.
keepalived after 2.4.3 solves it, and so do we:

1. The one with the lower address gives way like any MASTER that hears a better one.
2. The one with the higher address goes on, and watches: two more of its own
   adverts must have told the other one; then, for a bit more (a fifth) than the
   longer of both advert intervals, nothing may be heard from it.
   Silence: the other one has given way.  Another advert: it is a rogue
   that knows no such rule, so we must give way, or two MASTERs
   would last for ever.  Our priority becomes 254, and we go BACKUP.
3. The reduced owner has its priority back as soon as another master is heard,
   or the same one with another priority, or none and it becomes MASTER itself.

The silence has no timer of its own.  It is looked at when our next advert is
due, or when the other one is heard: nobody else could tell the difference.
"""

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.core.vrrp.adverts import CENTISECOND, renewed
from keepalived_py.core.vrrp.state import Conflict, InstanceState
from keepalived_py.core.vrrp.timing import OWNER
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.packet import Advert

REDUCED = OWNER - 1
WATCHED_ADVERTS = 2
_REDUCED = Conflict(reduced=True)


def is_reduced(state: InstanceState) -> bool:
    """Whether this owner runs with less than an owner's priority."""
    conflict = state.memory.conflict
    return conflict is not None and conflict.reduced


def hears_rival(
    state: InstanceState, advert: Advert, higher: bool, now: Micros, out: list[Effect]
) -> InstanceState:
    """A MASTER with priority 255 heard another one; `higher`: the other's address is higher than ours."""
    state = _silent(state, now, out)
    name, conflict = state.settings.name, state.memory.conflict
    if not higher and conflict is not None and conflict.until is not None:
        text = f"({name}) {advert.source} is still advertising as address owner, please resolve"
        out.append(WriteLog(f"{text} - reducing our priority"))
        return renewed(_with(state, _REDUCED)._replace(effective_priority=REDUCED))
    if higher or conflict is None:
        text = f"({name}) CONFIGURATION ERROR: local instance and {advert.source} are both configured"
        out.append(WriteLog(f"{text} as address owner, please resolve"))
    if higher:
        return state
    left = WATCHED_ADVERTS if conflict is None else conflict.adverts_left
    unit = SECOND if advert.version == 2 else CENTISECOND
    longer = max(advert.advert_interval * unit, state.settings.advert_interval_us)
    return _with(state, Conflict(left, Micros(longer)))


def sent(state: InstanceState, now: Micros, out: list[Effect]) -> InstanceState:
    """A MASTER's regular advert went out."""
    state = _silent(state, now, out)
    conflict = state.memory.conflict
    if conflict is None or conflict.until is not None:
        return state
    left = conflict.adverts_left - 1
    until = None if left else Micros(now + conflict.interval * 12 // 10)
    return _with(state, conflict._replace(adverts_left=left, until=until))


def _silent(state: InstanceState, now: Micros, out: list[Effect]) -> InstanceState:
    conflict = state.memory.conflict
    if conflict is None or conflict.until is None or now < conflict.until:
        return state
    name = state.settings.name
    out.append(WriteLog(f"({name}): rogue address owner appears to have stopped advertising"))
    return _with(state, None)


def left_master(state: InstanceState) -> InstanceState:
    """No MASTER any more: there is nothing to watch for; a reduced priority stays."""
    return state if state.memory.conflict is None or is_reduced(state) else _with(state, None)


def hears_as_backup(state: InstanceState, advert: Advert, out: list[Effect]) -> InstanceState:
    """A BACKUP accepts that an advert is genuine: is it still the rival's?"""
    if not is_reduced(state) or (advert.source == state.master and advert.priority == OWNER):
        return state
    return restored(state, "since received advert with lower priority", out)


def restored(state: InstanceState, reason: str, out: list[Effect]) -> InstanceState:
    """A reduced owner has its priority again; others are left as they are."""
    if not is_reduced(state):
        return state
    out.append(WriteLog(f"({state.settings.name}) Restoring our priority to {OWNER} {reason}"))
    return renewed(_with(state, None)._replace(effective_priority=OWNER))


def _with(state: InstanceState, conflict: Conflict | None) -> InstanceState:
    return state._replace(memory=state.memory._replace(conflict=conflict))
