"""From single answers to what matters: who held an address when, how long two did, how long nobody did.

A *round* is one round of questions of `observer`; who answered in it is known
exactly.  All times are nanoseconds of CLOCK_REALTIME, all windows half open.
"""

import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from observer import ANNOUNCED, ARP, ECHO, RECORD, ROUND, Record
from space import Space

MS = 1_000_000
# An answer that has not come after this time does not come: the whole way is a few switches in one kernel.
ANSWER_NS = 30 * MS


@dataclass(slots=True)
class Round:
    """One round: when it was asked, and which nodes answered the ARP request and the echo requests."""

    time_ns: int
    arp: set[int] = field(default_factory=set)
    echo: set[int] = field(default_factory=set)

    @property
    def nodes(self) -> set[int]:
        """Whoever answered anything."""
        return self.arp | self.echo

    @property
    def double(self) -> bool:
        """Whether two nodes answered the same question."""
        return len(self.arp) > 1 or len(self.echo) > 1


@dataclass(frozen=True, slots=True)
class Span:
    """A node that answered every round from the first to the last of these times; 0 stands for nobody."""

    node: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class View:
    """What was seen of one address in a window.

    `double_ms`: how long two nodes answered; `silent_ms`: the longest time from one answered round
    to the next; `first` and `last`: who answered at its begin and at its end; `strays`: who announced
    the address while another one answered for it.
    """

    double_ms: float
    silent_ms: float
    first: frozenset[int]
    last: frozenset[int]
    answered: frozenset[int]
    strays: tuple[int, ...]
    spans: tuple[Span, ...]


class Answers:
    """The observer's process for some addresses, and everything that it has told since it was started."""

    def __init__(
        self, space: Space, client: int, nodes: int, vips: Sequence[str], interval_ms: float
    ) -> None:
        self.interval_ms = interval_ms
        self.vips = tuple(vips)
        self._rounds: list[list[Round]] = [[] for _ in vips]
        self._announced: list[list[tuple[int, int]]] = [[] for _ in vips]
        macs = ",".join(f"{n}={space.mac(n).hex(':')}" for n in range(1, nodes + 1))
        words = [
            "nsenter", f"--net=/run/netns/{space.node(client)}",
            sys.executable, str(Path(__file__).with_name("observer.py")), f"{interval_ms:g}",
            space.address(client), space.mac(client).hex(":"), macs, ",".join(vips),
        ]  # fmt: skip
        self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        while data := self._process.stdout.read(65536):
            rest += data
            whole = len(rest) // RECORD.size * RECORD.size
            for fields in RECORD.iter_unpack(rest[:whole]):
                self._take(Record(*fields))
            rest = rest[whole:]

    def _take(self, record: Record) -> None:
        rounds = self._rounds[record.vip]
        if record.kind == ROUND:
            rounds.append(Round(record.time_ns))
        elif record.kind == ANNOUNCED:
            self._announced[record.vip].append((record.time_ns, record.node))
        elif 0 < record.round <= len(rounds):
            answered = rounds[record.round - 1]
            (answered.arp if record.kind == ARP else answered.echo).add(record.node)
            assert record.kind in (ARP, ECHO)

    def rounds(self, vip: int = 0, since_ns: int = 0, until_ns: int | None = None) -> list[Round]:
        """The rounds asked in a window, without those whose answers may still be on their way."""
        end = time.time_ns() - ANSWER_NS if until_ns is None else until_ns
        rounds = self._rounds[vip]
        first = bisect_left(rounds, since_ns, key=lambda each: each.time_ns)
        return rounds[first : bisect_left(rounds, end, key=lambda each: each.time_ns)]

    def announced(
        self, vip: int = 0, since_ns: int = 0, until_ns: int | None = None
    ) -> list[tuple[int, int]]:
        """Time and node of each gratuitous ARP frame in a window."""
        end = time.time_ns() if until_ns is None else until_ns
        return [one for one in list(self._announced[vip]) if since_ns <= one[0] < end]

    def holders(self, vip: int = 0, within_ms: float = 60) -> set[int]:
        """Who answered lately."""
        since = time.time_ns() - ANSWER_NS - int(max(within_ms, 3 * self.interval_ms) * MS)
        return {node for each in self.rounds(vip, since) for node in each.nodes}

    def sole(self, vip: int = 0, for_ms: float = 400) -> int | None:
        """The node that answered every round of this last time, and was the only one; else None."""
        rounds = self.rounds(vip, time.time_ns() - ANSWER_NS - int(for_ms * MS))
        expected = for_ms / self.interval_ms
        found = {frozenset(each.nodes) for each in rounds}
        if len(rounds) < expected / 2 or len(found) != 1:
            return None
        only = found.pop()
        return next(iter(only)) if len(only) == 1 else None

    def view(self, since_ns: int, until_ns: int, vip: int = 0) -> View:
        """What was seen of an address in a window; AssertionError when the observer was not at work."""
        rounds = self.rounds(vip, since_ns, until_ns)
        wanted = (until_ns - since_ns) / MS / self.interval_ms
        assert len(rounds) >= wanted / 2, f"{len(rounds)} rounds where {wanted:.0f} were due"
        return View(
            double_ms=sum(_length_ns(rounds, n) for n, each in enumerate(rounds) if each.double) / MS,
            silent_ms=_silent_ns(rounds) / MS,
            first=frozenset(rounds[0].nodes),
            last=frozenset(node for each in rounds[-3:] for node in each.nodes),
            answered=frozenset(node for each in rounds for node in each.nodes),
            strays=tuple(self._strays(vip, since_ns, until_ns)),
            spans=tuple(spans(rounds)),
        )

    def _strays(self, vip: int, since_ns: int, until_ns: int) -> Iterator[int]:
        """An announcement is astray when its sender does not answer around it, and another one does."""
        near = int(max(30, 3 * self.interval_ms) * MS)
        for at, node in self.announced(vip, since_ns, until_ns):
            around = {n for each in self.rounds(vip, at - near, at + near) for n in each.nodes}
            if around and node not in around:
                yield node

    def first_answer_ns(self, since_ns: int, other_than: int, vip: int = 0) -> int | None:
        """When a round was asked that a node other than this one answered; None: not yet."""
        for each in self.rounds(vip, since_ns):
            if each.nodes - {other_than}:
                return each.time_ns
        return None

    def last_answer_ns(self, of: int, until_ns: int, vip: int = 0) -> int | None:
        """When the last round before `until_ns` was asked that this node answered."""
        for each in reversed(self.rounds(vip, 0, until_ns)):
            if of in each.nodes:
                return each.time_ns
        return None

    def close(self) -> None:
        """End the observer."""
        self._process.terminate()
        self._process.wait(5)
        self._thread.join(2)


