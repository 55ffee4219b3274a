"""The state machine of one instance (RFC 3768 section 6.4, as keepalived departs from it).

    INIT --healthy--> BACKUP --timer--> MASTER --better advert--> BACKUP
      \\--owner------------------------^    any --fault--> FAULT --healthy--> BACKUP

Where keepalived differs from the RFC, and we with it:

* only an address owner that says so skips BACKUP; `state MASTER` alone is a wish;
* a MASTER answers a lower-priority advert at once with its own and announces
  its addresses again;
* FAULT is a state of its own: a broken link, no address, a failed check;
* FAULT is always left to BACKUP, and the whole `master_down_interval` runs.

Where we differ from keepalived: who did not run for more than half a
`master_down_interval` does not go on as if nothing had happened.  A BACKUP
starts its timer anew, since the adverts of that time may have been lost; a
MASTER gives way without a word, since another one may be MASTER, and
its first advert would be a lie to switches and hosts.  Both claim the addresses when a whole
`master_down_interval` was silent.
"""

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.names import Address
from keepalived_py.core.notify import scripts
from keepalived_py.core.vrrp import owner, receive, timing
from keepalived_py.core.vrrp.adverts import advert_of, renewed, resign, send_advert
from keepalived_py.core.vrrp.complaint import Complaint, complain
from keepalived_py.core.vrrp.hearing import backup_hears, beats, hears_lower_priority, master_hears
from keepalived_py.core.vrrp.roles import become_backup, become_fault, become_master, stop
from keepalived_py.core.vrrp.state import InstanceState, Why
from keepalived_py.model.config import Instance
from keepalived_py.model.effects import Effect, Role, WriteLog
from keepalived_py.model.packet import Advert

__all__ = [
    "advert_of",
    "beats",
    "become_backup",
    "become_fault",
    "become_master",
    "hears_lower_priority",
    "on_advert",
    "on_deadline",
    "on_paused",
    "resign",
    "send_advert",
    "stop",
    "with_election",
    "with_priority",
    "with_settings",
    "with_source",
]


# -- what follows from facts --------------------------------------------------


def with_source(state: InstanceState, source: Address | None) -> InstanceState:
    """The instance sends from `source` from now on."""
    if source == state.source:
        return state
    return renewed(state._replace(source=source, last_source=state.source))


def with_priority(state: InstanceState, priority: int, out: list[Effect]) -> InstanceState:
    """The instance has effective `priority` from now on; a BACKUP's new skew applies at once."""
    old, settings = state.effective_priority, state.settings
    if priority == old or (owner.is_reduced(state) and settings.base_priority == timing.OWNER):
        return state
    out.append(WriteLog(f"({settings.name}) Changing effective priority from {old} to {priority}"))
    deadline = state.deadline
    if state.role is Role.BACKUP and deadline is not None:
        interval = state.learned_interval
        shift = timing.skew_time(settings, priority, interval) - timing.skew_time(settings, old, interval)
        deadline = Micros(deadline + shift)
    if settings.notify_priority_changes:
        scripts.notify_priority(settings.name, state.role, priority, out)
    return renewed(state._replace(effective_priority=priority, deadline=deadline))


def with_settings(state: InstanceState, settings: Instance) -> InstanceState:
    """The running instance with new settings (a reload); what it holds is not touched.

    A BACKUP's timer moves by the difference in master_down_interval.  Sequence
    numbers heard stay known, so that a reload opens no door for old packets.
    """
    if settings == state.settings:
        return state
    learned = _still_learned(state, settings)
    deadline, priority = state.deadline, state.effective_priority
    if state.role is Role.BACKUP and deadline is not None:
        before = timing.master_down_interval(state.settings, priority, state.learned_interval)
        deadline = Micros(deadline - before + timing.master_down_interval(settings, priority, learned))
    keep = settings.base_priority == state.settings.base_priority
    memory = state.memory._replace(
        old_checksum=False, checked=None, conflict=state.memory.conflict if keep else None
    )
    return renewed(
        state._replace(
            settings=settings, deadline=deadline, learned_interval=learned, memory=memory, said=frozenset()
        )
    )


