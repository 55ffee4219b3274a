"""The lanes of one router: its effects in order, performed on the fake kernel, with outcomes.

As in the real shell, changes of the kernel's tables that stand together are one
request, lanes do not wait for each other, and everything has a time limit.
The answer to the one who asked and the news to everybody come by two ways, so
either may be first.  A kernel that hangs has answered nothing when the limit is
over; it may have done what was asked at any time before, or not at all.  The
packet filter is another part of the kernel, with troubles of its own (`simulation.filter`).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from keepalived_py.base.clock import MILLISECOND
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AddRule,
    BlockAddresses,
    DeleteAddress,
    DeleteRoute,
    DeleteRule,
    Failed,
    KernelChange,
    Outcome,
    RunNotify,
    SendNeighbour,
    TimedOut,
    UnblockAddresses,
)
from keepalived_py.model.events import EffectDone, Event
from keepalived_py.simulation.bounds import LANE_LIMIT_US
from keepalived_py.simulation.faults import Trouble
from keepalived_py.simulation.filter import REFUSALS, Blocking, Filter
from keepalived_py.simulation.filter import Shell as FilterShell

Change = KernelChange | Blocking
Laned = Change | SendNeighbour | RunNotify
TABLES = (AddAddress, DeleteAddress, AddRoute, DeleteRoute, AddRule, DeleteRule)
CHANGES = (*TABLES, BlockAddresses, UnblockAddresses)


class Shell(FilterShell, Protocol):
    """What lanes need of the router that they belong to."""

    def netlink(self, event: Event) -> None:
        """The kernel reports `event` to everybody."""

    def answer(self, event: EffectDone) -> None:
        """The kernel's answer to who asked."""

    def performed(self, change: KernelChange) -> None:
        """`change` has reached the kernel."""


class _Lane:
    """What waits; `busy` while something is being performed."""

    __slots__ = ("busy", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Laned] = deque()
        self.busy = False


class Lanes:
    """All lanes that were ever used."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._lanes: dict[str, _Lane] = {}
        self._filter = Filter(shell)

    def clear(self) -> None:
        """The process is dead."""
        self._lanes.clear()
        self._filter.clear()

    def put(self, effects: Iterable[Laned]) -> None:
        """Line up the effects of one step."""
        touched: dict[str, _Lane] = {}
        for effect in effects:
            name = effect.owner if isinstance(effect, RunNotify) else effect.instance
            lane = touched[name] = self._lanes.setdefault(name, _Lane())
            lane.waiting.append(effect)
        for lane in touched.values():
            if not lane.busy:
                self._advance(lane)

    def _advance(self, lane: _Lane) -> None:
        """Begin what is next; nobody waits for a frame or a notify script, and nothing comes back."""
        waiting = lane.waiting
        while waiting and not isinstance(waiting[0], CHANGES):
            waiting.popleft()
        lane.busy = bool(waiting)
        if waiting:
            first = waiting[0]
            if isinstance(first, Blocking):
                waiting.popleft()
                self._ask_filter(lane, first)
            else:
                self._begin(lane, _batch(waiting))

    def _ask_filter(self, lane: _Lane, change: Blocking) -> None:
        """The lane goes on with the answer, or without one; the other of the two finds it gone."""
        asked: list[Change] = [change]

        def end(outcome: Outcome) -> None:
            if asked:
                self._end(lane, [asked.pop()], [outcome])

        shell = self._shell
        shell.later(shell.now + LANE_LIMIT_US, lambda: end(TimedOut()))
        self._filter.ask(change, end)

    def _begin(self, lane: _Lane, batch: list[KernelChange]) -> None:
        shell = self._shell
        if Trouble.KERNEL_HANGS in shell.troubles:
            if shell.random.random() < 0.5:
                done = shell.now + shell.random.randint(1, LANE_LIMIT_US - 1)
                shell.later(done, lambda: self._reach(batch))
            shell.later(shell.now + LANE_LIMIT_US, lambda: self._end(lane, batch, [TimedOut()] * len(batch)))
            return
        slowest = 400 * MILLISECOND if Trouble.SLOW_KERNEL in shell.troubles else 3 * MILLISECOND
        shell.later(shell.now + shell.random.randint(1, slowest), lambda: self._finish(lane, batch))

    def _finish(self, lane: _Lane, batch: list[KernelChange]) -> None:
        shell = self._shell
        if Trouble.KERNEL_REFUSES in shell.troubles:
            outcomes: list[Outcome] = [Failed(shell.random.choice(REFUSALS)) for _ in batch]
        else:
            outcomes = self._reach(batch)
        delay = shell.random.randint(0, MILLISECOND)
        shell.later(shell.now + delay, lambda: self._end(lane, batch, outcomes))

    def _reach(self, batch: list[KernelChange]) -> list[Outcome]:
        outcomes = []
        for change in batch:
            outcome, news = self._shell.kernel.perform(change)
            outcomes.append(outcome)
            if news is not None:
                self._shell.netlink(news)
            self._shell.performed(change)
        return outcomes

    def _end(self, lane: _Lane, batch: Sequence[Change], outcomes: Sequence[Outcome]) -> None:
        """What waits is begun before anybody hears how it went."""
        self._advance(lane)
        for change, outcome in zip(batch, outcomes, strict=True):
            self._shell.answer(EffectDone(change, outcome))


def _batch(waiting: deque[Laned]) -> list[KernelChange]:
    """All changes of the kernel's tables that are next."""
    batch: list[KernelChange] = []
    while waiting and isinstance(effect := waiting[0], TABLES):
        batch.append(effect)
        waiting.popleft()
    return batch
