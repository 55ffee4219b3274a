"""Version 3 and IPv6: learned intervals, checksum forms, and what an advert is made of."""

from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.core.vrrp import machine
from keepalived_py.model import effects as fx
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import ChecksumForm
from keepalived_py.model.vrrp import AntiReplay, AuthHmac, HmacKey, HmacMode, UnicastChecksum
from tests.core.vrrp_solo import Solo, peers

HALF: dict[str, Any] = {"version": 3, "advert_interval_us": 500_000}
OLD: dict[str, Any] = {"checksum_valid": False, "old_checksum_valid": True}
UNICAST: dict[str, Any] = {"version": 3, "unicast_peers": peers("10.0.0.9", "10.0.0.8")}


def advert_of(**settings: Any) -> Any:
    return Solo(**settings).state.advert


# -- intervals ------------------------------------------------------------------


def test_timers_in_centiseconds() -> None:
    solo = Solo(**HALF)
    assert solo.deadline_s() == 1.804687
    assert solo.until(2).role == "MASTER" and solo.deadline_s() == 2.304687
    assert solo.state.advert is not None and solo.state.advert.advert_interval == 50


def test_a_backup_follows_the_interval_of_the_master() -> None:
    solo = Solo(**HALF).hear(200, 1, advert_interval=100)
    assert solo.deadline_s() == 1 + 3.609375
    assert "(VI_1) advertisement interval updated from 500ms to 1000ms by master" in solo.logs()
    solo.hear(0, 2)
    assert solo.deadline_s() == 2 + 0.609375


def test_a_master_has_its_own_interval_again() -> None:
    solo = Solo(**HALF).hear(200, 1, advert_interval=100).until(5)
    line = "(VI_1) changing advert interval from 1000ms to locally configured 500ms"
    assert solo.role == "MASTER" and solo.logs().count(line) == 1
    assert solo.state.learned_interval is None
    assert solo.backup().deadline_s() == 6.804687


def test_a_master_that_gives_way_learns_too() -> None:
    solo = Solo("MASTER", **HALF).hear(200, 2, advert_interval=200)
    assert solo.role == "BACKUP" and solo.deadline_s() == 2 + 3 * 2 + 2 * 156 / 256


def test_a_fault_forgets_the_interval() -> None:
    solo = Solo(**HALF).hear(200, 1, advert_interval=100).fault().backup()
    assert solo.deadline_s() == 1 + 1.804687


def test_another_interval_is_said_once_and_used() -> None:
    solo = Solo(**HALF).hear(200, 1, advert_interval=100).hear(200, 2, advert_interval=100)
    lines = [line for line in solo.logs() if "mismatch" in line]
    assert lines == [
        "(VI_1) advertisement interval mismatch ours = 50 centi-sec rcv'd=100 centi-sec from 10.0.0.9"
    ]
    assert solo.counted() == {"advert_rcvd": 2} and solo.deadline_s() == 2 + 3.609375


def test_an_interval_of_zero_changes_nothing() -> None:
    solo = Solo(**HALF).hear(200, 1, advert_interval=0)
    assert solo.role == "BACKUP" and solo.deadline_s() == 1 + 1.804687


def test_a_changed_priority_moves_the_timer_by_the_skew_of_the_master() -> None:
    solo = Solo(notify_priority_changes=True, **HALF).hear(200, 1, advert_interval=100)
    solo.state = machine.with_priority(solo.state, 50, solo.out)
    assert solo.deadline_s() == 4.804687
    assert solo.all(fx.WriteFifo)[-1].line == 'INSTANCE "VI_1" BACKUP_PRIORITY 50'


# -- what is sent -----------------------------------------------------------------


def test_multicast_over_both_families() -> None:
    four, six = advert_of(version=3), advert_of(family=6)
    assert four.destinations == (ip_address("224.0.0.18"),) and four.ttl == 255 and four.multicast
    assert six.destinations == (ip_address("ff02::12"),) and six.ttl == 255 and six.family == 6
    assert six.advert_interval == 100 and six.checksum_form is ChecksumForm.PSEUDO_HEADER


@pytest.mark.parametrize(
    ("settings", "ttl"),
    [
        ({"unicast_peers": peers("10.0.0.9")}, 255),
        ({"unicast_peers": peers("10.0.0.9"), "unicast_ttl": 3}, 3),
        ({"unicast_peers": peers("fe80::9"), "family": 6}, None),
        ({"unicast_peers": peers("fe80::9"), "family": 6, "unicast_ttl": 3}, 3),
    ],
)
def test_unicast_ttl(settings: dict[str, Any], ttl: int | None) -> None:
    assert advert_of(**settings).ttl == ttl


def test_every_peer_gets_a_copy() -> None:
    advert = advert_of(**UNICAST)
    assert [str(peer) for peer in advert.destinations] == ["10.0.0.9", "10.0.0.8"] and not advert.multicast
    assert str(advert.group) == "224.0.0.18"


