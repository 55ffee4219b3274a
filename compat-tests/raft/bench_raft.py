"""Every scenario many times, and what a take-over takes, seen by a client that asks every 2 ms.

    python compat-tests/raft/bench_raft.py [--runs 10] [--takeovers 40] [--clusters conf-lan,conf-fast,...]

Clusters: KIND-TIMING, KIND being `conf` (keepalived.conf with a raft_cluster) or
`keepvip` (keep-vip's YAML), TIMING a preset (`lan`, `fast`); `vrrp-real` is the
real keepalived with VRRP of 0.2 s, as a base to compare with.  One laboratory
runs at a time: times are measured.  Needs root.  The exit code is 1 when two
members ever answered at once, a phase ended as it must not, or a limit of the
take-overs was missed.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "netns"), str(Path(__file__).resolve().parent)]

from answers import MS  # noqa: E402  the path above must be set first
from cluster_files import Cluster, Router  # noqa: E402
from cluster_lab import ClusterLab, cluster_laboratory  # noqa: E402
from figures import Phases, Takeovers, as_json, phase_table, phases, takeover_table  # noqa: E402
from kept_lab import KeptLab  # noqa: E402
from scenarios import SCENARIOS, Scenario, Seen, play  # noqa: E402

# Median and 99th percentile of a take-over after kill -9 or a loss of power, and the gap of a graceful one.
LIMITS_MS = {"lan": (400.0, 800.0), "fast": (200.0, 400.0)}
GAP_LIMIT_MS = 20.0
PATIENCE_S = 10.0
INTERVAL_MS = 2


def cluster(name: str, members: int = 3) -> Cluster:
    """By its name, as on the command line; ValueError for an unknown one."""
    kind, _, timing = name.partition("-")
    everybody = tuple(range(1, members + 1))
    if name == "vrrp-real":
        router = Router(priorities={node: 100 + node for node in everybody})
        return Cluster("vrrp", everybody, routers=(router,), program=("keepalived",))
    if kind == "conf":
        return Cluster("conf", everybody, timing=timing)
    if kind == "keepvip":
        return Cluster("keepvip", everybody, options=() if timing == "lan" else (f"timing: {timing}",))
    raise ValueError(f"{name}: clusters are conf-TIMING, keepvip-TIMING and vrrp-real")


def _power(lab: ClusterLab, holder: int) -> tuple[int, Callable[[], None]]:
    return lab.power_off(holder), lambda: lab.power_on(holder)


def _kill(lab: ClusterLab, holder: int) -> tuple[int, Callable[[], None]]:
    return lab.kill(holder), lambda: lab.start(holder)


def _graceful(lab: ClusterLab, holder: int) -> tuple[int, Callable[[], None]]:
    return lab.stop(holder), lambda: lab.start(holder)


def _transfer(lab: ClusterLab, holder: int) -> tuple[int, Callable[[], None]]:
    to = holder % len(lab.nodes) + 1
    now = time.time_ns()
    done = lab.command(holder, "transfer", "VI_1", "--to", f"n{to}", "--wait", "5")
    if done.returncode:
        raise RuntimeError(f"transfer: {done.stdout}{done.stderr}")
    return now, lambda: None


HOW = {"power": _power, "kill": _kill, "graceful": _graceful, "transfer": _transfer}
GAPS = ("graceful", "transfer")


def takeovers(lab: ClusterLab, name: str, how: str, runs: int) -> Takeovers:
    """So many take-overs, one after the other, at moments that no timer knows."""
    chance = random.Random(f"{name} {how}")
    taken: list[float] = []
    double = failed = 0.0
    for _ in range(runs):
        holder = lab.wait_holder(timeout_s=30)
        time.sleep(chance.random() * 0.3)
        begun, undo = HOW[how](lab, holder)
        found = _wait_first(lab, begun, holder)
        if found is None:
            failed += 1
        else:
            last = lab.answers.last_answer_ns(holder, found) if how in GAPS else None
            taken.append((found - (last or begun)) / MS)
        time.sleep(0.3)
        undo()
        lab.settle()
        double += lab.answers.view(begun, time.time_ns() - 100 * MS).double_ms
    limits = (None, GAP_LIMIT_MS) if how in GAPS else LIMITS_MS.get(name.partition("-")[2], (None, None))
    return Takeovers(name, how, tuple(taken), double, int(failed), *limits)


def _wait_first(lab: ClusterLab, since: int, holder: int) -> int | None:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = lab.answers.first_answer_ns(since, holder)
        if found is not None:
            return found
        time.sleep(0.01)
    return None


def measure_takeovers(names: Sequence[str], hows: Sequence[str], runs: int, place: Path) -> list[Takeovers]:
    """For every cluster and every way; transfers only where there is a command for them."""
    rows = []
    for name in names:
        for how in hows:
            if how == "transfer" and not name.startswith("conf"):
                continue
            with cluster_laboratory(place / f"{name}-{how}", cluster(name), interval_ms=INTERVAL_MS) as lab:
                lab.start()
                # The first member that holds is not yet a cluster in which every member could take over.
                lab.wait_holder()
                lab.settle()
                rows.append(takeovers(lab, name, how, runs))
            print(rows[-1].row(), file=sys.stderr, flush=True)
    return rows


def measure_scenarios(names: Sequence[str], only: Sequence[str], runs: int, place: Path) -> list[Phases]:
    """Every scenario so many times in every cluster; a laboratory is kept as long as nothing goes wrong."""
    rows: list[Phases] = []
    for name in names:
        for members in (3, 5):
            chosen = [s for s in SCENARIOS if s.members == members and (not only or s.name in only)]
            with KeptLab(place / f"{name}-{members}", cluster(name, members)) as kept:
                for scenario in chosen:
                    seen = [_played(kept, scenario) for _ in range(runs)]
                    rows += phases(f"{name} {scenario.name}", seen)
                    print(phase_table(rows[-len(seen[0]) :]).split("\n", 2)[2], file=sys.stderr, flush=True)
    return rows


def _played(kept: KeptLab, scenario: Scenario) -> list[Seen]:
    seen = play(scenario, kept.lab)
    if any(each.faults for each in seen):
        print(*(each.line() for each in seen), kept.lab.report(), sep="\n", file=sys.stderr, flush=True)
        kept.drop()
    return seen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10, help="how often each scenario is played")
    parser.add_argument("--takeovers", type=int, default=40, help="take-overs of each kind")
    parser.add_argument("--clusters", default="conf-lan,conf-fast,keepvip-lan")
    parser.add_argument("--how", default=",".join(HOW), help="kinds of take-overs; empty: none")
    parser.add_argument("--scenarios", help="names, separated by commas; - for none (default: all)")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    return parser.parse_args()


def main() -> int:
    """Measure, and print both tables."""
    options = _options()
    names = options.clusters.split(",")
    only = options.scenarios.split(",") if options.scenarios else []
    with tempfile.TemporaryDirectory(prefix="kl-raft-") as place:
        hows = [how for how in options.how.split(",") if how]
        taken = measure_takeovers(names, hows, options.takeovers, Path(place))
        played = measure_scenarios(names, only, options.runs, Path(place))
    print(takeover_table(taken), phase_table(played), sep="\n\n")
    if options.json:
        figures = {"takeovers": as_json(taken), "phases": as_json(played)}
        options.json.write_text(json.dumps(figures, indent=1))
    return 0 if all(row.good for row in taken) and not any(row.faults for row in played) else 1


if __name__ == "__main__":
    raise SystemExit(main())
