"""A laboratory: nodes on a bridge, daemons on the nodes, ears on the wire.

A test says who runs where (`Lab.start(1, "real", text)`), waits for conditions
with a bound (`wait`), and reads adverts, ARP frames, address events and log
lines.  Everything a laboratory made is gone after `close`, whatever happened.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from capture import AddressWatch, Capture, Frame
from program import Program
from space import Space, sweep

SECOND_NS = 1_000_000_000


class Timeout(AssertionError):
    """A condition did not come true in its time."""


def wait(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll `condition`; Timeout naming `what` after `timeout_s` seconds."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise Timeout(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.01)


def skew_s(priority: int) -> float:
    """Skew_Time of VRRPv2 in seconds (RFC 3768 section 6.1)."""
    return (256 - priority) / 256


def master_down_s(priority: int, advert_s: float = 1.0) -> float:
    """Master_Down_Interval of VRRPv2 in seconds (RFC 3768 section 6.1)."""
    return 3 * advert_s + skew_s(priority)


class Lab:
    """One laboratory; use `laboratory` to be sure that it is closed."""

    def __init__(self, directory: Path, nodes: int = 2, net: int = 77, ipv6: bool = False) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.space = Space(nodes=nodes, net=net, ipv6=ipv6).up()
        self.capture = Capture(self.space)
        self.watches = {n: AddressWatch(self.space, n) for n in range(1, nodes + 1)}
        self.programs: dict[int, Program] = {}
        self._all: list[Program] = []

    def start(self, node: int, kind: str, config: str, *more: str) -> Program:
        """Start `real` or `ours` on `node` with this configuration text."""
        where = self.directory / f"r{node}-{len(self._all)}-{kind}"
        program = Program(kind, self.space.node(node), where, config, more)
        self.programs[node] = program
        self._all.append(program)
        return program

    def last_advert(self, node: int, vrid: int | None = None, before_ns: int | None = None) -> Frame:
        """The newest advert of `node` (heard before `before_ns`); AssertionError when it sent none."""
        heard = self.capture.adverts(node, vrid=vrid)
        frames = [f for f in heard if before_ns is None or f.time_ns < before_ns]
        assert frames, f"node {node} sent no advert\n{self.report()}"
        return frames[-1]

    def masters(self, vrid: int | None = None, within_s: float = 1.5) -> set[int]:
        """Nodes that sent a live advert in the last `within_s` seconds."""
        since = time.time_ns() - int(within_s * SECOND_NS)
        last = {f.node: f for f in self.capture.adverts(since_ns=since, vrid=vrid)}
        return {node for node, frame in last.items() if frame.priority}

    def wait_master(self, *nodes: int, vip: str | None = None, timeout_s: float = 8.0) -> None:
        """Until exactly these nodes advertise, and (when given) hold `vip`, and no other does."""

        def settled() -> bool:
            if self.masters() != set(nodes):
                return False
            everyone = range(1, self.space.nodes + 1)
            return vip is None or {n for n in everyone if self.space.holds(n, vip)} == set(nodes)

        self.wait(settled, timeout_s, f"masters {sorted(nodes)}, now {sorted(self.masters())}")

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """As `wait`, with the logs of all daemons in the failure's text."""
        try:
            wait(condition, timeout_s, what)
        except Timeout as missed:
            raise Timeout(f"{missed}\n{self.report()}") from None

    def wait_logged(self, node: int, text: str, timeout_s: float = 8.0, since_ns: int = 0) -> None:
        """Until the daemon on `node` has logged a line with `text`."""
        program = self.programs[node]
        self.wait(lambda: program.logged(text, since_ns), timeout_s, f"node {node} logs {text!r}")

    def heal_after_advert_of(self, node: int, cut: int) -> None:
        """Join `cut` again just after an advert of `node`, so that the other's advert is the next one."""
        seen = self.last_advert(node).time_ns
        self.wait(lambda: self.last_advert(node).time_ns > seen, 3, f"another advert of node {node}")
        self.space.heal(cut)

    def report(self) -> str:
        """Who ran, what they logged last, and the last frames."""
        parts = [f"--- node {n} ({p.kind}, alive={p.alive()})\n{p.tail()}" for n, p in self.programs.items()]
        frames = self.capture.adverts()[-12:]
        parts += [f"advert {f.time_ns} node {f.node} vrid {f.vrid} priority {f.priority}" for f in frames]
        return "\n".join(parts)

    def close(self) -> None:
        """End every daemon, close every ear, delete every namespace."""
        for program in self._all:
            program.ask_to_end()
        for program in self._all:
            program.close()
        for watch in self.watches.values():
            watch.close()
        self.capture.close()
        self.space.down()


@contextmanager
def laboratory(directory: Path, nodes: int = 2, net: int = 77, ipv6: bool = False) -> Iterator[Lab]:
    """A laboratory that is closed whatever happens; leftovers of killed runs are swept first."""
    sweep()
    lab = Lab(directory, nodes, net, ipv6)
    try:
        yield lab
    finally:
        lab.close()
