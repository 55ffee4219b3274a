"""The state machine of one instance (RFC 3768 section 6.4, as keepalived departs from it).

    INIT --healthy--> BACKUP --timer--> MASTER --better advert--> BACKUP
      \\--owner------------------------^    any --fault--> FAULT --healthy--> BACKUP

Where keepalived differs from the RFC, and we with it:

* only an address owner that says so skips BACKUP; `state MASTER` alone is a wish;
* a MASTER answers a lower-priority advert at once with its own and announces
  its addresses again;
* FAULT is a state of its own: a broken link, no address, a failed check;
* FAULT is always left to BACKUP, and the whole `master_down_interval` runs.

Entering a role and leaving MASTER are one function each, whatever came
before.  The order of effects is fixed: advert, log line, addresses,
announcements, notify scripts.
"""

from keepalived_py.base.clock import SECOND, Micros, as_seconds
from keepalived_py.base.names import Address
from keepalived_py.core.holder import holding
from keepalived_py.core.notify import scripts
from keepalived_py.core.vrrp import receive, timing
from keepalived_py.core.vrrp.state import Counters, InstanceState, Why
from keepalived_py.model.config import Instance
from keepalived_py.model.effects import Effect, Role, RoleChanged, SendAdvert, WriteLog
from keepalived_py.model.packet import Advert, AdvertToSend

TTL = 255


def advert_of(settings: Instance, source: Address | None, priority: int) -> AdvertToSend | None:
    """The advert the instance sends; None while it has no source address."""
    if source is None:
        return None
    unit = SECOND if settings.version == 2 else 10_000
    return AdvertToSend(
        interface=settings.interface,
        source=source,
        destination=settings.destination,
        ttl=TTL,
        version=settings.version,
        vrid=settings.vrid,
        priority=priority,
        auth_type=settings.auth_type,
        auth_data=settings.auth_data,
        advert_interval=settings.advert_interval_us // unit,
        addresses=tuple(virtual.address for virtual in settings.addresses),
    )


def with_source(state: InstanceState, source: Address | None) -> InstanceState:
    """The instance sends from `source` from now on."""
    if source == state.source:
        return state
    advert = advert_of(state.settings, source, state.effective_priority)
    return state._replace(source=source, advert=advert)


def with_priority(state: InstanceState, priority: int, out: list[Effect]) -> InstanceState:
    """The instance has effective `priority` from now on; a BACKUP's new skew applies at once."""
    old = state.effective_priority
    if priority == old:
        return state
    settings = state.settings
    out.append(WriteLog(f"({settings.name}) Changing effective priority from {old} to {priority}"))
    deadline = state.deadline
    if state.role is Role.BACKUP and deadline is not None:
        shift = timing.skew_time(settings, priority) - timing.skew_time(settings, old)
        deadline = Micros(deadline + shift)
    advert = advert_of(settings, state.source, priority)
    return state._replace(effective_priority=priority, advert=advert, deadline=deadline)


# -- sending ------------------------------------------------------------------


def send_advert(state: InstanceState, out: list[Effect]) -> InstanceState:
    """Send the instance's advert."""
    if state.advert is None:
        return state
    out.append(SendAdvert(state.settings.name, state.advert))
    counters = state.counters
    return state._replace(counters=counters._replace(advert_sent=counters.advert_sent + 1))


def resign(
    state: InstanceState, out: list[Effect], *, first: WriteLog | None = None, counted: bool = True
) -> InstanceState:
    """Send an advert with priority 0: the others need not wait for the timer.

    `first` is a line that stands before ours in the log.  keepalived sends two
    when a tracked object fails, and counts and logs only one (`counted`).
    """
    settings = state.settings
    advert = advert_of(settings, state.source, 0)
    if advert is not None:
        out.append(SendAdvert(settings.name, advert))
    if first is not None:
        out.append(first)
    if advert is None:
        return state
    if counted:
        out.append(WriteLog(f"({settings.name}) sent 0 priority", detail=True))
    counters = state.counters
    sent, zero = counters.advert_sent + 1, counters.pri_zero_sent + counted
    return state._replace(counters=counters._replace(advert_sent=sent, pri_zero_sent=zero))


