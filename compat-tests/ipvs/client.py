"""A user who asks a virtual service for a page all the time, on a new connection each time."""

import asyncio
import contextlib
from collections import Counter

from real_servers import split

_PAUSE_S = 0.05
_PATIENCE_S = 3


class Client:
    """Counts its answers: the status and the server's name, or what went wrong."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._task: asyncio.Task[None] | None = None
        self.answers: Counter[str] = Counter()

    def start(self) -> None:
        """Begin, if there is anybody to ask."""
        if self._where:
            self._task = asyncio.create_task(self._ask_on())

    def close(self) -> None:
        """No more questions."""
        if self._task is not None:
            self._task.cancel()

    async def _ask_on(self) -> None:
        while True:
            try:
                answer = await asyncio.wait_for(self._ask(), _PATIENCE_S)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                answer = type(error).__name__
            self.answers[answer] += 1
            await asyncio.sleep(_PAUSE_S)

    async def _ask(self) -> str:
        reader, writer = await asyncio.open_connection(*split(self._where))
        try:
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            lines = (await reader.read()).decode().split("\r\n")
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        names = [line.partition(": ")[2] for line in lines if line.startswith("X-Server")]
        return f"{lines[0].split()[1]} {' '.join(names)}" if lines[0] else "nothing"
