"""What an instance does that did not run for a while, or that recovers between unicast peers."""

from typing import Any

import pytest

from keepalived_py.model import effects as fx
from tests.core.vrrp_solo import Solo, peers

LIMIT = 3.609375 / 2


def gave_way(solo: Solo, before: int) -> bool:
    """MASTER to BACKUP without a word on the wire, every address taken off."""
    new = solo.out[before:]
    changed = [each for each in new if isinstance(each, fx.RoleChanged)]
    silent = not any(isinstance(each, fx.SendAdvert) for each in new)
    released = sum(isinstance(each, fx.DeleteAddress) for each in new)
    return silent and released == 1 and [each.new.name for each in changed] == ["BACKUP"]


@pytest.mark.parametrize("base_priority", [100, 255])
def test_a_paused_master_gives_way_and_listens(base_priority: int) -> None:
    solo = Solo("MASTER", base_priority=base_priority).sleep(10)
    before, wait = len(solo.out), solo.until_down / 1e6
    assert gave_way(solo.paused(2), before)
    assert solo.role == "BACKUP" and solo.deadline_s() == 10 + wait
    change = solo.all(fx.RoleChanged)[-1]
    assert change.reason == "the process was paused" and "did not run for 2.000000 s" in change.evidence
    assert solo.until(10.1 + wait).role == "MASTER"


def test_a_paused_backup_starts_its_timer_anew() -> None:
    solo = Solo().sleep(3).paused(2)
    assert solo.role == "BACKUP" and solo.deadline_s() == 6.609375
    assert "(VI_1) did not run for 2.000000 s, listening for 3.609375 s" in solo.logs()


@pytest.mark.parametrize("role", ["BACKUP", "MASTER"])
def test_short_pauses_change_nothing(role: str) -> None:
    solo = Solo(role)
    state = solo.state
    assert solo.paused(LIMIT - 0.001).state is state


def test_who_takes_no_part_is_not_paused() -> None:
    for role in ("INIT", "FAULT"):
        solo = Solo(role)
        state = solo.state
        assert solo.paused(100).state is state


def test_a_deadline_noticed_too_late_is_a_pause() -> None:
    master = Solo("MASTER")
    before = len(master.out)
    assert gave_way(master.sleep(4.609375 + LIMIT + 0.001).due(), before)
    backup = Solo().sleep(3.609375 + LIMIT + 0.001).due()
    assert backup.role == "BACKUP" and backup.deadline_s() > 9 and backup.sent() == []


def test_a_little_late_is_no_pause() -> None:
    master = Solo("MASTER").sleep(4.609375 + LIMIT - 0.01).due()
    assert master.role == "MASTER" and len(master.sent()) == 2
    assert Solo().sleep(3.609375 + LIMIT - 0.01).due().role == "MASTER"


def test_an_advert_heard_after_the_pause_is_not_answered() -> None:
    """The queue of the socket comes first: whoever spoke meanwhile may be right."""
    solo = Solo("MASTER").sleep(20)
    before = len(solo.out)
    solo.hear(150)
    assert gave_way(solo, before) and str(solo.state.master) == "10.0.0.9"
    worse = Solo("MASTER").sleep(20)
    before = len(worse.out)
    assert gave_way(worse.hear(50), before)


def test_the_interval_that_was_learned_sets_the_limit() -> None:
    solo = Solo(version=3).hear(200, 1, advert_interval=1000).sleep(20)
    state = solo.state
    assert solo.paused(16).state is state
    assert solo.paused(19).deadline_s() == 20 + 30 + 6.09375


# -- timer_expired_backup -----------------------------------------------------------------


def test_a_late_master_that_was_surely_replaced() -> None:
    """The option says more than any pause, so its line and reason are the ones given."""
    settings: dict[str, Any] = {"preempt": False, "late_priority": 254}
    solo = Solo("MASTER", **settings)
    before = len(solo.out)
    solo.sleep(4.609375 + 2.1).due()
    assert gave_way(solo, before)
    assert "VRRP thread timer expired 2.100000 seconds ago" in solo.logs()
    assert solo.all(fx.RoleChanged)[-1].reason == "the advert timer ran late"


def test_a_late_master_whom_nobody_can_have_replaced() -> None:
    settings: dict[str, Any] = {"preempt": False, "late_priority": 1}
    solo = Solo("MASTER", **settings).sleep(4.609375 + 1.7).due()
    assert solo.role == "MASTER" and len(solo.sent()) == 2


# -- leaving FAULT ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "what", "source"),
    [
        ({"unicast_peers": peers("10.0.0.9")}, "ARP", "10.0.0.5"),
        ({"unicast_peers": peers("fe80::9"), "family": 6}, "NA", "fe80::5"),
    ],
)
def test_peers_are_told_of_our_own_address(settings: dict[str, Any], what: str, source: str) -> None:
    solo = Solo("FAULT", **settings).backup()
    told = solo.all(fx.SendNeighbour)
    assert [(str(each.address.address), each.address.interface) for each in told] == [(source, "eth0")]
    assert f"VI_1: sending gratuitous {what} for {source}" in solo.logs()


@pytest.mark.parametrize(
    ("role", "settings"),
    [
        ("FAULT", {}),
        ("BACKUP", {"unicast_peers": peers("10.0.0.9")}),
        ("FAULT", {"unicast_peers": peers("10.0.0.9"), "interface": ""}),
    ],
)
def test_nobody_else_is_told(role: str, settings: dict[str, Any]) -> None:
    solo = Solo(role, **settings)
    if role == "FAULT":
        solo.backup()
    assert solo.all(fx.SendNeighbour) == []


def test_a_paused_unicast_master_announces_nothing() -> None:
    solo = Solo("MASTER", unicast_peers=peers("10.0.0.9")).sleep(10)
    before = len(solo.all(fx.SendNeighbour))
    assert len(solo.paused(5).all(fx.SendNeighbour)) == before
