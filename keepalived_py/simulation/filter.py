"""The packet filter of one router: who has which address closed, and a kernel that may not agree.

As in the real program one request is carried out after the other, for all instances;
who no longer waits for one does not undo it, so it may come about long after its lane
gave it up.  Who wants what, and what the kernel has, is kept by the very books of the
real program (`system.firewall_claims`).  A kernel that refuses lets nothing in and
nothing go; one that hangs takes seconds, then it does what was asked or refuses it.
"""

import errno
from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from keepalived_py.base.clock import MILLISECOND
from keepalived_py.base.names import Address
from keepalived_py.model.effects import AlreadySo, BlockAddresses, Done, Failed, Outcome, UnblockAddresses
from keepalived_py.simulation.bounds import FILTER_HANGS_US
from keepalived_py.simulation.faults import Trouble
from keepalived_py.simulation.kernel import Kernel
from keepalived_py.system.firewall_claims import Claims

Blocking = BlockAddresses | UnblockAddresses
REFUSALS = (errno.ENOBUFS, errno.EPERM, errno.ENOMEM)


class Shell(Protocol):
    """What the filter needs of the router that it belongs to."""

    kernel: Kernel
    troubles: set[Trouble]

    @property
    def now(self) -> int:
        """Virtual microseconds."""

    @property
    def random(self) -> Random:
        """The run's random stream."""

    def later(self, when: int, work: Callable[[], object]) -> None:
        """Do `work` at `when`, unless the process is dead by then."""


class _Request(NamedTuple):
    change: Blocking
    answered: Callable[[Outcome], object]


class Filter:
    """The filter as one process knows it."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._waiting: deque[_Request] = deque()
        self._claims: Claims[Address] = Claims()

    def clear(self) -> None:
        """The process is dead."""
        self._waiting.clear()
        self._claims.clear()

    def ask(self, change: Blocking, answered: Callable[[Outcome], object]) -> None:
        """Carry out `change` after all that was asked before."""
        self._waiting.append(_Request(change, answered))
        if len(self._waiting) == 1:
            self._begin()

    def _begin(self) -> None:
        shell = self._shell
        longest = 3 * MILLISECOND
        if Trouble.SLOW_KERNEL in shell.troubles:
            longest = 400 * MILLISECOND
        if Trouble.FILTER_HANGS in shell.troubles:
            longest = FILTER_HANGS_US
        shell.later(shell.now + shell.random.randint(1, longest), self._finish)

    def _finish(self) -> None:
        change, answered = self._waiting[0]
        outcome = self._carry_out(change)
        self._waiting.popleft()
        if self._waiting:
            self._begin()
        answered(outcome)

    def _carry_out(self, change: Blocking) -> Outcome:
        claims, addresses = self._claims, [virtual.address for virtual in change.addresses]
        if isinstance(change, UnblockAddresses):
            for address in addresses:
                claims.give_up((change.instance, address))
            return self._sweep()
        lacking = claims.lacking(addresses)
        if lacking and (refusal := self._refusal()) is not None:
            return refusal
        self._shell.kernel.blocked.update(lacking)
        claims.came(lacking)
        for address in addresses:
            claims.make((change.instance, address), (address,))
        self._sweep()
        return Done() if lacking else AlreadySo()

    def _sweep(self) -> Outcome:
        spare = self._claims.spare
        if not spare:
            return AlreadySo()
        if (refusal := self._refusal()) is not None:
            return refusal
        self._shell.kernel.blocked.difference_update(spare)
        self._claims.went(spare)
        return Done()

    def _refusal(self) -> Failed | None:
        shell = self._shell
        hung = Trouble.FILTER_HANGS in shell.troubles and shell.random.random() < 0.5
        if hung or Trouble.FILTER_REFUSES in shell.troubles:
            return Failed(shell.random.choice(REFUSALS))
        return None
