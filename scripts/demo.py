"""`make run`: a failover and a reload to watch, in network namespaces of their own.

Two nodes on a bridge run the configurations of samples/demo: a virtual router
for IPv4 (version 2, one advert a second) and one for IPv6 (version 3, five a
second).  Everything that can be seen from outside goes into one timeline:
adverts, gratuitous ARP and neighbour advertisements as they pass the bridge,
addresses as the kernel moves them, the daemons' own log lines, what the notify
script was called with.  The better node gets a new configuration while it is
MASTER: nothing that was there before may blink.  Then its processes are killed
without warning, and the time until the other node's first advert is compared
with what the protocol promises:

    Master_Down_Interval = 3 * advert_int + skew_time   seconds

counted from the last advert heard (RFC 3768 and RFC 9568, section 6.1).  The
exit code is 0 only if every act of the story happened.
"""

import argparse
import contextlib
import itertools
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

from demo_network import AdvertSeen, Ear, NetworkError, Node, Seen, network

SAMPLES = Path(__file__).resolve().parent.parent / "samples" / "demo"
PRIORITY = {"node1": 150, "node2": 100}
# Put on by the reload.
NEW_ADDRESS = "2001:db8::101"
# Longer than any Master_Down_Interval here with its start-up; shorter than a viewer's patience.
PATIENCE_S = 12.0
# A second burst of the same gratuitous ARP, or the same advert, is worth a line again after this pause.
ARP_PAUSE_S = 0.5
ADVERT_PAUSE_S = 0.9
# An advert this much too early or too late would be a blink; usually it is a fraction of a millisecond.
BLINK_S = 0.1
# What keepalived's log says that a viewer wants to read, and what of it the other lines show better.
LOG_OF_INTEREST = re.compile(
    r"^\(|^(Starting|Stopped|Stopping|Startup|Reload)|[Ee]rror|[Ff]ail|[Uu]nable|Traceback"
)
LOG_BORING = re.compile(r"ARP|Neighbour Advert|ing VIPs|Command line|Configuration file|discarding$")
LOG_DATE = re.compile(r"^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}: ")
COLOURS = {
    "advert": "2",
    "address": "32",
    "where": "36",
    "log": "0",
    "notify": "35",
    "act": "1;33",
    "result": "1",
}


@dataclass(frozen=True, slots=True)
class Router:
    """One virtual router of samples/demo."""

    instance: str
    vrid: int
    version: int
    address: str
    advert_s: float

    def master_down_s(self, name: str) -> float:
        """Seconds of silence after which this node must be master."""
        skew_unit = 1.0 if self.version == 2 else self.advert_s
        return 3 * self.advert_s + (256 - PRIORITY[name]) / 256 * skew_unit


IPV4 = Router("VI_1", 51, 2, "192.0.2.100", 1.0)
IPV6 = Router("VI_6", 56, 3, "2001:db8::100", 0.2)
ROUTERS = (IPV4, IPV6)
SHOWN_ADDRESSES = (IPV4.address, IPV6.address, NEW_ADDRESS)


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
    """What the timeline has shown so far: who holds which address, who advertised which router and when."""

    holders: set[tuple[str, str]] = field(default_factory=set)
    taken_off: list[tuple[str, str]] = field(default_factory=list)
    adverts: list[tuple[str, int, float]] = field(default_factory=list)
    last_shown: dict[tuple[object, ...], float] = field(default_factory=dict)
    notified: list[str] = field(default_factory=list)

    def times(self, who: str, router: Router) -> list[float]:
        """When `who` was heard as master of `router`."""
        return [at for name, vrid, at in self.adverts if (name, vrid) == (who, router.vrid)]

    def last_advert(self, who: str, router: Router) -> float:
        """When `who` was last heard as a master; DemoFailed if never."""
        times = self.times(who, router)
        if not times:
            raise DemoFailed(f"{who} never sent an advert of {router.instance}")
        return times[-1]


class Timeline:
    """Takes happenings from many threads, prints them in order of arrival, remembers the state."""

    def __init__(self, nodes: list[Node], colour: bool) -> None:
        self._names = {node.address: node.name for node in nodes}
        self._names |= {node.link_local: node.name for node in nodes}
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
            text = f"v{seen.version} vrid {seen.vrid} priority {seen.priority} {' '.join(seen.addresses)}"
            self.put(Happening(seen.at, who, "advert", text, seen))
        else:
            what = "neighbour advertisement" if ":" in seen.address else "gratuitous ARP"
            self.put(Happening(seen.at, "", "where", f"{what}: {seen.address} is at {seen.mac}", seen))

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
                    known.adverts.append((happening.who, happening.seen.vrid, happening.at))
            case "address":
                sign, address = happening.text.split()[:2]
                if sign == "+":
                    known.holders.add((happening.who, address))
                else:
                    known.holders.discard((happening.who, address))
                    known.taken_off.append((happening.who, address))
            case "notify":
                known.notified.append(f"{happening.who} {happening.text}")
        if happening.seen is None or self._fresh(happening.seen):
            self._print(happening)

    def _fresh(self, seen: Seen) -> bool:
        """Whether it is worth a line: not the same again after a moment."""
        if isinstance(seen, AdvertSeen):
            key: tuple[object, ...] = (seen.source, seen.vrid, seen.priority, seen.addresses)
            pause = ADVERT_PAUSE_S
        else:
            key, pause = (seen.address, seen.mac), ARP_PAUSE_S
        if seen.at - self.known.last_shown.get(key, 0.0) <= pause:
            return False
        self.known.last_shown[key] = seen.at
        return True

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
        for address in SHOWN_ADDRESSES:
            if f" {address}/" in line:
                gone = line.startswith("Deleted")
                text = f"- {address} taken off" if gone else f"+ {address} put on"
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
        self._directory = directory
        self._timeline = timeline
        self._process: subprocess.Popen[str] | None = None
        self._ending = False
        timeline.guard(self._fault)

    def _fault(self) -> str:
        """What is wrong if the daemon has ended without being told to; empty if all is well."""
        code = self._process.poll() if self._process and not self._ending else None
        return "" if code is None else f"the daemon of {self.node.name} ended by itself with code {code}"

    def reload(self, old: str, new: str) -> None:
        """SIGHUP after a change of its file."""
        path = self._directory / f"{self.node.name}.conf"
        path.write_text(path.read_text().replace(old, new))
        if self._process:
            self._process.send_signal(signal.SIGHUP)

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


