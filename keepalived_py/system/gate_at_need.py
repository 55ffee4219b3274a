"""A gate that is opened when somebody needs it, and not before.

Most machines need none, and must not get a table in their packet filter for it.  A
reload may ask for one at any time.

What an earlier life left behind is kept shut from the moment the gate opens until
`settled` says that the addresses of that life are off the machine.  If nobody has
needed the gate by then, the tables of dead lives are removed.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.model.effects import Outcome
from keepalived_py.model.network import VirtualAddress
from keepalived_py.system.gate import NftGate, clear_leftovers, open_gate
from keepalived_py.system.lifetime_gate import LifetimeGate

_LOADED = "/sys/module/nf_tables"
_MODULES = "/lib/modules"


class GateAtNeed:
    """See `election.ports.GatePort`; it is opened by the first `guard`, or by `open`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._gate: NftGate | LifetimeGate | None = None
        self._opening = asyncio.Lock()
        self._present: frozenset[bytes] | None = None

    @property
    def works(self) -> bool:
        """Whether the kernel ends times by itself; not before it was opened."""
        return self._gate is not None and self._gate.works

    async def open(self) -> NftGate | LifetimeGate:
        """Make the tables, if there are none."""
        async with self._opening:
            if self._gate is None:
                self._gate = await open_gate(self._say)
                self._tidy()
            return self._gate

    async def settled(self, present: Iterable[Address]) -> None:
        """What an earlier life left on this machine is gone, but for addresses that are `present`."""
        async with self._opening:
            self._present = frozenset(address.packed for address in present)
            if self._gate is not None:
                self._tidy()
                return
            error, kept = await asyncio.to_thread(_clear, self._present)
            self._say_kept(kept)
            if error:
                self._say(f"gate: the tables of an earlier life stay: {os.strerror(error)}")

    def _tidy(self) -> None:
        if isinstance(self._gate, NftGate) and self._present is not None:
            self._gate.settled(self._present, self._say_kept)

    def _say_kept(self, count: int) -> None:
        if count:
            self._say(
                f"gate: {count} of the addresses that an earlier life held are still on this machine, and no"
                " instance here has them: they stay shut, another machine may hold them.  `nft list ruleset`"
                " shows them; remove them (ip address del), and restart"
            )

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


def _clear(present: frozenset[bytes]) -> tuple[int, int]:
    return clear_leftovers(present) if may_ask() else (0, 0)


def may_ask(loaded: str = _LOADED, modules: str = _MODULES) -> bool:
    """Whether asking for tables loads no module: it is loaded, or the kernel has none for it.

    Who has not loaded it has no tables.  A kernel that has it built in shows nothing in /sys/module.
    """
    if os.path.isdir(loaded):
        return True
    try:
        with open(os.path.join(modules, os.uname().release, "modules.dep"), encoding="utf-8") as known:
            return not any("/nf_tables.ko" in line.partition(":")[0] for line in known)
    except (OSError, UnicodeError):
        return True
