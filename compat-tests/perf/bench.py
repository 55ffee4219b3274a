"""Ours beside the real keepalived, in one run, with ratios.

    python compat-tests/perf/bench.py [--runs 30] [--seconds 60] [--only failover,jitter,...]

What leaves a core idle is measured for both programs at the same time, in
laboratories of their own, so that a disturbance of the machine hits both alike; the rest in
turns.  Times of frames are the kernel's, taken where the frame enters the bridge.
Needs root.

  check     wall time of `-t` on generated files
  start     from the start of the process to the first advert of an address owner
  cost      CPU per advert sent and received, and memory: 1, 50, 255, 1,000 instances
  jitter    difference of each interval between adverts from advert_int
  busy      the same with both cores busy, with and without real-time priority
  scripts   the same beside 50 check scripts a second
  flood     the same under 50,000 bad packets a second
  reload    the same through reloads of 1,000 instances, nothing changed
  handover  SIGTERM of the master: how much later than Skew_Time the backup takes over
  failover  SIGKILL of the master: how much later than Master_Down_Interval
  swarm     the same with 100 instances, and when the last of all addresses is announced
  wide      an instance with 255 addresses is taken over
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "netns"), str(Path(__file__).resolve().parent)]

import steady  # noqa: E402  the path above must be set first
import takeovers  # noqa: E402
from files import interfaces, of_lines  # noqa: E402
from program import check_file  # noqa: E402
from scene import Measured, laboratories  # noqa: E402

LINES = (20, 10_700, 210_000)


def check(kinds: list[str], options: argparse.Namespace) -> Measured:
    """Wall time of `-t`, whole process, best and median; the programs take turns."""
    results: Measured = {kind: {} for kind in kinds}
    with laboratories(["files"]) as labs:
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
    "start": steady.start,
    "cost": steady.cost,
    "jitter": steady.jitter,
    "busy": steady.busy,
    "scripts": steady.scripts,
    "flood": steady.flood,
    "reload": steady.reload,
    "handover": takeovers.handover,
    "failover": takeovers.failover,
    "swarm": takeovers.swarm,
    "wide": takeovers.wide,
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
