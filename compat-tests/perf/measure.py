"""What one program costs: CPU and memory of its processes from /proc, and percentiles.

CPU is the scheduler's own run time (`schedstat`, nanoseconds) of every living
process, because ticks of 10 ms say nothing about a program that sleeps.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from program import children_of


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 99th percentile (nearest rank), worst, and how many values they rest on."""

    p50: float
    p99: float
    worst: float
    count: int


def spread(values: Sequence[float]) -> Spread:
    """The spread of `values`; ValueError when there is none."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)

    def rank(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Spread(rank(0.50), rank(0.99), ordered[-1], len(ordered))


def run_time_s(root: int) -> float:
    """Seconds of CPU that `root` and its living descendants have used."""
    total = 0
    for pid in children_of(root):
        for task in _tasks(pid):
            total += _run_time_ns(task)
    return total / 1e9


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def _run_time_ns(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def pss_mib(root: int) -> float:
    """Proportional set size of `root` and all its descendants, in MiB."""
    return sum(_pss_kib(pid) for pid in children_of(root)) / 1024


def anonymous_mib(root: int) -> float:
    """The part of it that is no file: what files take depends on how many other programs share them."""
    return sum(_pss_kib(pid, "Pss_Anon:") for pid in children_of(root)) / 1024


def _pss_kib(pid: int, which: str = "Pss:") -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(which))


def own_pss_mib(pid: int) -> float:
    """Proportional set size of this process alone, in MiB."""
    return _pss_kib(pid) / 1024