def _length_ns(rounds: Sequence[Round], index: int) -> int:
    """From this round to the next one; the last one counts as long as the one before it."""
    if len(rounds) < 2:
        return 0
    here = min(index, len(rounds) - 2)
    return rounds[here + 1].time_ns - rounds[here].time_ns


def _silent_ns(rounds: Sequence[Round]) -> int:
    """The longest time without an answer: between two answered rounds less one round, or at an end."""
    longest, begun = 0, rounds[0].time_ns
    for number, each in enumerate(rounds):
        if each.nodes:
            begun = each.time_ns + _length_ns(rounds, number)
        else:
            longest = max(longest, each.time_ns + _length_ns(rounds, number) - begun)
    return longest


def spans(rounds: Sequence[Round]) -> Iterator[Span]:
    """The story of an address: who answered from when to when.  In a double round every node counts."""
    open_spans: dict[int, Span] = {}
    for each in rounds:
        nodes = each.nodes or {0}
        for node in [node for node in open_spans if node not in nodes]:
            yield open_spans.pop(node)
        for node in nodes:
            begun = open_spans.get(node)
            open_spans[node] = Span(node, begun.first_ns if begun else each.time_ns, each.time_ns)
    yield from open_spans.values()


def overlap_ns(events: Sequence[tuple[int, int, bool]], since_ns: int, until_ns: int) -> int:
    """How long two nodes had an address in a window: from all (time, node, whether it came) since the beginning."""
    held: set[int] = set()
    total, last = 0, since_ns
    for at, node, added in [*sorted(events), (until_ns, 0, False)]:
        at = min(max(at, since_ns), until_ns)
        total += at - last if len(held) > 1 else 0
        held = held | {node} if added else held - {node}
        last = at
    return total