def _still_learned(state: InstanceState, settings: Instance) -> Micros | None:
    """The master's interval goes on to count, also where it was our own and no longer is."""
    if settings.version != 3 or state.settings.version != 3:
        return None
    heard = state.role is Role.BACKUP and state.master is not None and state.master != state.source
    interval = state.interval if heard else state.learned_interval
    return None if interval == settings.advert_interval_us else interval


def with_election(state: InstanceState, settings: Instance, now: Micros, out: list[Effect]) -> InstanceState:
    """The running instance when others decide about it from now on: its `settings` have another election.

    A MASTER gives way, in the manner that it was elected; what adverts taught about masters counts no
    more, but their sequence numbers stay known.
    """
    if state.role is Role.MASTER:
        why = Why("reload", f"its election is {settings.election.value} from now on")
        state = become_backup(state, now, why, out, resigning=True)
    state = state._replace(
        deadline=None,
        preempt_at=None,
        wants_master=False,
        master=None,
        master_priority=0,
        learned_interval=None,
        memory=state.memory._replace(conflict=None),
    )
    state = with_settings(state, settings)
    if state.role is not Role.BACKUP:
        return state
    wait = timing.master_down_interval(settings, state.effective_priority)
    return state._replace(deadline=timing.backup_deadline(settings, now, wait))


# -- pauses -------------------------------------------------------------------


def on_paused(state: InstanceState, duration_us: Micros, now: Micros, out: list[Effect]) -> InstanceState:
    """This process did not run for `duration_us`: listen before claiming anything again."""
    settings, priority, interval = state.settings, state.effective_priority, state.learned_interval
    if state.deadline is None or duration_us <= timing.pause_limit(settings, priority, interval):
        return state
    wait = timing.master_down_interval(settings, priority, interval)
    lost = f"did not run for {as_seconds(duration_us):.6f} s"
    out.append(WriteLog(f"({settings.name}) {lost}, listening for {as_seconds(wait):.6f} s"))
    if state.role is Role.BACKUP:
        return state._replace(deadline=Micros(now + wait), wants_master=False)
    why = Why("the process was paused", f"{lost}, master_down_interval is {as_seconds(wait):.6f} s")
    return become_backup(state, now, why, out)


def _overslept(state: InstanceState, now: Micros) -> Micros | None:
    """How late we are for the role's own timer, if that counts as a pause.

    Nothing was claimed before the first role, and the start of a program is slow.
    """
    deadline = state.deadline
    if deadline is None or now <= deadline or state.role is Role.INIT:
        return None
    limit = timing.pause_limit(state.settings, state.effective_priority, state.learned_interval)
    return Micros(now - deadline) if now - deadline > limit else None


def _surely_replaced(state: InstanceState, now: Micros) -> bool:
    """`timer_expired_backup`: a router of that priority has taken over since our last advert."""
    settings, deadline = state.settings, state.deadline
    if settings.late_priority is None or deadline is None:
        return False
    last_sent = deadline - settings.advert_interval_us
    return now - last_sent >= timing.taken_over_after(settings, settings.late_priority)


# -- deadlines ----------------------------------------------------------------


def on_deadline(state: InstanceState, now: Micros, group_ready: bool, out: list[Effect]) -> InstanceState:
    """The role's own timer ran out.  `group_ready`: the sync group would follow into MASTER."""
    deadline = state.deadline
    assert deadline is not None
    if state.role is Role.MASTER and _surely_replaced(state, now):
        return _replaced(state, now, out)
    late = _overslept(state, now)
    if late is not None:
        return on_paused(state, late, now, out)
    if state.role is Role.MASTER:
        at = timing.next_advert_at(deadline, state.settings.advert_interval_us, now)
        state = send_advert(state, out)._replace(deadline=at)
        return owner.sent(state, now, out) if state.memory.conflict is not None else state
    return _unheard(state, now, group_ready, out)