# -- entering a role ----------------------------------------------------------


def become_master(state: InstanceState, now: Micros, why: Why, out: list[Effect]) -> InstanceState:
    """Advert, log, addresses, announcements, notify."""
    settings = state.settings
    state = send_advert(state, out)
    out.append(WriteLog(f"({settings.name}) Entering MASTER STATE"))
    _report(state, Role.MASTER, why, out)
    announcements = holding.take(settings, now, out)
    _notify(state, Role.MASTER, out)
    counters = state.counters
    return state._replace(
        role=Role.MASTER,
        deadline=Micros(now + settings.advert_interval_us),
        preempt_at=None,
        master=state.source,
        master_priority=state.effective_priority,
        wants_master=False,
        said=frozenset(),
        announcements=announcements,
        counters=counters._replace(become_master=counters.become_master + 1),
    )


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
    settings = state.settings
    if wait is None:
        wait = timing.master_down_interval(settings, state.effective_priority)
    entering = WriteLog(f"({settings.name}) Entering BACKUP STATE" + " (init)" * initial)
    if resigning:
        state = resign(state, out, first=entering)
    else:
        out.append(entering)
    _report(state, Role.BACKUP, why, out)
    state = _release(state, out)
    _notify(state, Role.BACKUP, out)
    deadline = Micros(now + wait)
    return state._replace(
        role=Role.BACKUP, deadline=deadline, preempt_at=None, wants_master=False, group_fault=False
    )


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
    return state._replace(role=Role.FAULT, deadline=None, preempt_at=None, wants_master=False, master=None)


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
    return state._replace(
        announcements=holding.release(state.settings, out),
        counters=counters._replace(release_master=counters.release_master + 1),
    )


def _report(state: InstanceState, new: Role, why: Why, out: list[Effect]) -> None:
    out.append(RoleChanged(state.settings.name, state.role, new, why.reason, why.evidence))


def _notify(state: InstanceState, role: Role, out: list[Effect]) -> None:
    settings = state.settings
    scripts.notify(settings.notifies, "INSTANCE", settings.name, role.name, state.effective_priority, out)


# -- deadlines ----------------------------------------------------------------


def on_deadline(state: InstanceState, now: Micros, group_ready: bool, out: list[Effect]) -> InstanceState:
    """The role's own timer ran out.  `group_ready`: the sync group would follow into MASTER."""
    deadline = state.deadline
    assert deadline is not None
    settings = state.settings
    if state.role is Role.MASTER:
        at = timing.next_advert_at(deadline, settings.advert_interval_us, now)
        return send_advert(state, out)._replace(deadline=at)
    out.append(WriteLog(f"({settings.name}) Receive advertisement timeout", detail=True))
    if not group_ready:
        wait = timing.master_down_interval(settings, state.effective_priority)
        return state._replace(wants_master=True, deadline=Micros(now + wait))
    if state.role is Role.INIT:
        return become_master(state, now, Why("address owner", f"priority {state.effective_priority}"), out)
    waited = timing.master_down_interval(settings, state.effective_priority)
    why = Why(
        "no advert was heard in time",
        f"master_down_interval {as_seconds(waited):.6f} s, or skew_time, is over",
    )
    return become_master(state, now, why, out)


# -- adverts ------------------------------------------------------------------


