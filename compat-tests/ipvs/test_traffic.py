"""Real clients behind real IPVS: what an administrator does costs nobody a request."""

import json
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from uml import ROOT, Job, boot

pytestmark = [pytest.mark.slow, pytest.mark.netns, pytest.mark.timeout(200)]

# Stages in which every server that is in the table works.
HARMLESS = (
    "steady",
    "drain",
    "enable",
    "weight by order",
    "reload unchanged",
    "weight by a program",
    "reload with another weight",
    "reloads in a row",
    "reload with a dead server",
)
# Here, too; but a connection that was kept to the sorry server has lost it.
RECOVERIES = ("one is back", "all are back")
RELOADS = ("reload unchanged", "reload with another weight", "reloads in a row", "reload with a dead server")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What clients saw and the kernel counted, by forwarding method and stage (see `traffic`)."""
    guest = ROOT / "compat-tests" / "ipvs" / "traffic.py"
    daemon = Path(sys.executable).parent / "keepalived-py"
    job = Job(program=(sys.executable, str(guest), str(daemon)), within_s=110)
    found = boot(job, tmp_path_factory.mktemp("traffic") / "boot").program
    assert found["code"] == 0, found["err"][-6000:]
    made: Mapping[str, Any] = json.loads(found["out"])
    return made


def failed(answers: Mapping[str, int]) -> dict[str, int]:
    """The requests that got no answer, by what went wrong."""
    return {said: count for said, count in answers.items() if said.startswith("failed")}


def test_no_request_fails_in_maintenance_and_reloads(seen: Mapping[str, Any]) -> None:
    for kind, stages in seen.items():
        for name in stages.keys() & HARMLESS:
            stage = stages[name]
            assert sum(stage["short"].values()) > 5, (kind, name)
            assert not failed(stage["short"]), (kind, name, stages["log"])
            assert not failed(stage["kept"]), (kind, name, stages["log"])


def test_no_request_fails_when_servers_come_back(seen: Mapping[str, Any]) -> None:
    for name in RECOVERIES:
        stage = seen["NAT"][name]
        assert sum(stage["short"].values()) > 5, name
        assert not failed(stage["short"]), (name, seen["NAT"]["log"])


def test_a_drained_server_keeps_its_connections_and_gets_no_new_one(seen: Mapping[str, Any]) -> None:
    for kind, stages in seen.items():
        stage = stages["drain"]
        drained = stage["drained"]
        assert drained not in stage["short_after"], kind
        assert set(stage["kept_after"]) == {drained}, kind
        assert drained in stages["enable"]["short_after"], kind


def test_the_kernel_goes_on_counting_over_reloads(seen: Mapping[str, Any]) -> None:
    for kind, stages in seen.items():
        names = [name for name in stages if name not in ("left", "log")]
        for before, name in pairwise(names):
            if name in RELOADS:
                assert stages[name]["connections"] >= stages[before]["connections"] > 0, (kind, name)


def test_a_dead_server_costs_requests_only_until_it_is_taken_out(seen: Mapping[str, Any]) -> None:
    stages = seen["NAT"]
    assert set(stages["one is dead"]["short_after"]) == {"one"}
    assert set(stages["all are dead"]["short_after"]) == {"sorry"}
    assert set(stages["one is back"]["short_after"]) == {"two"}
    assert set(stages["all are back"]["short_after"]) == {"one", "two"}


def test_weights_move_the_load(seen: Mapping[str, Any]) -> None:
    stages = seen["NAT"]
    after = stages["weight by a program"]["short_after"]  # 3 to 40
    assert after["two"] > 4 * after.get("one", 0)


def test_nothing_is_left_after_the_stop(seen: Mapping[str, Any]) -> None:
    assert [stages["left"] for stages in seen.values()] == ["", ""]
