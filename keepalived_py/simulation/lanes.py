"""The lanes of one router: its effects in order, performed on the fake kernel, with outcomes.

As in the real shell, changes of the kernel's tables that stand together are one
request, lanes do not wait for each other, and everything has a time limit.
The answer to the one who asked and the news to everybody come by two ways, so
either may be first.  A kernel that hangs has answered nothing when the limit is
over; it may have done what was asked at any time before, or not at all.
"""

import errno
from collections.abc import Callable, Sequence
from itertools import groupby
from random import Random
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
    Outcome,
    RunNotify,
    SendNeighbour,
    TimedOut,
    UnblockAddresses,
)
from keepalived_py.model.events import EffectDone, Event
from keepalived_py.simulation.bounds import LANE_LIMIT_US
from keepalived_py.simulation.faults import Trouble
from keepalived_py.simulation.kernel import Change, Kernel

Laned = Change | SendNeighbour | RunNotify
TABLES = (AddAddress, DeleteAddress, AddRoute, DeleteRoute, AddRule, DeleteRule)
CHANGES = (*TABLES, BlockAddresses, UnblockAddresses)
REFUSALS = (errno.ENOBUFS, errno.EPERM, errno.ENOMEM)


class Shell(Protocol):
    """What lanes need of the router that they belong to."""

    kernel: Kernel
    troubles: set[Trouble]

    @property
    def now(self) -> int:
        """Virtual microseconds."""

    @property
    def random(self) -> Random:
        """The run's random stream."""

    def later(self, when: int, work: Callable[[], None]) -> None:
        """Do `work` at `when`, unless the process is dead by then."""

    def netlink(self, event: Event) -> None:
        """The kernel reports `event` to everybody."""

    def answer(self, event: EffectDone) -> None:
        """The kernel's answer to who asked."""

    def performed(self, change: Change) -> None:
        """`change` has reached the kernel."""


class Lanes:
    """When each lane is free again."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._free: dict[str, int] = {}

    def clear(self) -> None:
        """The process is dead."""
        self._free.clear()

    def put(self, effects: Sequence[Laned]) -> None:
        """Line up the effects of one step."""
        lanes: dict[str, list[Laned]] = {}
        for effect in effects:
            lanes.setdefault(_lane(effect), []).append(effect)
        for lane, waiting in lanes.items():
            for is_table, together in groupby(waiting, lambda effect: isinstance(effect, TABLES)):
                for batch in (list(together),) if is_table else [[one] for one in together]:
                    self._begin(lane, batch)

    def _begin(self, lane: str, batch: list[Laned]) -> None:
        shell = self._shell
        begin = max(shell.now, self._free.get(lane, 0))
        changes = [effect for effect in batch if isinstance(effect, CHANGES)]
        if not changes:
            # Nobody waits for a frame or a notify script, and nothing comes back.
            self._free[lane] = begin + 50
            return
        if Trouble.KERNEL_HANGS in shell.troubles:
            self._free[lane] = begin + LANE_LIMIT_US
            self._hang(begin, changes)
            return
        slowest = 400 * MILLISECOND if Trouble.SLOW_KERNEL in shell.troubles else 3 * MILLISECOND
        self._free[lane] = begin + shell.random.randint(1, slowest)
        shell.later(self._free[lane], lambda: self._finish(changes))

    def _hang(self, begin: int, changes: list[Change]) -> None:
        shell = self._shell
        if shell.random.random() < 0.5:
            done = begin + shell.random.randint(1, LANE_LIMIT_US)
            shell.later(done, lambda: self._reach(changes))
        shell.later(begin + LANE_LIMIT_US, lambda: self._answer_all(changes, [TimedOut()] * len(changes)))

    def _finish(self, changes: list[Change]) -> None:
        shell = self._shell
        if Trouble.KERNEL_REFUSES in shell.troubles:
            outcomes: list[Outcome] = [Failed(shell.random.choice(REFUSALS)) for _ in changes]
        else:
            outcomes = self._reach(changes)
        delay = shell.random.randint(0, MILLISECOND)
        shell.later(shell.now + delay, lambda: self._answer_all(changes, outcomes))

    def _reach(self, changes: list[Change]) -> list[Outcome]:
        outcomes = []
        for change in changes:
            outcome, news = self._shell.kernel.perform(change)
            outcomes.append(outcome)
            if news is not None:
                self._shell.netlink(news)
            self._shell.performed(change)
        return outcomes

    def _answer_all(self, changes: list[Change], outcomes: Sequence[Outcome]) -> None:
        for change, outcome in zip(changes, outcomes, strict=True):
            self._shell.answer(EffectDone(change, outcome))


def _lane(effect: Laned) -> str:
    return effect.owner if isinstance(effect, RunNotify) else effect.instance
