"""Log lines reach syslog and the console, and never make the program wait."""

import json
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from keepalived_py.base.logs import Level, Log, LogSettings


@pytest.fixture
def syslog(tmp_path: Path) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(tmp_path / "log"))
    receiver.settimeout(5)
    return receiver


def settings(tmp_path: Path, **more: object) -> LogSettings:
    return LogSettings(syslog_path=str(tmp_path / "log"), **more)  # type: ignore[arg-type]


def test_a_syslog_line(tmp_path: Path, syslog: socket.socket) -> None:
    with syslog:
        Log(settings(tmp_path, facility=19)).info("hello\nworld")
        first, second = syslog.recv(1000).decode(), syslog.recv(1000).decode()
    assert re.fullmatch(rf"<158>[A-Z][a-z]{{2}} [ \d]\d [\d:]{{8}} Keepalived\[{os.getpid()}\]: hello", first)
    assert second.endswith(": world")


def test_details_only_when_asked_for(tmp_path: Path, syslog: socket.socket) -> None:
    with syslog:
        Log(settings(tmp_path)).detail("quiet")
        Log(settings(tmp_path, detail=1)).renamed("Keepalived_vrrp").detail("loud")
        assert re.search(r" Keepalived_vrrp\[\d+\]: loud$", syslog.recv(1000).decode())


def test_a_receiver_that_stands_still_costs_lines_but_no_time(tmp_path: Path, syslog: socket.socket) -> None:
    log = Log(settings(tmp_path))
    with syslog:
        begin = time.monotonic()
        while not log.dropped:
            log.info("line")
        for _ in range(4):
            log.info("lost")
        assert time.monotonic() - begin < 5
        assert log.dropped == 5
        syslog.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                syslog.recv(1000)
        log.info("again")
        assert syslog.recv(1000).decode().endswith("5 log lines dropped: syslog did not take them")
        assert syslog.recv(1000).decode().endswith("again")
    assert log.dropped == 0


def test_a_restarted_receiver_is_found_again(tmp_path: Path, syslog: socket.socket) -> None:
    log = Log(settings(tmp_path))
    log.info("before")
    syslog.close()
    log.info("lost")
    (tmp_path / "log").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(str(tmp_path / "log"))
        second.settimeout(5)
        log.info("after")
        assert second.recv(1000).decode().endswith("1 log lines dropped: syslog did not take them")
        assert second.recv(1000).decode().endswith("after")


def test_a_missing_receiver_is_not_looked_for_with_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    clock = [100.0]

    class Counted(socket.socket):
        def __init__(self, *words: int) -> None:
            made.append(words)
            super().__init__(*words)

    monkeypatch.setattr("keepalived_py.base.logs.socket.socket", Counted)
    monkeypatch.setattr("keepalived_py.base.logs.time.monotonic", lambda: clock[0])
    log = Log(settings(tmp_path))
    for number in range(1000):
        log.info(f"line {number}")
    assert len(made) < 60
    assert log.dropped == 1000
    clock[0] += 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as late:
        late.bind(str(tmp_path / "log"))
        late.settimeout(5)
        log.info("after")
        assert late.recv(1000).decode().endswith("1000 log lines dropped: syslog did not take them")
        assert late.recv(1000).decode().endswith("after")


def test_the_console_gets_the_time_and_the_text(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    Log(LogSettings(syslog=False, console=True), console_fd=writer).info("text")
    assert re.fullmatch(rb"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}: text\n", os.read(reader, 1000))
    os.close(reader)
    os.close(writer)


def test_a_full_or_closed_console_is_no_obstacle() -> None:
    reader, writer = os.pipe()
    log = Log(LogSettings(syslog=False, console=True), console_fd=writer)
    begin = time.monotonic()
    for _ in range(200):
        log.info("x" * 5000)
    assert time.monotonic() - begin < 5
    os.close(reader)
    os.close(writer)
    log.info("nobody")


def console(settings: LogSettings, write: Callable[[Log], None]) -> list[bytes]:
    """The lines that `write` brings to a console with these settings."""
    reader, writer = os.pipe()
    write(Log(settings, console_fd=writer))
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return file.read().splitlines()


def every_level(log: Log) -> None:
    log.detail("d")
    log.info("i")
    log.warn("w")
    log.error("e")


@pytest.mark.parametrize(
    ("level", "detail", "expected"),
    [
        (Level.DEBUG, 1, b"diwe"),
        (Level.DEBUG, 0, b"iwe"),
        (Level.INFO, 1, b"iwe"),
        (Level.WARN, 1, b"we"),
        (Level.ERROR, 1, b"e"),
    ],
)
def test_levels_leave_out_what_matters_less(level: Level, detail: int, expected: bytes) -> None:
    lines = console(LogSettings(syslog=False, console=True, detail=detail, level=level), every_level)
    assert b"".join(line[-1:] for line in lines) == expected


def test_syslog_follows_the_level_too(tmp_path: Path, syslog: socket.socket) -> None:
    with syslog:
        every_level(Log(settings(tmp_path, level=Level.ERROR)))
        assert syslog.recv(1000).endswith(b": e")
        syslog.setblocking(False)
        with pytest.raises(BlockingIOError):
            syslog.recv(1000)


JSON = LogSettings(ident="Keepalived_vrrp", syslog=False, console=True, json=True, detail=1)


def test_json_is_one_object_per_line() -> None:
    lines = [json.loads(line) for line in console(JSON, lambda log: log.warn('one "1"\ntwo \udcff'))]
    assert [line.pop("msg") for line in lines] == ['one "1"', "two \udcff"]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("ts"))
        assert line == {"level": "warn", "logger": "Keepalived_vrrp", "pid": os.getpid()}
    levels = [json.loads(line)["level"] for line in console(JSON, every_level)]
    assert levels == ["debug", "info", "warn", "error"]


@pytest.mark.parametrize("character", ["x", "ä", "\U0001f600", '"', "\udcff"])
def test_a_long_line_is_still_one_object(character: str) -> None:
    (line,) = console(JSON, lambda log: log.info(character * 5000))
    assert len(line) < 4000
    assert set(json.loads(line)["msg"]) == {character}


def test_a_line_that_fits_is_not_cut() -> None:
    (line,) = console(JSON, lambda log: log.info("x" * 3800))
    assert json.loads(line)["msg"] == "x" * 3800
