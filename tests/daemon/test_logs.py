"""Log lines reach syslog and the console, and never make the program wait."""

import os
import re
import socket
import time
from pathlib import Path

import pytest

from keepalived_py.base.logs import Log, LogSettings


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
