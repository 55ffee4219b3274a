"""A gate that is opened when somebody needs it, and not before.

Most machines need none, and must not get a table in their packet filter for it.  A
reload may ask for one at any time.

What an earlier life left behind is kept shut from the moment the gate opens until
`settled` says that the addresses of that life are off the machine.  If nobody has
needed the gate by then, the tables of dead lives are removed.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

from keepalived_py.base.clock import Micros
from keepalived_py.model.effects import Outcome
from keepalived_py.model.network import VirtualAddress
from keepalived_py.system.gate import LEFTOVERS, NftGate, clear_leftovers, open_gate
from keepalived_py.system.lifetime_gate import LifetimeGate

# Asking a kernel for tables would load the module that has them: who has not got it has no tables.
_MODULE = "/sys/module/nf_tables"


class GateAtNeed:
    """See `election.ports.GatePort`; it is opened by the first `guard`, or by `open`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._gate: NftGate | LifetimeGate | None = None
        self._opening = asyncio.Lock()
        self._settled = False

    @property
    def works(self) -> bool:
        """Whether the kernel ends times by itself; not before it was opened."""
        return self._gate is not None and self._gate.works

    async def open(self) -> NftGate | LifetimeGate:
        """Make the tables, if there are none."""
        async with self._opening:
            if self._gate is None:
                self._gate = await open_gate(self._say)
                if self._settled:
                    self._gate.release(LEFTOVERS)
            return self._gate

    async def settled(self) -> None:
        """What an earlier life left on this machine is gone."""
        async with self._opening:
            self._settled = True
            if self._gate is not None:
                self._gate.release(LEFTOVERS)
                return
            if os.path.isdir(_MODULE):
                error = await asyncio.to_thread(clear_leftovers)
                if error:
                    self._say(f"gate: the tables of an earlier life stay: {os.strerror(error)}")

    async def guard(self, owner: str, addresses: Sequence[VirtualAddress], until: Micros) -> Outcome:
        """From now on exactly these addresses are `owner`'s; they pass until `until`, and then no more."""
        gate = self._gate if self._gate is not None else await self.open()
        return await gate.guard(owner, addresses, until)

    def extend(self, owner: str, until: Micros) -> None:
        """They pass until `until`."""
        if self._gate is not None:
            self._gate.extend(owner, until)

    def shut(self, owner: str) -> None:
        """They do not pass any more."""
        if self._gate is not None:
            self._gate.shut(owner)

    def release(self, owner: str) -> None:
        """They are not on this machine any more."""
        if self._gate is not None:
            self._gate.release(owner)

    async def close(self, release: bool) -> None:
        """Give everything back; without `release` what is guarded runs out and stays shut."""
        if self._gate is not None:
            await self._gate.close(release)
            self._gate = None
