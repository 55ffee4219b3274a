"""Pid files, back-off, the words for an end, permissions."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.daemon import namespaces, pidfile
from keepalived_py.daemon.children import Backoff, describe_end, with_boot_delay
from keepalived_py.daemon.start import missing_permission
from keepalived_py.model.config import Configuration, Globals


@pytest.mark.parametrize(
    ("settings", "namespace", "parent", "vrrp"),
    [
        (Globals(), None, "/run/keepalived.pid", "/run/vrrp.pid"),
        (Globals(use_pid_dir=True), None, "/run/keepalived/keepalived.pid", "/run/keepalived/vrrp.pid"),
        (Globals(instance="a"), None, "/run/keepalived/keepalived_a.pid", "/run/keepalived/vrrp_a.pid"),
        (Globals(), "ns", "/run/keepalived/keepalived.pid", "/run/keepalived/vrrp.pid"),
        (Globals(instance="a"), "ns", "/run/keepalived/keepalived_a.pid", "/run/keepalived/vrrp_a.pid"),
    ],
)
def test_places(settings: Globals, namespace: str | None, parent: str, vrrp: str) -> None:
    files = pidfile.places(settings, namespace, {}, ["vrrp", "bfd"])
    assert (files.parent, files.children["vrrp"]) == (parent, vrrp)
    assert files.children["bfd"] == vrrp.replace("vrrp", "bfd")
    assert files.marker == parent.replace(".pid", ".reload")


def test_given_places_win() -> None:
    files = pidfile.places(Globals(use_pid_dir=True), None, {"keepalived": "/a/p", "vrrp": "v"}, ["vrrp"])
    assert files.every == ("/a/p", f"{os.getcwd()}/v")
    assert files.marker == "/run/keepalived/keepalived.reload"


@pytest.mark.parametrize("text", ["", "rubbish", "0\n", "-1\n", "999999999\n", "1\n", "own"])
def test_stale_pid_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "p").write_text(str(os.getpid()) if text == "own" else text)
    assert pidfile.running(str(tmp_path / "p")) is None


def test_a_pid_file_is_readable_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o177)
    try:
        pidfile.write(str(tmp_path / "p"), 42)
    finally:
        os.umask(old)
    assert (tmp_path / "p").read_text() == "42\n"
    assert (tmp_path / "p").stat().st_mode & 0o777 == 0o644
    pidfile.remove(str(tmp_path / "p"))
    pidfile.remove(str(tmp_path / "p"))
    assert not (tmp_path / "p").exists()


def test_a_pid_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    (tmp_path / "p").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        pidfile.write(str(tmp_path / "p"), 42)
    assert (tmp_path / "target").read_text() == "precious"


def test_delays_between_short_lives_double_up_to_a_minute() -> None:
    delays, backoff = [], Backoff()
    for _ in range(10):
        delay, backoff = backoff.after_life(1.0)
        delays.append(delay)
    assert delays == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff.after_life(60.0) == (None, Backoff())


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (signal.SIGKILL, "pid 7 exited due to signal 9 (Killed) - has rlimit_rttime been exceeded?"),
        (signal.SIGABRT, "pid 7 exited due to signal 6 (Aborted)"),
        (signal.SIGSEGV, "pid 7 exited due to segmentation fault (SIGSEGV)."),
        (2 << 8, "pid 7 exited with permanent error CONFIG. Terminating"),
        (70 << 8, "pid 7 exited with status 70"),
        (0, None),
    ],
)
def test_the_end_of_a_process_in_words(status: int, text: str | None) -> None:
    assert describe_end("pid 7", status) == text


@pytest.mark.parametrize(
    ("startup_s", "boot_s", "uptime_s", "expected_s"),
    [(0, 0, 5, 0), (3, 0, 5, 3), (0, 60, 20, 40), (50, 60, 20, 50), (0, 60, 70, 0)],
)
def test_the_longer_of_both_start_delays_counts(
    startup_s: int, boot_s: int, uptime_s: int, expected_s: int
) -> None:
    general = Globals(startup_delay_us=Micros(startup_s * 10**6), delay_after_boot_us=Micros(boot_s * 10**6))
    given = with_boot_delay(Configuration(globals=general), uptime_s * 10**6)
    assert given.globals.startup_delay_us == expected_s * 10**6


def test_missing_permissions_are_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("Name:\tx\nCapEff:\t0000000000001000\n")
    assert missing_permission(str(tmp_path / "s")) == "keepalived-py must run as root (CAP_NET_RAW missing)"
    (tmp_path / "s").write_text("CapEff:\t0000000000003000\n")
    assert missing_permission(str(tmp_path / "s")) is None


NAMESPACE_STEPS = """
import os, sys
from keepalived_py.base.clock import Micros
from keepalived_py.daemon import namespaces
name = sys.argv[1]
before = os.readlink("/proc/self/ns/net")
namespaces.enter(name)
assert os.readlink("/proc/self/ns/net") != before
outside = namespaces.private_pid_directory(name)
open(f"{namespaces.PID_DIRECTORY}/mark", "w").close()
seen = os.path.exists(f"/proc/{os.getppid()}/root{outside}/mark")
os.unlink(f"{namespaces.PID_DIRECTORY}/mark")
namespaces.leave_pid_directory(outside)
print(seen, os.path.exists(f"/proc/{os.getppid()}/root{outside}"))
"""


@pytest.mark.netns
def test_a_namespace_has_its_own_pid_directory() -> None:
    name = f"kpy-parts-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
    try:
        done = subprocess.run(
            [sys.executable, "-c", NAMESPACE_STEPS, name],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)
    assert (done.stdout, done.stderr) == ("True False\n", "")


def test_an_unknown_namespace_is_named() -> None:
    with pytest.raises(namespaces.NamespaceMissing, match="Failed to open /run/netns/no-such"):
        namespaces.enter("no-such")
