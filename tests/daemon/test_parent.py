"""The parent against stand-ins for its children: start, reload, death, stop, scripts of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.daemon.process import DRIVER, ENVIRONMENT, LIMIT_S, Daemon, Start


def test_a_whole_life(start: Start, tmp_path: Path) -> None:
    daemon = start("instances odd=1")
    child = int(daemon.logged(r"Starting VRRP child process, pid=(\d+)")[0])
    daemon.logged("Startup complete")
    daemon.logged("priority 100")
    assert (tmp_path / "parent.pid").read_text() == f"{daemon.process.pid}\n"
    assert (tmp_path / "vrrp.pid").read_text() == f"{child}\n"
    assert (tmp_path / "vrrp.pid").stat().st_mode & 0o777 == 0o644
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert daemon.lines[0].startswith("Starting Keepalived v")
    assert daemon.lines[1].startswith("Running on Linux ")
    assert daemon.lines[2].startswith("Command line: 'driver' '")
    assert daemon.lines[3] == f"Configuration file {tmp_path}/configuration"
    assert daemon.lines[4] == "Accepted but without effect yet: global_defs: json_version"
    assert daemon.lines[5].startswith("NOTICE: setting config option max_auto_priority should result")
    assert daemon.lines[-3:-1] == ["Stopping", "Stopped"]
    assert daemon.lines[-1].startswith("Stopped Keepalived v")
    assert list(tmp_path.glob("*.pid")) == []


def test_nothing_to_do_waits(start: Start) -> None:
    daemon = start("")
    daemon.logged("Warning - keepalived has no configuration to run")
    daemon.signal(signal.SIGINT)
    assert daemon.ended() == 0


@pytest.mark.parametrize(("text", "code", "line"), [("broken", 2, "it is broken")])
def test_a_broken_configuration_refuses_the_start(start: Start, text: str, code: int, line: str) -> None:
    daemon = start(text)
    assert daemon.ended() == code
    assert any(line in logged for logged in daemon.lines)


def test_a_missing_configuration_refuses_the_start(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path)
    assert daemon.ended() == 6
    assert f"Config files missing '{tmp_path}/configuration'." in daemon.lines


def test_a_second_start_finds_the_first(start: Start, tmp_path: Path) -> None:
    first = start("instances")
    first.logged("priority 100")
    second = Daemon(tmp_path)
    assert second.ended() == 0
    assert second.lines[-1] == "daemon is already running"
    assert (tmp_path / "parent.pid").exists()


def test_a_stale_pid_file_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    (tmp_path / "parent.pid").write_text("1\n")
    (tmp_path / "vrrp.pid").write_text("rubbish")
    start("instances").logged("priority 100")


def test_reload_reaches_the_child(start: Start) -> None:
    daemon = start("instances")
    daemon.logged("priority 100")
    (daemon.directory / "configuration").write_text("")
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    assert "vrrp told: 0 instances" in daemon.lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("instances broken", "New configuration refused, the running one is kept"),
        ("crash", "New configuration refused, the running one is kept"),
        ("instances instance=b", "Cannot change instance name at a reload - please restart keepalived"),
        ("instances igmp=1", "Cannot change disable_local_igmp at a reload - please restart keepalived"),
    ],
)
def test_a_refused_reload_changes_nothing(start: Start, text: str, line: str) -> None:
    daemon = start("instances")
    daemon.logged("priority 100")
    (daemon.directory / "configuration").write_text(text)
    daemon.signal(signal.SIGHUP)
    daemon.logged(re.escape(line))
    (daemon.directory / "configuration").write_text("instances")
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    assert daemon.lines.count("vrrp told: 1 instances") == 1


def test_a_reload_starts_the_child_when_there_is_work_at_last(start: Start) -> None:
    daemon = start("")
    daemon.logged("Warning - keepalived has no configuration to run")
    (daemon.directory / "configuration").write_text("instances priority=7")
    daemon.signal(signal.SIGHUP)
    daemon.logged("priority 7")
    daemon.logged("Reload complete")


def test_many_reloads_at_once_all_come_to_an_end(start: Start) -> None:
    daemon = start("instances")
    daemon.logged("priority 100")
    for _ in range(20):
        daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    time.sleep(0.3)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert daemon.lines.count("Reloading ...") == daemon.lines.count("Reload complete") <= 20


def test_signals_for_data_are_handed_on(start: Start) -> None:
    daemon = start("instances")
    daemon.logged("priority 100")
    daemon.signal(signal.SIGUSR1)
    daemon.logged("vrrp asked for data")


def test_a_dead_child_is_started_again_later_and_later(start: Start) -> None:
    daemon = start("instances")
    for life, delay in enumerate((0, 1), start=1):
        child = int(daemon.logged(r"Starting VRRP child process, pid=(\d+)", life)[-1])
        daemon.logged("priority 100", life)
        os.kill(child, signal.SIGKILL)
        daemon.logged(rf"pid {child} exited due to signal 9 \(Killed\).*")
        daemon.logged(rf"VRRP child process\({child}\) died: Respawning")
        daemon.logged(rf"Restart of VRRP process delayed {delay} seconds to limit respawn rate")
    daemon.logged("priority 100", 3)


def test_without_respawn_everything_ends(start: Start) -> None:
    daemon = start("instances", "-R")
    child = int(daemon.logged(r"Starting VRRP child process, pid=(\d+)")[0])
    daemon.logged("priority 100")
    os.kill(child, signal.SIGKILL)
    assert daemon.ended() == 0
    assert daemon.lines[-3:-1] == [f"VRRP child process({child}) died: Exiting", "Stopping"]
    assert list(daemon.directory.glob("*.pid")) == []


@pytest.mark.parametrize(("code", "word"), [(1, "FATAL"), (2, "CONFIG"), (4, "missing permission")])
def test_a_child_that_cannot_work_ends_everything(start: Start, tmp_path: Path, code: int, word: str) -> None:
    (tmp_path / "behaviour").write_text(f"exit {code}")
    daemon = start("instances")
    assert daemon.ended() == code
    assert any(f"exited with permanent error {word}. Terminating" in line for line in daemon.lines)
    assert list(tmp_path.glob("*.pid")) == []


def test_a_fault_of_the_program_is_logged_and_the_child_started_again(start: Start, tmp_path: Path) -> None:
    (tmp_path / "behaviour").write_text("raise")
    daemon = start("instances")
    daemon.logged("RuntimeError: a mistake in the program")
    daemon.logged(r"pid \d+ exited with status 70")
    (tmp_path / "behaviour").unlink()
    daemon.logged("priority 100")


def test_the_child_stops_in_order_when_the_parent_is_killed(start: Start) -> None:
    daemon = start("instances")
    child = int(daemon.logged(r"Starting VRRP child process, pid=(\d+)")[0])
    daemon.logged("priority 100")
    daemon.signal(signal.SIGKILL)
    daemon.logged("Stopped")
    deadline = time.monotonic() + LIMIT_S
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split(") ")[1].startswith("Z"):
            break
        time.sleep(0.01)
    assert not (daemon.directory / "vrrp.pid").exists()


def test_the_service_manager_is_told(start: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(LIMIT_S)
        daemon = start("instances", environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        ready = f"READY=1\nMAINPID={daemon.process.pid}".encode()
        assert manager.recv(1000) == ready
        daemon.signal(signal.SIGHUP)
        assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(1000))
        assert manager.recv(1000) == ready
        daemon.signal(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"


def test_in_the_background_the_launcher_leaves_when_the_pid_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "configuration").write_text("instances")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "syslog"))
        syslog.settimeout(LIMIT_S)
        command = [sys.executable, str(DRIVER), str(tmp_path), "-b"]
        assert subprocess.run(command, timeout=LIMIT_S, check=False, env=ENVIRONMENT).returncode == 0
        pid = int((tmp_path / "parent.pid").read_text())
        try:
            lines = [syslog.recv(5000).decode() for _ in range(7)]
            assert os.getsid(pid) != os.getsid(0)
            assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
            assert re.search(r"^Umask:\t0177$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        finally:
            os.kill(pid, signal.SIGTERM)
        while "Stopped Keepalived" not in lines[-1]:
            lines.append(syslog.recv(5000).decode())
    assert re.match(r"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d Keepalived\[\d+\]: Starting Keepalived v", lines[0])
    assert any(re.search(r" Keepalived_vrrp\[\d+\]: priority 100$", line) for line in lines)
