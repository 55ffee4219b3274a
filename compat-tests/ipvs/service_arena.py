"""Inside the kernel with IPVS: real servers on one machine, and several daemons that check them at the same time.

    service_arena.py LABEL=COMMAND...      the daemon whose start takes longest first; prints one JSON object

Every daemon is on a machine (network namespace) of its own with its own IPVS table, and all hang on one
wire with machine `servers`.  What the servers do is what all daemons see at the same moment.  The
zero of a daemon's times is its first word on its FIFO, a second before its first checks.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from service_cases import CASES, configuration, virtual
from service_programs import ADDRESSES, HOME, NAMES, Servers
from traffic import sh

# Between two checks; and where between two checks of the first daemon the others begin, and servers change.
INTERVAL_S = 3.0
BEGIN_S, CHANGE_S = 2.5, 2.5
# How many intervals a phase has; the first one needs no retries.
FIRST, PHASE = 2, 3
_START_S = 40.0
_STOP_S = 15.0


def lay_wire(machines: dict[str, list[str]]) -> None:
    """A machine for each name, with these addresses."""
    sh("ip link add wire type dummy")
    sh("ip link set wire up")
    for name, addresses in machines.items():
        sh(f"ip netns add {name}")
        sh(f"ip link add link wire name to-{name} type macvlan mode bridge")
        sh(f"ip link set to-{name} netns {name} name eth0")
        # The kernel's words for "nobody listens" count as an answer; it shall not save them.
        sh(f"ip netns exec {name} sysctl -qw net.ipv4.icmp_ratelimit=0")
        for line in (
            "link set lo up",
            "link set eth0 up",
            *(f"addr add {one}/16 dev eth0" for one in addresses),
        ):
            sh(f"ip -n {name} {line}")


def certificates() -> None:
    """One for each name."""
    for name in NAMES:
        key, made = HOME / "key.pem", HOME / "made.pem"
        sh(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650"
            f" -subj /CN={name} -keyout {key} -out {made}"
        )
        (HOME / f"{name}.pem").write_text(key.read_text() + made.read_text())


class Daemon:
    """One of those that check.  `fifo`, `log`: (time, line), `zero`: the time of its first word."""

    def __init__(self, label: str, command: str, place: int, source: str) -> None:
        self._label, self._command = label, command
        self._path = HOME / f"{label}.conf"
        self._path.write_text(configuration(label, place, source))
        self.fifo: list[tuple[float, str]] = []
        self.log: list[tuple[float, str]] = []
        self.tables: list[dict[str, int]] = []
        self.looks: list[float] = []
        self.zero = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        fifo = HOME / f"{label}.fifo"
        os.mkfifo(fifo)
        self._follow(os.open(fifo, os.O_RDWR), self.fifo)

    def _follow(self, place: int, lines: list[tuple[float, str]]) -> None:
        def work() -> None:
            rest = b""
            while more := os.read(place, 65536):
                now = time.monotonic()
                *whole, rest = (rest + more).replace(b"\0", b"").split(b"\n")
                lines.extend((now, line.decode(errors="replace")) for line in whole)

        threading.Thread(target=work, daemon=True).start()

    def start(self) -> None:
        """Start it, and wait for its first word."""
        pids = [word for letter in "prcb" for word in (f"-{letter}", str(HOME / f"{self._label}.{letter}"))]
        words = [
            "ip",
            "netns",
            "exec",
            self._label,
            self._command,
            "-n",
            "-l",
            "-D",
            "-f",
            str(self._path),
            *pids,
        ]
        self._process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        self._follow(self._process.stdout.fileno(), self.log)
        end = time.monotonic() + _START_S
        while not self.fifo and time.monotonic() < end:
            time.sleep(0.01)
        if not self.fifo:
            raise TimeoutError(f"{self._label} said nothing: {self.log}")
        self.zero = self.fifo[0][0]

    def look(self) -> None:
        """Note its table: case -> weight of its real server, if it is in there.

        Not by /proc/net/ip_vs, of which the kernel leaves out a service where a page ends.
        """
        assert self._process is not None
        numbers = {virtual(number): str(number) for number in range(len(CASES))}
        found: dict[str, int] = {}
        for line in sh(f"nsenter --net=/proc/{self._process.pid}/ns/net ipvsadm -Sn").splitlines():
            words = line.split()
            if words[0] == "-a":
                found[numbers[words[2].partition(":")[0]]] = int(words[words.index("-w") + 1])
        self.tables.append(found)
        self.looks.append(time.monotonic())

    def stop(self) -> None:
        """SIGTERM."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def seen(self, changes: list[float], end: float) -> dict[str, Any]:
        """What came of it until the end; the times of the changes are on its own clock, too."""
        return {
            "fifo": [(round(at - self.zero, 3), line) for at, line in self.fifo if at < end],
            "log": [line for at, line in self.log if at < end],
            "tables": self.tables,
            "changes": [round(at - self.zero, 3) for at in changes],
            "looks": [round(at - self.zero, 3) for at in self.looks],
        }


def play(commands: dict[str, str]) -> dict[str, Any]:
    """Everything."""
    HOME.mkdir()
    sources = {label: f"10.61.1.{place}" for place, label in enumerate(commands, 1)}
    lay_wire({"servers": list(ADDRESSES), **{label: [source] for label, source in sources.items()}})
    certificates()
    servers = Servers(sources)
    servers.start()
    daemons = [
        Daemon(label, command, place, sources[label])
        for place, (label, command) in enumerate(commands.items())
    ]
    changes: list[float] = []
    try:
        for one in daemons:
            one.start()
            # The others begin between two of its checks, so that all check at nearly the same times.
            time.sleep(max(0.0, daemons[0].zero + BEGIN_S - time.monotonic()))
        _sleep(daemons[0].zero, FIRST)
        changes.append(_changed(daemons, servers.worse))
        _sleep(daemons[0].zero, PHASE)
        servers.started_again()
        _sleep(daemons[0].zero, 1)
        changes.append(_changed(daemons, servers.better))
        _sleep(daemons[0].zero, PHASE)
        end = _changed(daemons, lambda: None)
    finally:
        for one in daemons:
            one.stop()
        servers.close()
    return {label: one.seen(changes, end) for label, one in zip(commands, daemons, strict=True)}


def _sleep(zero: float, intervals: int) -> None:
    """Into the middle between two checks, so many intervals from now."""
    now = time.monotonic() - zero
    passed = (now - CHANGE_S) // INTERVAL_S
    time.sleep((passed + intervals) * INTERVAL_S + CHANGE_S - now)


def _changed(daemons: list[Daemon], change: Callable[[], None]) -> float:
    """Look at all tables, and then have the servers change; the time of that."""
    for one in daemons:
        one.look()
    at = time.monotonic()
    change()
    return at


if __name__ == "__main__":
    print(json.dumps(play(dict(word.split("=", 1) for word in sys.argv[1:]))))
