"""AH and `auth_hmac`: what real keepalived sent is believed, what others change is not."""

import dataclasses
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.integrity import advert_signature, ah_icv
from keepalived_py.base.record import replace
from keepalived_py.core.vrrp import machine
from keepalived_py.model import effects as fx
from keepalived_py.model.config import AuthType, VirtualAddress
from keepalived_py.model.packet import AuthenticationHeader
from keepalived_py.model.vrrp import AntiReplay, AuthHmac, HmacKey, HmacMode
from tests.core.vrrp_solo import ETH0, Solo, peers

# Adverts of keepalived 2.2.7 from 10.0.0.1 with the password "secret", from the IP header on.
MULTICAST_AH = (
    "45c0004000010000ff33d0b60a000001e0000012700400000a00000100000001d59783e6d8170e945456f270"
    "2133ff010201d3650a0000640000000000000000"
)
UNICAST_AH = (
    "45c0004000010000ff33a6c70a0000010a000002700400000a0000010000000125c6ffff2f0499ebcc7f52f4"
    "2133ff010201d3650a0000640000000000000000"
)
AH: dict[str, Any] = {"auth_type": AuthType.AH, "auth_data": b"secret"}
# An advert of keepalived 2.4.3 from 10.88.0.1 and its trailer, made at that second.
MESSAGE = bytes.fromhex("3109ff010064d9ec0a580064")
TRAILER = bytes.fromhex("010100006b009ab36557000050c71708e7b19b72da4ce04ad6c919eb")
SECOND = 0x6B009AB3
KEY = b"0123456789abcdef0123456789abcdef"
HMAC = AuthHmac(
    keys=(HmacKey(id=1, value=KEY), HmacKey(id=2, value=b"k" * 32)), active_key=1, time_window_s=5
)


def header(raw: bytes) -> AuthenticationHeader:
    """The AH header of `raw`, and what its value covers."""
    covered = bytearray(raw)
    covered[1] = 0
    covered[6:8] = covered[10:12] = b"\0\0"
    covered[32:44] = bytes(12)
    sequence = int.from_bytes(raw[28:32], "big")
    return AuthenticationHeader(raw[20], raw[24:28], sequence, raw[32:44], bytes(covered))


def numbered(sequence: int, spi: bytes = b"\x0a\0\0\1", password: bytes = b"secret") -> AuthenticationHeader:
    """The header of an advert that nobody sent, with a right value."""
    raw = bytearray.fromhex(MULTICAST_AH)
    raw[24:28], raw[28:32] = spi, sequence.to_bytes(4, "big")
    covered = header(bytes(raw)).covered
    return AuthenticationHeader(112, spi, sequence, ah_icv(password, covered), covered)


def hear_ah(solo: Solo, ah: AuthenticationHeader | None, at_s: float, priority: int = 200) -> Solo:
    size: dict[str, Any] = {"received_length": 64, "expected_length": 64, "total_length": 64}
    return solo.hear(priority, at_s, source="10.0.0.1", has_ah=True, ah=ah, **size)


@pytest.mark.parametrize(
    ("raw", "settings"), [(MULTICAST_AH, AH), (UNICAST_AH, {**AH, "unicast_peers": peers("10.0.0.1")})]
)
def test_what_keepalived_sent(raw: str, settings: dict[str, Any]) -> None:
    heard = header(bytes.fromhex(raw))
    assert hear_ah(Solo(**settings), heard, 1).deadline_s() == 4.609375
    wrong = hear_ah(Solo(**{**settings, "auth_data": b"Secret"}), heard, 1)
    assert wrong.counted() == {"auth_failure": 1} and wrong.deadline_s() == 3.609375
    text = "IPSEC-AH : invalid IPSEC HMAC-MD5 value. Due to fields mutation or bad password !"
    assert f"(VI_1) {text} from 10.0.0.1" in wrong.logs()


def test_the_ttl_counts_for_multicast_only() -> None:
    multicast = header(bytes.fromhex(MULTICAST_AH).replace(b"\xff\x33", b"\xfe\x33"))
    assert hear_ah(Solo(**AH), multicast, 1).counted() == {"auth_failure": 1}
    unicast = header(bytes.fromhex(UNICAST_AH).replace(b"\xff\x33", b"\x3f\x33"))
    assert hear_ah(Solo(**AH, unicast_peers=peers("10.0.0.1")), unicast, 1).counted() == {"advert_rcvd": 1}


def test_sequence_numbers_must_grow() -> None:
    solo = Solo(**AH)
    for at, sequence in enumerate((5, 5, 4, 6), 1):
        hear_ah(solo, numbered(sequence), at)
    assert solo.counted() == {"advert_rcvd": 2, "auth_failure": 2} and solo.deadline_s() == 7.609375
    text = "IPSEC-AH : sequence number 5 already processed. Packet dropped. Local(5) from 10.0.0.1"
    assert f"(VI_1) {text}" in solo.logs()


