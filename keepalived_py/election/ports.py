"""What the shell of an election back-end asks of this machine.

Each port is one small thing that `system` offers, and that tests replace by a
recorder.  Whatever may take long is awaited; what returns at once returns an
errno or an outcome.  Nothing here raises for a kernel that refuses.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.model import effects as fx
from keepalived_py.model.config import Command, Configuration, Instance, VirtualAddress
from keepalived_py.model.interfaces import Device


class LogPort(Protocol):
    """Where log lines go."""

    def info(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


class KernelPort(Protocol):
    """The kernel's tables of addresses, routes and rules."""

    def apply(self, changes: Sequence[fx.KernelChange]) -> Awaitable[Sequence[fx.Outcome]]: ...


class ScriptsPort(Protocol):
    """The process runner; ended checks come back through `VrrpShell.feed`."""

    def notify(self, command: Command) -> int: ...

    def check(self, check: fx.RunCheck) -> int: ...

    async def finish(self, limit_s: float) -> None: ...


class NeighbourPort(Protocol):
    """Sends Ethernet frames, one or several with their interfaces; 0 or an errno for each."""

    def send(self, interface_index: int, frame: bytes) -> int: ...

    def send_many(self, frames: Sequence[tuple[int, bytes]]) -> Sequence[int]: ...


class FirewallPort(Protocol):
    """Drops what goes to and comes from addresses that are not accepted.

    To ask twice is to ask once; an address is open again when every owner has taken it back.
    """

    async def block(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> fx.Outcome: ...

    async def unblock(self, owner: InstanceName, addresses: Sequence[VirtualAddress]) -> fx.Outcome: ...


class DevicesPort(Protocol):
    """Makes the interfaces that instances live on."""

    async def create(self, device: Device) -> fx.Outcome: ...


class ProbesPort(Protocol):
    """Connects to ports; the outcome comes back through `VrrpShell.feed` as `ScriptFinished`."""

    def connect(self, probe: fx.RunProbe) -> None: ...
    def close(self) -> None: ...


class ServersPort(Protocol):
    """Makes health checks of servers; the outcome comes back through `VrrpShell.feed` as `ScriptFinished`."""

    def ask(self, order: fx.AskServer) -> None: ...


class GatePort(Protocol):
    """The kernel lets packets of guarded addresses pass only while their owner's time runs.

    Times are on CLOCK_BOOTTIME.  Nothing here waits for the kernel except what is awaited; calls of
    one owner take effect in their order.  `works`: the kernel ends the time by itself, to the millisecond.
    """

    @property
    def works(self) -> bool: ...

    async def guard(self, owner: str, addresses: Sequence[VirtualAddress], until: Micros) -> fx.Outcome:
        """From now on the addresses pass until `until`, and then no more; awaited before they are taken."""
        ...

    def extend(self, owner: str, until: Micros) -> None:
        """They pass until `until`.  Nothing happens for an owner that does not guard anything."""
        ...

    def shut(self, owner: str) -> None:
        """They do not pass any more."""
        ...

    def release(self, owner: str) -> None:
        """The addresses are not on this machine any more: what passes is nobody's business here."""
        ...

    async def close(self, release: bool) -> None:
        """Give everything back; without `release` what is guarded stays so, and runs out."""
        ...


class DeadManPort(Protocol):
    """Guards what instances with `dead_man` hold; it is told of each advert that was sent.

    Times are on CLOCK_BOOTTIME; `needed` is False while no instance has it.
    """

    @property
    def needed(self) -> bool: ...

    def now(self) -> Micros: ...

    def sent(self, settings: Instance, at: Micros) -> None: ...


class FifosPort(Protocol):
    """The notify pipes; a line that nobody has room for is lost, never waited for."""

    def write(self, line: str) -> None: ...

    def follow(self, configuration: Configuration) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of this machine that the shell works on.  `now` is monotonic, `wall_clock_s` is UTC."""

    kernel: KernelPort
    scripts: ScriptsPort
    neighbours: NeighbourPort
    firewall: FirewallPort
    devices: DevicesPort
    fifos: FifosPort
    probes: ProbesPort
    servers: ServersPort
    log: LogPort
    now: Callable[[], Micros]
    wall_clock_s: Callable[[], int]
    dead_man: DeadManPort | None = None
