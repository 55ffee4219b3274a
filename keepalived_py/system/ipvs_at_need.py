"""The kernel's table, opened when the first virtual server needs it.

Changes are made over one socket, at once.  Whoever wants to see the whole table gets it
over another one, read in a thread: a table of ten thousand servers takes a while, and no check
is to be late for it.
"""

import asyncio
from collections.abc import Sequence

from keepalived_py.model.effects import Outcome
from keepalived_py.model.globals import LvsTimeouts
from keepalived_py.model.ipvs import IpvsChange, Table
from keepalived_py.system.ipvs import Ipvs, open_ipvs


class IpvsAtNeed:
    """An `health.ports.IpvsPort`; as long as it is not open it is empty, and nothing may be changed."""

    def __init__(self) -> None:
        self._ipvs: Ipvs | None = None
        self._reader: Ipvs | None = None
        self._namespace: str | None = None
        self._reading = asyncio.Lock()

    def open(self, namespace: str | None) -> None:
        """Open it (see `open_ipvs`); nothing happens if it is open already.  Raises FatalStart."""
        if self._ipvs is None:
            self._ipvs = open_ipvs(namespace)
            self._reader = open_ipvs(namespace)

    def apply(self, changes: Sequence[IpvsChange]) -> Sequence[Outcome]:
        """Make the changes in this order; an outcome for each."""
        if not changes:
            return ()
        assert self._ipvs is not None
        return self._ipvs.apply(changes)

    def timeouts(self) -> LvsTimeouts:
        """The time-outs that are in force; raises OSError."""
        return LvsTimeouts() if self._ipvs is None else self._ipvs.timeouts()

    async def read(self) -> Table:
        """What is in the table, read without holding up the loop; raises OSError."""
        async with self._reading:
            reader = self._reader
            return {} if reader is None else await asyncio.to_thread(reader.table)

    def close(self) -> None:
        """Give the sockets back."""
        for ipvs in (self._ipvs, self._reader):
            if ipvs is not None:
                ipvs.close()
        self._ipvs = self._reader = None
