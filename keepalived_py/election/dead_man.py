"""The dead man's switch of VRRP: a MASTER that sends no adverts loses its addresses by itself.

A MASTER whose process is stopped or starved keeps its addresses, while a BACKUP that hears no
adverts takes them too.  With `dead_man` the kernel lets packets of the addresses pass only for
so long after an advert as no BACKUP may have taken over: `down_timer_adverts` intervals (a
BACKUP also waits its skew time, RFC 9568 section 6.1), less a hundredth for clocks that do not
run alike.  A BACKUP is taken to count three adverts at most, whatever is configured here.
Every advert that was sent extends the time, counted from before it was sent.

An instance that waits for a single advert cannot be served: its time would end before the
next advert is due.

The gate helps and is no condition: a MASTER whose gate is refused takes its addresses all the
same, as without one.  What it guards is given back when the addresses are off the machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from os import strerror
from typing import NamedTuple

from keepalived_py.base.clock import MILLISECOND, Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.core.holder.holding import all_addresses
from keepalived_py.election.ports import GatePort, KernelPort
from keepalived_py.model import effects as fx
from keepalived_py.model.config import Configuration, Election, Instance, VirtualAddress

_COUNTED_ADVERTS = 3
_LEAST_ADVERTS = 2
_DRIFT = 100


def trusted_for(settings: Instance) -> Micros:
    """How long after an advert of `settings` no BACKUP has taken over, in microseconds."""
    adverts = min(settings.down_timer_adverts, _COUNTED_ADVERTS)
    time = adverts * settings.advert_interval_us
    return Micros(time - max(MILLISECOND, time // _DRIFT))


class _Guard(NamedTuple):
    """What is guarded for an instance, and what becomes of that."""

    addresses: tuple[VirtualAddress, ...]
    outcome: asyncio.Task[fx.Outcome]


class DeadMan:
    """Guards what instances with `dead_man` hold.  `now_boottime` is the gate's clock; `say` gets lines.

    Use it inside a running loop.
    """

    def __init__(
        self, gate: GatePort, now_boottime: Callable[[], Micros], say: Callable[[str], None]
    ) -> None:
        self._gate = gate
        self.now = now_boottime
        self._say = say
        self._instances: dict[InstanceName, Instance] = {}
        self._guards: dict[InstanceName, _Guard] = {}
        self._held: dict[InstanceName, set[VirtualAddress]] = {}
        self._failed: set[InstanceName] = set()

    @property
    def needed(self) -> bool:
        """Whether any instance is to be guarded."""
        return bool(self._instances)

    def follow(self, configuration: Configuration) -> None:
        """From now on `configuration` holds; what is not to be guarded any more passes again."""
        wanted = {
            instance.name: instance
            for instance in configuration.instances
            if instance.dead_man and instance.election is Election.VRRP
        }
        for name, instance in list(wanted.items()):
            if instance.down_timer_adverts < _LEAST_ADVERTS:
                del wanted[name]
                self._say(
                    f"({name}) dead_man needs down_timer_adverts of at least {_LEAST_ADVERTS}: left off"
                )
        for name in [name for name in self._guards if name not in wanted]:
            self.left(name)
        self._instances = wanted

    def taking(self, instance: InstanceName) -> Awaitable[fx.Outcome]:
        """Guard everything the instance has; await this before its addresses are put on."""
        settings = self._instances.get(instance)
        if settings is None:
            return _at_once()
        guard = self._guards.get(instance)
        addresses = all_addresses(settings)
        if guard is None or guard.addresses != addresses:
            outcome = asyncio.get_running_loop().create_task(self._guard(settings, addresses))
            self._guards[instance] = guard = _Guard(addresses, outcome)
        return asyncio.shield(guard.outcome)

    async def _guard(self, settings: Instance, addresses: tuple[VirtualAddress, ...]) -> fx.Outcome:
        name = settings.name
        outcome = await self._gate.guard(name, addresses, Micros(self.now() + trusted_for(settings)))
        if not isinstance(outcome, fx.Failed):
            self._failed.discard(name)
            return outcome
        if name not in self._failed:
            self._failed.add(name)
            self._say(f"({name}) dead_man: the gate could not be set up ({strerror(outcome.errno)})")
        guard = self._guards.get(name)
        if guard is not None and guard.outcome is asyncio.current_task():
            # The next advert tries again.
            del self._guards[name]
        return outcome

    def sent(self, settings: Instance, at: Micros) -> None:
        """An advert with a priority was sent; `at`: CLOCK_BOOTTIME from before that, in microseconds."""
        own = self._instances.get(settings.name)
        if own is None:
            return
        guard = self._guards.get(own.name)
        if guard is None or guard.addresses != all_addresses(own):
            # Also a MASTER that a reload gave other addresses, or the switch.
            self.taking(own.name)
        else:
            self._gate.extend(own.name, Micros(at + trusted_for(own)))

    def left(self, instance: InstanceName) -> None:
        """The addresses of the instance are off the machine, or nobody wants them guarded."""
        guard = self._guards.pop(instance, None)
        if guard is not None:
            # What has not begun yet would come after it.
            guard.outcome.add_done_callback(partial(self._release, instance))

    def _release(self, instance: InstanceName, ended: "asyncio.Task[fx.Outcome]") -> None:
        if instance not in self._guards:
            self._gate.release(instance)

    def kernel(self, kernel: KernelPort) -> KernelPort:
        """`kernel`, but what it adds is guarded before, and given back after it was deleted."""
        return _GuardedKernel(kernel, self)

    def noted(self, changes: Sequence[fx.KernelChange], outcomes: Sequence[fx.Outcome]) -> None:
        """The kernel's tables were changed so."""
        deleted: dict[InstanceName, None] = {}
        for change, outcome in zip(changes, outcomes, strict=True):
            if not isinstance(outcome, fx.Done | fx.AlreadySo):
                continue
            if isinstance(change, fx.AddAddress):
                self._held.setdefault(change.instance, set()).add(change.address)
            elif isinstance(change, fx.DeleteAddress):
                self._held.setdefault(change.instance, set()).discard(change.address)
                deleted[change.instance] = None
        for instance in deleted:
            if not self._held[instance]:
                del self._held[instance]
                self.left(instance)

    async def taken(self, changes: Sequence[fx.KernelChange]) -> None:
        """Wait until everything that `changes` add is guarded, as far as it is to be."""
        owners = dict.fromkeys(change.instance for change in changes if isinstance(change, fx.AddAddress))
        guards = [self.taking(owner) for owner in owners if owner in self._instances]
        if guards:
            await asyncio.gather(*guards)


async def _at_once() -> fx.Outcome:
    return fx.AlreadySo()


class _GuardedKernel:
    """See `DeadMan.kernel`."""

    def __init__(self, kernel: KernelPort, dead_man: DeadMan) -> None:
        self._kernel = kernel
        self._dead_man = dead_man

    def apply(self, changes: Sequence[fx.KernelChange]) -> Awaitable[Sequence[fx.Outcome]]:
        if not self._dead_man.needed:
            return self._kernel.apply(changes)
        return self._guarded(changes)

    async def _guarded(self, changes: Sequence[fx.KernelChange]) -> Sequence[fx.Outcome]:
        await self._dead_man.taken(changes)
        outcomes = await self._kernel.apply(changes)
        self._dead_man.noted(changes, outcomes)
        return outcomes
