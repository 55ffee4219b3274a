"""Effects in order, and never in the way of an advert.

A lane is a queue with one worker.  Effects of one lane are performed one
after the other ("addresses, then ARP, then notify"); lanes do not wait for
each other.  Every effect has a time limit, and its outcome is handed back, so
that a kernel or a script that hangs is an event like any other.

A worker exists only while its lane has work.  An effect that can be performed
without waiting (`immediate`) in a lane with nothing before it is performed on
the spot: a burst of gratuitous ARP costs no task switch.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from keepalived_py.model.effects import Effect, Failed, Outcome, TimedOut

Perform = Callable[[Effect], "Awaitable[Outcome] | Outcome"]
Report = Callable[[Effect, Outcome], None]


class Lanes:
    """Queues of effects by name.

    `perform` does one effect: it returns the outcome, or an awaitable of it.
    `report` is called with every outcome.  `limit_s` bounds each awaitable.
    """

    def __init__(self, perform: Perform, report: Report, limit_s: float) -> None:
        self._perform = perform
        self._report = report
        self._limit_s = limit_s
        self._queues: dict[str, deque[Effect]] = {}
        self._workers: dict[str, asyncio.Task[None]] = {}

    def put(self, lane: str, effect: Effect) -> None:
        """Perform `effect` after everything that stands in `lane` already."""
        if lane in self._workers:
            self._queues[lane].append(effect)
            return
        outcome = self._start(effect)
        if not isinstance(outcome, Awaitable):
            self._report(effect, outcome)
            return
        self._queues[lane] = deque()
        self._workers[lane] = asyncio.get_running_loop().create_task(self._work(lane, effect, outcome))

    def discard(self, lane: str, unwanted: Callable[[Effect], bool]) -> None:
        """Forget what waits in `lane` and is `unwanted`; what has begun is finished."""
        queue = self._queues.get(lane)
        if queue:
            kept = [effect for effect in queue if not unwanted(effect)]
            queue.clear()
            queue.extend(kept)

    @property
    def busy(self) -> bool:
        """Whether anything is being performed or waits for it."""
        return bool(self._workers)

    async def drained(self, limit_s: float) -> bool:
        """Wait until every lane is empty; False if that took longer than `limit_s`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        while self._workers:
            left = end - loop.time()
            if left <= 0:
                return False
            await asyncio.wait(list(self._workers.values()), timeout=left)
        return True

    def _start(self, effect: Effect) -> "Awaitable[Outcome] | Outcome":
        try:
            return self._perform(effect)
        except OSError as error:
            return Failed(error.errno or 0)

    async def _work(self, lane: str, effect: Effect, first: Awaitable[Outcome]) -> None:
        pending: Awaitable[Outcome] | Outcome = first
        queue = self._queues[lane]
        try:
            while True:
                outcome = await self._bounded(pending) if isinstance(pending, Awaitable) else pending
                self._report(effect, outcome)
                if not queue:
                    return
                effect = queue.popleft()
                pending = self._start(effect)
        finally:
            del self._queues[lane], self._workers[lane]

    async def _bounded(self, pending: Awaitable[Outcome]) -> Outcome:
        try:
            return await asyncio.wait_for(pending, self._limit_s)
        except TimeoutError:
            return TimedOut()
        except OSError as error:
            return Failed(error.errno or 0)