def on_advert(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    """An advert for this instance was heard: judge it, then use it."""
    role = state.role
    if role is Role.FAULT or role is Role.INIT:
        return state
    complaint = receive.rejection(state.settings, advert)
    if complaint is not None:
        return _complain(state, complaint, out)
    state = _count_received(state, advert.priority == 0)
    complaints = receive.disagreements(state.settings, advert)
    for complaint in complaints:
        state = _complain(state, complaint, out)
    master = state.master
    state = (_master_hears if role is Role.MASTER else _backup_hears)(state, advert, now, out)
    if state.master == master or not state.said:
        return state
    # A new master: every complaint may be logged again, except those about this very advert.
    return state._replace(said=frozenset(complaint.kind for complaint in complaints))


def _complain(state: InstanceState, complaint: receive.Complaint, out: list[Effect]) -> InstanceState:
    lines: list[str] = []
    state = receive.complain(state, complaint, lines)
    out.extend(WriteLog(line) for line in lines)
    return state


def _count_received(state: InstanceState, zero: bool) -> InstanceState:
    counters: Counters = state.counters
    return state._replace(
        counters=counters._replace(
            advert_rcvd=counters.advert_rcvd + 1, pri_zero_rcvd=counters.pri_zero_rcvd + zero
        )
    )


def _backup_hears(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    settings = state.settings
    if advert.priority == 0:
        out.append(WriteLog(f"({settings.name}) Backup received priority 0 advertisement", detail=True))
        wait = timing.skew_time(settings, state.effective_priority)
        return state._replace(deadline=Micros(now + wait), wants_master=False)
    if advert.priority >= state.effective_priority:
        if state.preempt_at is not None:
            out.append(WriteLog(f"({settings.name}) stop preempt delay", detail=True))
        return _accept(state._replace(preempt_at=None), advert, now)
    if not settings.preempt:
        return _accept(state, advert, now)
    if settings.preempt_delay_us and state.preempt_at is None:
        seconds = as_seconds(settings.preempt_delay_us)
        out.append(WriteLog(f"({settings.name}) start preempt delay ({seconds:.6f})", detail=True))
        state = state._replace(preempt_at=Micros(now + settings.preempt_delay_us))
    if state.preempt_at is not None and now < state.preempt_at:
        return _accept(state, advert, now)
    text = f"received lower priority ({advert.priority}) advert from {advert.source} - discarding"
    out.append(WriteLog(f"({settings.name}) {text}"))
    return state


def _accept(state: InstanceState, advert: Advert, now: Micros) -> InstanceState:
    """Believe in this master for another master_down_interval."""
    wait = timing.master_down_interval(state.settings, state.effective_priority)
    deadline = Micros(now + wait)
    if state.master == advert.source and not state.wants_master:
        return state._replace(deadline=deadline, master_priority=advert.priority)
    return state._replace(
        deadline=deadline,
        master=advert.source,
        master_priority=advert.priority,
        wants_master=False,
    )


def beats(state: InstanceState, advert: Advert) -> bool:
    """Whether the instance is a better master than the sender: by priority, then by address."""
    ours, theirs = state.effective_priority, advert.priority
    return theirs < ours or (theirs == ours and _order(advert.source) < _order(state.source))


def _master_hears(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
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
    if beats(state, advert):
        return _force_election(state, advert, now, out)
    if settings.higher_priority_send_advert:
        state = send_advert(state, out)
    if theirs > ours:
        text = f"with higher priority {theirs}, ours {ours}"
    else:
        text = f"with same priority {ours} but higher IP address than ours"
    out.append(WriteLog(f"({name}) Master received advert from {advert.source} {text}"))
    why = Why("a better master was heard", f"advert from {advert.source} {text}")
    state = become_backup(state, now, why, out)
    return state._replace(master=advert.source, master_priority=theirs)


def _force_election(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    """A worse master: make it and the hosts believe us at once."""
    settings = state.settings
    silent = settings.lower_priority_no_advert
    priorities = f"{advert.priority}, ours {state.effective_priority}"
    text = f"Received advert from {advert.source} with lower priority {priorities}"
    if not silent:
        state = send_advert(state, out)
    out.append(WriteLog(f"({settings.name}) {text}" + ("" if silent else ", forcing new election")))
    return hears_lower_priority(state, now, out)


def hears_lower_priority(state: InstanceState, now: Micros, out: list[Effect]) -> InstanceState:
    """Announce the addresses again, and run `notify_master_rx_lower_pri`."""
    settings = state.settings
    due = holding.announce_against_lower_priority(settings, state.announcements, now, out)
    scripts.notify_lower_priority(settings.notifies, settings.name, out)
    return state._replace(announcements=due)


def _order(address: Address | None) -> int:
    """Addresses compare as unsigned numbers (RFC 3768 section 6.4.3); none is the lowest."""
    return -1 if address is None else int(address)