def mastered(name: str, since: float) -> Callable[[Known], bool]:
    """The node has advertised both routers since then, holds the addresses and has told its script."""

    def holds(known: Known) -> bool:
        heard = all(any(at > since for at in known.times(name, router)) for router in ROUTERS)
        held = all((name, router.address) in known.holders for router in ROUTERS)
        told = any(line.startswith(f"{name} INSTANCE {IPV4.instance} MASTER") for line in known.notified)
        return heard and held and told

    return holds


def act_election(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "1. Both nodes start; the better priority (node1, 150 against 100) must win")
    began = time.time()
    for daemon in daemons.values():
        daemon.start()
    timeline.until(mastered("node1", began), "node1 becomes MASTER")
    timeline.watch(2.0)


def act_reload(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say(
        "act",
        f"2. Both nodes get a new file: {IPV6.instance} holds {NEW_ADDRESS} too. Nothing else may blink",
    )
    known, began = timeline.known, time.time()
    # Whoever starts first may be master for a moment, until the better one is there.
    earlier = len(known.taken_off)
    for daemon in daemons.values():
        daemon.reload(f"{IPV6.address}/64", f"{IPV6.address}/64\n        {NEW_ADDRESS}/64")
    timeline.until(lambda known: ("node1", NEW_ADDRESS) in known.holders, "node1 holds the new address")
    timeline.watch(2.2)
    if known.taken_off[earlier:]:
        raise DemoFailed(f"taken off during the reload: {known.taken_off[earlier:]}")
    for router in ROUTERS:
        times = [at for at in known.times("node1", router) if at > began - 2 * router.advert_s]
        errors = [after - before - router.advert_s for before, after in itertools.pairwise(times)]
        text = f"{len(times)} adverts of {router.instance} around the reload, {router.advert_s:g} s apart"
        timeline.say("result", f"{text}, {min(errors) * 1000:+.2f} to {max(errors) * 1000:+.2f} ms")
        if max(errors) > BLINK_S:
            raise DemoFailed(f"{router.instance} was silent for too long")


def act_failover(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "3. kill -9 for all processes of node1, in the middle of an interval")
    daemons["node1"].kill()
    killed = time.time()
    timeline.known.notified.clear()
    timeline.until(mastered("node2", killed), "node2 takes over")
    for router in ROUTERS:
        _judge_takeover(timeline, router, killed)
    timeline.say("result", "(a killed daemon cannot take its addresses off; its next start does)")
    timeline.watch(2.5)


def _judge_takeover(timeline: Timeline, router: Router, killed: float) -> None:
    """From the last advert of node1 to the first of node2, and what the protocol says."""
    known = timeline.known
    first = next(at for at in known.times("node2", router) if at > killed)
    took = first - known.last_advert("node1", router)
    theory = router.master_down_s("node2")
    timeline.say(
        "result",
        f"failover of {router.instance}: {took:.4f} s from the last advert of node1 to the first of node2; "
        f"Master_Down_Interval of version {router.version} {theory:.4f} s, {(took - theory) * 1000:+.2f} ms",
    )
    if took < theory - 0.01:
        raise DemoFailed(f"node2 took over after {took:.4f} s, sooner than the protocol allows")


def act_return(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "4. node1 comes back and takes the addresses again (preemption)")
    back = time.time()
    known = timeline.known
    known.notified.clear()
    known.holders = {holder for holder in known.holders if holder[0] != "node1"}
    daemons["node1"].start()
    timeline.until(mastered("node1", back), "node1 preempts")
    timeline.until(lambda known: not any(name == "node2" for name, _ in known.holders), "node2 gives up")
    timeline.watch(1.2)


def act_stop(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    timeline.say("act", "5. SIGTERM for both: priority 0 says goodbye, addresses go")
    codes = {name: daemon.stop() for name, daemon in daemons.items()}
    timeline.until(lambda known: not known.holders, "no node holds an address")
    timeline.watch(0.3)
    if any(code != 0 for code in codes.values()):
        raise DemoFailed(f"the daemons' exit codes: {codes}")


def story(timeline: Timeline, daemons: dict[str, Daemon]) -> None:
    """The five acts; DemoFailed if one of them does not come about."""
    try:
        act_election(timeline, daemons)
        act_reload(timeline, daemons)
        act_failover(timeline, daemons)
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
        prog="demo.py", description="Watch a reload and a failover of two nodes (needs root)."
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
    print("demo: all five acts happened; namespaces and processes are gone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
