"""The election holds every property on the first seeds; the long run is `--seeds 0..10000`.

The first few of them are played at every check, the others in the long run of the tests.
"""

import pytest

from keepalived_py.simulation.raft import __main__ as command
from keepalived_py.simulation.raft.failover import gaps
from keepalived_py.simulation.raft.run import run_seed

QUICK = [pytest.param(0)]
LONG = [pytest.param(first, marks=pytest.mark.slow) for first in range(10, 160, 10)]


@pytest.mark.parametrize("first", QUICK + LONG)
def test_the_first_seeds_hold(first: int) -> None:
    """Ten seeds a test, so that a failure names its seed and the rest still runs."""
    broken = [str(outcome) for seed in range(first, first + 10) if not (outcome := run_seed(seed)).passed]
    assert not broken, "\n".join(broken)


def test_a_seed_plays_the_same_twice() -> None:
    assert run_seed(4, trace=True) == run_seed(4, trace=True)


@pytest.mark.parametrize(
    ("preset", "graceful", "most_ms"),
    [("lan", False, 350), ("fast", False, 175), ("lan", True, 20), ("fast", True, 20)],
)
def test_a_failover_is_short(preset: str, graceful: bool, most_ms: int) -> None:
    assert max(gaps(preset, 3, 7, 20, graceful=graceful)) < most_ms * 1000


def test_a_seed_is_played_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seed", "4"]) == 0
    assert command.main(["--seeds", "4..6", "--jobs", "1"]) == 0
    assert "2 seeds" in capsys.readouterr().out
