"""One laboratory for many scenarios: starting three daemons costs more than what is watched then.

A scenario that ends badly may leave anything behind, so the laboratory is made anew after it.
"""

from pathlib import Path
from types import TracebackType

from cluster_files import Cluster
from cluster_lab import ClusterLab
from scenarios import Scenario, play
from space import sweep


class KeptLab:
    """A laboratory that is made when it is first needed, and again after a fault."""

    def __init__(self, directory: Path, cluster: Cluster, interval_ms: float = 10) -> None:
        self._directory, self._cluster, self._interval_ms = directory, cluster, interval_ms
        self._lab: ClusterLab | None = None
        self._made = 0

    def __enter__(self) -> "KeptLab":
        sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    @property
    def lab(self) -> ClusterLab:
        """The laboratory."""
        if self._lab is None:
            self._made += 1
            self._lab = ClusterLab(
                self._directory / str(self._made), self._cluster, interval_ms=self._interval_ms
            )
        return self._lab

    def drop(self) -> None:
        """Close it; the next one who asks gets a new one."""
        if self._lab is not None:
            self._lab.close()
        self._lab = None

    def check(self, scenario: Scenario) -> None:
        """Play, and print what was seen; AssertionError with every phase and all logs at a fault."""
        try:
            seen = play(scenario, self.lab)
            told = "\n".join(each.line() for each in seen)
            print(told)
            assert not any(each.faults for each in seen), f"{told}\n{self.lab.report()}"
        except BaseException:
            self.drop()
            raise
