"""What a helper process looks after, as events: the numbers of files, the counts of processes.

A watch is told what to look after at start and at each reload.  The values that
are new are waited for, a second at most where an election waits, so that the first step
knows them; what takes longer, and whatever changes later, is fed to the loop.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from keepalived_py.model.effects import WriteLog
from keepalived_py.system.helper import Helper

PATIENCE_S = 1.0

Event = TypeVar("Event")


class HelperWatch(ABC, Generic[Event]):
    """Gives events to `feed` and lines to `log`.  Make it inside a running loop.

    `event` makes an event of a name and its value; None: there is none.  `patience_s`: how long new
    values are waited for.
    """

    def __init__(
        self,
        helper: Callable[[Callable[[Any], None], Callable[[], None]], Helper],
        event: Callable[[str, int | None], Event],
        feed: Callable[[Event], None],
        log: Callable[[WriteLog], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._patience_s = patience_s
        self._event = event
        self._feed = feed
        self._log = log
        self._helper = helper(self._heard, self._tell)
        self._values: dict[str, int | None] = {}
        self._number = 0
        self._ready = asyncio.Event()
        self._gathered: dict[str, Event] | None = None

    @property
    def helper_pid(self) -> int:
        """The process that does the work; 0: nothing is tracked."""
        return self._helper.pid

    def close(self) -> None:
        """Watch nothing more."""
        self._helper.close()

    @abstractmethod
    def _order(self) -> Mapping[str, object]:
        """What the helper is to look after."""

    @abstractmethod
    def _refused(self, failure: int) -> None:
        """There can be no helper, for this errno."""

    @abstractmethod
    def _news(self, message: Any) -> None:
        """The helper says something of what it looks after."""

    async def _gather(self) -> tuple[Event, ...]:
        """Give the helper its order and wait for what it finds."""
        self._gathered = {}
        self._tell()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), self._patience_s)
        found, self._gathered = self._gathered, None
        return tuple(found.values())

    def _tell(self) -> None:
        self._number += 1
        self._ready.clear()
        failure = self._helper.tell({**self._order(), "number": self._number})
        if failure:
            self._refused(failure)
            self._ready.set()

    def _heard(self, message: Any) -> None:
        if "log" in message:
            self._log(WriteLog(message["log"], detail=message.get("detail", False)))
        elif "ready" in message:
            if message["ready"] == self._number:
                self._ready.set()
        else:
            self._news(message)

    def _found(self, name: str, value: int | None) -> None:
        """Tell of the value, unless it is the one that was told last."""
        if name in self._values and self._values[name] == value:
            return
        self._values[name] = value
        event = self._event(name, value)
        if self._gathered is None:
            self._feed(event)
        else:
            self._gathered[name] = event
