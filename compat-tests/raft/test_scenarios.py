"""Everything that can happen to a cluster, once each, with a keepalived.conf that elects by quorum.

Nobody prefers any member (equal priorities, nopreempt), so whoever holds the
address must keep it through every heal.  `make bench-raft` plays them many times.
"""

from collections.abc import Iterator

import pytest
from cluster_files import Cluster
from kept_lab import KeptLab
from scenarios import SCENARIOS, Scenario

pytestmark = [pytest.mark.netns, pytest.mark.timeout(90)]

THREE = [scenario for scenario in SCENARIOS if scenario.members == 3]
FIVE = [scenario for scenario in SCENARIOS if scenario.members == 5]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    """Three members."""
    with KeptLab(tmp_path_factory.mktemp("three"), Cluster()) as kept:
        yield kept


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeptLab]:
    """Five members."""
    with KeptLab(tmp_path_factory.mktemp("five"), Cluster(members=(1, 2, 3, 4, 5))) as kept:
        yield kept


@pytest.mark.parametrize("scenario", THREE, ids=lambda scenario: scenario.name)
def test_three_members(three: KeptLab, scenario: Scenario) -> None:
    """Never two holders, never a move that was not asked for."""
    three.check(scenario)


@pytest.mark.parametrize("scenario", FIVE, ids=lambda scenario: scenario.name)
def test_five_members(five: KeptLab, scenario: Scenario) -> None:
    """Two may fail, three may not."""
    five.check(scenario)
