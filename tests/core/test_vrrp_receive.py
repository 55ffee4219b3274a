"""Checks on heard adverts that depend on who sends them and on how they came."""

from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.record import replace
from keepalived_py.core.vrrp import machine
from keepalived_py.model.config import AuthType
from tests.core.vrrp_solo import Solo, advert, peers

STRICT: dict[str, Any] = {
    "unicast_peers": peers("10.0.0.9", "10.0.0.8", min_ttl=10, max_ttl=20),
    "check_unicast_source": True,
}
NO_ADDRESSES: dict[str, Any] = {
    "addresses": (),
    "address_count": 0,
    "expected_length": 36,
    "received_length": 36,
    "total_length": 36,
}


@pytest.mark.parametrize(
    ("received", "total", "counter"),
    [
        (46, 40, None),
        (42, 40, None),
        (44, 40, "packet_len_err"),
        (47, 40, "packet_len_err"),
        (46, 46, None),
        (90, 90, "packet_len_err"),
    ],
)
def test_padding_of_short_frames(received: int, total: int, counter: str | None) -> None:
    """46 bytes at least, less the four of each VLAN tag that was taken off."""
    solo = Solo().hear(200, 1, received_length=received, total_length=total)
    assert solo.counted() == {counter or "advert_rcvd": 1}


def test_long_packets_have_no_padding() -> None:
    size: dict[str, Any] = {"expected_length": 100, "total_length": 100, "received_length": 102}
    assert Solo().hear(200, 1, **size).counted() == {"packet_len_err": 1}


def test_any_ttl_and_any_sender_is_good_for_unicast() -> None:
    solo = Solo(unicast_peers=peers("10.0.0.9")).hear(200, 1, source="10.0.0.77", ttl=3)
    assert solo.counted() == {"advert_rcvd": 1} and solo.deadline_s() > 4


@pytest.mark.parametrize(
    ("source", "ttl", "counters", "text"),
    [
        ("10.0.0.9", 10, {"advert_rcvd": 1}, None),
        ("10.0.0.8", 20, {"advert_rcvd": 1}, None),
        (
            "10.0.0.9",
            9,
            {"advert_rcvd": 1, "ip_ttl_err": 1},
            "(VI_1) TTL/HL 9 from 10.0.0.9 not in range [10, 20]",
        ),
        ("10.0.0.7", 10, {"advert_rcvd": 1}, "(VI_1) unicast source address 10.0.0.7 not a unicast peer"),
    ],
)
def test_checked_unicast_sources(source: str, ttl: int, counters: dict[str, int], text: str | None) -> None:
    solo = Solo(**STRICT).hear(200, 1, source=source, ttl=ttl)
    assert solo.counted() == counters
    assert (solo.deadline_s() > 4) is (text is None)
    assert text is None or text in solo.logs()


def test_unicast_sources_are_checked_also_when_addresses_are_not() -> None:
    solo = Solo(skip_check_adv_addr=True, **STRICT)
    for at in (1, 2):
        solo.hear(200, at, source="10.0.0.7", ttl=15)
    assert solo.deadline_s() == 3.609375


@pytest.mark.parametrize(
    ("settings", "to", "text"),
    [
        (
            {"unicast_peers": peers("10.0.0.9")},
            "224.0.0.18",
            "Expected unicast packet but received multicast",
        ),
        ({}, "10.0.0.5", "Expected multicast packet but received unicast"),
    ],
)
def test_destination(settings: dict[str, Any], to: str, text: str) -> None:
    solo = Solo(**settings).hear(200, 1, destination=ip_address(to))
    assert solo.counted() == {"addr_list_err": 1}
    assert f"(VI_1) {text} packet from 10.0.0.9" in solo.logs()


