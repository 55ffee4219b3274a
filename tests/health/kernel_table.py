"""A machine for the shell of virtual servers: a strict kernel table, servers that are up or not, virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from keepalived_py.base.clock import Micros
from keepalived_py.health.ports import Machine
from keepalived_py.health.shell import Shell
from keepalived_py.model.check_events import CheckResult, Ending, SendAlert, StartCheck
from keepalived_py.model.config import Command, Configuration
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome, RunCheck
from keepalived_py.model.events import FileRead, ScriptFinished
from keepalived_py.model.globals import LvsTimeouts
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    EditDestination,
    EditService,
    FlushTable,
    IpvsChange,
    Service,
)
from tests.config.server_texts import SECURE, read
from tests.virtual_loop import VirtualLoop

ENOENT = 2


class Table:
    """The kernel's table; `made` counts what had to be done with it."""

    def __init__(self) -> None:
        self.services: dict[Service, dict[Destination, int]] = {}
        self.made: list[IpvsChange] = []

    def apply(self, changes: Sequence[IpvsChange]) -> Sequence[Outcome]:
        self.made += changes
        return [self._apply(change) for change in changes]

    def _apply(self, change: IpvsChange) -> Outcome:
        match change:
            case AddService(service, _):
                if service in self.services:
                    return AlreadySo()
                self.services[service] = {}
            case EditService(service, _):
                return Done() if service in self.services else Failed(ENOENT)
            case DeleteService(service):
                return Done() if self.services.pop(service, None) is not None else AlreadySo()
            case AddDestination(service, server, settings):
                if server in self.services[service]:
                    return AlreadySo()
                self.services[service][server] = settings.weight
            case EditDestination(service, server, settings):
                if server not in self.services[service]:
                    return Failed(ENOENT)
                self.services[service][server] = settings.weight
            case DeleteDestination(service, server):
                return Done() if self.services[service].pop(server, None) is not None else AlreadySo()
            case FlushTable():
                self.services.clear()
        return Done()

    def timeouts(self) -> LvsTimeouts:
        return LvsTimeouts(900, 120, 300)

    def close(self) -> None:
        return

    def shown(self) -> dict[str, dict[str, int]]:
        """Services and the weights of their servers, in words."""
        return {
            str(service): {str(server): weight for server, weight in servers.items()}
            for service, servers in self.services.items()
        }


class Scene:
    """A shell with everything it needs; `dead`: addresses that answer no check."""

    def __init__(self, tmp_path: Path) -> None:
        self.loop = VirtualLoop()
        self._tmp_path = tmp_path
        self.table = Table()
        self.dead: set[str] = set()
        self.asked: list[tuple[float, str]] = []
        self.lines: list[str] = []
        self.scripts: list[str] = []
        self.fifo: list[str] = []
        self.mails: list[SendAlert] = []
        self.exits: dict[str, int] = {}
        self.took_s = 0.1
        self.running = 0
        machine = Machine(
            ipvs=self.table,
            probes=self,
            programs=self,
            fifos=_Pipes(self.fifo),
            mail=_Mails(self.mails),
            log=self,
            now=lambda: Micros(round(self.loop.time() * 1_000_000)),
            chance=lambda: 0.0,
        )
        self.shell = Shell(machine)

    # what the shell uses

    def info(self, text: str) -> None:
        self.lines.append(text)

    def detail(self, text: str) -> None:
        self.lines.append(text)

    async def run(self, order: StartCheck) -> CheckResult:
        self.asked.append((round(self.loop.time(), 1), order.label))
        self.running += 1
        try:
            await asyncio.sleep(self.took_s)
        finally:
            self.running -= 1
        if str(order.target.address) in self.dead:
            return CheckResult(False, Ending.REFUSED, text="connection refused")
        return CheckResult(True, text="connected")

    def follow(self, configuration: Configuration) -> None:
        return

    def notify(self, command: Command) -> int:
        self.scripts.append(str(command))
        return 0

    def check(self, check: RunCheck) -> int:
        status = self.exits.get(str(check.command), 0)
        ended = ScriptFinished(check.name, status)
        self.loop.call_later(self.took_s, self.shell.program_ended, ended)
        return 0

    async def finish(self, limit_s: float) -> None:
        return

    # what a test does

    def configuration(self, text: str) -> Configuration:
        loaded = read(self._tmp_path, SECURE + text)
        assert loaded.start_exit_code is None, loaded.diagnostics
        return loaded.configuration

    def do(self, work: Callable[[], object]) -> None:
        async def turn() -> None:
            work()

        self.loop.run_until_complete(turn())

    def start(self, text: str, files: Sequence[FileRead] = ()) -> None:
        self.do(lambda: self.shell.start(self.configuration(text), files))

    def reload(self, text: str) -> None:
        self.do(lambda: self.shell.replace(self.configuration(text), ()))

    def after(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def weights(self, service: str = "10.0.0.1:tcp:80") -> dict[str, int]:
        return self.table.shown()[service]


class _Pipes:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def write(self, line: str) -> None:
        self.lines.append(line)

    def follow(self, configuration: Configuration) -> None:
        return

    def close(self) -> None:
        return


class _Mails:
    def __init__(self, sent: list[SendAlert]) -> None:
        self.sent = sent

    def send(self, alert: SendAlert) -> None:
        self.sent.append(alert)

    def follow(self, configuration: Configuration) -> None:
        return

    async def finish(self, limit_s: float) -> None:
        return
