"""The authentication header of version 2 adverts (RFC 2402; HMAC-MD5-96 of RFC 2403).

As keepalived forms it: the security parameters index is the source address,
and of the mutable fields of the IP header only type of service, fragment and
checksum count as zero.  The TTL counts as it is, since it is 255 on every
link; for a peer, where routers may lie between, it counts as zero.
"""

from ipaddress import IPv4Address
from typing import Any, ClassVar

from keepalived_py.base.integrity import ICV_LENGTH, ah_icv
from keepalived_py.model.packet import AuthenticationHeader
from keepalived_py.wire import ipv4
from keepalived_py.wire.layout import byte_offsets
from keepalived_py.wire.lean_scapy import ByteField, IntField, IPField, Packet, ShortField, StrFixedLenField

HEADER_LENGTH = 24
# keepalived stops counting here; whoever hears the number takes no later one.
LAST_SEQUENCE = 0xFFFFFFFD


class AuthHeader(Packet):  # type: ignore[misc]
    """RFC 2402 section 2; the length is counted in words of 4 bytes, less two."""

    name = "AH"
    fields_desc: ClassVar[list[Any]] = [
        ByteField("next_header", ipv4.PROTOCOL_VRRP),
        ByteField("payload_length", HEADER_LENGTH // 4 - 2),
        ShortField("reserved", 0),
        IPField("spi", "0.0.0.0"),
        IntField("sequence", 0),
        StrFixedLenField("icv", bytes(ICV_LENGTH), ICV_LENGTH),
    ]


_AT = byte_offsets(AuthHeader)
_NEXT_HEADER = _AT["next_header"]
_SPI = slice(_AT["spi"], _AT["spi"] + 4)
_SEQUENCE = slice(_AT["sequence"], _AT["sequence"] + 4)
_ICV = slice(_AT["icv"], _AT["icv"] + ICV_LENGTH)
_OURS = ipv4.HEADER_LENGTH


def build_ah(source: IPv4Address) -> bytes:
    """The header with sequence number and integrity check value zero."""
    return bytes(AuthHeader(spi=str(source)))


def seal(packet: bytearray, sequence: int, password: bytes, unicast: bool) -> None:
    """Write `sequence` and the integrity check value into `packet`, which has a header without options."""
    packet[_OURS + _SEQUENCE.start : _OURS + _SEQUENCE.stop] = sequence.to_bytes(4, "big")
    covered = _covered(packet, _OURS)
    if unicast:
        covered[ipv4.TTL] = 0
    packet[_OURS + _ICV.start : _OURS + _ICV.stop] = ah_icv(password, bytes(covered))


def read_ah(raw: bytes, start: int) -> AuthenticationHeader:
    """The header at `start` of the packet `raw`, which is long enough to hold it."""
    header = raw[start : start + HEADER_LENGTH]
    return AuthenticationHeader(
        next_header=header[_NEXT_HEADER],
        spi=header[_SPI],
        sequence=int.from_bytes(header[_SEQUENCE], "big"),
        icv=header[_ICV],
        covered=bytes(_covered(raw, start)),
    )


def _covered(packet: bytes | bytearray, start: int) -> bytearray:
    """What the integrity check value is computed over, but for the TTL of unicast."""
    covered = bytearray(packet)
    covered[ipv4.TOS] = 0
    covered[ipv4.FRAGMENT : ipv4.FRAGMENT + 2] = b"\0\0"
    covered[ipv4.CHECKSUM : ipv4.CHECKSUM + 2] = b"\0\0"
    covered[start + _ICV.start : start + _ICV.stop] = bytes(ICV_LENGTH)
    return covered