def test_the_spi_is_the_source() -> None:
    solo = hear_ah(Solo(**AH), numbered(5, spi=b"\x0a\0\0\2"), 1)
    assert solo.counted() == {"auth_failure": 1} and "invalid IPSEC SPI value" in solo.logs()[-1]
    assert hear_ah(solo, numbered(4), 2).state.counters.advert_rcvd == 1, "a bad one moves no mark"


def test_other_protocols_behind_ah_are_passed_over() -> None:
    solo = hear_ah(Solo(**AH), dataclasses.replace(numbered(5), next_header=6), 1)
    before = len(solo.out)
    assert hear_ah(solo, None, 2).counted() == {} and len(solo.out) == before


def test_a_new_master_is_ahead_of_whom_it_heard() -> None:
    solo = hear_ah(Solo(**AH), numbered(77), 1).until(5)
    raised = solo.all(fx.RaiseSequence)
    assert [each.heard for each in raised] == [77]
    assert solo.out.index(raised[0]) < solo.out.index(solo.all(fx.SendAdvert)[0])
    assert Solo("MASTER", **AH).all(fx.RaiseSequence) == [], "who heard nobody is ahead already"


def test_a_master_overtakes_a_worse_one() -> None:
    solo = Solo("MASTER", **AH)
    before = len(solo.out)
    hear_ah(solo, numbered(500), 4, priority=50)
    after = solo.out[before:]
    kinds = [type(each).__name__ for each in after if not isinstance(each, fx.WriteLog)]
    assert kinds[:2] == ["RaiseSequence", "SendAdvert"] and solo.all(fx.RaiseSequence)[0].heard == 500
    assert "(VI_1) IPSEC-AH : Syncing seq_num - Increment seq" in solo.logs()


# -- auth_hmac ------------------------------------------------------------------------


def guarded(**changes: Any) -> Solo:
    """The instance whose master was captured."""
    hmac, role = replace(HMAC, **changes.pop("hmac", {})), changes.pop("role", "BACKUP")
    vip = (VirtualAddress(ip_address("10.88.0.100"), 24, ETH0),)
    return Solo(role, version=3, vrid=9, addresses=vip, auth_hmac=hmac, **changes)


def hear_signed(solo: Solo, at_s: float, clock_s: int = SECOND, **fields: Any) -> Solo:
    usual: dict[str, Any] = {
        "source": "10.88.0.1",
        "message": MESSAGE,
        "trailer": TRAILER,
        "received_length": 60,
        "total_length": 60,
    }
    return solo.hear(255, at_s, wall_clock_s=clock_s, **{**usual, **fields})


def trailer(
    second: int, count: int = 0, source: str = "10.88.0.1", key_id: int = 1, key: bytes = KEY
) -> bytes:
    head = bytes((1, key_id, 0, 0)) + second.to_bytes(4, "big") + b"\0\0" + count.to_bytes(2, "big")
    return head + advert_signature(key, ip_address(source), MESSAGE, head)


def test_what_keepalived_signed() -> None:
    solo = hear_signed(guarded(), 1)
    assert solo.counted() == {"advert_rcvd": 1} and solo.deadline_s() == 4.609375


def changed(where: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:where] + bytes((raw[where] ^ 1,)) + raw[where + 1 :]


@pytest.mark.parametrize(
    ("change", "counter", "text"),
    [
        (changed(0), "auth_ext_malformed", "malformed authentication trailer from 10.88.0.1"),
        (changed(2), "auth_ext_malformed", "malformed authentication trailer from 10.88.0.1"),
        (changed(3), "auth_ext_malformed", "malformed authentication trailer from 10.88.0.1"),
        (lambda raw: raw[:1] + b"\7" + raw[2:], "auth_ext_unknown_key", "unknown authentication key id 7"),
        (lambda raw: raw[:1] + b"\2" + raw[2:], "auth_ext_invalid_hmac", "invalid authentication HMAC"),
        (changed(9), "auth_ext_invalid_hmac", "invalid authentication HMAC from 10.88.0.1"),
        (changed(27), "auth_ext_invalid_hmac", "invalid authentication HMAC from 10.88.0.1"),
        (changed(4), "auth_ext_stale", "stale authentication trailer from 10.88.0.1, clock skew"),
    ],
)
def test_changed_trailers(change: Callable[[bytes], bytes], counter: str, text: str) -> None:
    solo = guarded()
    for at in (1, 2):
        hear_signed(solo, at, trailer=change(TRAILER))
    assert solo.counted() == {counter: 2} and solo.deadline_s() == 3.609375
    assert sum(line.startswith(f"(VI_1) {text}") for line in solo.logs()) == 1


def test_the_message_is_signed_too() -> None:
    assert hear_signed(guarded(), 1, message=changed(2)(MESSAGE)).counted() == {"auth_ext_invalid_hmac": 1}
    checksum_is_not = hear_signed(guarded(), 1, message=changed(6)(MESSAGE))
    assert checksum_is_not.counted() == {"advert_rcvd": 1}
    assert hear_signed(guarded(), 1, source="10.88.0.2").counted() == {"auth_ext_invalid_hmac": 1}


