"""Looks at the kernel's table from time to time, and puts right what somebody else has changed in it.

A look compares what was read with what we believe to be there.  Servers that we changed
while it was read are left for the next look; if we added or removed a service meanwhile, the look counts
for nothing.  Looks are so far apart that they take a small part of the time only, however
large the table is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from keepalived_py.core.checks.healing import Healing
from keepalived_py.health.ports import LogPort
from keepalived_py.health.shell import Shell
from keepalived_py.model.ipvs import Table

SHORTEST_INTERVAL_S = 5.0
_SHARE = 0.02


class TableWatch:
    """Make it inside its running loop; `read` gets the table without holding up the loop (or OSError)."""

    def __init__(self, read: Callable[[], Awaitable[Table]], shell: Shell, log: LogPort) -> None:
        self._read = read
        self._shell = shell
        self._log = log
        self._healing = Healing()
        self._refused = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def healed(self) -> int:
        """How many entries have been put right."""
        return self._healing.healed

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        took_s = 0.0
        while True:
            await asyncio.sleep(max(SHORTEST_INTERVAL_S, took_s / _SHARE))
            began = time.monotonic()
            await self._look()
            took_s = time.monotonic() - began

    async def _look(self) -> None:
        wanted = self._shell.wanted
        if not wanted.services:
            return
        version = wanted.version
        self._healing.begin(wanted)
        try:
            table = await self._read()
        except OSError as error:
            if self._refused != str(error):
                self._log.info(f"Unable to read the IPVS table: {error}")
            self._refused = str(error)
            return
        self._refused = ""
        if wanted.version != version:
            return
        found = self._healing.look(wanted, table)
        for line in found.lines:
            self._log.info(line)
        self._shell.heal(found.changes)
        self._healing.made(wanted, found.changes)
