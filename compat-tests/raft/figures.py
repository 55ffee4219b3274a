"""Figures of many runs: what a take-over takes, and every phase of every scenario; as text and as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from scenarios import Seen


@dataclass(frozen=True, slots=True)
class Takeovers:
    """Many take-overs of one kind, in ms: what each of them took, and how long two answered in any.

    What is counted: from the fault to the first answer of the new holder (`power`, `kill`), or from
    the last answer of the old one to the first of the new one (`graceful`, `transfer`).
    """

    name: str
    how: str
    taken_ms: tuple[float, ...]
    double_ms: float
    failed: int
    median_limit_ms: float | None = None
    most_limit_ms: float | None = None

    def percentile(self, percent: float) -> float:
        """By nearest rank; with less than a hundred runs the 99th is the slowest one."""
        ordered = sorted(self.taken_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    @property
    def good(self) -> bool:
        """Whether every run ended, none with two holders, within the limits."""
        if self.failed or self.double_ms or not self.taken_ms:
            return False
        within = self.median_limit_ms is None or statistics.median(self.taken_ms) <= self.median_limit_ms
        return within and (self.most_limit_ms is None or self.percentile(99) <= self.most_limit_ms)

    def row(self) -> str:
        """A row of the table."""
        if not self.taken_ms:
            return f"| {self.name} | {self.how} | 0 | | | | | {self.double_ms:.0f} | {self.failed} | MISSED |"
        figures = [
            statistics.median(self.taken_ms),
            *(self.percentile(p) for p in (90, 99)),
            max(self.taken_ms),
        ]
        shown = " | ".join(f"{figure:.0f}" for figure in figures)
        verdict = "yes" if self.good else "MISSED"
        return (
            f"| {self.name} | {self.how} | {len(self.taken_ms)} | {shown} "
            f"| {self.double_ms:.0f} | {self.failed} | {verdict} |"
        )


@dataclass(frozen=True, slots=True)
class Phases:
    """One phase of one scenario in all its runs."""

    scenario: str
    phase: str
    must: str
    runs: int
    double_ms: float
    kernels_ms: float
    silent_ms: float
    silent_most_ms: float
    faults: tuple[str, ...]

    def row(self) -> str:
        """A row of the table."""
        verdict = "ok" if not self.faults else f"{len(self.faults)} FAULTS: {self.faults[0]}"
        return (
            f"| {self.scenario} | {self.phase} | {self.must} | {self.runs} | {self.double_ms:.0f} "
            f"| {self.kernels_ms:.0f} | {self.silent_ms:.0f} | {self.silent_most_ms:.0f} | {verdict} |"
        )


def phases(scenario: str, runs: Sequence[Sequence[Seen]]) -> list[Phases]:
    """One row for each phase that every run has, in the order they were played in."""
    rows = []
    for index in range(min((len(seen) for seen in runs), default=0)):
        each = [seen[index] for seen in runs]
        silent = [one.view.silent_ms for one in each]
        rows.append(
            Phases(
                scenario,
                each[0].name,
                each[0].must.value,
                len(each),
                max(one.view.double_ms for one in each),
                max(one.kernels_ms for one in each),
                statistics.median(silent),
                max(silent),
                tuple(fault for one in each for fault in one.faults),
            )
        )
    return rows


def takeover_table(rows: Iterable[Takeovers]) -> str:
    """Times in ms."""
    head = "| cluster | how | n | median | p90 | p99 | max | two holders | failed | within limits |\n"
    return head + "|---" * 10 + "|\n" + "\n".join(row.row() for row in rows)


def phase_table(rows: Iterable[Phases]) -> str:
    """Times in ms; "two kernels" had the address, whether they answered or not; "nobody" is the longest time without an answer, its median and its greatest."""
    head = "| scenario | phase | must | runs | two answer, most | two kernels, most | nobody, median | nobody, most | verdict |\n"
    return head + "|---" * 9 + "|\n" + "\n".join(row.row() for row in rows)


def as_json(rows: Iterable[Takeovers | Phases]) -> list[dict[str, object]]:
    """All figures, single values included."""
    return [asdict(row) for row in rows]
