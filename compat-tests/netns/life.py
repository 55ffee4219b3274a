"""What the tests of a daemon's life share: files with short intervals, reloads, gaps between adverts, FIFO readers."""

import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from capture import AddressEvent, Frame
from configs import VIP
from lab import SECOND_NS, Lab
from program import Program, children_of

MS = 1_000_000


def block(name: str, *lines: str) -> list[str]:
    """`name { lines }`."""
    return [f"{name} {{", *(f"    {line}" for line in lines), "}"]


def router(
    name: str = "VI_1",
    vrid: int = 51,
    priority: int = 100,
    addresses: Sequence[str] = (f"{VIP}/24",),
    lines: Sequence[str] = (),
    version: int = 3,
    advert_s: float = 0.1,
) -> str:
    """A vrrp_instance on eth0 with a short interval; `lines` go in verbatim."""
    body = [
        "state BACKUP",
        "interface eth0",
        f"virtual_router_id {vrid}",
        f"version {version}",
        f"priority {priority}",
        f"advert_int {advert_s:g}",
        *block("virtual_ipaddress", *addresses),
        *lines,
    ]
    return "\n".join([*block(f"vrrp_instance {name}", *body), ""])


def text(*blocks: str, lines: Sequence[str] = ()) -> str:
    """A whole file; `lines` stand in global_defs."""
    return "\n".join([*block("global_defs", "router_id lab", "script_user root", *lines), "", *blocks])


def count_logged(program: Program, words: str) -> int:
    """How many lines of the log contain `words`."""
    return sum(words in line.text for line in list(program.log))


def reload(lab: Lab, config: str, node: int = 1, said: str = "Reload complete") -> None:
    """Give the daemon another file, and wait until it has said that it is done with it."""
    program = lab.programs[node]
    before = count_logged(program, said)
    program.config_path.write_text(config)
    program.send(signal.SIGHUP)
    lab.wait(lambda: count_logged(program, said) > before, 20, f"one more {said!r}")


def gaps_ms(lab: Lab, vrid: int, since_ns: int, node: int = 1) -> list[float]:
    """Milliseconds between one advert of the virtual router and the next."""
    times = [frame.time_ns for frame in lab.capture.adverts(node, since_ns, vrid)]
    return [(after - before) / MS for before, after in pairwise(times)]


def wait_advert(lab: Lab, node: int, priority: int | None = None, since_ns: int = 0, vrid: int = 51) -> Frame:
    """The first advert of the node since then with this priority."""

    def heard() -> list[Frame]:
        frames = lab.capture.adverts(node, since_ns, vrid)
        return [frame for frame in frames if priority in (None, frame.priority)]

    lab.wait(lambda: bool(heard()), 20, f"an advert of node {node} with priority {priority}")
    return heard()[0]


def address_events(lab: Lab, node: int, address: str, since_ns: int = 0) -> list[AddressEvent]:
    """What the kernel said about one address."""
    events = list(lab.watches[node].events)
    return [event for event in events if event.address == address and event.time_ns >= since_ns]


def stop(program: Program) -> list[int]:
    """SIGSTOP the daemon and all below it; the pids, for `go_on`."""
    pids = children_of(program.pid)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    return pids


def go_on(pids: Sequence[int]) -> int:
    """SIGCONT; the time just before."""
    now = time.time_ns()
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return now


def for_a_while(seconds: float) -> None:
    """Let time pass in which nothing must happen."""
    time.sleep(seconds)


class Pipe:
    """A FIFO that is read line by line from before the daemon starts."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        self.path = path
        self.lines: list[str] = []
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        rest = b""
        while not self._stop.is_set():
            if select.select([self._descriptor], [], [], 0.05)[0]:
                rest += os.read(self._descriptor, 4096)
                *whole, rest = rest.split(b"\n")
                self.lines += [line.decode() for line in whole]

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(2)
        os.close(self._descriptor)


def seconds_between(first: Frame, second: Frame) -> float:
    """From one frame to another."""
    return (second.time_ns - first.time_ns) / SECOND_NS
