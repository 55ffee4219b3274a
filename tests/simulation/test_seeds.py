"""The core holds every property on the first seeds; the long run is `--seeds 0..10000`.

The first few of them are played at every check, the others in the long run of the tests.
"""

import pytest

from keepalived_py.simulation.run import run_seed

QUICK = [pytest.param(first) for first in range(0, 20, 10)]
LONG = [pytest.param(first, marks=pytest.mark.slow) for first in range(20, 60, 10)]


@pytest.mark.parametrize("first", QUICK + LONG)
def test_the_first_seeds_hold(first: int) -> None:
    """Ten seeds a test, so that a failure names its seed and the rest still runs."""
    broken = [str(outcome) for seed in range(first, first + 10) if not (outcome := run_seed(seed)).passed]
    assert not broken, "\n".join(broken)