def test_an_owner_may_ignore_everybody() -> None:
    solo = Solo("MASTER", base_priority=255, owner_ignore_adverts=True).hear(255, 4).hear(255, 5)
    assert solo.role == "MASTER" and solo.state.counters.advert_rcvd == 0
    assert solo.logs().count("(VI_1) Dropping packet(s) from 10.0.0.9 since we are address owner") == 1
    assert Solo("MASTER", owner_ignore_adverts=True).hear(255, 4).role == "BACKUP", "who owns nothing listens"


def test_addresses_of_the_same_master_need_not_be_checked() -> None:
    other: dict[str, Any] = {"addresses": (ip_address("10.0.0.101"),)}
    lazy = Solo(skip_check_adv_addr=True).hear(200, 1, **other).hear(200, 2, **other).hear(200, 3, **other)
    assert lazy.counted() == {"advert_rcvd": 3, "addr_list_err": 1}
    assert Solo().hear(200, 1, **other).hear(200, 2, **other).counted()["addr_list_err"] == 2
    master = Solo("MASTER", skip_check_adv_addr=True).hear(50, 4, **other).hear(50, 5, **other)
    assert master.counted()["addr_list_err"] == 2


def test_another_number_of_addresses_is_one_complaint() -> None:
    solo = Solo().hear(200, 1, **NO_ADDRESSES).hear(200, 2, **NO_ADDRESSES)
    assert solo.counted() == {"advert_rcvd": 2, "addr_list_err": 2} and solo.deadline_s() == 5.609375
    assert [line for line in solo.logs() if "expected" in line] == [
        "(VI_1) expected 1 VIPs but received 0 from 10.0.0.9"
    ]


def test_complaints_are_said_again_after_being_master() -> None:
    solo = Solo().hear(200, 1, ttl=3).hear(200, 2, ttl=3).until(4).hear(200, 4, ttl=3).hear(200, 5, ttl=3)
    assert solo.role == "MASTER"
    assert sum("TTL" in line for line in solo.logs()) == 2 and solo.counted()["ip_ttl_err"] == 4


def test_refused_adverts_touch_no_timer_of_a_master() -> None:
    solo = Solo("MASTER").hear(200, 4, ttl=3)
    assert solo.deadline_s() == 4.609375


def test_who_is_master_is_said() -> None:
    solo = Solo().hear(200, 1).hear(200, 2).hear(210, 3, source="10.0.0.8").hear(90, 4, source="10.0.0.7")
    assert str(Solo().hear(90, 1).state.master) == "10.0.0.9", "one that is discarded is better than none"
    lines = [line for line in solo.logs() if "master" in line]
    assert lines == [
        "(VI_1) master set to 10.0.0.9",
        "(VI_1) master changed from 10.0.0.9 to 10.0.0.8",
    ]


def test_a_remembered_advert_does_what_a_new_one_does() -> None:
    one, other = Solo(), Solo()
    heard = advert(one.settings, 200, "10.0.0.9")
    for at in range(1, 6):
        one.take(heard, at)
        other.hear(200, at)
    assert one.state._replace(memory=other.state.memory) == other.state
    assert one.out == other.out and one.counted() == {"advert_rcvd": 5}


def test_a_remembered_advert_is_judged_again_under_new_settings() -> None:
    solo = Solo()
    heard = advert(solo.settings, 200, "10.0.0.9")
    solo.take(heard, 1)
    changed = replace(solo.settings, auth_type=AuthType.PASS, auth_data=b"x")
    solo.state = solo.state._replace(settings=changed)
    assert solo.take(heard, 2).counted() == {"advert_rcvd": 1, "authtype_mismatch": 1}
    solo.state = machine.with_settings(solo.state, replace(changed, down_timer_adverts=5))
    assert solo.deadline_s() == 1 + 3.609375 + 2


def test_a_better_master_hears_once_more_from_us_if_asked() -> None:
    solo = Solo("MASTER", higher_priority_send_advert=True).hear(200, 4)
    assert solo.sent() == [100, 100] and solo.role == "BACKUP"
