"""`make run`: a failover to watch, in network namespaces of its own.

Two nodes on a bridge run the configurations of samples/demo.  Everything that
can be seen from outside goes into one timeline: adverts and gratuitous ARP as
they pass the bridge, addresses as the kernel moves them, the daemons' own log
lines, what the notify script was called with.  Then the master's processes
are killed without warning, and the time until the other node's first advert
is compared with what the protocol promises:

    Master_Down_Interval = 3 * advert_int + (256 - priority) / 256   seconds

counted from the last advert heard (RFC 3768 section 6.1).  The exit code is 0
only if every act of the story happened.
"""

import argparse
import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from demo_network import AdvertSeen, ArpSeen, Ear, NetworkError, Node, Seen, network

SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "demo"
VIRTUAL_ADDRESS = "192.0.2.100"
ADVERT_INTERVAL_S = 1.0
PRIORITY = {"node1": 150, "node2": 100}
# Longer than any Master_Down_Interval here with its start-up; shorter than a viewer's patience.
PATIENCE_S = 12.0
# A second burst of the same gratuitous ARP is worth a line again after this pause.
ARP_PAUSE_S = 0.5
# What keepalived's log says that a viewer wants to read, and what of it the other lines show better.
LOG_OF_INTEREST = re.compile(r"^\(|^(Starting|Stopped|Stopping|Startup)|[Ee]rror|[Ff]ail|[Uu]nable|Traceback")
LOG_BORING = re.compile(r"ARP|setting VIPs|removing VIPs|Command line|Configuration file")
LOG_DATE = re.compile(r"^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}: ")
COLOURS = {
    "advert": "2",
    "address": "32",
    "arp": "36",
    "log": "0",
    "notify": "35",
    "act": "1;33",
    "result": "1",
}


class DemoFailed(Exception):
    """An act of the story did not happen in time."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the timeline: `at` is seconds since the epoch, `who` a node's name or empty."""

    at: float
    who: str
    kind: str
    text: str
    seen: Seen | None = None


@dataclass(slots=True)
class Known:
    """What the timeline has shown so far."""

    holders: set[str] = field(default_factory=set)
    adverts: list[tuple[str, float]] = field(default_factory=list)
    last_arp: dict[tuple[str, str], float] = field(default_factory=dict)
    notified: list[str] = field(default_factory=list)

    def last_advert(self, who: str) -> float:
        """When `who` was last heard as a master; DemoFailed if never."""
        for name, at in reversed(self.adverts):
            if name == who:
                return at
        raise DemoFailed(f"{who} never sent an advert")


