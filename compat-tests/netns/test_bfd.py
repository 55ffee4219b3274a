"""BFD sessions against FRR's bfdd and the real keepalived: up, failure, restart, reload, stop."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab import Lab, laboratory, wait
from program import Program
from space import Space, inside, run

pytestmark = [pytest.mark.netns, pytest.mark.alone]

FRR = Path("/usr/lib/frr")
MS = 1_000_000
INTERVAL_MS, MULTIPLIER = 50, 3
DETECTION_NS = INTERVAL_MS * MULTIPLIER * MS
# The last packet may have come an interval before the failure; the rest is for a busy machine.
EARLIEST_NS, LATEST_NS = DETECTION_NS - INTERVAL_MS * MS, DETECTION_NS + 300 * MS


def session(name: str, neighbour: str, source: str, *more: str, interval_ms: int = INTERVAL_MS) -> str:
    """A bfd_instance block."""
    lines = [
        f"neighbor_ip {neighbour}",
        f"source_ip {source}",
        "ttl 255",
        f"min_tx {interval_ms}",
        f"min_rx {interval_ms}",
        f"multiplier {MULTIPLIER}",
        *more,
    ]
    return "\n".join([f"bfd_instance {name} {{", *(f"    {line}" for line in lines), "}", ""])


def address(family: int, node: int) -> str:
    """The node's address of that family."""
    return f"10.77.0.{node}" if family == 4 else f"fd77::{node}"


def sessions(node: int, **more: int) -> str:
    """b4 and b6, from `node` to the other one."""
    other = 3 - node
    return "".join(
        session(f"b{family}", address(family, other), address(family, node), **more) for family in (4, 6)
    )


TRACKED = """vrrp_instance VI_1 {
    interface eth0
    virtual_router_id 51
    virtual_ipaddress {
        10.77.1.51/24
    }
    track_bfd {
        b4
    }
}
"""
BOTH = ("b4", "b6")


