"""Health checks of servers that an instance tracks: as scripts, but that what was found is told."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import ScriptName
from keepalived_py.base.record import replace
from keepalived_py.core.track import script
from keepalived_py.model import effects as fx
from keepalived_py.model.checks import TcpCheck
from keepalived_py.model.config import CheckScript
from keepalived_py.model.events import ScriptFinished
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.model.tracking import TrackedCheck

if TYPE_CHECKING:
    from tests.core.conftest import Bench

    Benches = Callable[..., Bench]

CHK = ScriptName("chk")
SECOND = Micros(1_000_000)
ASKS = TcpCheck(connect_ip=IPv4Address("10.0.0.5"), connect_port=80)
TRACKED = {"track_checks": (TrackedCheck(CHK),)}
LATE: dict[str, Any] = {"timed_out": True, "text": "no end within 1 s"}


def asking(**fields: Any) -> CheckScript:
    return CheckScript(CHK, NO_COMMAND, SECOND, SECOND, asks=ASKS, **fields)


def test_it_is_asked_at_once_and_every_interval(bench: "Benches") -> None:
    made = bench(TRACKED, checks=(asking(),)).start()
    assert [each for each in made.effects if isinstance(each, fx.AskServer)] == [fx.AskServer(CHK, SECOND)]
    made.script(0, text="200 OK").until(2.5)
    assert (made.count(fx.AskServer), made.count(fx.RunCheck), made.count(fx.RunProbe)) == (2, 0, 0)
    assert made.logs()[-1].startswith("Track check chk is ")
    assert made.logs()[-1].endswith(", expect idle - skipping run")


def test_what_was_found_is_logged_and_is_the_evidence(bench: "Benches") -> None:
    made = bench(TRACKED, checks=(asking(fall=2),)).start().script(0, text="200 OK").until(4)
    assert made.role.name == "MASTER"
    made.script(1, 4.1, text="503 Service Unavailable")
    assert made.role.name == "MASTER", "fall is 2"
    made.script(1, 5.1, text="connection refused")
    assert made.role.name == "FAULT"
    for line in (
        "VRRP_Check(chk) succeeded (200 OK)",
        "Check `chk` now finds: 503 Service Unavailable",
        "VRRP_Check(chk) failed (connection refused)",
        "(VI_1): entering FAULT state due to check chk",
    ):
        assert line in made.logs()
    change = [each for each in made.effects if isinstance(each, fx.RoleChanged)][-1]
    assert change.reason == "check chk failed"
    assert change.evidence.startswith("connection refused")


def test_one_that_is_late_has_failed(bench: "Benches") -> None:
    made = bench(TRACKED, checks=(asking(),)).start().script(0, text="200 OK").until(4)
    made.script(1, 4.5, **LATE)
    assert made.role.name == "FAULT"
    assert "VRRP_Check(chk) timed_out" in made.logs()
    change = [each for each in made.effects if isinstance(each, fx.RoleChanged)][-1]
    assert change.evidence.startswith("no end within 1 s")


@pytest.mark.parametrize(
    ("weight", "reverse", "priority"), [(-20, False, 80), (30, True, 100), (-20, True, 120)]
)
def test_a_weight_counts_as_that_of_a_script(
    bench: "Benches", weight: int, reverse: bool, priority: int
) -> None:
    track = TrackedCheck(CHK, weight, reverse)
    made = bench({"track_checks": (track,)}, checks=(asking(),)).start().script(1, text="connection refused")
    assert made.state.effective_priority == priority


def test_a_group_tracks_it_for_its_members(bench_pair: "Benches") -> None:
    made = bench_pair(track_checks=(TrackedCheck(CHK),))
    made.configuration = replace(made.configuration, checks=(asking(),))
    made.start().script(1, text="connection refused")
    assert made.roles() == ["FAULT", "FAULT"]


def test_a_check_that_becomes_another_one_is_made_at_once() -> None:
    """Its verdict stays until then."""
    out: list[fx.Effect] = []
    state = script.started(asking(), Micros(0), out)
    state = script.finished(state, ScriptFinished(CHK, text="200 OK"), Micros(1), out)
    out.clear()
    other = replace(asking(), asks=replace(ASKS, connect_port=81))
    state = script.adapted(state, other, Micros(2), out)
    assert out == [
        fx.WriteLog("VRRP_Check(chk) considered successful on reload"),
        fx.AskServer(CHK, SECOND),
    ]
    assert state.good
