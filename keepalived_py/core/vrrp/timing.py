"""The timers of RFC 3768 section 6.1, in microseconds.

skew_time = (256 - priority) / 256 seconds in version 2, whatever the advert
interval is; in version 3 it is scaled by the interval.
master_down_interval = down_timer_adverts * advert_interval + skew_time
(RFC: 3 adverts; keepalived lets one configure the number).
The address owner reckons with 255 always.
"""

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.model.config import Instance

OWNER = 255
LEVELS = 256


def skew_time(settings: Instance, effective_priority: int) -> Micros:
    """How much longer than the best this instance waits for an advert."""
    priority = OWNER if settings.base_priority == OWNER else effective_priority
    unit = SECOND if settings.version == 2 else settings.advert_interval_us
    return Micros((LEVELS - priority) * unit // LEVELS)


def master_down_interval(settings: Instance, effective_priority: int) -> Micros:
    """How long a BACKUP waits for an advert before it takes over."""
    return Micros(
        settings.down_timer_adverts * settings.advert_interval_us + skew_time(settings, effective_priority)
    )


def next_advert_at(deadline: Micros, interval: Micros, now: Micros) -> Micros:
    """The advert after the one that was due at `deadline`.

    Counted from the deadline, so that being late never adds up; a node that
    overslept more than one interval starts counting anew.
    """
    due = deadline + interval
    return Micros(due if due > now else now + interval)