@pytest.mark.parametrize(("clock_s", "stale"), [(5, False), (6, True), (-5, False), (-6, True)])
def test_the_window(clock_s: int, stale: bool) -> None:
    solo = hear_signed(guarded(), 1, SECOND + clock_s)
    assert solo.counted() == ({"auth_ext_stale": 1} if stale else {"advert_rcvd": 1})
    skewed = f"clock skew {clock_s} sec from 10.88.0.1 approaching window 5 sec"
    assert any(skewed in line for line in solo.logs()) is not stale
    assert any(f"clock skew {clock_s} sec exceeds window 5 sec" in line for line in solo.logs()) is stale


def test_monotonic_mode_asks_no_clock() -> None:
    solo = hear_signed(guarded(hmac={"anti_replay": AntiReplay.MONOTONIC, "time_window_s": 0}), 1, 7)
    hear_signed(solo, 2, 7)
    assert solo.counted() == {"advert_rcvd": 1, "auth_ext_replay": 1}


def test_the_same_advert_again_is_a_replay() -> None:
    solo = hear_signed(hear_signed(guarded(), 1), 2)
    assert solo.counted() == {"advert_rcvd": 1, "auth_ext_replay": 1} and solo.deadline_s() == 4.609375
    assert "(VI_1) replayed authentication trailer from 10.88.0.1" in solo.logs()
    hear_signed(solo, 3, trailer=trailer(SECOND + 1))
    hear_signed(solo, 3.5, trailer=trailer(SECOND + 1, count=1))
    assert hear_signed(solo, 4).counted() == {"advert_rcvd": 3, "auth_ext_replay": 2}


def test_a_forged_sequence_moves_no_mark() -> None:
    solo = hear_signed(guarded(), 1, trailer=trailer(SECOND + 4, key=b"x" * 32))
    assert hear_signed(solo, 2).counted() == {"advert_rcvd": 1, "auth_ext_invalid_hmac": 1}


def test_a_sender_whose_clock_was_set_back() -> None:
    """Its mark is further ahead of our clock than the window, and says nothing any more."""
    solo = hear_signed(guarded(), 1, SECOND + 100, trailer=trailer(SECOND + 100))
    assert hear_signed(solo, 2, SECOND).counted() == {"advert_rcvd": 2}


def test_four_senders_are_known() -> None:
    solo = guarded()
    order = (1, 2, 3, 4, 1, 5)
    for at, number in enumerate(order):
        source = f"10.88.0.{number}"
        hear_signed(solo, 1 + at / 10, source=source, trailer=trailer(SECOND, count=at, source=source))
    assert [str(mark.sender)[-1] for mark in solo.state.memory.marks] == ["3", "4", "1", "5"]
    assert solo.counted() == {"advert_rcvd": 6}


def test_unicast_senders_must_be_peers() -> None:
    solo = guarded(unicast_peers=peers("10.88.0.1"))
    hear_signed(solo, 1)
    hear_signed(solo, 2, source="10.88.0.2", trailer=trailer(SECOND, source="10.88.0.2"))
    assert solo.counted() == {"advert_rcvd": 1}
    assert "(VI_1) unicast source address 10.88.0.2 not a unicast peer" in solo.logs()


@pytest.mark.parametrize(
    ("mode", "accepted"),
    [(HmacMode.ENFORCE, False), (HmacMode.PERMISSIVE, True), (HmacMode.RECEIVE_ONLY, True)],
)
def test_adverts_without_a_trailer(mode: HmacMode, accepted: bool) -> None:
    solo = guarded(hmac={"mode": mode}).hear(255, 1, source="10.88.0.1")
    assert solo.counted() == ({"advert_rcvd": 1} if accepted else {"auth_ext_missing": 1})
    assert ("(VI_1) missing authentication trailer from 10.88.0.1" in solo.logs()) is not accepted
    bad = hear_signed(guarded(hmac={"mode": mode}), 1, trailer=changed(20)(TRAILER))
    assert bad.counted() == {"auth_ext_invalid_hmac": 1}


def test_a_trailer_that_nobody_asked_for_is_too_long() -> None:
    assert hear_signed(Solo(version=3), 1).counted() == {"packet_len_err": 1}


def test_a_reload_forgets_no_mark() -> None:
    solo = hear_signed(guarded(), 1)
    solo.state = machine.with_settings(solo.state, replace(solo.settings, base_priority=90))
    assert hear_signed(solo, 2).counted() == {"advert_rcvd": 1, "auth_ext_replay": 1}


def test_values_of_adverts_show_no_keys() -> None:
    solo = guarded(role="MASTER")
    sent = solo.all(fx.SendAdvert)[0].advert
    assert sent.signing.key == KEY and KEY.decode() not in repr(sent)
