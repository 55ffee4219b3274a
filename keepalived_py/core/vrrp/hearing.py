"""What a BACKUP and a MASTER make of an advert that passed the checks.

The comparison is the effective priority, then the address as an unsigned
number (RFC 3768 section 6.4.3).  A BACKUP compares priorities alone: it
accepts an equal one whatever the addresses are.

Version 3 lets every router have an interval of its own: the timers of a BACKUP
follow the master's (RFC 9568 section 6.4.2).  An interval of 0 is no interval.
keepalived takes it at its word, and its backups take over at once, which hands
the address to whoever sends such an advert; here it changes nothing.
"""

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import Address
from keepalived_py.core.holder import holding
from keepalived_py.core.notify import scripts
from keepalived_py.core.vrrp import owner, timing
from keepalived_py.core.vrrp.adverts import CENTISECOND, outrun, send_advert
from keepalived_py.core.vrrp.roles import become_backup
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.core.vrrp.timing import OWNER
from keepalived_py.model.config import AuthType
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.packet import Advert


def beats(state: InstanceState, advert: Advert) -> bool:
    """Whether the instance is a better master than the sender: by priority, then by address."""
    ours, theirs = state.effective_priority, advert.priority
    return theirs < ours or (theirs == ours and _order(advert.source) < _order(state.source))


def _order(address: Address | None) -> int:
    """Addresses compare as unsigned numbers; none is the lowest."""
    return -1 if address is None else int(address)


# -- BACKUP -------------------------------------------------------------------


def backup_hears(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    """Believe in the sender, let the timer run on, or (priority 0) shorten it."""
    settings = state.settings
    if state.memory.conflict is not None:
        state = owner.hears_as_backup(state, advert, out)
    if advert.priority == 0:
        out.append(WriteLog(f"({settings.name}) Backup received priority 0 advertisement", detail=True))
        wait = timing.skew_time(settings, state.effective_priority, state.learned_interval)
        return state._replace(deadline=Micros(now + wait), wants_master=False)
    if advert.priority >= state.effective_priority:
        if state.preempt_at is not None:
            out.append(WriteLog(f"({settings.name}) stop preempt delay", detail=True))
            state = state._replace(preempt_at=None)
        return _accept(state, advert, now, out)
    if not settings.preempt:
        return _accept(state, advert, now, out)
    if settings.preempt_delay_us and state.preempt_at is None:
        seconds = as_seconds(settings.preempt_delay_us)
        out.append(WriteLog(f"({settings.name}) start preempt delay ({seconds:.6f})", detail=True))
        state = state._replace(preempt_at=Micros(now + settings.preempt_delay_us))
    if state.preempt_at is not None and now < state.preempt_at:
        return _accept(state, advert, now, out)
    text = f"received lower priority ({advert.priority}) advert from {advert.source} - discarding"
    out.append(WriteLog(f"({settings.name}) {text}"))
    # Several senders may be discarded in turns; the first is as good a guess at the master as the last.
    return state if state.master is not None else _follow(state, advert, out)


def _accept(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    """Believe in this master for another master_down_interval."""
    settings = state.settings
    if settings.version == 3:
        state = _learn(state, advert, out)
    wait = timing.master_down_interval(settings, state.effective_priority, state.learned_interval)
    deadline = Micros(now + wait)
    if state.master == advert.source and not state.wants_master:
        if state.master_priority == advert.priority:
            return state._replace(deadline=deadline)
        return state._replace(deadline=deadline, master_priority=advert.priority)
    state = _follow(state, advert, out)
    return state._replace(deadline=deadline, master_priority=advert.priority, wants_master=False)


def _follow(state: InstanceState, advert: Advert, out: list[Effect]) -> InstanceState:
    """Know the sender as the present master."""
    old, new = state.master, advert.source
    if old == new:
        return state
    text = f"master set to {new}" if old is None else f"master changed from {old} to {new}"
    out.append(WriteLog(f"({state.settings.name}) {text}", detail=True))
    return state._replace(master=new)


def _learn(state: InstanceState, advert: Advert, out: list[Effect]) -> InstanceState:
    """Take over the master's advert interval."""
    heard = Micros(advert.advert_interval * CENTISECOND)
    if heard == state.interval or not heard:
        return state
    text = f"advertisement interval updated from {state.interval // 1000}ms to {heard // 1000}ms by master"
    out.append(WriteLog(f"({state.settings.name}) {text}", detail=True))
    return state._replace(learned_interval=None if heard == state.settings.advert_interval_us else heard)


# -- MASTER -------------------------------------------------------------------


def master_hears(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    """Defend the addresses against a worse one, give way to a better one."""
    settings = state.settings
    name, ours, theirs = settings.name, state.effective_priority, advert.priority
    if theirs == 0:
        state = send_advert(state, out)
        out.append(WriteLog(f"({name}) Master received priority 0 message", detail=True))
        return state
    if theirs == ours and advert.source == state.source:
        text = "WARNING - equal priority advert received from remote host with our IP address."
        out.append(WriteLog(f"({name}) {text}"))
        return state
    better = beats(state, advert)
    if not better and settings.higher_priority_send_advert:
        state = send_advert(state, out)
    if theirs == ours == OWNER:
        state = owner.hears_rival(state, advert, not better, now, out)
        better = beats(state, advert)
    return (_force_election if better else _give_way)(state, advert, now, out)


def _give_way(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    settings, ours, theirs = state.settings, state.effective_priority, advert.priority
    if theirs > ours and settings.base_priority != OWNER:
        text = f"with higher priority {theirs}, ours {ours}"
    else:
        text = f"with same priority {theirs} but higher IP address than ours"
    out.append(WriteLog(f"({settings.name}) Master received advert from {advert.source} {text}"))
    if settings.version == 3:
        state = _learn(state, advert, out)
    why = Why("a better master was heard", f"advert from {advert.source} {text}")
    state = become_backup(state, now, why, out)
    return state._replace(master=advert.source, master_priority=theirs)


def _force_election(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    """A worse master: make it and the hosts believe us at once."""
    settings = state.settings
    silent = settings.lower_priority_no_advert
    priorities = f"{advert.priority}, ours {state.effective_priority}"
    text = f"Received advert from {advert.source} with lower priority {priorities}"
    outrun(state, out)
    if not silent:
        state = send_advert(state, out)
    out.append(WriteLog(f"({settings.name}) {text}" + ("" if silent else ", forcing new election")))
    if settings.auth_type is AuthType.AH:
        out.append(WriteLog(f"({settings.name}) IPSEC-AH : Syncing seq_num - Increment seq"))
    return hears_lower_priority(state, now, out)


def hears_lower_priority(state: InstanceState, now: Micros, out: list[Effect]) -> InstanceState:
    """Announce the addresses again, and run `notify_master_rx_lower_pri`."""
    settings = state.settings
    due = holding.announce_against_lower_priority(settings, state.announcements, now, out)
    scripts.notify_lower_priority(settings.notifies, settings.name, state.effective_priority, out)
    return state._replace(announcements=due, worse_heard=state.worse_heard + 1)
