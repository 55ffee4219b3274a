"""The signed trailer of `auth_hmac`, which keepalived has since 2.4.

It stands behind the message: a head of 12 bytes that names scheme and key and
carries a sequence number of 64 bits, and 16 bytes of HMAC-SHA256.  The message's
checksum does not cover it, the length in the IP header does.  The number is
the wall clock (seconds, then 1/65536 of one) and a counter for adverts
within one tick of that, so every advert differs; all copies to peers are alike.
"""

from functools import lru_cache
from typing import Any, ClassVar

from keepalived_py.base.integrity import SIGNATURE_LENGTH, advert_signature
from keepalived_py.base.names import Address
from keepalived_py.model.packet import Signing
from keepalived_py.wire.layout import byte_offsets
from keepalived_py.wire.lean_scapy import ByteField, IntField, Packet, ShortField, StrFixedLenField

HMAC_SHA256_128 = 1
TRAILER_LENGTH = 28
_SECOND_NS = 1_000_000_000
_ALL_BITS = (1 << 64) - 1
_HALF = 1 << 63


class Trailer(Packet):  # type: ignore[misc]
    """28 bytes; `fraction` in 1/65536 of a second, `counter` within that."""

    name = "auth_hmac"
    fields_desc: ClassVar[list[Any]] = [
        ByteField("scheme", HMAC_SHA256_128),
        ByteField("key_id", 0),
        ShortField("reserved", 0),
        IntField("seconds", 0),
        ShortField("fraction", 0),
        ShortField("counter", 0),
        StrFixedLenField("signature", bytes(SIGNATURE_LENGTH), SIGNATURE_LENGTH),
    ]


_AT = byte_offsets(Trailer)
# Seconds, fraction and counter are one number of 64 bits.
_SEQUENCE = _AT["seconds"]


@lru_cache(maxsize=16)
def _opening(key_id: int) -> bytes:
    return bytes(Trailer(key_id=key_id))[:_SEQUENCE]


def next_sequence(last: int | None, now_ns: int, signing: Signing) -> int:
    """The number after `last` (None: there was none) at the wall clock time `now_ns` (since 1970).

    The clock, or one more than `last` while the clock has not passed that (in serial arithmetic,
    RFC 1982).  A clock that was set back more than the window counts again, unless the
    number may only grow.
    """
    seconds, rest = divmod(now_ns, _SECOND_NS)
    clock = ((seconds & 0xFFFFFFFF) << 32) | ((rest << 16) // _SECOND_NS << 16)
    if last is None or 0 < (clock - last) & _ALL_BITS < _HALF:
        return clock
    ahead = ((last >> 32) - (clock >> 32)) & 0xFFFFFFFF
    if not signing.monotonic and signing.time_window_s < ahead < 1 << 31:
        return clock
    return (last + 1) & _ALL_BITS


def trailer(signing: Signing, source: Address, message: bytes, sequence: int) -> bytes:
    """The trailer of `message` as sent from `source`."""
    head = _opening(signing.key_id) + sequence.to_bytes(8, "big")
    return head + advert_signature(signing.key, source, message, head)
