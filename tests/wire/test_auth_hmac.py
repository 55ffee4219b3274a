"""The sequence number of signed adverts: the clock, but always growing."""

from dataclasses import replace

import pytest

from keepalived_py.wire.auth_hmac import TRAILER_LENGTH, next_sequence, trailer
from tests.wire.captured import HMAC, SIGNING

SECOND = 10**9
NOW = 1_800_000_000 * SECOND
MONOTONIC = replace(SIGNING, monotonic=True)


def test_the_clock_counts() -> None:
    assert next_sequence(None, NOW, SIGNING) == 1_800_000_000 << 32
    assert next_sequence(None, NOW + SECOND // 2, SIGNING) == 1_800_000_000 << 32 | 0x8000 << 16
    assert next_sequence(None, NOW + SECOND - 1, SIGNING) == 1_800_000_000 << 32 | 0xFFFF << 16


def test_within_one_tick_the_counter_grows() -> None:
    first = next_sequence(None, NOW, SIGNING)
    assert next_sequence(first, NOW + 1, SIGNING) == first + 1
    assert next_sequence(first + 0xFFFF, NOW, SIGNING) == first + 0x10000


@pytest.mark.parametrize("behind_s", [1, 5])
def test_a_clock_set_back_within_the_window_goes_on_counting(behind_s: int) -> None:
    last = next_sequence(None, NOW, SIGNING)
    assert next_sequence(last, NOW - behind_s * SECOND, SIGNING) == last + 1


def test_a_clock_set_back_further_counts_again() -> None:
    last = next_sequence(None, NOW, SIGNING)
    earlier = NOW - 6 * SECOND
    assert next_sequence(last, earlier, SIGNING) == next_sequence(None, earlier, SIGNING)
    assert next_sequence(last, earlier, MONOTONIC) == last + 1


def test_seconds_wrap_in_serial_arithmetic() -> None:
    before = next_sequence(None, ((1 << 32) - 1) * SECOND, SIGNING)
    assert next_sequence(before, (1 << 32) * SECOND, SIGNING) == 0
    assert next_sequence((1 << 64) - 1, ((1 << 32) - 1) * SECOND, MONOTONIC) == 0


def test_the_trailer_binds_key_source_message_and_number() -> None:
    message = bytes.fromhex("3109ff010064d9ec0a580064")
    made = trailer(SIGNING, HMAC.source, message, 5)
    assert len(made) == TRAILER_LENGTH
    assert made[:12].hex() == "010100000000000000000005"
    # The checksum does not count, everything else does.
    assert trailer(SIGNING, HMAC.source, message[:6] + b"\0\0" + message[8:], 5) == made
    others = [
        trailer(replace(SIGNING, key=SIGNING.key + b"x"), HMAC.source, message, 5),
        trailer(replace(SIGNING, key_id=2), HMAC.source, message, 5),
        trailer(SIGNING, HMAC.addresses[0], message, 5),
        trailer(SIGNING, HMAC.source, message[:2] + b"\0" + message[3:], 5),
        trailer(SIGNING, HMAC.source, message, 6),
    ]
    assert len({made[12:], *(other[12:] for other in others)}) == 6
