"""Effects in order, and never in the way of an advert.

A lane is a queue.  Effects of one lane are performed one after the other
("addresses, then ARP, then notify"); lanes do not wait for each other.  What
changes the kernel's tables is handed over in batches: all that stand together
at the head of a lane are one request, and lanes that are put together share
one.  Everything has a time limit, and its outcome is handed back, so that a
kernel or a script that hangs is an event like any other.

A lane exists only while something of it is being performed.  An effect that
can be performed without waiting in a lane with nothing before it is performed
on the spot: a burst of gratuitous ARP costs no task switch.  And what waits is
begun before the outcome of what was before it is reported, since each report is
a step of the core: the first ARP goes out as soon as the kernel has the address.

When a hundred lanes may go on at once, they take turns: each performs what it has up
to the first effect that it has performed already (an announcement is repeated as the very
same value), and the rest in the next turn of the loop.  So every address is announced
once before any is announced again.

Only a sync group waits for others: its scripts are told when all its members
have what they take, and have told theirs (`after`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    AlreadySo,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Done,
    Effect,
    Failed,
    KernelChange,
    Outcome,
    TimedOut,
)

Perform = Callable[[Effect], "Awaitable[Outcome] | Outcome"]
PerformBatch = Callable[[Sequence[KernelChange]], Awaitable[Sequence[Outcome]]]
Report = Callable[[Effect, Outcome], None]

_OUTCOMES = (Done, AlreadySo, Failed, TimedOut)
KERNEL_CHANGES = (AddAddress, DeleteAddress, AddRoute, DeleteRoute, AddRule, DeleteRule)
# How long lanes wait at most for others' first announcements before they go on with their repetitions.
_PATIENCE_S = 0.02
# Lanes share a request up to so many changes, so that those of the first go on while the last are written.
_SHARED = 64


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

    __slots__ = ("begun", "busy", "gates", "name", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.waiting: deque[Effect | _Gate] = deque()
        self.gates: list[_Gate] = []
        self.begun: Sequence[Effect] = ()
        self.busy = False


class _Batch:
    """What lanes have begun and wait for together."""

    __slots__ = ("lanes", "limit", "of_kernel", "pending")

    def __init__(self, lanes: list[_Lane], of_kernel: bool) -> None:
        self.lanes = lanes
        self.of_kernel = of_kernel
        self.pending: asyncio.Future[Sequence[Outcome]] | None = None
        self.limit: asyncio.TimerHandle | None = None


class Lanes:
    """Queues of effects by name.

    `perform` does one effect: it returns the outcome, or an awaitable of it.
    `perform_batch` does changes of the kernel's tables, with one outcome for each.
    `report` is called with every outcome.  `limit_s` bounds each awaitable.  Inside `together` all
    lanes take one turn.  Repetitions wait a little while there is no `leisure`: something is about to be due.
    """

    def __init__(
        self,
        perform: Perform,
        perform_batch: PerformBatch,
        report: Report,
        limit_s: float,
        together: Callable[[], AbstractContextManager[None]] = nullcontext,
        leisure: Callable[[], bool] = lambda: True,
    ) -> None:
        self._perform = perform
        self._perform_batch = perform_batch
        self._report = report
        self._limit_s = limit_s
        self._together = together
        self._leisure = leisure
        self._asked = 0
        self._patient: list[_Lane] = []
        self._turn: asyncio.Handle | None = None
        self._lanes: dict[str, _Lane] = {}
        self._all_done: asyncio.Event = asyncio.Event()

    def put(self, lane: str, effect: Effect) -> None:
        """Perform `effect` after everything that stands in `lane` already."""
        self.put_many({lane: (effect,)})

    def put_all(self, lane: str, effects: Sequence[Effect], after: Collection[str] = ()) -> None:
        """Perform `effects` in order, after what stands already in `lane` and in the lanes `after`."""
        self.put_many({lane: effects}, {lane: after})

    def put_many(
        self, effects: Mapping[str, Sequence[Effect]], after: Mapping[str, Collection[str]] | None = None
    ) -> None:
        """As `put_all`, for the `effects` of several lanes; `after` by lane.

        Changes of the kernel's tables are one batch only if they are put together, or have to wait.
        """
        free = []
        for name, waiting in effects.items():
            lane = self._lanes.get(name)
            if lane is None:
                lane = _Lane(name)
                free.append(lane)
            if after:
                self._close_gate(lane, after.get(name, ()))
            lane.waiting.extend(waiting)
            self._lanes[name] = lane
        if free:
            self._advance(free)

    def _close_gate(self, lane: _Lane, after: Collection[str]) -> None:
        others = [self._lanes[name] for name in after if name != lane.name and name in self._lanes]
        if others:
            gate = _Gate(len(others))
            lane.waiting.append(gate)
            for other in others:
                other.gates.append(gate)

    def discard(self, lane: str, unwanted: Callable[[Effect], bool]) -> None:
        """Forget what waits in `lane` and is `unwanted`; what has begun is finished."""
        found = self._lanes.get(lane)
        if found is not None:
            kept = [one for one in found.waiting if isinstance(one, _Gate) or not unwanted(one)]
            found.waiting.clear()
            found.waiting.extend(kept)

    @property
    def asking(self) -> bool:
        """Whether the kernel is changing its tables for us."""
        return self._asked > 0

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

    def _advance(self, free: list[_Lane]) -> None:
        """Perform what waits in the lanes that are `free`; those where nothing takes time are closed."""
        self._begin_changes(free)
        with self._together():
            bug = self._take_turns(free)
        for lane in free:
            if not lane.busy:
                self._close(lane)
        if bug is not None:
            raise bug

    def _take_turns(self, free: list[_Lane]) -> Exception | None:
        following = []
        bug: Exception | None = None
        for lane in free:
            try:
                if not lane.busy and self._take_turn(lane):
                    lane.busy = True
                    following.append(lane)
            except Exception as error:
                # None of the kernel's: a lane must not stand still for ever, nor the others.
                lane.waiting.clear()
                bug = error
        if following:
            self._resume_later(following)
        return bug

    def _resume_later(self, lanes: list[_Lane]) -> None:
        """In the next turn of the loop, or once the kernel has done what others wait for: they come first."""
        self._patient += lanes
        if self._turn is None:
            loop = asyncio.get_running_loop()
            now = not self._asked and self._leisure()
            self._turn = loop.call_soon(self._resume) if now else loop.call_later(_PATIENCE_S, self._resume)

    def _answered(self) -> None:
        """One request to the kernel less; nobody waits for the others any more after the last."""
        self._asked -= 1
        if not self._asked and self._turn is not None and self._leisure():
            self._turn.cancel()
            self._turn = asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        self._turn = None
        lanes, self._patient = self._patient, []
        for lane in lanes:
            lane.busy = False
        self._advance(lanes)

    def _close(self, lane: _Lane) -> None:
        del self._lanes[lane.name]
        for gate in lane.gates:
            gate.one_less()
        if not self._lanes:
            self._all_done.set()

    def _begin_changes(self, ready: list[_Lane]) -> None:
        """Begin all changes of the kernel's tables that are next."""
        sharing: list[_Lane] = []
        changes: list[KernelChange] = []
        for lane in ready:
            own = _changes_at(lane.waiting)
            if not own:
                continue
            lane.begun, lane.busy = own, True
            sharing.append(lane)
            changes += own
            if len(changes) >= _SHARED:
                self._begin_batch(sharing, changes)
                sharing, changes = [], []
        if sharing:
            self._begin_batch(sharing, changes)

    def _begin_batch(self, sharing: list[_Lane], changes: list[KernelChange]) -> None:
        self._asked += 1
        try:
            started = self._perform_batch(changes)
        except OSError as error:
            self._answered()
            for lane in sharing:
                begun, lane.begun, lane.busy = lane.begun, (), False
                for effect in begun:
                    self._report(effect, Failed(error.errno or 0))
        else:
            self._await(sharing, started, of_kernel=True)

    def _take_turn(self, lane: _Lane) -> bool:
        """Perform on the spot up to a repetition or a change of the tables; whether more can be done."""
        waiting = lane.waiting
        performed: set[int] = set()
        while waiting:
            one = waiting[0]
            if isinstance(one, _Gate):
                waiting.popleft()
                if one.count:
                    self._await([lane], one.opened)
                    return False
                continue
            if id(one) in performed or isinstance(one, KERNEL_CHANGES):
                return True
            performed.add(id(one))
            waiting.popleft()
            outcome = self._start(one)
            if not isinstance(outcome, _OUTCOMES):
                lane.begun = (one,)
                self._await([lane], _alone(outcome))
                return False
            self._report(one, outcome)
        return False

    def _start(self, effect: Effect) -> Awaitable[Outcome] | Outcome:
        try:
            return self._perform(effect)
        except OSError as error:
            return Failed(error.errno or 0)

    def _await(
        self, lanes: list[_Lane], started: Awaitable[Sequence[Outcome]], *, of_kernel: bool = False
    ) -> None:
        batch = _Batch(lanes, of_kernel)
        for lane in lanes:
            lane.busy = True
        batch.pending = asyncio.ensure_future(started)
        batch.limit = asyncio.get_running_loop().call_later(self._limit_s, self._expired, batch)
        batch.pending.add_done_callback(partial(self._ended, batch))

    def _ended(self, batch: _Batch, ended: "asyncio.Future[Sequence[Outcome]]") -> None:
        if batch.pending is not ended:
            return
        if batch.limit is not None:
            batch.limit.cancel()
        self._finish(batch, lambda count: _outcomes(ended, count))

    def _expired(self, batch: _Batch) -> None:
        pending = batch.pending
        self._finish(batch, lambda count: [TimedOut()] * count)
        if pending is not None:
            pending.cancel()

    def _finish(self, batch: _Batch, outcomes: Callable[[int], Sequence[Outcome]]) -> None:
        """What waits comes before the reports: each of those is a step of the core."""
        batch.pending, batch.limit = None, None
        effects = [effect for lane in batch.lanes for effect in lane.begun]
        for lane in batch.lanes:
            lane.begun, lane.busy = (), False
        try:
            self._advance(batch.lanes)
        finally:
            if batch.of_kernel:
                self._answered()
            for effect, outcome in zip(effects, outcomes(len(effects)) if effects else (), strict=True):
                self._report(effect, outcome)


def _changes_at(waiting: deque[Effect | _Gate]) -> list[KernelChange]:
    """Take all changes of the kernel's tables that are next."""
    changes: list[KernelChange] = []
    while waiting:
        first = waiting[0]
        if isinstance(first, _Gate) or not isinstance(first, KERNEL_CHANGES):
            break
        changes.append(first)
        waiting.popleft()
    return changes


async def _alone(outcome: Awaitable[Outcome]) -> Sequence[Outcome]:
    return (await outcome,)


def _outcomes(ended: "asyncio.Future[Sequence[Outcome]]", count: int) -> Sequence[Outcome]:
    if ended.cancelled():
        return [TimedOut()] * count
    error = ended.exception()
    if isinstance(error, OSError):
        return [Failed(error.errno or 0)] * count
    return ended.result()