class Timeline:
    """Takes happenings from many threads, prints them in order of arrival, remembers the state."""

    def __init__(self, nodes: list[Node], colour: bool) -> None:
        self._names = {node.address: node.name for node in nodes}
        self._queue: queue.Queue[Happening] = queue.Queue()
        self._started = time.time()
        self._colour = colour
        self._guards: list[Callable[[], str]] = []
        self.known = Known()

    def guard(self, fault: Callable[[], str]) -> None:
        """From now on, waiting ends at once with DemoFailed when `fault()` gives a text."""
        self._guards.append(fault)

    def put(self, happening: Happening) -> None:
        self._queue.put(happening)

    def saw(self, seen: Seen) -> None:
        """A packet on the bridge (called by the ear's thread)."""
        if isinstance(seen, AdvertSeen):
            who = self._names.get(seen.source, seen.source)
            text = f"vrid {seen.vrid} priority {seen.priority} {' '.join(seen.addresses)}"
            self.put(Happening(seen.at, who, "advert", text, seen))
        else:
            self.put(Happening(seen.at, "", "arp", f"gratuitous: {seen.address} is at {seen.mac}", seen))

    def say(self, kind: str, text: str) -> None:
        """A line of the narrator."""
        self._print(Happening(time.time(), "", kind, text))

    def until(self, condition: Callable[[Known], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Show what happens until the condition holds; DemoFailed(what) after `patience_s`."""
        deadline = time.monotonic() + patience_s
        while not condition(self.known):
            left = deadline - time.monotonic()
            for fault in self._guards:
                if text := fault():
                    raise DemoFailed(text)
            if left <= 0:
                raise DemoFailed(f"waited {patience_s:.0f} s in vain: {what}")
            with contextlib.suppress(queue.Empty):
                self._take(self._queue.get(timeout=min(left, 0.2)))

    def watch(self, duration_s: float) -> None:
        """Show what happens for a while."""
        end = time.monotonic() + duration_s
        self.until(lambda _: time.monotonic() >= end, "the end of a pause", duration_s + 1)

    def _take(self, happening: Happening) -> None:
        known = self.known
        match happening.kind:
            case "advert":
                if isinstance(happening.seen, AdvertSeen) and happening.seen.priority:
                    known.adverts.append((happening.who, happening.at))
            case "address":
                change = known.holders.add if happening.text.startswith("+") else known.holders.discard
                change(happening.who)
            case "notify":
                known.notified.append(f"{happening.who} {happening.text}")
        if isinstance(happening.seen, ArpSeen) and not self._fresh(happening.seen):
            return
        self._print(happening)

    def _fresh(self, seen: ArpSeen) -> bool:
        key = (seen.address, seen.mac)
        before = self.known.last_arp.get(key, 0.0)
        self.known.last_arp[key] = seen.at
        return seen.at - before > ARP_PAUSE_S

    def _print(self, happening: Happening) -> None:
        words = {"act": "=====", "result": "====="}.get(happening.kind, happening.kind)
        line = f"{happening.at - self._started:7.3f}  {happening.who:<6} {words:<8} {happening.text}"
        if self._colour:
            line = f"\x1b[{COLOURS[happening.kind]}m{line}\x1b[0m"
        print(line, flush=True)


def follow_log(name: str, process: subprocess.Popen[str], timeline: Timeline, kept: list[str]) -> None:
    """Read a daemon's log to its end; keep all of it, show what is of interest (runs in a thread)."""
    assert process.stdout is not None
    for raw in process.stdout:
        line = LOG_DATE.sub("", raw.rstrip())
        kept.append(line)
        if LOG_OF_INTEREST.search(line) and not LOG_BORING.search(line):
            timeline.put(Happening(time.time(), name, "log", line))


def follow_addresses(name: str, process: subprocess.Popen[str], timeline: Timeline) -> None:
    """Turn the lines of `ip -o monitor address` into happenings (runs in a thread)."""
    assert process.stdout is not None
    for line in process.stdout:
        if f"inet {VIRTUAL_ADDRESS}/" in line:
            gone = line.startswith("Deleted")
            text = f"- {VIRTUAL_ADDRESS} taken off" if gone else f"+ {VIRTUAL_ADDRESS} put on"
            timeline.put(Happening(time.time(), name, "address", text))


def follow_notifies(path: Path, timeline: Timeline, done: threading.Event) -> None:
    """Show each line the notify script writes (runs in a thread, looks 50 times a second)."""
    position = 0
    while not done.wait(0.02):
        if not path.exists():
            continue
        with path.open() as lines:
            lines.seek(position)
            for line in lines:
                who, _, arguments = line.strip().partition(" ")
                timeline.put(Happening(time.time(), who, "notify", arguments))
            position = lines.tell()


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                found += family(int(child))
    return found


class Daemon:
    """The daemon of one node: started, stopped, killed."""

    def __init__(self, node: Node, command: list[str], directory: Path, timeline: Timeline) -> None:
        self.node = node
        self.log: list[str] = []
        self._arguments = [
            *("ip", "netns", "exec", node.namespace, *command, "-n", "-l", "-D"),
            *("-f", str(directory / f"{node.name}.conf")),
            *("-p", str(directory / f"{node.name}.pid"), "-r", str(directory / f"{node.name}-vrrp.pid")),
            *("-c", str(directory / f"{node.name}-checkers.pid")),
        ]
        self._timeline = timeline
        self._process: subprocess.Popen[str] | None = None
        self._ending = False
        timeline.guard(self._fault)

    def _fault(self) -> str:
        """What is wrong if the daemon has ended without being told to; empty if all is well."""
        code = self._process.poll() if self._process and not self._ending else None
        return "" if code is None else f"the daemon of {self.node.name} ended by itself with code {code}"

    def start(self) -> None:
        self._ending = False
        self._process = spawn(self._arguments)
        follow = (self.node.name, self._process, self._timeline, self.log)
        threading.Thread(target=follow_log, args=follow, daemon=True).start()

    def kill(self) -> None:
        """SIGKILL for the parent first, so that it restarts nobody, then for its children."""
        self._ending = True
        if self._process and self._process.poll() is None:
            for pid in family(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(5)

    def stop(self) -> int | None:
        """SIGTERM; the exit code, or None if the daemon did not end within 5 s (it is killed then)."""
        if not self._process:
            return None
        self._ending = True
        self._process.terminate()
        try:
            return self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


def spawn(arguments: list[str]) -> subprocess.Popen[str]:
    """A process whose output we read.  Its own session: Ctrl-C is for us, and we end it in our order."""
    return subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


@contextlib.contextmanager
def watched(timeline: Timeline, hub: str, nodes: list[Node], notify_log: Path) -> Iterator[None]:
    """All eyes and ears open inside the block."""
    done = threading.Event()
    ear = Ear(hub, timeline.saw)
    ear.open()
    monitors = [spawn(["ip", "-n", node.namespace, "-o", "monitor", "address"]) for node in nodes]
    for node, monitor in zip(nodes, monitors, strict=True):
        threading.Thread(target=follow_addresses, args=(node.name, monitor, timeline), daemon=True).start()
    threading.Thread(target=follow_notifies, args=(notify_log, timeline, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        for monitor in monitors:
            monitor.terminate()
            monitor.wait(5)
        ear.close()


def master_down_interval(name: str) -> float:
    """Seconds of silence after which this node must be master (VRRPv2)."""
    return 3 * ADVERT_INTERVAL_S + (256 - PRIORITY[name]) / 256


def mastered(name: str, since: float) -> Callable[[Known], bool]:
    """The node has advertised since then, holds the address and has told its script."""

    def holds(known: Known) -> bool:
        return (
            any(who == name and at > since for who, at in known.adverts)
            and name in known.holders
            and any(line.startswith(f"{name} INSTANCE VI_1 MASTER") for line in known.notified)
        )

    return holds


def first_advert(known: Known, name: str, since: float) -> float:
    """When `name` was first heard after `since`."""
    return next(at for who, at in known.adverts if who == name and at > since)


def act_election(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "1. Both nodes start; the better priority (node1, 150 against 100) must win")
    began = time.time()
    for daemon in daemons.values():
        daemon.start()
    timeline.until(mastered("node1", began), "node1 becomes MASTER")
    timeline.watch(2.5)


def act_failover(timeline: Timeline, daemons: dict[str, Daemon]) -> float:
    """Returns the seconds from the last advert of node1 to the first of node2."""
    timeline.say("act", "2. kill -9 for all processes of node1, in the middle of an interval")
    daemons["node1"].kill()
    killed = time.time()
    timeline.known.notified.clear()
    timeline.until(mastered("node2", killed), "node2 takes over")
    known = timeline.known
    took = first_advert(known, "node2", killed) - known.last_advert("node1")
    theory = master_down_interval("node2")
    timeline.say(
        "result",
        f"failover: {took:.4f} s from the last advert of node1 to the first of node2; "
        f"Master_Down_Interval {theory:.4f} s, {(took - theory) * 1000:+.2f} ms",
    )
    timeline.say("result", "(a killed daemon cannot take its address off; its next start does)")
    timeline.watch(2.5)
    return took


def act_return(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "3. node1 comes back and takes the address again (preemption)")
    back = time.time()
    timeline.known.notified.clear()
    timeline.known.holders.discard("node1")
    daemons["node1"].start()
    timeline.until(mastered("node1", back), "node1 preempts")
    timeline.until(lambda known: "node2" not in known.holders, "node2 gives the address up")
    timeline.watch(1.2)


def act_stop(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "4. SIGTERM for both: priority 0 says goodbye, addresses go")
    codes = {name: daemon.stop() for name, daemon in daemons.items()}
    timeline.until(lambda known: not known.holders, "no node holds the address")
    timeline.watch(0.3)
    if any(code != 0 for code in codes.values()):
        raise DemoFailed(f"the daemons' exit codes: {codes}")


def story(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    """The four acts; DemoFailed if one of them does not come about."""
    try:
        act_election(timeline, daemons)
        took = act_failover(timeline, daemons)
        if took < master_down_interval("node2") - 0.01:
            raise DemoFailed(f"node2 took over after {took:.4f} s, sooner than the protocol allows")
        act_return(timeline, daemons)
        act_stop(timeline, daemons)
    except DemoFailed:
        for name, daemon in daemons.items():
            timeline.say("result", f"last log lines of {name}:")
            for line in daemon.log[-12:]:
                timeline.say("log", f"    {line}")
        raise
    finally:
        for daemon in daemons.values():
            daemon.kill()


def perform(command: list[str], colour: bool) -> None:
    """Make the network, play the story, take everything down."""
    with contextlib.ExitStack() as stack:
        # Script security wants a directory that only root can write to; the checkout may be anybody's.
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="keepalived-py-demo-", dir="/run"))
        )
        for source in SAMPLES.iterdir():
            shutil.copy(source, directory / source.name)
            os.chown(directory / source.name, 0, 0)
        hub, nodes = stack.enter_context(network(tuple(PRIORITY)))
        timeline = Timeline(nodes, colour)
        stack.enter_context(watched(timeline, hub, nodes, directory / "notify.log"))
        story(timeline, {node.name: Daemon(node, command, directory, timeline) for node in nodes})


def default_daemon() -> str:
    """The entry point of the environment this Python belongs to."""
    script = Path(sys.executable).parent / "keepalived-py"
    return str(script) if script.exists() else f"{sys.executable} -m keepalived_py"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="demo.py", description="Watch a failover of two nodes (needs root)."
    )
    parser.add_argument(
        "--daemon", default=default_daemon(), help="the daemon's command (default: %(default)s)"
    )
    parser.add_argument("--no-colour", action="store_true", help="plain lines even on a terminal")
    return parser.parse_args()


def main() -> int:
    """0: the whole story happened; 1: it did not; 130: interrupted."""
    options = arguments()
    if os.geteuid() != 0:
        print("demo: network namespaces and raw sockets need root", file=sys.stderr)
        return 1
    # SIGTERM ends us the way Ctrl-C does: through the `finally`s that delete the namespaces.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        perform(shlex.split(options.daemon), sys.stdout.isatty() and not options.no_colour)
    except (DemoFailed, NetworkError, OSError) as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; everything was removed", file=sys.stderr)
        return 130
    print("demo: all four acts happened; namespaces and processes are gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
