"""An asyncio loop that wakes on the microsecond, and knows when it did not.

asyncio's own selector hands epoll whole milliseconds, rounded up, so each
timer is late by up to one.  The kernel adds a slack of its own: select, poll and
epoll may all end up to a thousandth of their time-out late (3.6 ms for a
master_down_interval of 3.6 s).  And a time-out of select stands still while the
process is stopped or frozen: it would sleep on when it may go on.  A timer that is
a descriptor (`libc.Alarm`) has none of these.  An epoll descriptor can itself be
waited for, so `PreciseSelector` waits for two things, its alarm and the epoll
descriptor of asyncio, which then says what is ready.

A process that was stopped, starved or whose machine slept takes silence for what
it only did not hear.  The selector is the place to notice: it knows until when it
was asked to wait, and when it came back.  Three things count as a pause: to wake
later than asked for, to stay away between two waits (stopped in the middle of a
callback, or a callback that took too long: nobody listened in either case), and a
clock that counts suspended time having gained on the one that does not.  Watchers
are told before any callback runs.
"""

import asyncio
import select
import selectors
import time
from bisect import bisect_left
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.system import libc

T = TypeVar("T")

_NEVER_S = float("inf")

# Upper ends of the buckets; what is later than the last one has a bucket of its own.
BUCKETS_US = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000, 1_000_000)

PauseHook = Callable[[Micros], None]


class Lateness:
    """How late the loop woke for its timers, since the start.

    `counts` has one number more than `BUCKETS_US`.  Reading any of it costs nothing.
    """

    __slots__ = ("_greatest_s", "counts")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_US) + 1)
        self._greatest_s = 0.0

    @property
    def count(self) -> int:
        """How many waits ended with a timer."""
        return sum(self.counts)

    @property
    def greatest_us(self) -> Micros:
        """The worst of them."""
        return Micros(round(self._greatest_s * 1_000_000))

    def add(self, late_s: float) -> None:
        """One more wake-up, this much after its time."""
        self.counts[bisect_left(_BUCKETS_S, late_s)] += 1
        if late_s > self._greatest_s:
            self._greatest_s = late_s


_BUCKETS_S = tuple(as_seconds(edge) for edge in BUCKETS_US)


class PreciseSelector(selectors.EpollSelector):
    """epoll, with a wait that is as precise as the kernel's clock, and watched for pauses."""

    def __init__(self) -> None:
        super().__init__()
        self._alarm = libc.Alarm()
        self._waiting = select.epoll()
        self._epoll = self.fileno()
        self._waiting.register(self._epoll, select.EPOLLIN)
        self._waiting.register(self._alarm.descriptor, select.EPOLLIN)
        self.lateness = Lateness()
        self._hooks: list[tuple[float, PauseHook]] = []
        self._noticed_s = _NEVER_S
        self._left = time.monotonic()
        self._slept = _slept()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """The ready descriptors; waits at most `timeout` seconds (None: for ever)."""
        came = time.monotonic()
        away = came - self._left
        if timeout is None:
            self._wait(0)
            self._left = time.monotonic()
        elif timeout > 0:
            due = came + timeout
            timed_out = self._wait(max(1, round(timeout * 1e9)))
            self._left = left = time.monotonic()
            if timed_out:
                self.lateness.add(left - due)
            away = max(away, left - due)
        else:
            self._left = came
        if self._hooks:
            self._notice(away)
        return super().select(0)

    def watch(self, threshold_us: Micros, hook: PauseHook) -> None:
        """Call `hook` with the length of each pause longer than `threshold_us`."""
        self._hooks.append((as_seconds(threshold_us), hook))
        self._noticed_s = min(least for least, _ in self._hooks)
        # What the process did before is no pause.
        self._left = time.monotonic()

    def unwatch(self, hook: PauseHook) -> None:
        """Undo `watch`; nothing happens if the hook is not there."""
        self._hooks = [one for one in self._hooks if one[1] != hook]
        self._noticed_s = min((least for least, _ in self._hooks), default=_NEVER_S)

    def close(self) -> None:
        """Give all descriptors back."""
        self._waiting.close()
        self._alarm.close()
        super().close()

    def _wait(self, delay_ns: int) -> bool:
        """Whether the time ran out before anything was ready; 0: wait for ever."""
        self._alarm.set(delay_ns)
        return all(descriptor != self._epoll for descriptor, _ in self._waiting.poll())

    def _notice(self, away_s: float) -> None:
        slept = _slept()
        away_s += max(0.0, slept - self._slept)
        self._slept = slept
        if away_s > self._noticed_s:
            for least, hook in tuple(self._hooks):
                if away_s > least:
                    hook(Micros(round(away_s * 1_000_000)))


def _slept() -> float:
    """How long this machine has been suspended since it was started, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


class PreciseLoop(asyncio.SelectorEventLoop):
    """A loop over a `PreciseSelector`, which stays at hand."""

    def __init__(self) -> None:
        self.clockwork = PreciseSelector()
        super().__init__(self.clockwork)


def new_loop() -> PreciseLoop:
    """A loop over a `PreciseSelector`."""
    return PreciseLoop()


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


def watch_pauses(threshold_us: Micros, hook: PauseHook) -> None:
    """Have the running loop call `hook` after each pause longer than `threshold_us`.

    It is called before any callback that has become due in the pause, with what is known of
    its length: at least the time by which the loop was late.  A hook that is there already
    gets the new threshold.  On a loop that does not measure itself (a test's), nothing happens.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, PreciseLoop):
        loop.clockwork.unwatch(hook)
        loop.clockwork.watch(threshold_us, hook)


def lateness() -> Lateness:
    """How late the running loop has been so far (nothing, if it does not measure itself)."""
    loop = asyncio.get_running_loop()
    return loop.clockwork.lateness if isinstance(loop, PreciseLoop) else Lateness()
