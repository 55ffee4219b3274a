"""Orders for a helper process, in their order, never waited for and never silently lost.

A helper takes orders from a socket.  When that is full (a thousand mails at once, a kernel
that takes its time), orders wait here up to a number; what comes then is handed to `lost`.  An order
to finish is answered with `done`, when everything before it is done.
"""

import asyncio
import contextlib
import errno
from collections import deque
from collections.abc import Callable
from typing import Any

from keepalived_py.system.helper import Helper, Message

MOST_WAITING = 4096
_AGAIN_S = 0.02
_FULL = (errno.EAGAIN, errno.ENOBUFS)

Lost = Callable[[Message], None]


class Courier:
    """Takes orders to the helper of `make`, which is forked at the first one.

    `said` gets its log lines (and whether they are details).  `begin_again` is called when it was
    replaced by another one, which knows nothing; what the first one had not done is not done.
    `news` gets whatever else it tells.
    """

    def __init__(
        self,
        make: Callable[[Callable[[Any], None], Callable[[], None]], Helper],
        said: Callable[[str, bool], None],
        lost: Lost,
        begin_again: Callable[[], None],
        news: Callable[[Any], None] = lambda message: None,
    ) -> None:
        self._said = said
        self._lost = lost
        self._news = news
        self._waiting: deque[Message] = deque()
        self._again: asyncio.TimerHandle | None = None
        self._done = asyncio.Event()
        self._helper = make(self._heard, begin_again)

    @property
    def helper_pid(self) -> int:
        """The process that does the work; 0: there is none."""
        return self._helper.pid

    def order(self, message: Message) -> None:
        """Hand over `message` now, or behind those that wait."""
        if len(self._waiting) >= MOST_WAITING:
            self._lost(message)
            return
        self._waiting.append(message)
        if self._again is None:
            self._hand_over()

    async def finish(self, limit_s: float) -> None:
        """Wait until everything is done, `limit_s` at most; then the helper is dismissed."""
        if self._helper.pid or self._waiting:
            self._done.clear()
            self.order({"finish": limit_s})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), limit_s)
        self.close()

    def close(self) -> None:
        """Dismiss the helper, whatever it is doing."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        for message in self._waiting:
            self._lost(message)
        self._waiting.clear()
        self._helper.close()

    def _hand_over(self) -> None:
        self._again = None
        while self._waiting:
            failure = self._helper.tell(self._waiting[0])
            if failure in _FULL:
                self._again = asyncio.get_running_loop().call_later(_AGAIN_S, self._hand_over)
                return
            message = self._waiting.popleft()
            if failure:
                self._lost(message)

    def _heard(self, message: Any) -> None:
        if "log" in message:
            self._said(message["log"], message.get("detail", False))
        elif "done" in message:
            self._done.set()
        else:
            self._news(message)
