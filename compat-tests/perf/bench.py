"""Ours beside the real keepalived, in one run, with ratios.

    python compat-tests/perf/bench.py [--runs 30] [--seconds 60] [--only failover,jitter,...]

Both programs are measured at the same time in laboratories of their own, so a
disturbance of the machine hits both alike.  Times of frames are the kernel's,
taken where the frame enters the bridge.  Needs root.

  failover  SIGKILL of the master's whole process group; how much later than its
            Master_Down_Interval after the last advert the backup's first one comes
  jitter    difference of each interval between adverts from advert_int
  cpu       CPU per second of a master and of a backup with 50 instances
  memory    PSS of all processes of one daemon, 1 and 50 instances
  check     wall time of `-t` on generated files
"""

import argparse
import contextlib
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "netns"), str(Path(__file__).resolve().parent)]

from configs import Instance, whole  # noqa: E402  the path above must be set first
from files import instances, interfaces, of_lines  # noqa: E402
from lab import SECOND_NS, Lab, laboratory, master_down_s  # noqa: E402
from measure import pss_mib, run_time_s, spread  # noqa: E402
from program import check_file  # noqa: E402

Figures = dict[str, float]
Measured = dict[str, Figures]
LINES = (20, 10_700, 210_000)
MANY = 50


@contextlib.contextmanager
def _laboratories(kinds: list[str]) -> Iterator[dict[str, Lab]]:
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kl-bench-")))
        yield {kind: stack.enter_context(laboratory(place / kind)) for kind in kinds}