def with_ipv6(space: Space) -> None:
    """IPv6 addresses that are usable at once."""
    for number in (1, 2):
        with inside(space.node(number)):
            for name in ("default", "eth0"):
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0")
                Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
        space.ip(number, "addr", "add", f"fd77::{number}/64", "dev", "eth0", "nodad")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two nodes with both families."""
    with laboratory(tmp_path) as made:
        with_ipv6(made.space)
        yield made


def begin(lab: Lab, node: int, kind: str, config: str) -> Program:
    """A daemon with a pid file of its own for the BFD process."""
    return lab.start(node, kind, config, "-b", str(lab.directory / f"bfd-{node}-{time.time_ns()}.pid"))


def time_of(program: Program, text: str, since_ns: int = 0) -> int:
    """When the first line with `text` came."""
    return next(line.time_ns for line in list(program.log) if text in line.text and line.time_ns >= since_ns)


def wait_up(lab: Lab, node: int, *names: str, since_ns: int = 0) -> None:
    """Until these sessions are up."""
    for name in names:
        lab.wait_logged(node, f"({name}) Entering Up state", since_ns=since_ns)


def check_lost(lab: Lab, node: int, at_ns: int, *names: str) -> None:
    """Each session expires one detection time after `at_ns`."""
    program = lab.programs[node]
    for name in names:
        lab.wait_logged(node, f"({name}) Expired", since_ns=at_ns)
        late_ns = time_of(program, f"({name}) Expired", at_ns) - at_ns
        assert EARLIEST_NS <= late_ns <= LATEST_NS, f"{name}: {late_ns / MS} ms\n{lab.report()}"
        reason = "(Local diagnostic - Control Detection Time Expired, Remote diagnostic - No Diagnostic)"
        assert program.logged(f"({name}) Entering Down state {reason}", at_ns)


def downs(program: Program, since_ns: int = 0) -> list[str]:
    """The sessions that went down."""
    lines = [line for line in list(program.log) if line.time_ns >= since_ns]
    return [line.text for line in lines if "Entering Down state" in line.text]


# -- the real keepalived -----------------------------------------------------------


def test_with_the_real_keepalived(lab: Lab) -> None:
    """Up, its death, its return, and what it makes of our orderly end."""
    begin(lab, 2, "real", sessions(2))
    ours = begin(lab, 1, "ours", sessions(1) + TRACKED)
    wait_up(lab, 1, *BOTH)
    wait_up(lab, 2, *BOTH)
    lab.wait_logged(1, "VRRP_Instance(VI_1) Tracked BFD instance b4 is UP")
    lab.wait_logged(1, "(VI_1) Entering BACKUP STATE")
    killed = lab.programs[2].kill_all()
    check_lost(lab, 1, killed, *BOTH)
    lab.wait_logged(1, "Received BFD event: instance b4 is in state Down", since_ns=killed)
    lab.wait_logged(1, "(VI_1) Entering FAULT STATE", since_ns=killed)
    again = time.time_ns()
    begin(lab, 2, "real", sessions(2))
    wait_up(lab, 1, *BOTH, since_ns=again)
    wait_up(lab, 2, *BOTH)
    stopped = ours.send(signal.SIGTERM)
    assert ours.wait_end() == 0
    reason = "Local diagnostic - Neighbor Signaled Session Down, Remote diagnostic - Administratively Down"
    for name in BOTH:
        assert ours.logged(f"({name}) Entering AdminDown state", stopped)
        lab.wait_logged(2, f"({name}) Entering Down state ({reason})", since_ns=stopped)


def parameters(program: Program, name: str) -> list[list[str]]:
    """The last table of parameters of a session: the numbers of both lines."""
    lines = [line.text for line in list(program.log)]
    last = max(at for at, line in enumerate(lines) if f"({name}) -----" in line)
    return [
        re.findall(r"\d+", lines[last + row].split(" local " if row == 2 else " remote ")[-1])
        for row in (2, 3)
    ]


def test_both_programs_agree_on_the_same_intervals(lab: Lab) -> None:
    """The tables of two pairs, ours with the real one and real with real, end with the same numbers."""
    begin(lab, 2, "real", session("b4", address(4, 1), address(4, 2), interval_ms=80))
    first = begin(lab, 1, "ours", session("b4", address(4, 2), address(4, 1), interval_ms=40))
    wait_up(lab, 1, "b4")
    wait_up(lab, 2, "b4")
    # Each end says how often it sends and hears; the slower one counts; times are microseconds.
    expected = [["40000", "40000", "80000", "3", "240000"], ["80000", "80000", "80000", "3", "240000"]]
    lab.wait(lambda: parameters(first, "b4") == expected, 5, f"{expected}, now {parameters(first, 'b4')}")


def test_reload_keeps_sessions(lab: Lab) -> None:
    """One session unchanged, one faster: neither goes down on either end; a third one comes."""
    real = begin(lab, 2, "real", sessions(2))
    ours = begin(lab, 1, "ours", sessions(1))
    wait_up(lab, 1, *BOTH)
    wait_up(lab, 2, *BOTH)
    changed = session("b4", address(4, 2), address(4, 1), interval_ms=20)
    kept = session("b6", address(6, 2), address(6, 1))
    new = session("b5", "10.77.0.9", address(4, 1))
    ours.config_path.write_text(changed + kept + new)
    at = ours.send(signal.SIGHUP)
    lab.wait_logged(1, "Reload finished", since_ns=at)
    lab.wait(lambda: ours.logged("(b4) Starting poll sequence", at), 2, "a poll")
    lab.wait(lambda: real.logged("remote    20000   20000", at), 3, "the other end knows")
    time.sleep(DETECTION_NS * 3 / 1e9)  # long enough for a session that is neglected to be lost
    assert downs(ours) == [] and downs(real) == [], lab.report()


def test_tracking_that_a_reload_adds(lab: Lab) -> None:
    """The session is up already: VRRP must learn of it, though nothing has changed."""
    begin(lab, 2, "real", sessions(2))
    untracked = TRACKED.replace("track_bfd {\n        b4\n    }\n", "")
    assert "track_bfd" not in untracked
    ours = begin(lab, 1, "ours", sessions(1) + untracked)
    wait_up(lab, 1, *BOTH)
    lab.wait_logged(1, "(VI_1) Entering MASTER STATE")
    ours.config_path.write_text(sessions(1) + TRACKED)
    at = ours.send(signal.SIGHUP)
    lab.wait_logged(1, "Reload complete", since_ns=at)
    assert not ours.logged("(VI_1) Entering FAULT STATE", at)
    lab.wait_master(1, vip="10.77.1.51")
    killed = lab.programs[2].kill_all()
    lab.wait_logged(1, "(VI_1) Entering FAULT STATE", since_ns=killed)


HOG = "while :; do :; done"


@pytest.mark.slow
def test_stays_up_under_load(lab: Lab) -> None:
    """10 ms intervals, every processor busy with others' work, both ends with real-time priority."""
    first = "global_defs {\n    bfd_rt_priority 50\n}\n"
    both = [begin(lab, node, "ours", first + sessions(node, interval_ms=10)) for node in (1, 2)]
    for node in (1, 2):
        wait_up(lab, node, *BOTH)
    hogs = [subprocess.Popen(["timeout", "20", "sh", "-c", HOG]) for _ in range(os.cpu_count() or 1)]
    for hog in hogs:
        hog.wait(25)
    assert [downs(one) for one in both] == [[], []], lab.report()


