"""How the kernel and the interpreter schedule a process of ours.

Real-time priority is reset on fork (SCHED_RESET_ON_FORK), so that scripts run
as ordinary processes.  The garbage collector may not stop the process just
before a deadline: what exists after start is frozen, automatic collection is
off, and the shell collects right after its own advert, when the next
deadline is far.

A real-time process that never waits starves a processor.  keepalived therefore
has the kernel kill it after `rlimit_rttime` (10 ms) without a wait, and its
parent starts another.  An interpreter needs longer than that for honest work, a
reload of some hundred instances say, and would be killed in the middle of it.  So
here the limit is soft: at the first signal (SIGXCPU) the process becomes an
ordinary one, which starves nobody, and real-time again as soon as its loop has
gone round.  A loop that never comes round stays ordinary.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import time
from collections.abc import Callable, Collection
from types import FrameType

from keepalived_py.base.clock import Micros
from keepalived_py.model.globals import Globals, Process
from keepalived_py.system import libc

_MCL_CURRENT = 1
_MCL_FUTURE = 2
_MCL_ONFAULT = 4
_MIDDLE = 1
# How long the process stays ordinary after it has used up its time.
_DEMOTED_S = 0.001
_BETWEEN_COMPLAINTS_S = 60.0


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


def set_affinity(processors: Collection[int]) -> None:
    """`vrrp_cpu_affinity`: run on these processors only.  Raises OSError if none of them exists."""
    os.sched_setaffinity(0, processors)


def allow_descriptors(count: int) -> bool:
    """See to it that `count` descriptors may be open; else as many as the hard limit permits, and False."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return True
    if hard == resource.RLIM_INFINITY or hard >= count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
        return True
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return False
    return True


def be_ordinary() -> None:
    """Undo priorities, limits and locks for the calling process, as far as they were set.  Raises OSError."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    libc.unlock_memory()
    _limit_real_time(None)


def _limit_real_time(limit_us: int | None) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    soft = hard if limit_us is None else limit_us
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_RTTIME, (soft, hard))


def vrrp_process(wanted: Globals) -> Process:
    """The settings of the VRRP process, which stand among the globals, as those of the others do."""
    return Process(
        name=wanted.vrrp_process_name,
        nice=wanted.nice,
        no_swap=wanted.no_swap,
        rt_priority=wanted.rt_priority,
        cpu_affinity=wanted.cpu_affinity,
        rlimit_rttime_us=wanted.rlimit_rttime_us,
    )


class Scheduler:
    """Keeps this process scheduled as configured, and raises its priority when it is late.

    `log` gets keepalived's lines; `process` is what they call us.  Priorities are a wish: a
    container that forbids them is no reason not to run, so nothing raises.  Make it in the
    main thread, inside the running loop.
    """

    def __init__(self, log: Callable[[str], None], process: str = "VRRP") -> None:
        self._log = log
        self._process = process
        self._now = Process()
        self._priority = 0
        self._most = 0
        self._everywhere = os.sched_getaffinity(0)
        self._loop = asyncio.get_running_loop()
        self._complained: float | None = None
        self._demoted = False

    def apply(self, wanted: Process, max_auto_priority: int = 0) -> None:
        """At the start and after a reload: be scheduled so from now on.

        A priority that was raised by `late` is kept, up to `max_auto_priority`.
        """
        before, self._now = self._now, wanted
        self._most = max_auto_priority
        self._set_priority(max(wanted.rt_priority, min(self._priority, max_auto_priority)))
        if wanted.nice != before.nice:
            text = f"Unable to set process priority to {wanted.nice}"
            self._try(lambda: set_nice(wanted.nice), text)
        if wanted.no_swap != before.no_swap:
            change = lock_memory if wanted.no_swap else libc.unlock_memory
            self._try(change, "Unable to lock process in memory")
        if wanted.cpu_affinity != before.cpu_affinity:
            processors = wanted.cpu_affinity or self._everywhere
            self._try(
                lambda: set_affinity(processors),
                f"unable to set cpu affinity to {self._process.lower()} process",
            )

    def late(self, by_us: Micros) -> None:
        """A timer was later than `min_auto_priority_delay`: one more step of real-time priority."""
        self._log(f"A thread timer expired {by_us // 1_000_000}.{by_us % 1_000_000:06} seconds ago")
        if self._priority < self._most:
            self._set_priority(self._priority + 1)
            self._log(f"Set realtime priority {self._priority}")

    def close(self) -> None:
        """Be ordinary for the end: an interpreter that is taken down has no signal handlers any more."""
        self._most = 0
        self._set_priority(0)
        self._try(lambda: _limit_real_time(None), "child process cannot reset realtime rlimit")

    @property
    def priority(self) -> int:
        """The real-time priority now; 0: an ordinary process."""
        return self._priority

    def _set_priority(self, priority: int) -> None:
        if priority:
            self._watch_time()
        if priority != self._priority and self._try(
            lambda: _be_scheduled(priority), "child process: cannot raise priority"
        ):
            self._priority = priority

    def _watch_time(self) -> None:
        """Have SIGXCPU say when the process did not wait for too long."""
        limit_us = self._now.rlimit_rttime_us
        signal.signal(signal.SIGXCPU, self._used_up)
        self._try(lambda: _limit_real_time(limit_us or None), "child process cannot set realtime rlimit")

    def _used_up(self, number: int, frame: FrameType | None) -> None:
        """The signal handler: runs between two instructions of the interpreter, whatever it does."""
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        if not self._demoted:
            self._demoted = True
            self._loop.call_soon_threadsafe(self._loop.call_later, _DEMOTED_S, self._restore)

    def _restore(self) -> None:
        self._demoted = False
        if not self._priority:
            return
        self._try(lambda: _be_scheduled(self._priority), "child process: cannot raise priority")
        # The kernel has moved the limit up by a second, as for a process that goes on and on.
        self._watch_time()
        now = time.monotonic()
        if self._complained is None or now - self._complained > _BETWEEN_COMPLAINTS_S:
            self._complained = now
            self._log(
                f"{self._process} process has used too much CPU time, "
                f"{self._process.lower()}_rlimit_rttime may need to be increased"
            )

    def _try(self, change: Callable[[], None], text: str) -> bool:
        try:
            change()
        except OSError as error:
            self._log(f"{text} - {error.strerror}")
            return False
        return True


def _be_scheduled(priority: int) -> None:
    if priority:
        set_real_time(priority)
    else:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


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
