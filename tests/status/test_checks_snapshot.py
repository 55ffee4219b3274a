"""What the checkers know, as a file: whole, readable, and cheap however much it is."""

import asyncio
import json
import stat
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.virtual_server import RealServer, SorryServer, VirtualServer
from keepalived_py.status import checks_snapshot
from keepalived_py.status.checks_snapshot import (
    BadSnapshot,
    CheckLine,
    ServerLine,
    Snapshot,
    VirtualLine,
    Writer,
    line_of,
    pieces,
    read,
)
from tests.health.view_bench import Bench, at, checking, real

TWO = at("10.5.0.1", real("10.5.0.11"), real("10.5.0.12", weight=3))


def test_nothing_is_lost_on_the_way(tmp_path: Path) -> None:
    sorry = SorryServer(ip_address("10.9.0.1"), 80)
    alone = VirtualServer(mark=7, sorry_server=sorry, quorum=2, real_servers=(real("10.5.0.11"),))
    result = CheckResult(True, code=200, text="200 OK", took_us=1500)  # type: ignore[arg-type]
    bench = Bench(TWO, alone, at("10.5.0.3"), checks=[checking(result, 3_000_000), checking(up=False)])
    path = tmp_path / "checks.json"
    path.write_text("".join(pieces(bench.view(), {"healed": 5}, 1_700_000_000.25)))
    found = read(str(path))
    assert (found.at, found.counters) == (1_700_000_000.25, {"healed": 5})
    first, second, third = found.virtual_servers
    assert first.servers[1] == ServerLine(
        "[10.5.0.12]:tcp:80",
        alive=True,
        present=True,
        weight=3,
        configured=3,
        checks=(
            CheckLine("TCP_CHECK", good=True, code=200, text="200 OK", took_us=1500, age_us=2_000_000),
            CheckLine("TCP_CHECK", up=False),
        ),
    )
    assert (second.name, second.up, second.sorry, second.sorry_serves) == (
        *("FWM 7", False, "[10.9.0.1]:none:80", True),
    )
    assert not second.servers[0].present
    assert third == VirtualLine("[10.5.0.3]:tcp:80", up=third.up)


def test_a_large_view_comes_in_small_pieces() -> None:
    servers = (RealServer(ip_address("10.1.0.0") + number, 80) for number in range(2000))
    bench = Bench(at("10.5.0.1", *servers), TWO, checks=[checking(CheckResult(True, text="x" * 1000), 1)])
    made = list(pieces(bench.view(), {}, 1.0))
    assert max(map(len, made)) < 64 * 1024
    known = line_of(Snapshot, json.loads("".join(made)))
    assert [len(virtual.servers) for virtual in known.virtual_servers] == [2000, 2]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ([], "[] is no object"),
        ({}, "at missing in {}"),
        ({"at": True}, "at: True is not float"),
        ({"at": 1, "virtual_servers": {}}, "virtual_servers: {} is no list"),
        ({"at": 1, "virtual_servers": [1]}, "1 is no object"),
        ({"at": 1, "virtual_servers": [{"name": 1}]}, "name: 1 is not str"),
        (
            {"at": 1, "virtual_servers": [{"name": "x", "servers": [{"name": "y", "active": "1"}]}]},
            "active: '1' is not int | None",
        ),
        ({"at": 1, "counters": []}, "counters: [] is no object"),
        ({"at": 1, "counters": {"a": "1"}}, "a: '1' is not int"),
    ],
)
def test_what_is_wrong_is_named(value: Any, complaint: str) -> None:
    with pytest.raises(BadSnapshot) as raised:
        line_of(Snapshot, value)
    assert str(raised.value) == complaint


def test_what_is_not_known_is_passed_over() -> None:
    assert line_of(Snapshot, {"at": 1, "news": 2}) == Snapshot(at=1)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_other_files_are_no_snapshots(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checks.json"
    path.write_bytes(data)
    with pytest.raises(BadSnapshot):
        read(str(path))


# The writer -----------------------------------------------------------------------------


class Desk:
    """A writer, and what it says."""

    def __init__(self, path: Path, bench: Bench) -> None:
        self.path, self.lines = path, list[str]()
        self.views = 0
        self.bench = bench
        self.writer = Writer(str(path), self._view, lambda: {"views": self.views}, self.lines.append)

    def _view(self) -> Any:
        self.views += 1
        return self.bench.view()

    async def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not reached():
            assert time.monotonic() < end
            await asyncio.sleep(0.002)


def test_the_file_follows_changes_and_goes_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_snapshot, "SHORTEST_INTERVAL_S", 0.02)
    path = tmp_path / "run" / "checks.json"

    async def life() -> None:
        desk = Desk(path, Bench(TWO))
        desk.writer.changed()
        await desk.until(path.exists)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        for _ in range(100):
            desk.writer.changed()
        await desk.until(lambda: read(str(path)).counters["views"] == 2)
        desk.writer.changed()
        await desk.until(lambda: read(str(path)).counters["views"] == 3)
        await desk.writer.close()
        assert not path.exists()
        assert desk.lines == []

    asyncio.run(life())


def test_without_changes_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_snapshot, "SHORTEST_INTERVAL_S", 0.0)

    async def life() -> None:
        desk = Desk(tmp_path / "checks.json", Bench(TWO))
        desk.writer.changed()
        await desk.until(desk.path.exists)
        await desk.until(lambda: desk.writer._task is None)
        assert desk.views == 1

    asyncio.run(life())


def test_a_dear_file_is_made_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its making takes a fiftieth of the time, so a share that cannot be kept means never again."""
    monkeypatch.setattr(checks_snapshot, "SHORTEST_INTERVAL_S", 0.0)
    monkeypatch.setattr(checks_snapshot, "_SHARE", 1e-9)

    async def life() -> None:
        desk = Desk(tmp_path / "checks.json", Bench(TWO))
        desk.writer.changed()
        await desk.until(desk.path.exists)
        for _ in range(20):
            desk.writer.changed()
            await asyncio.sleep(0)
        assert desk.views == 1
        await desk.writer.close()

    asyncio.run(life())


def test_a_file_that_cannot_be_written_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_snapshot, "SHORTEST_INTERVAL_S", 0.0)
    (tmp_path / "run").write_text("in the way")

    async def life() -> None:
        desk = Desk(tmp_path / "run" / "checks.json", Bench(TWO))
        for views in (1, 2, 3):
            desk.writer.changed()
            await desk.until(lambda: desk.views == views)  # noqa: B023
            await desk.until(lambda: desk.writer._task is None)
        assert len(desk.lines) == 1
        assert desk.lines[0].startswith("Unable to write the state for readers to ")
        await desk.writer.close()

    asyncio.run(life())
