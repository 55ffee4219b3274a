"""The two keyed digests of VRRP adverts, computed the same way by who sends and who judges.

AH (RFC 2402 with HMAC-MD5-96, RFC 2403), and the trailer of `auth_hmac`, which
keepalived has since 2.4: HMAC-SHA256 cut to 16 bytes.
"""

import hashlib
import hmac

from keepalived_py.base.names import Address

PASSWORD_LENGTH = 8
ICV_LENGTH = 12
SIGNATURE_LENGTH = 16
_CHECKSUM = slice(6, 8)


def ah_icv(password: bytes, covered: bytes) -> bytes:
    """The 12 bytes of integrity check value over `covered` (mutable fields zero), by the padded password."""
    key = password[:PASSWORD_LENGTH].ljust(PASSWORD_LENGTH, b"\0")
    return hmac.digest(key, covered, hashlib.md5)[:ICV_LENGTH]


def advert_signature(key: bytes, source: Address, message: bytes, trailer_head: bytes) -> bytes:
    """The 16 bytes that end an `auth_hmac` trailer.

    `message` is the whole VRRP message (its checksum counts as zero), `trailer_head` the first 12
    bytes of the trailer.  Neither destination nor IP header are covered: copies to peers are alike.
    """
    pseudo = bytes((source.version, message[0] >> 4, message[1], 0)) + source.packed.ljust(16, b"\0")
    covered = message[: _CHECKSUM.start] + b"\0\0" + message[_CHECKSUM.stop :]
    signed = pseudo + covered + trailer_head + bytes(SIGNATURE_LENGTH)
    return hmac.digest(key, signed, hashlib.sha256)[:SIGNATURE_LENGTH]


def same(one: bytes, other: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)
