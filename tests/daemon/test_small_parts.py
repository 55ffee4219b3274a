"""The time of a reload, the file that marks one, watching a directory, lines about BFD sessions."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.daemon import bfd_lines, kinds
from keepalived_py.daemon.reload import marked, marker_path
from keepalived_py.daemon.reload_time import ReloadTime, ReloadTimer, parse
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals, Reload


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is that of Berlin, where the clock jumps from 2 to 3 on 2026-03-29."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


NOON = 1774180800.0  # 2026-03-22 12:00:00 UTC, 13:00:00 in Berlin
HOUR, DAY = 3600.0, 86400.0


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("14:00:00", ReloadTime(NOON + HOUR, False)),
        ("13:00:00Z", ReloadTime(NOON + HOUR, False)),
        ("13:00:00", ReloadTime(NOON + DAY, False)),
        ("12:00:00Z", ReloadTime(NOON + DAY, False)),
        ("26-03-22 13:00:01", ReloadTime(NOON + 1, True)),
        ("2026-03-22 12:00:01Z", ReloadTime(NOON + 1, True)),
        ("2026-03-29 03:00:00", ReloadTime(NOON + 6 * DAY + 13 * HOUR, True)),
    ],
)
def test_times_that_are_understood(line: str, expected: ReloadTime) -> None:
    assert parse(line, NOON) == expected


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("14:00", "Reload time 14:00 format is incorrect - ignoring"),
        ("tomorrow", "Reload date/time tomorrow invalid - ignoring"),
        ("24:00:00", "Reload date/time 24:00:00 invalid - ignoring"),
        ("2026-02-30 10:00:00", "Reload date/time 2026-02-30 10:00:00 invalid - ignoring"),
        ("2026-03-29 02:30:00", "Reload time 2026-03-29 02:30:00 is not valid - ignoring"),
        ("2026-03-22 13:00:00", "Reload time 2026-03-22 13:00:00 is in the past - ignoring"),
    ],
)
def test_times_that_are_refused(line: str, complaint: str) -> None:
    found = parse(line, NOON)
    assert isinstance(found, tuple)
    assert found[0] == complaint
    assert len(found) == 2


@given(st.text(max_size=20))
def test_no_line_is_too_strange(line: str) -> None:
    found = parse(line, NOON)
    assert not isinstance(found, ReloadTime) or found.at > NOON


class Said(Log):
    """A log that keeps its lines."""

    def __init__(self) -> None:
        super().__init__(LogSettings(syslog=False))
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def timer_of(path: Path, repeat: bool = False) -> tuple[ReloadTimer, Said, Clock]:
    log, clock = Said(), Clock()
    return ReloadTimer(Reload(time_file=str(path), repeat=repeat), log, clock), log, clock


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("line", "repeat", "stays"),
    [
        ("14:00:00", False, False),
        ("14:00:00", True, True),
        ("2026-03-22 14:00:00", True, False),
    ],
)
def test_the_file_is_used_up_unless_it_is_to_be_used_again(
    tmp_path: Path, line: str, repeat: bool, stays: bool
) -> None:
    (tmp_path / "when").write_text(f"{line}\n")
    timer, log, clock = timer_of(tmp_path / "when", repeat)
    assert log.lines == ["Scheduling reload for 2026-03-22 14:00:00"]
    assert timer.patience_s() == 5.0
    assert not timer.due()
    clock.now += HOUR - 1
    assert timer.patience_s() == 1.0
    clock.now += 1
    assert (timer.due(), timer.due()) == (True, False)
    assert (tmp_path / "when").exists() == stays
    assert timer.descriptor is None


@pytest.mark.usefixtures("in_berlin")
def test_the_file_may_come_change_and_go(tmp_path: Path) -> None:
    path = tmp_path / "when"
    timer, log, _ = timer_of(path)
    (tmp_path / "other").write_text("14:00:00")
    timer.on_change()
    assert (log.lines, timer.patience_s()) == ([], None)
    path.write_text("14:00:00")
    timer.on_change()
    (tmp_path / "other").write_text("15:00:00")
    (tmp_path / "other").rename(path)
    timer.on_change()
    path.write_text("nonsense")
    timer.on_change()
    assert timer.patience_s() is None
    path.write_text("16:00:00")
    timer.on_change()
    path.unlink()
    timer.on_change()
    assert [line.split(" for ")[0].split(" from ")[0] for line in log.lines] == [
        "Scheduling reload",
        "Reload time updated",
        "Reload date/time nonsense invalid - ignoring",
        "Invalid reload time 'nonsense' specified - ignoring",
        "Cancelling reload scheduled",
        "Scheduling reload",
        "Cancelling reload scheduled",
    ]
    tmp_path.rename(tmp_path.with_name("moved"))
    timer.on_change()
    assert log.lines[-1] == "Directory of reload timer file has disappeared. Monitoring stopped."
    assert timer.descriptor is None
    timer.on_change()


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    timer, log, _ = timer_of(tmp_path / "none" / "when")
    assert log.lines == [f"Unable to monitor reload timer file directory {tmp_path}/none- ignoring"]
    assert (timer.descriptor, timer.patience_s(), timer.due()) == (None, None, False)


def test_a_pipe_in_place_of_the_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "when")
    timer, _, _ = timer_of(tmp_path / "when")
    assert timer.patience_s() is None
    timer.close()


# The file that is there meanwhile -------------------------------------------------------


def test_the_marker_is_there_while_something_is_read(tmp_path: Path) -> None:
    path = tmp_path / "marker"
    old = os.umask(0o177)
    try:
        with marked(str(path)) as lines:
            assert path.stat().st_mode & 0o777 == 0o644
        assert (lines, path.exists()) == ([], False)
        with marked(str(tmp_path / "none" / "marker")) as lines:
            assert lines[0].startswith(f"Failed to create reload file ({tmp_path}/none/marker) 2 - No such")
        with marked(None) as lines:
            assert lines == []
    finally:
        os.umask(old)


@pytest.mark.parametrize(("written", "place"), [(None, None), ("", "/run/usual"), ("/a/b", "/a/b")])
def test_the_place_of_the_marker(written: str | None, place: str | None) -> None:
    assert marker_path(Globals(reload=Reload(marker=written)), "/run/usual") == place


# BFD ----------------------------------------------------------------------------------


def test_lines_about_sessions_arrive_in_order_and_are_thrown_away_whole() -> None:
    reader, writer = bfd_lines.pair()
    with reader, writer:
        said = [bfd_lines.BfdLine(name, up, 7) for name, up in (("a", True), ('"ü\n', False))]
        assert all(bfd_lines.send(writer, line) for line in said)
        writer.send(b"rubbish")
        assert bfd_lines.receive(reader) == said
        while bfd_lines.send(writer, said[0]):
            pass  # until there is no more room: the sender is told, and does not wait
        bfd_lines.discard(reader)
        assert bfd_lines.receive(reader) == []
        assert bfd_lines.send(writer, said[1])
        assert bfd_lines.receive(reader) == [said[1]]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 4000,
        b'{"name": "a", "up": 1, "at_us": 1}',
        b'{"name": "a", "up": true, "at_us": true}',
        b'{"name": 1, "up": true, "at_us": 1}',
        b'{"name": "a", "up": true}',
    ],
)
def test_what_says_nothing_about_a_session_is_ignored(message: bytes) -> None:
    assert bfd_lines.decode(message) is None


def test_a_reload_hands_servers_only_to_those_who_check_them() -> None:
    """Taking ten thousand of them in takes a quarter of a second, in which adverts are due."""
    whole = Configuration(virtual_servers=(object(),), server_groups=(object(),), instances=())
    assert kinds.CHECKERS.share(whole) is whole
    for kind in kinds.KINDS:
        if kind is not kinds.CHECKERS:
            shared = kind.share(whole)
            assert (shared.virtual_servers, shared.server_groups) == ((), ())
