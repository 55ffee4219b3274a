"""The times of promises and leases.

A promise of E, given when a heartbeat is read, ends E later on the clock of the
member that gives it.  The asker may rely on it until its own send time + E, less an
allowance for clocks that run at different rates, less a margin for what it takes
to stop.  Since a heartbeat is read after it was sent, the asker has always
stopped before the promise ends.
"""

from keepalived_py.base.clock import MILLISECOND, Micros
from keepalived_py.model.raft import CLOCK_ALLOWANCE_PERCENT, RaftTiming

# A member that has just started keeps silent a little longer than any promise of its last life.
START_MARGIN_US = Micros(20 * MILLISECOND)
# Who asks again waits at least this long, however short the refusal says.
SHORTEST_RETRY_US = Micros(MILLISECOND)
# So long whoever was called by name asks again at once when it is refused.
CALLED_HURRY_US = Micros(10 * MILLISECOND)
_SHORTEST_ASKING_US = Micros(30 * MILLISECOND)


def relied_until(stamp: Micros, promise_us: Micros, timing: RaftTiming) -> Micros:
    """Until when the asker may rely on a promise of `promise_us` that it asked for at `stamp`."""
    return Micros(stamp + promise_us * (100 - CLOCK_ALLOWANCE_PERCENT) // 100 - timing.margin_us)


def silence(promise_us: Micros) -> Micros:
    """How long after its start a member promises nothing: an earlier life of it may have promised."""
    return Micros(promise_us + START_MARGIN_US)


def longest_of_others(timing: RaftTiming) -> Micros:
    """How long another member's promise may last on the clock here."""
    return Micros(timing.promise_us * 100 // (100 - CLOCK_ALLOWANCE_PERCENT))


def live_for(timing: RaftTiming) -> Micros:
    """A member that was not heard for so long is not counted as there."""
    return Micros(timing.heartbeat_us * 7 // 2)


def rank_delay(rank: int, timing: RaftTiming) -> Micros:
    """How long who has `rank` better members beside it leaves a free lease to them."""
    return Micros(rank * timing.promise_us // 4)


def place_delay(place: int, timing: RaftTiming) -> Micros:
    """How much later than the first in the list a member asks again, so that no two collide for ever."""
    return Micros(place * timing.promise_us // 16)


def asking_limit(timing: RaftTiming) -> Micros:
    """How long to ask before the promises that were given are given back."""
    return Micros(max(_SHORTEST_ASKING_US, timing.promise_us // 6))


def retry_delay(timing: RaftTiming) -> Micros:
    """How long to wait for answers before the question is taken for lost."""
    return Micros(asking_limit(timing) // 3)


def hint_delay(timing: RaftTiming) -> Micros:
    """How long a lease that was given up for somebody is left to that member."""
    return Micros(timing.promise_us // 2)


def hurry_delay(timing: RaftTiming) -> Micros:
    """The pace of heartbeats of a holder whose lease has shrunk to half of a promise."""
    return Micros(timing.heartbeat_us // 3)