def _side_by_side(kinds: list[str], work: Callable[[str, Lab], Figures]) -> Measured:
    """Run `work` for every program at the same time; an error in one of them ends the measure."""
    results: Measured = {}
    errors: list[BaseException] = []

    def one(kind: str, lab: Lab) -> None:
        try:
            results[kind] = work(kind, lab)
        except BaseException as error:
            errors.append(error)

    with _laboratories(kinds) as labs:
        threads = [threading.Thread(target=one, args=item) for item in labs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return results


def _one_failover_ms(kind: str, lab: Lab) -> tuple[float, float]:
    """Overshoot over theory, and time from the new master's first advert to its first ARP, both in ms."""
    lab.start(1, kind, whole(Instance(priority=150)))
    lab.wait_master(1, timeout_s=12)
    time.sleep(random.uniform(0.1, 1.0))
    killed = lab.programs[1].kill_all()
    lab.wait(lambda: bool(lab.capture.arps(2, killed)), 8, "the backup took over")
    last, taken = lab.last_advert(1), lab.capture.adverts(2, killed)[0]
    late_ns = taken.time_ns - last.time_ns - master_down_s(100) * SECOND_NS
    return late_ns / 1e6, (lab.capture.arps(2, killed)[0].time_ns - taken.time_ns) / 1e6


def failover(kinds: list[str], options: argparse.Namespace) -> Measured:
    """Overshoot of kill-failovers at advert_int 1."""

    def work(kind: str, lab: Lab) -> Figures:
        lab.start(2, kind, whole(Instance(priority=100)))
        pairs = [_one_failover_ms(kind, lab) for _ in range(options.runs)]
        late, to_arp = spread([p[0] for p in pairs]), spread([p[1] for p in pairs])
        return {
            "overshoot p50 ms": late.p50, "overshoot p99 ms": late.p99, "overshoot worst ms": late.worst,
            "advert to ARP p50 ms": to_arp.p50, "advert to ARP p99 ms": to_arp.p99, "runs": late.count,
        }  # fmt: skip

    return _side_by_side(kinds, work)


def jitter(kinds: list[str], options: argparse.Namespace) -> Measured:
    """Error of the advert interval of an idle master."""

    def work(kind: str, lab: Lab) -> Figures:
        lab.start(1, kind, whole(Instance(priority=200)))
        lab.wait_master(1, timeout_s=12)
        time.sleep(options.seconds)
        times = [f.time_ns for f in lab.capture.adverts(1)][1:]
        gaps = [(b - a) / 1e6 - 1000 for a, b in itertools.pairwise(times)]
        error = spread([abs(gap) for gap in gaps])
        return {"interval error p50 ms": error.p50, "interval error p99 ms": error.p99,
                "drift per advert ms": statistics.mean(gaps), "intervals": error.count}  # fmt: skip

    return _side_by_side(kinds, work)


def cpu(kinds: list[str], options: argparse.Namespace) -> Measured:
    """CPU of a master and of a backup with many instances, milliseconds per second."""

    def work(kind: str, lab: Lab) -> Figures:
        better = [replace(instance, priority=150) for instance in instances(MANY)]
        lab.start(2, kind, whole(*instances(MANY)))
        lab.start(1, kind, whole(*better))
        lab.wait_master(1, timeout_s=12)
        time.sleep(7)  # past the second ARP burst
        before = {n: run_time_s(lab.programs[n].pid) for n in (1, 2)}
        began = time.monotonic()
        time.sleep(options.seconds)
        passed = time.monotonic() - began
        used = {n: (run_time_s(lab.programs[n].pid) - before[n]) / passed * 1000 for n in (1, 2)}
        return {"master ms/s": used[1], "backup ms/s": used[2], "PSS MiB": pss_mib(lab.programs[1].pid)}

    return _side_by_side(kinds, work)


def memory(kinds: list[str], _options: argparse.Namespace) -> Measured:
    """PSS of one daemon with one instance, all its processes; the programs take turns sharing nothing."""

    def work(kind: str, lab: Lab) -> Figures:
        lab.start(1, kind, whole(Instance(priority=200)))
        lab.wait_master(1, timeout_s=12)
        time.sleep(1)
        return {"PSS MiB": pss_mib(lab.programs[1].pid)}

    return _side_by_side(kinds, work)


def check(kinds: list[str], options: argparse.Namespace) -> Measured:
    """Wall time of `-t`, whole process, best and median; the programs take turns."""
    results: Measured = {kind: {} for kind in kinds}
    with _laboratories(["files"]) as labs:
        lab = labs["files"]
        path = lab.directory / "k.conf"
        for name in interfaces(max(LINES)):
            if name != "eth0":
                lab.space.ip(1, "link", "add", name, "type", "bridge")
        for lines in LINES:
            path.write_text(of_lines(lines))
            taken: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(options.checks if lines < 100_000 else 5):
                for kind in kinds:
                    taken[kind].append(_timed_check_ms(kind, path, lab.space.node(1)))
            for kind in kinds:
                results[kind][f"-t {lines:,} lines median ms"] = statistics.median(taken[kind])
                results[kind][f"-t {lines:,} lines best ms"] = min(taken[kind])
    return results


def _timed_check_ms(kind: str, path: Path, namespace: str) -> float:
    began = time.perf_counter()
    done = check_file(kind, path, namespace)
    passed = (time.perf_counter() - began) * 1000
    if done.returncode:
        raise RuntimeError(f"{kind} -t: {done.returncode}: {done.stderr[-2000:]}")
    return passed


MEASURES: dict[str, Callable[[list[str], argparse.Namespace], Measured]] = {
    "check": check,
    "memory": memory,
    "cpu": cpu,
    "jitter": jitter,
    "failover": failover,
}


def table(name: str, measured: Measured) -> str:
    """Rows of figures, one column per program, and the ratio of the last to the first."""
    kinds = list(measured)
    lines = [f"| {name} | " + " | ".join(kinds) + " | ratio |", "|---" * (len(kinds) + 2) + "|"]
    for row in measured[kinds[0]]:
        values = [measured[kind][row] for kind in kinds]
        ratio = f"{values[-1] / values[0]:.2f}" if values[0] and len(values) > 1 else "-"
        lines.append(f"| {row} | " + " | ".join(f"{v:.3f}" for v in values) + f" | {ratio} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs", type=int, default=30, help="kill-failovers of each program (about 8 s each)"
    )
    parser.add_argument("--seconds", type=float, default=60, help="length of the jitter and CPU measures")
    parser.add_argument("--checks", type=int, default=11, help="runs of -t on the smaller files")
    parser.add_argument("--only", default=",".join(MEASURES), help="measures, separated by commas")
    parser.add_argument("--programs", default="real,ours", help="columns; the first is the base of the ratio")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    return parser.parse_args()


def main() -> int:
    """Run the chosen measures; 1 when one of them could not be made."""
    options = _options()
    kinds = options.programs.split(",")
    figures: dict[str, Measured] = {}
    failed = 0
    for name in options.only.split(","):
        try:
            measured = MEASURES[name](kinds, options)
        except (AssertionError, RuntimeError, OSError, ValueError) as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            failed = 1
            continue
        figures[name] = {kind: measured[kind] for kind in kinds}
        print(table(name, figures[name]), end="\n\n", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
