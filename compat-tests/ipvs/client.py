"""Users who ask a virtual service for a page, on a new connection each time."""

import asyncio
import contextlib
from collections import Counter

from real_servers import split

_PAUSE_S = 0.05
_PATIENCE_S = 10


async def ask(where: str) -> str:
    """The answer's status and its server's name, or what went wrong."""
    try:
        return await asyncio.wait_for(_ask(where), _PATIENCE_S)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return type(error).__name__


async def _ask(where: str) -> str:
    reader, writer = await asyncio.open_connection(*split(where))
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        lines = (await reader.read()).decode().split("\r\n")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    names = [line.partition(": ")[2] for line in lines if line.startswith("X-Server")]
    return f"{lines[0].split()[1]} {' '.join(names)}" if lines[0] else "nothing"


class Client:
    """One who asks all the time, and counts the answers."""

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
            self.answers[await ask(self._where)] += 1
            await asyncio.sleep(_PAUSE_S)