def test_the_interface_is_the_one_whose_socket_sends() -> None:
    assert advert_of(interface="vrrp.51", base_interface="eth0").interface == "vrrp.51"
    assert advert_of(interface="vrrp.51", base_interface="eth0", vmac_xmit_base=True).interface == "eth0"


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        (UNICAST, ChecksumForm.PSEUDO_HEADER),
        ({**UNICAST, "unicast_checksum": UnicastChecksum.OLD}, ChecksumForm.OLD_UNICAST),
        ({**UNICAST, "version": 2, "unicast_checksum": UnicastChecksum.OLD}, ChecksumForm.PSEUDO_HEADER),
        ({"version": 3, "unicast_checksum": UnicastChecksum.OLD}, ChecksumForm.PSEUDO_HEADER),
        ({"version": 3, "v3_checksum_as_v2": True}, ChecksumForm.MESSAGE_ONLY),
        ({"family": 6, "v3_checksum_as_v2": True}, ChecksumForm.PSEUDO_HEADER),
    ],
)
def test_checksum_form(settings: dict[str, Any], form: ChecksumForm) -> None:
    assert advert_of(**settings).checksum_form is form


def test_signing() -> None:
    keys = (HmacKey(id=1, value=b"a" * 32), HmacKey(id=2, value=b"b" * 32))
    asked = AuthHmac(keys=keys, active_key=2, time_window_s=5, mode=HmacMode.PERMISSIVE)
    signing = advert_of(auth_hmac=asked).signing
    assert (signing.key_id, signing.key, signing.monotonic, signing.time_window_s) == (2, b"b" * 32, False, 5)
    monotonic = AuthHmac(keys=keys, active_key=1, anti_replay=AntiReplay.MONOTONIC)
    assert advert_of(auth_hmac=monotonic).signing.monotonic
    silent = AuthHmac(keys=keys, active_key=1, mode=HmacMode.RECEIVE_ONLY)
    assert advert_of(auth_hmac=silent).signing is None


# -- checksums that come -------------------------------------------------------------


def test_an_old_peer_switches_both_directions() -> None:
    solo = Solo(**UNICAST).hear(200, 1, **OLD)
    assert "(VI_1) Setting unicast VRRPv3 checksum to old version" in solo.logs()
    assert solo.state.advert is not None and solo.state.advert.checksum_form is ChecksumForm.OLD_UNICAST
    assert solo.deadline_s() == 1 + 3.609375
    solo.hear(200, 2).hear(200, 3, **OLD)
    assert solo.counted() == {"advert_rcvd": 3}, "the usual form stays good"
    assert sum("old version" in line for line in solo.logs()) == 1
    assert solo.until(9).role == "MASTER"
    assert solo.all(fx.SendAdvert)[-1].advert.checksum_form is ChecksumForm.OLD_UNICAST


@pytest.mark.parametrize(
    ("settings", "fields", "accepted"),
    [
        ({**UNICAST, "unicast_checksum": UnicastChecksum.NEVER}, OLD, False),
        ({**UNICAST, "unicast_checksum": UnicastChecksum.OLD}, OLD, True),
        ({**UNICAST, "unicast_checksum": UnicastChecksum.OLD}, {}, True),
        ({"version": 3}, OLD, False),
        ({"version": 3, "v3_checksum_as_v2": True}, {"checksum_valid": False}, True),
        ({"version": 2, "unicast_peers": peers("10.0.0.9")}, OLD, False),
        ({"family": 6}, {"checksum_valid": False}, True),
    ],
)
def test_which_checksums_are_accepted(
    settings: dict[str, Any], fields: dict[str, Any], accepted: bool
) -> None:
    solo = Solo(**settings).hear(200, 1, **fields)
    assert (solo.state.counters.advert_rcvd, solo.state.counters.chk_err) == (accepted, not accepted)
    if not accepted:
        assert f"(VI_1) Invalid VRRPv{solo.settings.version} checksum from 10.0.0.9" in solo.logs()


# -- IPv6 -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "role"), [("fe80::4", "MASTER"), ("fe80::5:0", "BACKUP"), ("fe80::6", "BACKUP")]
)
def test_addresses_compare_as_numbers(source: str, role: str) -> None:
    assert Solo("MASTER", family=6).hear(100, 4, source=source).role == role


def test_version_2_over_ipv6_compares_the_type_of_authentication_alone() -> None:
    """There is no room for the password in such an advert."""
    settings: dict[str, Any] = {"family": 6, "version": 2, "auth_type": AuthType.PASS, "auth_data": b"secret"}
    assert Solo(**settings).hear(200, 1).counted() == {"advert_rcvd": 1}
    assert Solo(**settings).hear(200, 1, auth_type=0).counted() == {"authtype_mismatch": 1}
