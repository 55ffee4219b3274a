"""`keepalived-py rs` as an administrator calls it, beside a real desk in another thread."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.cli import rs_command
from keepalived_py.cli.main import main
from keepalived_py.health.order_desk import OrderDesk
from keepalived_py.health.orders import Places
from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.ipvs import Destination, DestinationEntry, DestinationSettings, ServiceEntry, Table
from keepalived_py.model.virtual_server import RealServer
from tests.health.view_bench import Bench, at, checking, real

LIMIT_S = 10.0
RESULT = CheckResult(False, code=503, text="503 Service Unavailable", took_us=1500)  # type: ignore[arg-type]
TWO = at("10.5.0.1", real("10.5.0.11", weight=5), real("10.5.0.12", weight=5))
LONG = at("10.5.0.2", *(RealServer(ip_address("10.6.0.0") + number, 80) for number in range(700)))


class Log:
    def info(self, text: str) -> None:
        pass

    detail = info


class Daemon:
    """A desk that serves; `active` connections are told of, None: the kernel's table cannot be read."""

    def __init__(self, directory: Path, bench: Bench) -> None:
        self.bench = bench
        self.active: Callable[[], int | None] = lambda: 3
        self.places = Places(str(directory / "run"), str(directory / "lib"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._run(self._open())

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    async def _open(self) -> None:
        self.desk = OrderDesk(Log(), self.places, self._view, self._table, self._ordered)
        self.desk.open()

    def _view(self) -> Any:
        self.bench.orders = self.desk.orders
        return self.bench.view()

    def _ordered(self, virtual: int, server: int) -> None:
        self.bench.orders = self.desk.orders
        self.bench.carry_out(virtual, server)

    async def _table(self) -> Table:
        active = self.active()
        if active is None:
            raise OSError(1, "Operation not permitted")
        entry = DestinationEntry(DestinationSettings(), active=active, inactive=1)
        there = {Destination(ip_address("10.5.0.11"), 80): entry}
        return {self.bench.pools[0].services[0]: ServiceEntry(None, there)}  # type: ignore[arg-type]

    def close(self) -> None:
        self._run(self.desk.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path, Bench(TWO, LONG, checks=[checking(RESULT, 3_000_000, up=False)]))
    yield made
    made.close()


class Called:
    """What the command printed, and how it ended."""

    def __init__(self, daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
        self._daemon, self._capsys = daemon, capsys
        self.code = 0
        self.out = self.err = ""

    def __call__(self, *words: str) -> str:
        try:
            self.code = main(["rs", *words, "--run-directory", self._daemon.places.run_directory])
        except SystemExit as ended:
            self.code = int(str(ended.code))
        self.out, self.err = self._capsys.readouterr()
        return self.out


@pytest.fixture
def rs(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> Called:
    return Called(daemon, capsys)


def test_list(rs: Called) -> None:
    assert rs("list", "10.5.0.1").splitlines() == [
        "[10.5.0.1]:tcp:80  up, quorum 1",
        "  [10.5.0.11]:tcp:80  up    weight 5, 3 active, 1 inactive",
        "      TCP_CHECK  failed  503 Service Unavailable  in 1.5 ms  2.0 s ago",
        "  [10.5.0.12]:tcp:80  up    weight 5, 0 active, 0 inactive",
        "      TCP_CHECK  failed  503 Service Unavailable  in 1.5 ms  2.0 s ago",
    ]
    assert rs.code == 0


def test_a_long_list_is_complete(rs: Called) -> None:
    names = [line.split()[0] for line in rs("list").splitlines() if line.startswith("  [")]
    assert len(set(names)) == len(names) == 702


def test_list_as_json(rs: Called) -> None:
    (virtual,) = json.loads(rs("list", "10.5.0.1", "10.5.0.12", "--json"))
    assert [server["name"] for server in virtual["servers"]] == ["[10.5.0.12]:tcp:80"]
    assert virtual["servers"][0]["checks"][0]["code"] == 503
    assert len(json.loads(rs("list", "--json"))) == 2


def test_orders(rs: Called, daemon: Daemon) -> None:
    expected = (
        "[10.5.0.12]:tcp:80 of [10.5.0.1]:tcp:80: up    weight 0 (configured 5), drained until changed\n"
    )
    assert rs("drain", "10.5.0.1:80", "10.5.0.12:80", "--persist") == expected
    assert "up    weight 7 (configured 5), weight ordered until reload" in rs(
        "weight", "10.5.0.1 80", "10.5.0.12 80", "7"
    )
    assert daemon.bench.pools[0].servers[1].weight == 7
    assert rs("enable", "10.5.0.1", "10.5.0.12").endswith(": up    weight 5\n")
    assert (rs.code, rs.err) == (0, "")


def test_a_lost_quorum_is_told(rs: Called) -> None:
    rs("drain", "10.5.0.1", "10.5.0.12")
    assert rs("drain", "10.5.0.1", "10.5.0.11").splitlines()[1:] == [
        "[10.5.0.1]:tcp:80 has lost its quorum by this (1)"
    ]


def test_waiting_until_connections_have_ended(rs: Called, daemon: Daemon) -> None:
    left = [3, 2, 1]
    daemon.active = lambda: left.pop() if left else 0
    assert rs("drain", "10.5.0.1", "10.5.0.11", "--wait", "30").splitlines()[-1] == "No connection is active"
    assert rs.code == 0


def test_waiting_in_vain(rs: Called, daemon: Daemon) -> None:
    rs("drain", "10.5.0.1", "10.5.0.11", "--wait", "0.01")
    assert (rs.code, rs.err) == (1, "3 connections are active after 0.01 s. The order stands\n")
    daemon.active = lambda: None
    rs("drain", "10.5.0.1", "10.5.0.11", "--wait", "30")
    assert (rs.code, "cannot read the IPVS table" in rs.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("drain", "10.9.9.9", "x"), "No virtual server is called 10.9.9.9; there are [10.5.0.1]:tcp:80"),
        (("list", "10.9.9.9"), "No virtual server is called 10.9.9.9; there are [10.5.0.1]:tcp:80"),
        (("list", "10.5.0.1", "10.9.9.9"), "No real server is called 10.9.9.9"),
        (("enable", "10.5.0", "x"), "10.5.0 may mean 2 virtual servers"),
        (("weight", "10.5.0.1", "10.5.0.12", "70000"), "70000 is not a weight from 0 to 65535"),
        (("drain", "10.5.0.1"), "the following arguments are required: RS"),
        (("enable", "10.5.0.1", "10.5.0.12", "--persist"), "unrecognized arguments: --persist"),
        (("shoot",), "invalid choice: 'shoot'"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], error: str, rs: Called) -> None:
    rs(*words)
    assert rs.code == 1
    assert error in rs.err


def test_an_order_that_cannot_be_written(rs: Called, tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("in the way")
    assert "weight 0" in rs("drain", "10.5.0.1", "10.5.0.12", "--persist")
    assert rs.code == 1
    assert "The order stands, but only until reload: it could not be written to" in rs.err


# Where the daemon is ----------------------------------------------------------------------


def test_the_only_daemon_is_found(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rs_command, "RUN_ROOT", str(tmp_path))
    assert main(["rs", "list", "10.5.0.1"]) == 0
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "rs.control").write_text("")
    assert main(["rs", "list", "10.5.0.1"]) == 0
    os.symlink(tmp_path / "run", tmp_path / "twin")
    assert main(["rs", "list"]) == 1
    assert "Several daemons run here: choose one with --run-directory" in capsys.readouterr().err


def test_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rs_command, "RUN_ROOT", str(tmp_path))
    assert main(["rs", "list"]) == 1
    assert "No daemon with virtual servers runs on this machine" in capsys.readouterr().err
    assert main(["rs", "list", "--run-directory", str(tmp_path)]) == 1
    assert "No daemon with virtual servers is running: nobody listens at" in capsys.readouterr().err
    assert main(["rs", "list", "-f", str(tmp_path / "missing")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_the_daemon_of_a_configuration(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[tuple[str | None, str | None]] = []

    def places(general: Any, namespace: str | None) -> Places:
        found.append((general.instance, namespace))
        return daemon.places

    monkeypatch.setattr(rs_command, "places", places)
    path = tmp_path / "k.conf"
    path.write_text("instance i1\nnet_namespace n1\n")
    assert main(["rs", "list", "10.5.0.1", "-f", str(path)]) == 0
    assert found == [("i1", "n1")]
    capsys.readouterr()
