"""How the kernel and the interpreter schedule the vrrp process.

Real-time priority is reset on fork (SCHED_RESET_ON_FORK), so that scripts run
as ordinary processes.  The garbage collector may not stop the process just
before a deadline: what exists after start is frozen, automatic collection is
off, and the shell collects right after its own advert, when the next
deadline is far.
"""

import gc
import os

from keepalived_py.system import libc

_MCL_CURRENT = 1
_MCL_FUTURE = 2
_MCL_ONFAULT = 4
_MIDDLE = 1


def set_real_time(priority: int) -> None:
    """Round-robin real-time scheduling (`vrrp_rt_priority`), held to the kernel's range.

    Raises PermissionError without CAP_SYS_NICE.
    """
    least, most = os.sched_get_priority_min(os.SCHED_RR), os.sched_get_priority_max(os.SCHED_RR)
    parameter = os.sched_param(min(max(priority, least), most))
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, parameter)


def set_nice(nice: int) -> None:
    """`vrrp_priority`: the nice value, -20 to 19.  Raises PermissionError without CAP_SYS_NICE."""
    os.setpriority(os.PRIO_PROCESS, 0, nice)


def lock_memory() -> None:
    """`vrrp_no_swap`: keep every page that is touched, now or later, in memory.  Raises OSError.

    Pages are locked when first touched: the interpreter maps far more than it uses.
    """
    libc.lock_memory(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def be_ordinary() -> None:
    """Undo all of the above for the calling process, as far as it was set.  Raises OSError."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    libc.unlock_memory()


class Collector:
    """The garbage collector, run by hand.  A full collection comes every `full_every` calls."""

    __slots__ = ("_calls", "_full_every")

    def __init__(self, full_every: int = 64) -> None:
        self._calls = 0
        self._full_every = full_every

    def take_over(self) -> None:
        """Freeze what exists (it is never looked at again) and switch automatic collection off."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def collect(self) -> int:
        """Collect the young objects, now and then all; the number of unreachable objects found."""
        self._calls += 1
        return gc.collect() if self._calls % self._full_every == 0 else gc.collect(_MIDDLE)
