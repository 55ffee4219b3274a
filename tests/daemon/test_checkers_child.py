"""The process of the virtual servers as the parent sees it, with a kernel that takes everything."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.base.record import replace
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import checkers_child
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.health.orders import Places
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Done, Outcome
from keepalived_py.model.globals import LvsTimeouts
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.model.ipvs import IpvsChange, Table
from tests.config.server_texts import SECURE, read

FORK = multiprocessing.get_context("fork")
TEXT = """virtual_server 127.0.0.1 80 {{
delay_loop 60
protocol TCP
{lines}
real_server 127.0.0.2 80 {{
weight {weight}
SSL_GET {{
url {{
path /
status_code 200
}}
}}
}}
}}
"""


class Kernel:
    """A table that writes down, in a file, what is asked of it."""

    def __init__(self, asked: Path) -> None:
        self._asked = asked

    def open(self, namespace: str | None) -> None:
        """It is always open."""

    def apply(self, changes: Sequence[IpvsChange]) -> Sequence[Outcome]:
        with self._asked.open("a") as file:
            file.writelines(f"{type(change).__name__}\n" for change in changes)
        return [Done() for _ in changes]

    def timeouts(self) -> LvsTimeouts:
        return LvsTimeouts()

    async def read(self) -> Table:
        return {}

    def close(self) -> None:
        """Nothing to give back."""


class Child:
    """A running process, what it has said, and what it has asked of the kernel."""

    def __init__(self, directory: Path, begun: Configuration, *, address_monitoring: bool) -> None:
        self._asked, self._said = directory / "asked", directory / "said"
        self._asked.touch()
        self.channel, theirs = channels.pair()
        self.log_descriptor = os.open(self._said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        log = Log(LogSettings(console=True, syslog=False, detail=1), console_fd=self.log_descriptor)
        self._settings = ChildSettings(log, "", address_monitoring=address_monitoring)
        self.process = FORK.Process(target=self._main, args=(begun, theirs))
        self.process.start()
        theirs.close()
        self.channel.settimeout(10)
        self._inbox = channels.Inbox()

    def _main(self, begun: Configuration, channel: socket.socket) -> None:
        self.channel.close()
        os._exit(checkers_child.run_child(begun, self._settings, channel))

    def await_ready(self) -> None:
        while True:
            messages = channels.receive(self.channel, self._inbox)
            assert messages is not None, self.said()
            if any(message.kind is channels.Kind.READY for message in messages):
                return

    def reload(self, configuration: Configuration) -> None:
        channels.send(self.channel, channels.Kind.RELOAD, configuration)
        self.await_ready()

    def stop(self) -> int | None:
        channels.send(self.channel, channels.Kind.STOP)
        self.process.join(10)
        return self.process.exitcode

    def asked(self) -> list[str]:
        return self._asked.read_text().split()

    def said(self) -> str:
        return self._said.read_text()


Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    begun: list[Child] = []
    monkeypatch.setattr(checkers_child, "IpvsAtNeed", lambda: Kernel(tmp_path / "asked"))
    own = Places(str(tmp_path / "run"), str(tmp_path / "state"))
    monkeypatch.setattr(checkers_child, "places", lambda general, namespace: own)

    def start_one(configuration: Configuration, *, address_monitoring: bool = False) -> Child:
        child = Child(tmp_path, configuration, address_monitoring=address_monitoring)
        begun.append(child)
        child.await_ready()
        return child

    yield start_one
    for child in begun:
        child.channel.close()
        child.process.join(10)
        child.process.kill()
        os.close(child.log_descriptor)


def configuration(tmp_path: Path, weight: int = 1, lines: str = "") -> Configuration:
    return read(tmp_path, SECURE + TEXT.format(weight=weight, lines=lines)).configuration


def test_a_reload_that_cannot_work_leaves_everything_as_it_was(start: Start, tmp_path: Path) -> None:
    child = start(configuration(tmp_path))
    before = child.asked()
    assert before == ["AddService", "AddDestination"]
    absent = SslSettings(certificate=str(tmp_path / "none"), key=str(tmp_path / "none"))
    child.reload(replace(configuration(tmp_path, 2), ssl=absent))
    assert "The virtual servers stay as they were before the reload" in child.said()
    assert child.asked() == before
    child.reload(configuration(tmp_path, 3))
    assert child.asked() == [*before, "EditDestination"]
    assert child.stop() == 0
    assert child.asked()[-2:] == ["EditDestination", "DeleteService"]


def test_addresses_are_told_of_when_asked_to(start: Start, tmp_path: Path) -> None:
    child = start(configuration(tmp_path), address_monitoring=True)
    assert "Netlink reflector reports IP 127.0.0.1 added\n" in child.said()
    assert child.stop() == 0


def test_addresses_are_not_told_of_otherwise(start: Start, tmp_path: Path) -> None:
    child = start(configuration(tmp_path, lines="ha_suspend"))
    assert "Registering Kernel netlink reflector" in child.said()
    assert "reports IP" not in child.said()
    assert child.stop() == 0
