"""Entering a role and leaving MASTER: one function each, whatever came before.

The order of effects is fixed: advert, log line, addresses, announcements,
notify scripts.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.core.holder import holding
from keepalived_py.core.leases import is_leased
from keepalived_py.core.notify import scripts
from keepalived_py.core.vrrp import owner, timing
from keepalived_py.core.vrrp.adverts import outrun, resign, send_advert
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Effect, Role, RoleChanged, SendNeighbour, WriteLog


def become_master(state: InstanceState, now: Micros, why: Why, out: list[Effect]) -> InstanceState:
    """Advert, log, addresses, announcements, notify."""
    settings = state.settings
    outrun(state, out)
    state = send_advert(state, out)
    out.append(WriteLog(f"({settings.name}) Entering MASTER STATE"))
    state = owner.restored(state, "since other address owner has disappeared", out)
    state = _own_interval(state, out)
    _report(state, Role.MASTER, why, out)
    announcements = holding.take(settings, now, out)
    _notify(state, Role.MASTER, out)
    counters = state.counters
    return state._replace(
        role=Role.MASTER,
        deadline=timing.first_advert_at(settings, now),
        preempt_at=None,
        master=state.source,
        master_priority=state.effective_priority,
        wants_master=False,
        said=frozenset(),
        announcements=announcements,
        counters=counters._replace(become_master=counters.become_master + 1),
    )


def _own_interval(state: InstanceState, out: list[Effect]) -> InstanceState:
    """What the last master taught holds no more; keepalived forgets to forget it without -D."""
    if state.learned_interval is None:
        return state
    own = state.settings.advert_interval_us
    text = f"changing advert interval from {state.learned_interval // 1000}ms to locally configured"
    out.append(WriteLog(f"({state.settings.name}) {text} {own // 1000}ms", detail=True))
    return state._replace(learned_interval=None)


def become_backup(
    state: InstanceState,
    now: Micros,
    why: Why,
    out: list[Effect],
    *,
    wait: Micros | None = None,
    initial: bool = False,
    resigning: bool = False,
) -> InstanceState:
    """Wait for adverts for `wait` (default: master_down_interval); a `resigning` MASTER says so."""
    settings, old = state.settings, state.role
    if wait is None:
        wait = timing.master_down_interval(settings, state.effective_priority, state.learned_interval)
    entering = WriteLog(f"({settings.name}) Entering BACKUP STATE" + " (init)" * initial)
    if resigning:
        state = resign(state, out, first=entering)
    else:
        out.append(entering)
    _report(state, Role.BACKUP, why, out)
    state = _release(state, out)
    _notify(state, Role.BACKUP, out)
    if old is not Role.MASTER and not initial:
        _announce_source(state, out)
    deadline = timing.backup_deadline(settings, now, wait)
    return state._replace(
        role=Role.BACKUP, deadline=deadline, preempt_at=None, wants_master=False, group_fault=False
    )


def _announce_source(state: InstanceState, out: list[Effect]) -> None:
    """A unicast MASTER may have lost us from its neighbour cache, and would ask before it can send."""
    settings, source = state.settings, state.source
    if is_leased(settings) or not settings.unicast or source is None or not settings.configured_interface:
        return
    what = "ARP" if source.version == 4 else "NA"
    out.append(WriteLog(f"{settings.name}: sending gratuitous {what} for {source}", detail=True))
    own = VirtualAddress(source, source.max_prefixlen, settings.configured_interface)
    out.append(SendNeighbour(settings.name, own))


def become_fault(state: InstanceState, why: Why, out: list[Effect], *, own: bool = True) -> InstanceState:
    """Stop taking part.  A MASTER whose `own` fault it is resigns twice, as keepalived does."""
    settings = state.settings
    leaving = state.role is Role.MASTER
    if leaving and own:
        state = resign(state, out, counted=False)
    if state.role is not Role.INIT:
        out.append(WriteLog(f"({settings.name}) Entering FAULT STATE"))
    _report(state, Role.FAULT, why, out)
    if leaving:
        state = resign(state, out)
    state = _release(state, out)
    _notify(state, Role.FAULT, out)
    return state._replace(
        role=Role.FAULT,
        deadline=None,
        preempt_at=None,
        wants_master=False,
        master=None,
        learned_interval=None,
    )


def stop(
    state: InstanceState, out: list[Effect], *, release: bool, word: str = scripts.STOP
) -> InstanceState:
    """End the instance: resign, take the addresses off, tell the scripts `word`.

    `release` False leaves addresses and peers as they are (`--dont-release-vrrp`).
    """
    settings = state.settings
    if release and state.role is Role.MASTER:
        state = resign(state, out)
    if state.role is not Role.INIT:
        _report(state, Role.INIT, Why("stopping", word), out)
    if release:
        state = _release(state, out)
    scripts.notify(settings.notifies, "INSTANCE", settings.name, word, state.effective_priority, out)
    return state._replace(role=Role.INIT, deadline=None, preempt_at=None, announcements=holding.SILENT)


def _release(state: InstanceState, out: list[Effect]) -> InstanceState:
    """Everything that a MASTER must undo, on every way out."""
    if state.role is not Role.MASTER:
        return state
    counters = state.counters
    return owner.left_master(state)._replace(
        announcements=holding.release(state.settings, out),
        counters=counters._replace(release_master=counters.release_master + 1),
        said=frozenset(),
    )


def _report(state: InstanceState, new: Role, why: Why, out: list[Effect]) -> None:
    out.append(RoleChanged(state.settings.name, state.role, new, why.reason, why.evidence))


def _notify(state: InstanceState, role: Role, out: list[Effect]) -> None:
    settings = state.settings
    scripts.notify(settings.notifies, "INSTANCE", settings.name, role.name, state.effective_priority, out)
