"""The status process over real sockets: without root, whatever happens to its address."""

import multiprocessing
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from keepalived_py.base.clock import SECOND
from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.base.names import MemberId
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import status_child
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.daemon.kinds import KINDS, STATUS
from keepalived_py.model.cluster import Cluster, Endpoint, Prometheus
from keepalived_py.model.config import Configuration
from keepalived_py.model.raft import RaftCluster, RaftMember
from keepalived_py.status import raft_snapshot
from keepalived_py.status.raft_snapshot import LeaseLine, MemberLine, Snapshot
from keepalived_py.system.state_files import make_directory

FORK = multiprocessing.get_context("fork")
LIMIT_S = 10.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def configuration(directory: Path, port: int | None, host: str = "127.0.0.1") -> Configuration:
    prometheus = Prometheus() if port is None else Prometheus(True, Endpoint(host, port))
    cluster = Cluster("c", "eth0", IPv4Address("10.0.0.100"), SECOND, (), prometheus=prometheus)
    own = RaftMember(MemberId("server1"), Endpoint("10.0.0.1", 20000))
    raft = RaftCluster("c", own.id, (own,), run_directory=str(directory))
    return Configuration(cluster=cluster, raft=raft)


def snapshot() -> Snapshot:
    return Snapshot(
        at=time.time(),
        cluster="c",
        own="server1",
        members=(MemberLine("server1", "10.0.0.1:20000"),),
        leases=(LeaseLine("keep-vip", "server1", True, "leader"),),
        vip="10.0.0.100",
    )


class Child:
    """A running status process and what it logs."""

    def __init__(self, begun: Configuration) -> None:
        self.channel, theirs = channels.pair()
        self.log, writer = os.pipe()
        settings = ChildSettings(Log(LogSettings(syslog=False, console=True), console_fd=writer), "")
        self.process = FORK.Process(target=self._main, args=(begun, settings, theirs))
        self.process.start()
        theirs.close()
        os.close(writer)
        self.channel.settimeout(LIMIT_S)
        self._inbox = channels.Inbox()

    def _main(self, begun: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        self.channel.close()
        os._exit(status_child.run_child(begun, settings, channel))

    def ready(self) -> None:
        kinds: list[channels.Kind] = []
        while not kinds:
            kinds = [message.kind for message in self._inbox.feed(self.channel.recv(4096))]
        assert kinds == [channels.Kind.READY]

    def reload(self, configuration: Configuration) -> None:
        channels.send(self.channel, channels.Kind.RELOAD, configuration)
        self.ready()

    def end(self) -> int | None:
        """Close the channel, as a parent that dies does."""
        self.channel.close()
        self.process.join(LIMIT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(LIMIT_S)
        return self.process.exitcode


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Configuration], Child]]:
    monkeypatch.setattr(status_child, "_TRY_AGAIN_S", 0.05)
    made: list[Child] = []

    def make(begun: Configuration) -> Child:
        made.append(Child(begun))
        return made[-1]

    yield make
    for child in made:
        child.end()
        os.close(child.log)


Begin = Callable[[Configuration], Child]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A run directory that the process can look into when it is nobody."""
    for each in (tmp_path, *tmp_path.parents):
        if each.stat().st_mode & 0o001 == 0:
            each.chmod(0o711)
    made = tmp_path / "run"
    make_directory(str(made))
    return made


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
        return str(answer.read().decode())


def wait_for(port: int) -> str:
    """What is served there, as soon as something is."""
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            return fetch(port)
        except (ConnectionError, urllib.error.URLError):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_metrics_come_from_the_snapshot_as_it_is_now(begin: Begin, directory: Path) -> None:
    port = free_port()
    begin(configuration(directory, port)).ready()
    assert fetch(port) == ""
    raft_snapshot.write(str(directory / raft_snapshot.FILE), snapshot())
    assert 'keep_vip_member_state{keep_vip_cluster="c",server_address="10.0.0.1:20000"' in fetch(port)
    (directory / raft_snapshot.FILE).write_text("nonsense")
    assert fetch(port) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up root")
def test_it_is_nobody(begin: Begin, directory: Path) -> None:
    child = begin(configuration(directory, free_port()))
    child.ready()
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    assert "\nUid:\t65534\t65534\t65534\t65534\n" in status
    assert "\nCapEff:\t0000000000000400\n" in status


def test_a_reload_moves_it(begin: Begin, directory: Path) -> None:
    first, second = free_port(), free_port()
    child = begin(configuration(directory, first))
    child.ready()
    child.reload(configuration(directory, second))
    wait_for(second)
    with pytest.raises(urllib.error.URLError):
        fetch(first)
    child.reload(configuration(directory, second, host=""))
    wait_for(second)
    child.reload(configuration(directory, None))
    end = time.monotonic() + LIMIT_S
    with pytest.raises(OSError):
        while time.monotonic() < end:
            fetch(second)


@pytest.mark.netns
def test_a_reload_moves_it_to_a_port_of_roots(begin: Begin, directory: Path) -> None:
    child = begin(configuration(directory, free_port()))
    child.ready()
    child.reload(configuration(directory, 619, host="127.0.0.77"))
    end = time.monotonic() + LIMIT_S
    while True:
        try:
            socket.create_connection(("127.0.0.77", 619), LIMIT_S).close()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_port_that_is_taken_is_waited_for(begin: Begin, directory: Path) -> None:
    child = begin(configuration(directory, free_port()))
    child.ready()
    assert b"Metrics at " in os.read(child.log, 1000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
        child.reload(configuration(directory, port))
        said = b""
        while not said.endswith(b"Trying again\n"):
            said += os.read(child.log, 1000)
        assert f"Unable to serve metrics at 127.0.0.1:{port}: " in said.decode()
    wait_for(port)
    assert os.read(child.log, 1000).decode().endswith(f"Metrics at http://127.0.0.1:{port}/metrics\n")


def test_it_ends_with_its_parent(begin: Begin, directory: Path) -> None:
    child = begin(configuration(directory, free_port()))
    child.ready()
    assert child.end() == 0


def test_it_is_needed_where_metrics_are_wanted(tmp_path: Path) -> None:
    assert STATUS in KINDS
    assert not STATUS.needed(Configuration())
    assert not STATUS.needed(configuration(tmp_path, None))
    assert STATUS.needed(configuration(tmp_path, 9195))
