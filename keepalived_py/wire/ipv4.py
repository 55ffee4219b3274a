"""The IPv4 header of adverts (RFC 791 section 3.1), as keepalived fills it in.

No options, type of service 0xC0 (internetwork control), "don't fragment" clear.
The header checksum is left to the kernel, which writes it on a raw socket.
"""

from ipaddress import IPv4Address
from typing import Any, ClassVar

from keepalived_py.wire.layout import byte_offsets
from keepalived_py.wire.lean_scapy import (
    BitField,
    ByteField,
    IPField,
    Packet,
    ShortField,
    XByteField,
    XShortField,
)

PROTOCOL_VRRP = 112
PROTOCOL_AH = 51
HEADER_LENGTH = 20
INTERNETWORK_CONTROL = 0xC0
DEFAULT_TTL = 255


class Ipv4Header(Packet):  # type: ignore[misc]
    """The fixed part of the header; the defaults are those of an advert."""

    name = "IPv4 header"
    fields_desc: ClassVar[list[Any]] = [
        BitField("version", 4, 4),
        BitField("header_words", 5, 4),
        XByteField("tos", INTERNETWORK_CONTROL),
        ShortField("total_length", 0),
        ShortField("identification", 0),
        BitField("flags", 0, 3),
        BitField("fragment_offset", 0, 13),
        ByteField("ttl", DEFAULT_TTL),
        ByteField("protocol", PROTOCOL_VRRP),
        XShortField("checksum", 0),
        IPField("source", "0.0.0.0"),
        IPField("destination", "224.0.0.18"),
    ]


_AT = byte_offsets(Ipv4Header)
TOS = _AT["tos"]
TOTAL_LENGTH = _AT["total_length"]
IDENTIFICATION = _AT["identification"]
FRAGMENT = _AT["flags"]
TTL = _AT["ttl"]
PROTOCOL = _AT["protocol"]
CHECKSUM = _AT["checksum"]
SOURCE = _AT["source"]
DESTINATION = _AT["destination"]


def build_header(
    source: IPv4Address, destination: IPv4Address, ttl: int | None, protocol: int, payload_length: int
) -> bytes:
    """The header before `payload_length` bytes; identification and checksum are 0, no `ttl` is 255."""
    return bytes(
        Ipv4Header(
            total_length=HEADER_LENGTH + payload_length,
            ttl=DEFAULT_TTL if ttl is None else ttl,
            protocol=protocol,
            source=str(source),
            destination=str(destination),
        )
    )
