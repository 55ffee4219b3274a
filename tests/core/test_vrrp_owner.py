"""Two address owners: the lower address gives way, the higher one watches whether it does."""

from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.core.vrrp import machine
from tests.core.vrrp_solo import Solo

LOWER, HIGHER = "10.0.0.1", "10.0.0.9"
ROGUE = f"(VI_1) {LOWER} is still advertising as address owner, please resolve - reducing our priority"
SILENT = "(VI_1): rogue address owner appears to have stopped advertising"


def mistake(other: str) -> str:
    text = f"CONFIGURATION ERROR: local instance and {other} are both configured as address owner"
    return f"(VI_1) {text}, please resolve"


def owner(**settings: Any) -> Solo:
    """A MASTER since 3.003906 s that owns its addresses; its adverts follow at .003906."""
    return Solo("MASTER", base_priority=255, **settings)


def reduced() -> Solo:
    """An owner that gave way to a rogue at 6.1 s."""
    solo = owner()
    for at in (3.5, 4.5, 5.5, 6.1):
        solo.hear(255, at, source=LOWER)
    return solo


def test_the_lower_address_gives_way_at_once() -> None:
    solo = owner().hear(255, 3.5, source=HIGHER)
    assert solo.role == "BACKUP" and solo.state.effective_priority == 255
    text = f"Master received advert from {HIGHER} with same priority 255 but higher IP address than ours"
    assert [mistake(HIGHER), f"(VI_1) {text}"] == [line for line in solo.logs() if HIGHER in line]


def test_the_higher_address_stays_if_the_other_one_falls_silent() -> None:
    solo = owner().hear(255, 3.5, source=LOWER).hear(255, 3.7, source=LOWER)
    assert solo.logs().count(mistake(LOWER)) == 1 and solo.role == "MASTER"
    solo.until(6)
    assert SILENT not in solo.logs()
    solo.until(7.1)
    assert solo.logs().count(SILENT) == 1
    assert solo.role == "MASTER" and solo.state.memory.conflict is None


def test_a_rogue_that_goes_on_has_its_way() -> None:
    solo = reduced()
    assert ROGUE in solo.logs() and solo.role == "BACKUP" and solo.state.effective_priority == 254
    assert solo.state.advert is not None and solo.state.advert.priority == 254
    text = f"Master received advert from {LOWER} with same priority 255 but higher IP address than ours"
    assert f"(VI_1) {text}" in solo.logs()


def test_within_two_adverts_nothing_is_decided() -> None:
    solo = owner().hear(255, 3.5, source=LOWER).hear(255, 4.5, source=LOWER).hear(255, 4.9, source=LOWER)
    assert solo.role == "MASTER" and solo.state.effective_priority == 255


def test_the_longer_interval_counts() -> None:
    """In version 3 the rogue may be slower: two adverts of ours, then 1.2 of its three seconds."""
    solo = owner(version=3).hear(255, 3.5, source=LOWER, advert_interval=300).until(5.2)
    assert solo.state.memory.conflict is not None and solo.state.memory.conflict.until == 8_603_906
    assert solo.hear(255, 8.5, source=LOWER, advert_interval=300).role == "BACKUP"


def test_one_that_comes_back_later_is_a_new_conflict() -> None:
    solo = owner().hear(255, 3.5, source=LOWER).until(6.21).hear(255, source=LOWER)
    assert solo.logs().count(SILENT) == 1 and solo.logs().count(mistake(LOWER)) == 2
    assert solo.role == "MASTER"


def test_a_reduced_owner_stays_reduced_while_the_rogue_lives() -> None:
    solo = reduced().hear(255, 7, source=LOWER).hear(255, 8, source=LOWER)
    assert solo.state.effective_priority == 254 and solo.role == "BACKUP"
    solo.state = machine.with_priority(solo.state, 255, solo.out)
    assert solo.state.effective_priority == 254, "weights are worked out again at every event"


def test_it_is_restored_by_another_priority() -> None:
    solo = reduced().hear(100, 7, source=LOWER)
    line = "(VI_1) Restoring our priority to 255 since received advert with lower priority"
    assert line in solo.logs() and solo.state.effective_priority == 255
    assert solo.state.advert is not None and solo.state.advert.priority == 255


def test_it_is_restored_by_another_master() -> None:
    assert reduced().hear(255, 7, source=HIGHER).state.effective_priority == 255


def test_it_is_restored_when_nobody_is_left() -> None:
    solo = reduced().until(10)
    assert (
        solo.role == "MASTER" and solo.state.effective_priority == 255 and solo.state.master_priority == 255
    )
    line = "(VI_1) Restoring our priority to 255 since other address owner has disappeared"
    assert solo.logs().count(line) == 1
    assert solo.until(11).sent()[-1] == 255


def test_who_leaves_master_watches_no_more() -> None:
    solo = owner().hear(255, 3.5, source=LOWER).fault().backup()
    assert solo.state.memory.conflict is None
    assert SILENT not in solo.until(12).logs()


def test_a_new_priority_in_the_file_ends_the_reduction() -> None:
    solo = reduced()
    solo.state = machine.with_settings(solo.state, replace(solo.settings, base_priority=90))
    solo.state = machine.with_priority(solo.state, 90, solo.out)
    assert solo.state.effective_priority == 90 and solo.state.memory.conflict is None
