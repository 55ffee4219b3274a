"""Effects in order, and never in the way of an advert.

A lane is a queue.  Effects of one lane are performed one after the other
("addresses, then ARP, then notify"); lanes do not wait for each other.  What
changes the kernel's tables is handed over in batches: all that stand together
at the head of a lane are one request.  Everything has a time limit, and its
outcome is handed back, so that a kernel or a script that hangs is an event like
any other.

A lane exists only while something of it is being performed.  An effect that
can be performed without waiting in a lane with nothing before it is performed
on the spot: a burst of gratuitous ARP costs no task switch.  And what waits is
begun before the outcome of what was before it is reported, since each report is
a step of the core: the first ARP goes out as soon as the kernel has the address.

Only a sync group waits for others: its scripts are told when all its members
have what they take, and have told theirs (`after`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Effect,
    Failed,
    KernelChange,
    Outcome,
    TimedOut,
)

Perform = Callable[[Effect], "Awaitable[Outcome] | Outcome"]
PerformBatch = Callable[[Sequence[KernelChange]], Awaitable[Sequence[Outcome]]]
Report = Callable[[Effect, Outcome], None]

KERNEL_CHANGES = (AddAddress, DeleteAddress, AddRoute, DeleteRoute, AddRule, DeleteRule)


class _Gate:
    """Stands in a lane until `count` other lanes have come to their end."""

    __slots__ = ("count", "opened")

    def __init__(self, count: int) -> None:
        self.count = count
        self.opened: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()

    def one_less(self) -> None:
        """One of the lanes is at its end."""
        self.count -= 1
        if not self.count and not self.opened.done():
            self.opened.set_result(())


class _Lane:
    """A queue, what is being performed of it, and the gates in others that wait for its end."""

    __slots__ = ("begun", "gates", "limit", "pending", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Effect | _Gate] = deque()
        self.gates: list[_Gate] = []
        self.begun: Sequence[Effect] = ()
        self.pending: asyncio.Future[Sequence[Outcome]] | None = None
        self.limit: asyncio.TimerHandle | None = None


class Lanes:
    """Queues of effects by name.

    `perform` does one effect: it returns the outcome, or an awaitable of it.
    `perform_batch` does changes of the kernel's tables, with one outcome for each.
    `report` is called with every outcome.  `limit_s` bounds each awaitable.
    """

    def __init__(self, perform: Perform, perform_batch: PerformBatch, report: Report, limit_s: float) -> None:
        self._perform = perform
        self._perform_batch = perform_batch
        self._report = report
        self._limit_s = limit_s
        self._lanes: dict[str, _Lane] = {}
        self._all_done: asyncio.Event = asyncio.Event()

    def put(self, lane: str, effect: Effect) -> None:
        """Perform `effect` after everything that stands in `lane` already."""
        self.put_all(lane, (effect,))

    def put_all(self, lane: str, effects: Sequence[Effect], after: Collection[str] = ()) -> None:
        """Perform `effects` in order, after what stands already in `lane` and in the lanes `after`.

        Changes of the kernel's tables are one batch only if they are put together, or have to wait.
        """
        others = [self._lanes[name] for name in after if name != lane and name in self._lanes]
        found = self._lanes.get(lane)
        new = _Lane() if found is None else found
        if others:
            gate = _Gate(len(others))
            new.waiting.append(gate)
            for other in others:
                other.gates.append(gate)
        new.waiting.extend(effects)
        if found is None:
            self._lanes[lane] = new
            self._advance(lane, new)

    def discard(self, lane: str, unwanted: Callable[[Effect], bool]) -> None:
        """Forget what waits in `lane` and is `unwanted`; what has begun is finished."""
        found = self._lanes.get(lane)
        if found is not None:
            kept = [one for one in found.waiting if isinstance(one, _Gate) or not unwanted(one)]
            found.waiting.clear()
            found.waiting.extend(kept)

    @property
    def busy(self) -> bool:
        """Whether anything is being performed or waits for it."""
        return bool(self._lanes)

    async def drained(self, limit_s: float) -> bool:
        """Wait until every lane is empty; False if that took longer than `limit_s`."""
        if not self._lanes:
            return True
        self._all_done.clear()
        try:
            await asyncio.wait_for(self._all_done.wait(), limit_s)
        except TimeoutError:
            return False
        return True

    def _advance(self, name: str, lane: _Lane) -> None:
        """Perform what waits in `lane`, and close it if nothing of that takes time."""
        try:
            self._go_on(name, lane)
        finally:
            # Also after an error that is none of the kernel's: a lane must not stand still for ever.
            if lane.pending is None:
                del self._lanes[name]
                for gate in lane.gates:
                    gate.one_less()
                if not self._lanes:
                    self._all_done.set()

    def _go_on(self, name: str, lane: _Lane) -> None:
        while lane.waiting:
            first = lane.waiting[0]
            if isinstance(first, _Gate):
                lane.waiting.popleft()
                if first.count:
                    self._await(name, lane, (), first.opened)
                    return
                continue
            effects = self._take(lane.waiting)
            started = self._start(effects)
            if not isinstance(started, Awaitable):
                for effect, outcome in zip(effects, started, strict=True):
                    self._report(effect, outcome)
                continue
            self._await(name, lane, effects, started)
            return

    def _await(
        self, name: str, lane: _Lane, effects: Sequence[Effect], started: Awaitable[Sequence[Outcome]]
    ) -> None:
        lane.begun = effects
        lane.pending = asyncio.ensure_future(started)
        lane.limit = asyncio.get_running_loop().call_later(self._limit_s, self._expired, name, lane)
        lane.pending.add_done_callback(partial(self._ended, name, lane))

    def _take(self, waiting: deque[Effect | _Gate]) -> list[Effect]:
        """The next effect, or all changes of the kernel's tables that are next."""
        effects: list[Effect] = []
        while waiting and not isinstance(waiting[0], _Gate):
            if effects and not isinstance(waiting[0], KERNEL_CHANGES):
                break
            one = waiting.popleft()
            assert not isinstance(one, _Gate)
            effects.append(one)
            if not isinstance(one, KERNEL_CHANGES):
                break
        return effects

    def _start(self, effects: list[Effect]) -> "Awaitable[Sequence[Outcome]] | Sequence[Outcome]":
        try:
            if isinstance(effects[0], KERNEL_CHANGES):
                return self._perform_batch([one for one in effects if isinstance(one, KERNEL_CHANGES)])
            outcome = self._perform(effects[0])
        except OSError as error:
            return [Failed(error.errno or 0)] * len(effects)
        return _alone(outcome) if isinstance(outcome, Awaitable) else (outcome,)

    def _ended(self, name: str, lane: _Lane, ended: "asyncio.Future[Sequence[Outcome]]") -> None:
        if lane.pending is not ended:
            return
        if lane.limit is not None:
            lane.limit.cancel()
        self._finish(name, lane, partial(_outcomes, ended, len(lane.begun)))

    def _expired(self, name: str, lane: _Lane) -> None:
        pending, count = lane.pending, len(lane.begun)
        self._finish(name, lane, lambda: [TimedOut()] * count)
        if pending is not None:
            pending.cancel()

    def _finish(self, name: str, lane: _Lane, outcomes: Callable[[], Sequence[Outcome]]) -> None:
        """What waits comes before the reports: each of those is a step of the core."""
        begun, lane.begun, lane.pending, lane.limit = lane.begun, (), None, None
        try:
            self._advance(name, lane)
        finally:
            for effect, outcome in zip(begun, outcomes(), strict=True):
                self._report(effect, outcome)


async def _alone(outcome: Awaitable[Outcome]) -> Sequence[Outcome]:
    return (await outcome,)


def _outcomes(ended: "asyncio.Future[Sequence[Outcome]]", count: int) -> Sequence[Outcome]:
    if ended.cancelled():
        return [TimedOut()] * count
    error = ended.exception()
    if isinstance(error, OSError):
        return [Failed(error.errno or 0)] * count
    return ended.result()