def test_death_of_the_bfd_process(lab: Lab) -> None:
    """The parent starts another one, which comes up again; VRRP hears of both."""
    begin(lab, 2, "real", sessions(2))
    begin(lab, 1, "ours", sessions(1) + TRACKED)
    wait_up(lab, 1, *BOTH)
    wait_up(lab, 2, *BOTH)
    pid_file = next(lab.directory.glob("bfd-1-*.pid"))
    killed = time.time_ns()
    run("kill", "-9", pid_file.read_text().strip())
    lab.wait_logged(1, "Starting BFD child process", since_ns=killed)
    wait_up(lab, 1, *BOTH, since_ns=killed)
    lab.wait_logged(1, "Received BFD event: instance b4 is in state Up", since_ns=killed)


# -- FRR's bfdd --------------------------------------------------------------------


class Frr:
    """zebra and bfdd on node 2 of a laboratory."""

    def __init__(self, space: Space, peers: str) -> None:
        if not (FRR / "bfdd").exists():
            raise RuntimeError("FRR's bfdd is not installed (Debian package frr)")
        self._space = space
        # FRR gives up root: its directory must not lie below one that only root may enter.
        self.directory = Path(tempfile.mkdtemp(prefix="frr-"))
        (self.directory / "zebra.conf").write_text("")
        (self.directory / "bfdd.conf").write_text(f"bfd\n{peers}!\n")
        self.directory.chmod(0o755)
        run("chown", "-R", "frr", str(self.directory))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *more: str) -> None:
        """Start one of the daemons."""
        words = [
            "nsenter", f"--net=/run/netns/{self._space.node(2)}", str(FRR / name),
            "-f", str(self.directory / f"{name}.conf"), "-z", str(self.directory / "zebra.sock"),
            "-i", str(self.directory / f"{name}.pid"), "--vty_socket", str(self.directory), *more,
        ]  # fmt: skip
        self._running[name] = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def begin(self) -> None:
        """Both, in order."""
        self.start("zebra")
        wait((self.directory / "zebra.sock").exists, 5, "zebra")
        self.start_bfdd()

    def start_bfdd(self) -> None:
        """bfdd alone."""
        self.start("bfdd", "--bfdctl", str(self.directory / "bfdd.sock"))

    def kill_bfdd(self) -> int:
        """As a crash would; returns the time just before."""
        at = time.time_ns()
        self._running["bfdd"].kill()
        self._running["bfdd"].wait(5)
        return at

    def peers(self) -> str:
        """What bfdd says of its sessions."""
        words = ("vtysh", "--vty_socket", str(self.directory), "-c", "show bfd peers")
        return run(*words, check=False)

    def close(self) -> None:
        """End what still runs."""
        for one in self._running.values():
            one.terminate()
            one.wait(5)
        shutil.rmtree(self.directory)


