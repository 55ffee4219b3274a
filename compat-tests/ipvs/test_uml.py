"""The laboratory itself: two equal daemons are told to be equal, and one planted difference is seen.

The real keepalived plays against itself; what is planted are changes of one result, of
each kind that a daemon could be wrong in.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alike import differences, unmet
from uml import Found, Job, boot

PLAYS = ("sorry server", "weights by a script", "protocols, families, marks")
Result = dict[str, Any]

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """keepalived twice, in one kernel."""
    place = tmp_path_factory.mktemp("kernel") / "boot"
    return boot(Job(PLAYS, ("real", "again"), within_s=100), place)


@pytest.mark.parametrize("name", PLAYS)
def test_keepalived_is_equal_to_itself(found: Found, name: str) -> None:
    assert not unmet(found.arenas[name, "real"])
    assert differences(found.arenas[name, "real"], found.arenas[name, "again"]) == []


def weight(result: Result) -> None:
    result["steps"][0]["table"][1] = result["steps"][0]["table"][1].replace("-w 1", "-w 2")


def order(result: Result) -> None:
    first = result["steps"][0]["order"][0]
    service, *servers = first.split()
    result["steps"][0]["order"][0] = " ".join((service, *reversed(servers)))


def line(result: Result) -> None:
    result["steps"][1]["fifo"].append("VS [10.5.0.1]:tcp:80 DOWN")


def call(result: Result) -> None:
    result["steps"][1]["notes"].clear()


def word(result: Result) -> None:
    log = result["steps"][1]["log"]
    log[:] = [one for one in log if not one.startswith("Removing")]


def never(result: Result) -> None:
    result["steps"][2]["met"] = False


def fault(result: Result) -> None:
    result["fault"] = "it fell over"


@pytest.mark.parametrize("plant", [weight, order, line, call, word, never, fault])
def test_a_planted_difference_is_seen(found: Found, plant: Callable[[Result], None]) -> None:
    real = found.arenas["sorry server", "real"]
    other = copy.deepcopy(real)
    plant(other)
    assert differences(real, other) != []


def test_nothing_of_a_play_is_left_on_this_machine(found: Found) -> None:
    assert found.arenas
    assert not Path("/run/lab").exists()
