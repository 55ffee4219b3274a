"""Virtual servers hold every rule on the first seeds; the long run is `--seeds 0..10000`.

The first few of them are played at every check, the others in the long run of the tests.
"""

import pytest

from keepalived_py.simulation.checks import __main__ as command
from keepalived_py.simulation.checks.run import run_seed

QUICK = [pytest.param(first) for first in range(0, 100, 50)]
LONG = [pytest.param(first, marks=pytest.mark.slow) for first in range(100, 400, 50)]


@pytest.mark.parametrize("first", QUICK + LONG)
def test_the_first_seeds_hold(first: int) -> None:
    broken = [str(outcome) for seed in range(first, first + 50) if not (outcome := run_seed(seed)).passed]
    assert not broken, "\n".join(broken)


def test_a_seed_plays_the_same_twice() -> None:
    assert run_seed(4, trace=True) == run_seed(4, trace=True)


def test_a_seed_is_played_by_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seed", "4", "--trace"]) == 0
    assert "1: start" in capsys.readouterr().out
    assert command.main(["--seeds", "4..30", "--jobs", "1"]) == 0
    assert "26 seeds" in capsys.readouterr().out
