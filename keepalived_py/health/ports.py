"""What the shell of virtual servers asks of this machine; tests put recorders in their places.

Nothing here raises for a kernel, a server or a program that refuses.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keepalived_py.base.clock import Micros
from keepalived_py.model import effects as fx
from keepalived_py.model.check_events import CheckResult, SendAlert, StartCheck
from keepalived_py.model.config import Command, Configuration
from keepalived_py.model.globals import LvsTimeouts
from keepalived_py.model.ipvs import IpvsChange


class LogPort(Protocol):
    """Where log lines go."""

    def info(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


class IpvsPort(Protocol):
    """The kernel's table.  Each call waits for the kernel, some ten microseconds for each change."""

    def apply(self, changes: Sequence[IpvsChange]) -> Sequence[fx.Outcome]:
        """Make the changes in this order; an outcome for each.  One that fails does not stop the others."""
        ...

    def timeouts(self) -> LvsTimeouts:
        """The time-outs that are in force; raises OSError."""
        ...

    def close(self) -> None: ...


class ProbesPort(Protocol):
    """Runs one check over the network to its end; never raises, but for being cancelled."""

    def run(self, order: StartCheck) -> Awaitable[CheckResult]: ...

    def follow(self, configuration: Configuration) -> None:
        """From now on use this configuration's TLS settings."""
        ...


class ProgramsPort(Protocol):
    """Notify scripts and the programs of MISC_CHECK (`system.processes.Runner`)."""

    def notify(self, command: Command) -> int: ...

    def check(self, check: fx.RunCheck) -> int: ...

    async def finish(self, limit_s: float) -> None: ...


class FifosPort(Protocol):
    """The notify pipes; a line that nobody has room for is lost, never waited for."""

    def write(self, line: str) -> None: ...

    def follow(self, configuration: Configuration) -> None: ...

    def close(self) -> None: ...


class MailPort(Protocol):
    """Sends alerts, each over a connection of its own; nobody waits for them."""

    def send(self, alert: SendAlert) -> None: ...

    def follow(self, configuration: Configuration) -> None: ...

    async def finish(self, limit_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts of this machine that the shell works on.  `now` is monotonic; `chance()` is in [0, 1)."""

    ipvs: IpvsPort
    probes: ProbesPort
    programs: ProgramsPort
    fifos: FifosPort
    mail: MailPort
    log: LogPort
    now: Callable[[], Micros]
    chance: Callable[[], float]