def _replaced(state: InstanceState, now: Micros, out: list[Effect]) -> InstanceState:
    assert state.deadline is not None
    late = f"{as_seconds(now - state.deadline):.6f}"
    out.append(WriteLog(f"VRRP thread timer expired {late} seconds ago"))
    evidence = f"our advert is {late} s late, priority {state.settings.late_priority} has taken over"
    return become_backup(state, now, Why("the advert timer ran late", evidence), out)


def _unheard(state: InstanceState, now: Micros, group_ready: bool, out: list[Effect]) -> InstanceState:
    settings, priority = state.settings, state.effective_priority
    out.append(WriteLog(f"({settings.name}) Receive advertisement timeout", detail=True))
    wait = timing.master_down_interval(settings, priority, state.learned_interval)
    if not group_ready:
        return state._replace(wants_master=True, deadline=Micros(now + wait))
    if state.role is Role.INIT:
        return become_master(state, now, Why("address owner", f"priority {priority}"), out)
    evidence = f"master_down_interval {as_seconds(wait):.6f} s, or skew_time, is over"
    return become_master(state, now, Why("no advert was heard in time", evidence), out)


# -- adverts ------------------------------------------------------------------


def on_advert(
    state: InstanceState, advert: Advert, now: Micros, out: list[Effect], wall_clock_s: int = 0
) -> InstanceState:
    """An advert for this instance was heard: judge it, then use it.

    `wall_clock_s` is the time in UTC seconds; only `auth_hmac` looks at it.
    """
    role = state.role
    if role is Role.FAULT or role is Role.INIT or state.deadline is None:
        # Without a deadline it is a quorum that elects.
        return state
    late = _overslept(state, now)
    if late is not None:
        state = on_paused(state, late, now, out)
    checked = state.memory.checked
    if (
        checked is not None
        and checked[1] is state.settings
        and (checked[0] is advert or checked[0] == advert)
    ):
        counters = state.counters
        state = state._replace(counters=counters._replace(advert_rcvd=counters.advert_rcvd + 1))
        return _use(state, advert, (), now, out)
    state, complaint = receive.judge(state, advert, wall_clock_s, out)
    if complaint is not None:
        return complain(state, complaint, out)
    return _count_and_use(state, advert, now, out)


def _count_and_use(state: InstanceState, advert: Advert, now: Micros, out: list[Effect]) -> InstanceState:
    settings, counters, zero = state.settings, state.counters, advert.priority == 0
    state = state._replace(counters=counters._replace(advert_rcvd=counters.advert_rcvd + 1))
    of_others = state.role is Role.MASTER or advert.source != state.master
    complaints = receive.disagreements(state, advert, of_others or not settings.skip_check_adv_addr)
    for complaint in complaints:
        state = complain(state, complaint, out)
    stranger = receive.wrong_peer(settings, advert)
    if stranger is not None:
        return complain(state, stranger, out)
    if zero:
        counters = state.counters
        state = state._replace(counters=counters._replace(pri_zero_rcvd=counters.pri_zero_rcvd + 1))
    elif not complaints and receive.can_be_remembered(settings):
        state = state._replace(memory=state.memory._replace(checked=(advert, settings)))
    return _use(state, advert, tuple(complaints), now, out)


def _use(
    state: InstanceState, advert: Advert, complaints: tuple[Complaint, ...], now: Micros, out: list[Effect]
) -> InstanceState:
    master = state.master
    state = (master_hears if state.role is Role.MASTER else backup_hears)(state, advert, now, out)
    if state.master == master:
        return state
    # A new master: every complaint may be logged again, except those about this very advert.
    return state._replace(said=frozenset(complaint.kind for complaint in complaints))
