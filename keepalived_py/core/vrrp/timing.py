"""The timers of RFC 3768 and RFC 9568 section 6.1, in microseconds.

skew_time = (256 - priority) / 256 seconds in version 2, whatever the advert
interval is; in version 3 it is that part of the master's advert interval,
which its adverts tell and a BACKUP learns.
master_down_interval = down_timer_adverts * advert_interval + skew_time
(RFC: 3 adverts; keepalived lets one configure the number).
The address owner reckons with 255 always.

A pause is a time in which this process did not run although it was due (the
machine was suspended, the process stopped, the processor kept from it).
After more than half a master_down_interval, others may be about to take
over, or have done so: what was known before counts no more.
"""

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.core.leases import is_leased
from keepalived_py.model.config import Instance

OWNER = 255
LEVELS = 256


def skew_time(settings: Instance, effective_priority: int, interval: Micros | None = None) -> Micros:
    """How much longer than the best this instance waits for an advert.

    `interval`: the master's advert interval; None: it is our own.
    """
    priority = OWNER if settings.base_priority == OWNER else effective_priority
    return _skew(settings, priority, interval)


def _skew(settings: Instance, priority: int, interval: Micros | None) -> Micros:
    unit = settings.advert_interval_us if interval is None else interval
    if settings.version == 2:
        unit = SECOND
    return Micros((LEVELS - priority) * unit // LEVELS)


def master_down_interval(
    settings: Instance, effective_priority: int, interval: Micros | None = None
) -> Micros:
    """How long a BACKUP waits for an advert before it takes over; `interval` as for `skew_time`."""
    every = settings.advert_interval_us if interval is None else interval
    return Micros(settings.down_timer_adverts * every + skew_time(settings, effective_priority, interval))


def taken_over_after(settings: Instance, priority: int) -> Micros:
    """How long after our last advert a BACKUP of `priority` becomes MASTER."""
    return Micros(settings.down_timer_adverts * settings.advert_interval_us + _skew(settings, priority, None))


def pause_limit(settings: Instance, effective_priority: int, interval: Micros | None = None) -> Micros:
    """The longest time that we may not have run and still trust what we knew."""
    return Micros(master_down_interval(settings, effective_priority, interval) // 2)


def backup_deadline(settings: Instance, now: Micros, wait: Micros) -> Micros | None:
    """When a BACKUP that waits from `now` on becomes MASTER by itself; None: never, a quorum elects."""
    return None if is_leased(settings) else Micros(now + wait)


def first_advert_at(settings: Instance, now: Micros) -> Micros | None:
    """The advert after the one that a new MASTER sends at `now`; None: it sends none."""
    return None if is_leased(settings) else Micros(now + settings.advert_interval_us)


def next_advert_at(deadline: Micros, interval: Micros, now: Micros) -> Micros:
    """The advert after the one that was due at `deadline`.

    Counted from the deadline, so that being late never adds up; a node that
    overslept more than one interval starts counting anew.
    """
    due = deadline + interval
    return Micros(due if due > now else now + interval)
