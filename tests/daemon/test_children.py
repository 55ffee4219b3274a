"""Several children at once, the socket between them, and the parent's own scripts, against stand-ins."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.daemon.process import LIMIT_S, Daemon, Start


def pid_of(daemon: Daemon, title: str, life: int = 1) -> int:
    return int(daemon.logged(rf"Starting {title} child process, pid=(\d+)", life)[-1])


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")


def script(tmp_path: Path, name: str, body: str) -> Path:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def position(daemon: Daemon, beginning: str) -> int:
    return next(at for at, line in enumerate(daemon.lines) if line.startswith(beginning))


# Kinds ---------------------------------------------------------------------------


def test_both_kinds_start_in_order_and_end_together(start: Start, tmp_path: Path) -> None:
    daemon = start("instances bfd")
    vrrp, bfd = pid_of(daemon, "VRRP"), pid_of(daemon, "BFD")
    daemon.logged("Startup complete")
    assert position(daemon, "Starting VRRP") < position(daemon, "Starting BFD")
    assert (tmp_path / "vrrp.pid").read_text() == f"{vrrp}\n"
    assert (tmp_path / "bfd.pid").read_text() == f"{bfd}\n"
    daemon.signal(signal.SIGUSR1)
    daemon.logged("(vrrp|bfd) asked for data", 2)
    daemon.signal(signal.SIGTERM)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert daemon.lines.count("Stopped") == 2
    assert list(tmp_path.glob("*.pid")) == []


def test_whoever_asks_again_and_again_gets_an_exit_code(start: Start) -> None:
    """The interpreter takes its time to end, and lets signals kill it meanwhile if nobody forbids them."""
    daemon = start("instances")
    daemon.logged("Startup complete")
    end = time.monotonic() + LIMIT_S
    while daemon.process.poll() is None and time.monotonic() < end:
        daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0


def test_the_start_is_complete_when_the_last_child_is_ready(start: Start, tmp_path: Path) -> None:
    (tmp_path / "behaviour.bfd").write_text("silent")
    daemon = start("instances bfd", "--impatient")
    daemon.logged("Startup complete")
    missing = "The BFD child process has not confirmed that it is ready"
    assert position(daemon, missing) < position(daemon, "Startup complete")


@pytest.mark.parametrize(
    ("text", "words", "kinds"),
    [("bfd", (), ["BFD"]), ("", ("--all",), ["Healthcheck", "VRRP", "BFD", "Status"])],
)
def test_a_child_runs_when_it_has_work_or_all_are_wanted(
    start: Start, text: str, words: tuple[str, ...], kinds: list[str]
) -> None:
    daemon = start(text, *words)
    daemon.logged("Startup complete")
    assert daemon.logged(r"Starting (\w+) child process, pid=\d+", len(kinds)) == kinds


def test_a_child_without_work_stays_and_is_used_again(start: Start) -> None:
    daemon = start("instances bfd")
    bfd = pid_of(daemon, "BFD")
    for life, text in enumerate(("instances", "instances bfd"), start=1):
        daemon.logged("Startup complete")
        (daemon.directory / "configuration").write_text(text)
        daemon.signal(signal.SIGHUP)
        daemon.logged("Reload complete", life)
    assert pid_of(daemon, "BFD") == bfd
    assert daemon.lines.count("bfd told: 1 instances") == 2


def test_a_kind_that_gets_work_is_started_by_a_reload(start: Start) -> None:
    daemon = start("instances")
    daemon.logged("Startup complete")
    (daemon.directory / "configuration").write_text("instances bfd")
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    pid_of(daemon, "BFD")
    assert daemon.lines.count("vrrp told: 1 instances") == 1
    assert position(daemon, "Starting BFD") < position(daemon, "Reload complete")


def test_processes_have_their_names(start: Start) -> None:
    daemon = start("instances bfd name=mine vrrp_name=mine_vrrp_and_long")
    vrrp, bfd = pid_of(daemon, "VRRP"), pid_of(daemon, "BFD")
    daemon.logged("Startup complete")
    assert [comm(pid) for pid in (daemon.process.pid, vrrp, bfd)] == ["mine", "mine_vrrp_and_l", "mine"]
    (daemon.directory / "configuration").write_text("instances bfd")
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    assert comm(daemon.process.pid) == "keepalived"


def test_what_is_left_of_the_delay_after_boot_reaches_the_child(start: Start) -> None:
    later_us = int(time.clock_gettime(time.CLOCK_BOOTTIME) + 1000) * 10**6
    start(f"instances boot={later_us}").logged("vrrp runs, delay True")


# The end of a child -----------------------------------------------------------------


def test_a_permanent_error_of_one_child_ends_the_others_too(start: Start, tmp_path: Path) -> None:
    (tmp_path / "behaviour.bfd").write_text("exit 2")
    daemon = start("instances bfd")
    assert daemon.ended() == 2
    assert any("exited with permanent error CONFIG. Terminating" in line for line in daemon.lines)
    assert daemon.lines.count("Stopped") == 2 or not (tmp_path / "vrrp.pid").exists()


def test_a_child_that_does_not_end_in_time_is_killed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "behaviour").write_text("deaf")
    daemon = start("instances bfd child_wait_time_s=1")
    daemon.logged("Startup complete")
    begin = time.monotonic()
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert 0.9 < time.monotonic() - begin < 5
    assert "vrrp process failed to die - forcing termination" in daemon.lines
    assert any(line.startswith("Keepalived_vrrp exited due to signal 9") for line in daemon.lines)


def test_sigint_is_ignored_when_asked_for(start: Start) -> None:
    daemon = start("instances", "--ignore-sigint")
    daemon.logged("Startup complete")
    daemon.signal(signal.SIGINT)
    daemon.signal(signal.SIGUSR1)
    daemon.logged("vrrp asked for data")
    assert "Stopping" not in daemon.lines


def test_each_kind_has_its_own_back_off(start: Start) -> None:
    daemon = start("instances bfd")
    for title in ("VRRP", "BFD"):
        daemon.logged("Startup complete")
        os.kill(pid_of(daemon, title), signal.SIGKILL)
        daemon.logged(f"Restart of {title} process delayed 0 seconds to limit respawn rate")
        pid_of(daemon, title, 2)


@pytest.mark.slow
@pytest.mark.alone
def test_a_reload_starts_a_child_that_waits_to_be_started_again(start: Start, tmp_path: Path) -> None:
    daemon = start("instances")
    for life in (1, 2, 3):
        daemon.logged("priority 100", life)
        os.kill(pid_of(daemon, "VRRP", life), signal.SIGKILL)
        daemon.logged(r"VRRP child process\(\d+\) died: Respawning", life)
    daemon.logged("Restart of VRRP process delayed 2 seconds to limit respawn rate")
    begin = time.monotonic()
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    assert time.monotonic() - begin < 1.5
    daemon.logged("priority 100", 4)


# Between the BFD and the VRRP process ---------------------------------------------------


def test_bfd_events_survive_the_death_of_either_process(start: Start) -> None:
    daemon = start("instances bfd")
    daemon.logged("Startup complete")
    daemon.logged("heard: b1 False")
    daemon.logged("heard: b1 True")  # reported again when the VRRP process was ready
    os.kill(pid_of(daemon, "BFD"), signal.SIGKILL)
    daemon.logged("heard: b1 False", 2)
    os.kill(pid_of(daemon, "VRRP"), signal.SIGKILL)
    daemon.logged("heard: b1 True", 2)
    assert daemon.lines.count("heard: b1 False") == 2


def test_checkers_hear_of_bfd_over_a_pair_of_their_own(start: Start) -> None:
    daemon = start("instances bfd", "--all")
    daemon.logged("Startup complete")
    daemon.logged("checkers heard: b1 False")
    daemon.logged("checkers heard: b1 True")
    daemon.logged("heard: b1 True")
    before = daemon.lines.count("heard: b1 True")
    reported = daemon.lines.count("checkers heard: b1 True")
    os.kill(pid_of(daemon, "Healthcheck"), signal.SIGKILL)
    daemon.logged("checkers heard: b1 True", reported + 1)
    daemon.logged("heard: b1 True", before + 1)


# Scripts of the parent's own ------------------------------------------------------------


def test_the_startup_script_comes_before_the_children_and_the_shutdown_script_after(
    start: Start, tmp_path: Path
) -> None:
    first = script(tmp_path, "first", f"sleep 0.2; echo first >> {tmp_path}/said; exit 3")
    last = script(tmp_path, "last", f"echo last >> {tmp_path}/said")
    daemon = start(f"instances startup_script={first} shutdown_script={last}", "-D")
    daemon.logged("Running startup script .*")
    daemon.signal(signal.SIGHUP)  # waits until the children are ready
    daemon.logged("Reload complete")
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert (tmp_path / "said").read_text() == "first\nlast\n"
    wanted = [
        f"Running startup script {first}",
        "Reload already in progress, request queued",
        "startup script script failed, status 3",
        "Starting VRRP child process",
        "Startup complete",
        "Processing queued reload",
        "Reloading ...",
        "Reload complete",
        "Stopping",
        "Stopped - used",
        f"Running shutdown script {last}",
        "shutdown script script succeeded",
        "CPU usage",
    ]
    places = [position(daemon, line) for line in wanted]
    assert places == sorted(places), daemon.lines


def test_a_startup_script_that_takes_too_long_is_ended_and_the_start_goes_on(
    start: Start, tmp_path: Path
) -> None:
    slow = script(tmp_path, "slow", f"sleep 30 & echo $! > {tmp_path}/pid; wait")
    daemon = start(f"instances startup_script={slow} startup_script_timeout_s=1")
    daemon.logged("startup script timed out")
    daemon.logged("Startup complete")
    sleeper = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + LIMIT_S
    while Path(f"/proc/{sleeper}").exists():  # everything that it started goes with it
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stop_during_the_startup_script_starts_no_child(start: Start, tmp_path: Path) -> None:
    slow = script(tmp_path, "slow", f"echo > {tmp_path}/begun; exec sleep 30")
    daemon = start(f"instances startup_script={slow}", "-D")
    deadline = time.monotonic() + LIMIT_S
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    assert not any(line.startswith("Starting VRRP") for line in daemon.lines)


def test_a_script_that_cannot_be_run_is_no_reason_not_to_start(start: Start, tmp_path: Path) -> None:
    daemon = start(f"instances startup_script={tmp_path}/none shutdown_script={tmp_path}/none")
    daemon.logged("Startup complete")
    daemon.signal(signal.SIGTERM)
    assert daemon.ended() == 0
    for word in ("startup", "shutdown"):
        assert any(line.startswith(f"Call of {word} script {tmp_path}/none failed") for line in daemon.lines)


# Reload, asked for and guarded in other ways ------------------------------------------------


def test_a_reload_comes_when_the_file_says_so(start: Start, tmp_path: Path) -> None:
    daemon = start(f"instances time_file={tmp_path}/when")
    daemon.logged("Startup complete")
    (tmp_path / "when").write_text(time.strftime("%H:%M:%S\n", time.localtime(time.time() + 3600)))
    daemon.logged("Scheduling reload for .*")
    at = time.time() + 1.5
    (tmp_path / "when").write_text(time.strftime("%Y-%m-%d %H:%M:%S\n", time.localtime(at)))
    daemon.logged("Reload time updated from .* to .*")
    daemon.logged("Reload complete")
    assert time.time() >= int(at)
    assert not (tmp_path / "when").exists()


def test_a_configuration_that_is_checked_first_must_be_without_fault(start: Start, tmp_path: Path) -> None:
    daemon = start(f"instances check={tmp_path}/report")
    daemon.logged("Startup complete")
    (tmp_path / "configuration").write_text(f"instances doubtful check={tmp_path}/report")
    daemon.signal(signal.SIGHUP)
    daemon.logged(f"New config failed validation, see {re.escape(str(tmp_path))}/report for details")
    assert "it is doubtful" in (tmp_path / "report").read_text()
    assert "Reloading ..." not in daemon.lines
    (tmp_path / "configuration").write_text(f"instances check={tmp_path}/report")
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    assert (tmp_path / "report").read_text() == ""


def test_what_was_understood_can_be_seen_in_the_log(start: Start) -> None:
    daemon = start("instances", "-d")
    daemon.logged("vrrp_instance VI_1 {")


def test_a_reload_asked_for_while_the_file_is_read_waits(start: Start) -> None:
    daemon = start("instances slow")
    daemon.logged("Command line: .*")
    daemon.signal(signal.SIGHUP)
    daemon.logged("Reload complete")
    assert position(daemon, "Startup complete") < position(daemon, "Reloading ...")
