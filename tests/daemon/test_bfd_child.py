"""The BFD process as the parent sees it: ready, asked again, reloaded, signalled, stopped."""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.base.record import replace
from keepalived_py.daemon import bfd_lines
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.bfd_child import run_child
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.config import Configuration
from tests.system.conftest import ip as ip

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]
FORK = multiprocessing.get_context("fork")


def instance(name: str, last: int, vrrp: bool = True) -> BfdInstance:
    return BfdInstance(name, ip_address(f"127.0.0.{last}"), ttl=255, vrrp=vrrp)


def configuration(*sessions: BfdInstance) -> Configuration:
    return Configuration(bfd_instances=sessions)


class Child:
    """A running BFD process, with the ends of what connects it."""

    def __init__(self, begun: Configuration) -> None:
        self.channel, theirs = channels.pair()
        self.reader, writer = bfd_lines.pair()
        # Little room, so that it is soon full.
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        log = Log(LogSettings(syslog=False))
        self.checkers, checker_writer = bfd_lines.pair()
        settings = ChildSettings(log, "", bfd_events=writer, bfd_checker_events=checker_writer)
        self.process = FORK.Process(target=self._main, args=(begun, settings, theirs))
        self.process.start()
        theirs.close()
        writer.close()
        checker_writer.close()
        self.channel.settimeout(5)
        self._inbox = channels.Inbox()

    def _main(self, begun: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        self.channel.close()
        os._exit(run_child(begun, settings, channel))

    def ready(self) -> None:
        """Wait until it says that it is."""
        kinds: list[channels.Kind] = []
        while not kinds:
            kinds = [message.kind for message in self._inbox.feed(self.channel.recv(4096))]
        assert kinds == [channels.Kind.READY]

    def says(self, *expected: tuple[str, bool], reader: socket.socket | None = None) -> None:
        """Wait until it has said just this of its sessions, to the VRRP process or another reader."""
        said: list[tuple[str, bool]] = []
        end = time.monotonic() + 5
        while len(said) < len(expected) and time.monotonic() < end:
            said += [(line.name, line.up) for line in bfd_lines.receive(reader or self.reader)]
            time.sleep(0.005)
        assert said == list(expected)

    def ended(self) -> int | None:
        self.process.join(5)
        return self.process.exitcode

    def close(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join(5)
        self.channel.close()
        self.reader.close()
        self.checkers.close()


@pytest.fixture
def begin(
    ip: Ip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Configuration], Child]]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made: list[Child] = []

    def make(begun: Configuration) -> Child:
        made.append(Child(begun))
        return made[-1]

    yield make
    for child in made:
        child.close()


Begin = Callable[[Configuration], Child]


def test_tells_its_sessions_whenever_asked(begin: Begin) -> None:
    child = begin(configuration(instance("a", 2), instance("hidden", 3, vrrp=False), instance("b", 4)))
    child.ready()
    child.says(("a", False), ("b", False))
    channels.send(child.channel, channels.Kind.REPORT)
    child.says(("a", False), ("b", False))


def test_each_listener_is_told_of_the_sessions_it_may_track(begin: Begin) -> None:
    """Also while the other one does not read at all, and has no room left."""
    both = [replace(instance(f"both-{number}", number + 2), checker=number == 0) for number in range(60)]
    child = begin(configuration(*both, replace(instance("own", 100), vrrp=False)))
    child.ready()
    child.says(("both-0", False), ("own", False), reader=child.checkers)
    channels.send(child.channel, channels.Kind.REPORT)
    child.says(("both-0", False), ("own", False), reader=child.checkers)


def test_reload(begin: Begin) -> None:
    child = begin(configuration(instance("a", 2)))
    child.ready()
    child.says(("a", False))
    channels.send(child.channel, channels.Kind.RELOAD, configuration(instance("a", 2), instance("c", 5)))
    child.ready()
    child.says(("a", False), ("c", False))


def test_what_finds_no_room_is_said_later(begin: Begin) -> None:
    """Nobody reads for a while: of each session the latest state is kept, and nothing waits for it."""
    names = [f"session-{number}" for number in range(60)]
    child = begin(configuration(*(instance(name, number + 2) for number, name in enumerate(names))))
    child.ready()
    child.says(*((name, False) for name in names))


@pytest.mark.parametrize("how", ["signal", "word", "parent"])
def test_end(begin: Begin, how: str) -> None:
    child = begin(configuration(instance("a", 2)))
    child.ready()
    if how == "signal":
        assert child.process.pid is not None
        os.kill(child.process.pid, signal.SIGTERM)
    elif how == "word":
        channels.send(child.channel, channels.Kind.STOP)
    else:
        child.channel.close()
    assert child.ended() == 0


def test_signals_of_a_terminal_are_the_parents(begin: Begin) -> None:
    child = begin(configuration(instance("a", 2)))
    child.ready()
    assert child.process.pid is not None
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(child.process.pid, number)
    child.says(("a", False))
    channels.send(child.channel, channels.Kind.REPORT)
    child.says(("a", False))


def test_dump_on_signal(begin: Begin, tmp_path: Path) -> None:
    child = begin(configuration(instance("a", 2)))
    child.ready()
    assert child.process.pid is not None
    os.kill(child.process.pid, signal.SIGUSR1)
    file, end = tmp_path / "keepalived_bfd.data", time.monotonic() + 5
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.005)
    assert " BFD Instance = a\n   Neighbor IP = 127.0.0.2\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_nothing_can_be_heard(begin: Begin) -> None:
    """Its port is taken: no use to live on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 3784))
        child = begin(configuration(instance("a", 2)))
        assert child.ended() not in (0, None)
