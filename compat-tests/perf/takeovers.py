"""How much later than theory a backup takes over: after SIGKILL of the master, and after SIGTERM.

Theory is counted for each virtual router from the master's last advert (for a
resignation: from the one with priority 0).  The programs take turns.
"""

import random
import sys
import time
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from lab import SECOND_NS, Lab
from measure import spread
from scene import Figures, Key, Measured, Routers, in_turn, live_adverts, masters

MASTER, BACKUP = 200, 100
_MOST_RUNS_OF_MANY = 10


class Takeover:
    """One takeover as the capture shows it: nanoseconds of the frames that count, by virtual router."""

    def __init__(self, lab: Lab, routers: Routers, ended_ns: int, kill: bool) -> None:
        frames = list(lab.capture.frames)
        adverts = [f for f in frames if not f.is_arp]
        if kill:
            self.last = {(0, f.vrid): f.time_ns for f in live_adverts(adverts, 1)}
        else:
            self.last = {
                (0, f.vrid): f.time_ns
                for f in adverts
                if f.node == 1 and f.time_ns >= ended_ns and not f.priority
            }
        self.taken: dict[Key, int] = {}
        for frame in live_adverts(adverts, 2):
            if frame.time_ns >= ended_ns:
                self.taken.setdefault((0, frame.vrid), frame.time_ns)
        self.announced: dict[Key, int] = {}
        for frame in frames:
            if frame.is_arp and frame.node == 2 and frame.time_ns >= ended_ns:
                vrid = int(frame.arp_target.rpartition(".")[2])
                self.announced.setdefault((0, vrid), frame.time_ns)
        self.wait_s = routers.down_s(BACKUP) if kill else routers.skew_s(BACKUP)

    def complete(self, routers: Routers) -> bool:
        """Whether every virtual router has been taken over and announced."""
        return routers.keys <= self.taken.keys() and routers.keys <= self.announced.keys()

    def late_ms(self) -> list[float]:
        """For each virtual router, how much later than theory its first advert came."""
        return [(self.taken[k] - self.last[k] - self.wait_s * SECOND_NS) / 1e6 for k in self.last]

    def to_arp_ms(self) -> list[float]:
        """For each virtual router, the time from its first advert to its first gratuitous ARP."""
        return [(self.announced[k] - self.taken[k]) / 1e6 for k in self.taken]

    def last_arp_ms(self) -> float:
        """How much later than the last one's theoretical takeover the last of all addresses was announced."""
        return (max(self.announced.values()) - max(self.last.values()) - self.wait_s * SECOND_NS) / 1e6


def _settle(lab: Lab, kind: str, routers: Routers) -> None:
    lab.start(1, kind, routers.text(MASTER, "MASTER"))
    span_ns = int(2.5 * routers.advert_s * SECOND_NS)

    def settled() -> bool:
        since = time.time_ns() - span_ns
        return masters(lab, since, 1) == routers.keys and not masters(lab, since, 2)

    lab.wait(settled, 30, "node 1 is MASTER of everything")


def _one(lab: Lab, kind: str, routers: Routers, kill: bool) -> Takeover:
    _settle(lab, kind, routers)
    # Past the second burst of announcements, at any place of the period.
    time.sleep(random.uniform(0.2, 0.2 + routers.advert_s))
    lab.capture.frames.clear()
    lab.wait(lambda: masters(lab, 0, 1) == routers.keys, 5, "an advert of each")
    if kill:
        ended = lab.programs[1].kill_all()
    else:
        lab.programs[1].ask_to_end()
        ended = time.time_ns() - 1_000_000
    lab.wait(lambda: Takeover(lab, routers, ended, kill).complete(routers), 10, "node 2 took everything over")
    if not kill:
        lab.programs[1].wait_end(8)
    return Takeover(lab, routers, ended, kill)


def _figures(runs: list[Takeover], prefix: str) -> Figures:
    late = spread([late for run in runs for late in run.late_ms()])
    arp = spread([late for run in runs for late in run.to_arp_ms()])
    last = spread([run.last_arp_ms() for run in runs])
    return {
        f"{prefix}: overshoot p50 ms": late.p50,
        f"{prefix}: overshoot p99 ms": late.p99,
        f"{prefix}: advert to ARP p50 ms": arp.p50,
        f"{prefix}: advert to ARP p99 ms": arp.p99,
        f"{prefix}: last ARP over theory p50 ms": last.p50,
        f"{prefix}: last ARP over theory worst ms": last.worst,
    }


def _takeovers(kinds: list[str], runs: int, routers: Routers, kill: bool) -> Measured:
    text = f"x{routers.count}, {routers.advert_s:g} s"

    def work(kind: str, lab: Lab) -> Figures:
        lab.start(2, kind, routers.text(BACKUP))
        done = [_one(lab, kind, routers, kill) for _ in range(runs)]
        return _figures(done, text)

    return in_turn(kinds, work)


def failover(kinds: list[str], options: Namespace) -> Measured:
    """SIGKILL of the master of one instance at advert_int 1, 0.1 and 0.01."""
    return _at_intervals(kinds, options.runs, 1, (1.0, 0.1, 0.01))


def swarm(kinds: list[str], options: Namespace) -> Measured:
    """SIGKILL of the master of a hundred instances at advert_int 0.1 and 1.

    At 10 ms they are more than one core can do in keepalived, too.
    """
    return _at_intervals(kinds, min(options.runs, _MOST_RUNS_OF_MANY), 100, (0.1, 1.0))


def _at_intervals(kinds: list[str], runs: int, count: int, intervals_s: tuple[float, ...]) -> Measured:
    found: Measured = {kind: {} for kind in kinds}
    for advert_s in intervals_s:
        for kind, figures in _takeovers(kinds, runs, Routers(count, advert_s), kill=True).items():
            found[kind] |= figures
    return found


def handover(kinds: list[str], options: Namespace) -> Measured:
    """SIGTERM: how much later than Skew_Time after the resignation the backup takes over."""
    return _takeovers(kinds, options.runs, Routers(1, 0.1), kill=False)


def wide(kinds: list[str], options: Namespace) -> Measured:
    """One instance with 255 addresses: from its first advert until all of them are announced."""
    routers = Routers(1, 0.1, lines=("virtual_ipaddress_excluded {", *_hosts(254), "}"))

    def work(kind: str, lab: Lab) -> Figures:
        lab.start(2, kind, routers.text(BACKUP))
        spans = []
        for _ in range(min(options.runs, _MOST_RUNS_OF_MANY)):
            taken = _one(lab, kind, routers, kill=True)
            since = taken.taken[0, 1]

            def announced(since: int = since) -> dict[str, int]:
                first: dict[str, int] = {}
                for frame in lab.capture.arps(2, since):
                    first.setdefault(frame.arp_target, frame.time_ns)
                return first

            lab.wait(lambda: len(announced()) >= 255, 5, "255 addresses announced")
            spans.append((max(announced().values()) - since) / 1e6)
        all_of_them = spread(spans)
        return {"255 addresses: last ARP p50 ms": all_of_them.p50, "worst ms": all_of_them.worst}

    return in_turn(kinds, work)


def _hosts(count: int) -> list[str]:
    return [f"    10.90.0.{n}/32" for n in range(1, count + 1)]
