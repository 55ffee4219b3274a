"""The core holds every property on the first seeds; the long run is `--seeds 0..10000`."""

import pytest

from keepalived_py.simulation.run import run_seed


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_the_first_seeds_hold(first: int) -> None:
    """Ten seeds a test, so that a failure names its seed and the rest still runs."""
    broken = [str(outcome) for seed in range(first, first + 10) if not (outcome := run_seed(seed)).passed]
    assert not broken, "\n".join(broken)
