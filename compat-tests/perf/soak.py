"""A mixed cluster for a long time: no false failover, and memory that does not grow.

    python compat-tests/perf/soak.py [MINUTES] [--instances 255] [--advert 0.1]

Ours and the real keepalived stand on one bridge with up to 255 virtual routers at
100 ms.  Each program is MASTER of one half, so each hears what the other sends.  Once everybody
has its role, every line of a log that says that a role changed, and every advert from the
wrong side, is a false failover.  Each minute the proportional set size of ours, the part
of it that is no file, and the longest gap between two adverts of either side are printed.

Exits with 1 if a role changed or the anonymous memory grew.  Needs root.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "netns"), str(Path(__file__).resolve().parent)]

from lab import SECOND_NS, Lab, laboratory  # noqa: E402  the path above must be set first
from measure import anonymous_mib, pss_mib  # noqa: E402
from program import Program  # noqa: E402
from scene import live_adverts  # noqa: E402

SIDES = {1: "ours", 2: "real"}
BETTER, WORSE = 200, 100
# What an interpreter needs to come to rest (caches, arenas) before its size is taken for the first one.
WARM_UP_S = 20.0
GROWTH_MIB = 3.0


def configuration(node: int, count: int, advert_s: float) -> str:
    """Node 1 is better for odd VRIDs, node 2 for even ones."""
    head = "global_defs {\n    router_id lab\n}\n"
    return head + "".join(
        f"vrrp_instance V{vrid} {{\n    state BACKUP\n    interface eth0\n    virtual_router_id {vrid}\n"
        f"    priority {BETTER if vrid % 2 == node % 2 else WORSE}\n    version 3\n    advert_int {advert_s:g}\n"
        f"    virtual_ipaddress {{\n        10.78.0.{vrid}/32\n    }}\n}}\n"
        for vrid in range(1, count + 1)
    )


@dataclass(slots=True)
class Watch:
    """What was heard since the cluster came to rest; `gaps_ms` are the longest of the present minute."""

    lab: Lab
    count: int
    wrong: int = 0
    gaps_ms: dict[int, float] = field(default_factory=dict)
    _last: dict[int, int] = field(default_factory=dict)

    def at_rest(self, since_ns: int) -> bool:
        """Whether each virtual router is advertised by the node that it belongs to, and by nobody else."""
        heard = {
            (node, frame.vrid)
            for node in SIDES
            for frame in live_adverts(list(self.lab.capture.frames), node)
            if frame.time_ns >= since_ns
        }
        return heard == {(_owner(vrid), vrid) for vrid in range(1, self.count + 1)}

    def take(self) -> None:
        """Look at the frames that were captured, and forget them."""
        frames = self.lab.capture.frames
        taken = frames[:]
        del frames[: len(taken)]
        for node in SIDES:
            for frame in live_adverts(taken, node):
                if node != _owner(frame.vrid):
                    self.wrong += 1
                    continue
                gap_ms = (frame.time_ns - self._last.get(frame.vrid, frame.time_ns)) / 1e6
                self._last[frame.vrid] = frame.time_ns
                self.gaps_ms[node] = max(gap_ms, self.gaps_ms.get(node, 0.0))


def _owner(vrid: int) -> int:
    return 1 if vrid % 2 else 2


def role_changes(program: Program, since: int) -> list[str]:
    """The lines from number `since` on that say that a role changed."""
    return [line.text for line in program.log[since:] if "Entering " in line.text]


def soak(lab: Lab, minutes: float, count: int, advert_s: float) -> int:
    """Run it; 0: nothing happened, 1: something did."""
    for node, kind in SIDES.items():
        lab.start(node, kind, configuration(node, count, advert_s))
    watch = Watch(lab, count)
    span_ns = int(3 * advert_s * SECOND_NS)
    lab.wait(lambda: watch.at_rest(time.time_ns() - span_ns), 60, "everybody has its role")
    time.sleep(WARM_UP_S)
    lab.capture.frames.clear()
    logged = {node: len(program.log) for node, program in lab.programs.items()}
    ours = lab.programs[1].pid
    began, sizes = time.monotonic(), [anonymous_mib(ours)]
    print(
        f"{count} virtual routers at {advert_s:g} s; PSS of ours {pss_mib(ours):.1f} MiB, "
        f"{sizes[0]:.2f} of it anonymous",
        flush=True,
    )
    for minute in range(1, max(1, round(minutes)) + 1):
        while time.monotonic() < began + minute * 60:
            time.sleep(1)
            watch.take()
        sizes.append(anonymous_mib(ours))
        gaps = ", ".join(f"{SIDES[node]} {gap:.1f}" for node, gap in sorted(watch.gaps_ms.items()))
        changes = {SIDES[n]: len(role_changes(p, logged[n])) for n, p in lab.programs.items()}
        print(
            f"minute {minute}: PSS {pss_mib(ours):.1f} MiB, {sizes[-1]:.2f} anonymous; "
            f"longest gap in ms: {gaps}; "
            f"adverts of the wrong side {watch.wrong}, role changes {changes}",
            flush=True,
        )
        watch.gaps_ms.clear()
    return verdict(lab, watch, logged, sizes)


def verdict(lab: Lab, watch: Watch, logged: dict[int, int], sizes: list[float]) -> int:
    """Say what went wrong, if anything did."""
    failures = [f"{watch.wrong} adverts of the wrong side"] if watch.wrong else []
    for node, program in lab.programs.items():
        failures += [f"{SIDES[node]}: {line}" for line in role_changes(program, logged[node])[:10]]
        if not program.alive():
            failures.append(f"{SIDES[node]} has ended")
    if sizes[-1] - sizes[0] > GROWTH_MIB:
        failures.append(f"memory grew from {sizes[0]:.1f} to {sizes[-1]:.1f} MiB")
    print("\n".join(failures) or "no false failover, and memory did not grow")
    return 1 if failures else 0


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    parser.add_argument("--instances", type=int, default=255, choices=range(1, 256), metavar="1..255")
    parser.add_argument("--advert", type=float, default=0.1, help="advert_int in seconds")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="kl-soak-") as place,
        laboratory(Path(place) / "lab") as lab,
    ):
        return soak(lab, options.minutes, options.instances, options.advert)


if __name__ == "__main__":
    raise SystemExit(main())