def peer(neighbour: str, local: str, kind: str = "interface eth0") -> str:
    """A peer of bfdd with the intervals of these tests."""
    timers = f"  receive-interval {INTERVAL_MS}\n  transmit-interval {INTERVAL_MS}\n  detect-multiplier {MULTIPLIER}\n"
    return f" peer {neighbour} {kind} local-address {local}\n{timers} !\n"


@contextmanager
def bfdd(space: Space, peers: str) -> Iterator[Frr]:
    """Running daemons of FRR."""
    frr = Frr(space, peers)
    try:
        frr.begin()
        yield frr
    finally:
        frr.close()


def test_with_bfdd(lab: Lab) -> None:
    """Up, its death, its return, a cut of the line, our orderly end; IPv4 and IPv6."""
    peers = "".join(peer(address(family, 1), address(family, 2)) for family in (4, 6))
    with bfdd(lab.space, peers) as frr:
        ours = begin(lab, 1, "ours", sessions(1))
        wait_up(lab, 1, *BOTH)
        lab.wait(lambda: frr.peers().count("Status: up") == 2, 5, "bfdd has both up")
        killed = frr.kill_bfdd()
        check_lost(lab, 1, killed, *BOTH)
        again = time.time_ns()
        frr.start_bfdd()
        wait_up(lab, 1, *BOTH, since_ns=again)
        lab.wait(lambda: frr.peers().count("Status: up") == 2, 5, "bfdd has both up again")
        cut = time.time_ns()
        lab.space.cut(1)
        check_lost(lab, 1, cut, *BOTH)
        lab.wait(lambda: "Status: up" not in frr.peers(), 3, "bfdd has lost both")
        healed = time.time_ns()
        lab.space.heal(1)
        wait_up(lab, 1, *BOTH, since_ns=healed)
        lab.wait(lambda: frr.peers().count("Status: up") == 2, 5, "bfdd has both up after the cut")
        assert len(downs(ours)) == 4, lab.report()
        ours.send(signal.SIGTERM)
        assert ours.wait_end() == 0
        told = "Remote diagnostics: administratively down"
        lab.wait(lambda: frr.peers().count(told) == 2, 3, f"bfdd is told\n{frr.peers()}")


def test_several_hops_with_bfdd(lab: Lab) -> None:
    """Port 4784 (RFC 5883), beside a session of one hop with another address of the same node."""
    lab.space.ip(1, "addr", "add", "10.77.0.11/16", "dev", "eth0")
    peers = peer("10.77.0.1", "10.77.0.2", "multihop") + peer("10.77.0.11", "10.77.0.2")
    far = session("far", "10.77.0.2", "10.77.0.1", "multihop", "max_hops 3")
    near = session("near", "10.77.0.2", "10.77.0.11")
    with bfdd(lab.space, peers) as frr:
        begin(lab, 1, "ours", far + near)
        wait_up(lab, 1, "far", "near")
        lab.wait(lambda: frr.peers().count("Status: up") == 2, 5, "bfdd has both up")
        killed = frr.kill_bfdd()
        check_lost(lab, 1, killed, "far", "near")


def test_address_that_comes_later(lab: Lab) -> None:
    """A session whose own address is not there yet is switched off, and comes up once it is."""
    begin(lab, 2, "real", session("b4", "10.77.0.11", "10.77.0.2"))
    ours = begin(lab, 1, "ours", session("b4", "10.77.0.2", "10.77.0.11"))
    lab.wait_logged(1, "(b4) bind() error (Cannot assign requested address)")
    assert ours.logged("(b4) Unable to open output socket, disabling instance")
    assert ours.logged("(b4) Entering AdminDown state")
    lab.space.ip(1, "addr", "add", "10.77.0.11/16", "dev", "eth0")
    wait_up(lab, 1, "b4")
    wait_up(lab, 2, "b4")
