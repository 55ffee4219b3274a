"""The theory: how long anything may take.  All in virtual microseconds.

*master_down_interval* (RFC 3768, RFC 9568 section 6.1): down_timer_adverts
intervals and a skew that is below one second (version 2) or one interval
(version 3).  In version 3 a BACKUP may still reckon with the interval of a
master that is gone, so the longest of the cluster counts.

*Settling* of routers that hear each other, when nothing new happens: tracked
objects are noticed; the first master_down_interval passes until somebody is
MASTER, a second one until a better one that preempts has taken over from him; a
preempt_delay and a startup delay come on top.  One advert and a second pay for
packets and lanes that were under way.

*Two MASTERs* that hear each other: whoever begins says so at once, the better
one answers at once, the worse one gives way on hearing it: two ways over the
wire.  If both were MASTER before they could hear each other, whoever sends
first starts this, so the shorter interval comes on top; with
`vrrp_lower_prio_no_advert` nobody answers and the better one's own next advert
must be awaited: the longer interval.  No second advert is needed, and no timer
other than a MASTER's own: so the bound has no master_down_interval in it.

*Mending*: what the kernel refuses or others undo is tried again after pauses
that grow to 30 s; the kernel may be silent for the lanes' limit of 5 s each time.

*Taking over* from a MASTER that resigns: one skew, and the wire.  The next one's
first advert may overtake the resignation, which then shortens somebody's timer
once more: with `vrrp_lower_prio_no_advert` two MASTERs last as long as above.
"""

from collections.abc import Iterable

from keepalived_py.base.clock import MILLISECOND, SECOND
from keepalived_py.model.config import CheckScript, Configuration, Instance
from keepalived_py.model.tracking import TrackProcess

MAX_DRIFT_PPM = 10_000
MAX_LATENCY_US = 20 * MILLISECOND
MAX_LATE_US = 2 * MILLISECOND
BFD_NOTICE_US = 500 * MILLISECOND
LANE_LIMIT_US = 5 * SECOND
FILTER_HANGS_US = 8 * SECOND
LONGEST_PAUSE_US = 30 * SECOND
# A kernel that hangs answers nothing for two efforts that overlap, then the longest pause follows.
# The filter's last request that hangs holds up others for less than these two efforts.
MEND_US = LONGEST_PAUSE_US + 2 * LANE_LIMIT_US + SECOND


def with_drift(duration: int) -> int:
    """How long `duration` of the slowest clock may take, against the fastest one."""
    return duration + duration * 2 * MAX_DRIFT_PPM // 1_000_000


def skew_us(instance: Instance) -> int:
    """The longest skew_time that routers with the instance's interval reckon with."""
    return int(SECOND if instance.version == 2 else instance.advert_interval_us)


def master_down_us(instance: Instance) -> int:
    """The longest master_down_interval of routers with the instance's interval."""
    return instance.down_timer_adverts * instance.advert_interval_us + skew_us(instance)


def settle_us(configurations: Iterable[Configuration]) -> int:
    """The time after which a network without new faults must have settled."""
    every = list(configurations)
    instances = [instance for each in every for instance in each.instances]
    notice = max(
        (
            *(_script_us(script) for each in every for script in each.scripts),
            *(_process_us(process) for each in every for process in each.track_processes),
            BFD_NOTICE_US,
        )
    )
    down = max(map(master_down_us, instances))
    delay = max(instance.preempt_delay_us for instance in instances)
    startup = max(each.globals.startup_delay_us for each in every)
    interval = max(instance.advert_interval_us for instance in instances)
    return with_drift(notice + startup + 2 * down + delay + interval + SECOND)


def _script_us(script: CheckScript) -> int:
    return (max(script.rise, script.fall) + 1) * script.interval_us + script.timeout_us


def _process_us(process: TrackProcess) -> int:
    return max(process.fork_delay_us, process.terminate_delay_us)


def watch_us(configurations: Iterable[Configuration]) -> int:
    """Long enough to see somebody take over who has no reason to."""
    return with_drift(max(master_down_us(each) for one in configurations for each in one.instances)) + SECOND


def takeover_us(configurations: Iterable[Configuration]) -> int:
    """After a clean stop somebody else must be the only MASTER within this."""
    instances = [instance for each in configurations for instance in each.instances]
    silent = any(instance.lower_priority_no_advert for instance in instances)
    overlap = max(overlap_us(one, one) for one in instances) if silent else 0
    return with_drift(max(map(skew_us, instances)) + SECOND // 2) + overlap


def overlap_us(one: Instance, other: Instance) -> int:
    """The longest time that two MASTERs of one VRID who hear each other may both go on."""
    answers = not (one.lower_priority_no_advert or other.lower_priority_no_advert)
    first = (min if answers else max)(one.advert_interval_us, other.advert_interval_us)
    return with_drift(first) + 2 * MAX_LATENCY_US + 4 * MAX_LATE_US
