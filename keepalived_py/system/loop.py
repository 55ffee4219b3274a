"""An asyncio loop that wakes on the microsecond.

asyncio's own selector hands epoll whole milliseconds, rounded up, so each
timer is late by up to one.  select(2) takes microseconds, but no descriptor
above 1023.  An epoll descriptor can itself be waited for, so `PreciseSelector`
does both: select waits for the one epoll descriptor, epoll says which of any
number of descriptors are ready.

Two slacks of the kernel stand in the way.  The timer slack of a process (50
microseconds) is set to its least.  The other one is not adjustable: select,
poll and epoll may all end up to a thousandth of their time-out late (3.6 ms for
a master_down_interval of 3.6 s) unless the process has real-time priority.  So
a long wait is made in two: almost all of it, then the small rest, whose
thousandth is nothing.
"""

import asyncio
import contextlib
import select
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.system import libc

T = TypeVar("T")

_LEAST_TIMER_SLACK_NS = 1
# The kernel's slack of a wait of 10 ms is 10 microseconds.
_SHORT_WAIT_S = 0.01
# Leaves room for the thousandth by which the first part may be late.
_FIRST_PART = 0.997


class PreciseSelector(selectors.EpollSelector):
    """epoll, with a wait that is as precise as the kernel's clock."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The ready descriptors; waits at most `timeout` seconds (None: for ever)."""
        if timeout is None:
            select.select((self.fileno(),), (), ())
        elif timeout > 0:
            self._wait(timeout)
        return super().select(0)

    def _wait(self, timeout_s: float) -> None:
        descriptors = (self.fileno(),)
        if timeout_s > _SHORT_WAIT_S:
            end = time.monotonic() + timeout_s
            if select.select(descriptors, (), (), timeout_s * _FIRST_PART)[0]:
                return
            timeout_s = max(0.0, end - time.monotonic())
        select.select(descriptors, (), (), timeout_s)


def new_loop() -> asyncio.SelectorEventLoop:
    """A loop over a `PreciseSelector`, with this thread's timer slack at its least."""
    with contextlib.suppress(OSError):
        # Refused only by unusual sandboxes; timers are then 50 microseconds late, no more.
        libc.prctl(libc.PR_SET_TIMERSLACK, _LEAST_TIMER_SLACK_NS)
    return asyncio.SelectorEventLoop(PreciseSelector())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end on a loop of its own; its result or its exception."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(coroutine)


def now() -> Micros:
    """The monotonic clock, the same as the loop's `time()`, in microseconds."""
    return Micros(time.monotonic_ns() // 1000)


def call_at(when: Micros, callback: Callable[[], object]) -> asyncio.TimerHandle:
    """Have the running loop call `callback` at the instant `when` (of `now`)."""
    return asyncio.get_running_loop().call_at(when / 1_000_000, callback)
