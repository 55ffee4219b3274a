"""The clock that goes on while the machine sleeps."""

import time

from keepalived_py.base.clock import Micros


def boottime() -> Micros:
    """Microseconds since boot, suspended time included (CLOCK_BOOTTIME)."""
    return Micros(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000)
