"""The VRRP message itself: version 2 (RFC 3768 section 5.1) and 3 (RFC 5798 section 5.1), IPv4 and IPv6.

Version 2 over IPv4 always ends with eight bytes of authentication data, zero
if there is none; over IPv6, which keepalived allows too, it never does.  The
checksum over IPv6 is the kernel's business, so the field stays zero there.
"""

from typing import Any, ClassVar

from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.wire.checksum import internet_checksum
from keepalived_py.wire.ipv4 import PROTOCOL_VRRP
from keepalived_py.wire.layout import byte_offsets
from keepalived_py.wire.lean_scapy import (
    BitField,
    ByteField,
    FieldLenField,
    FieldListField,
    IP6Field,
    IPField,
    Packet,
    StrFixedLenField,
    XShortField,
)

VERSION_2 = 2
MESSAGE_HEADER = 8
AUTH_DATA = 8
ADDRESS_LENGTH = {4: 4, 6: 16}
# The count of addresses is one byte.
MOST_ADDRESSES = 255


def _head(version: int) -> list[Any]:
    return [
        BitField("version", version, 4),
        BitField("kind", 1, 4),
        ByteField("vrid", 1),
        ByteField("priority", 100),
        FieldLenField("address_count", None, fmt="B", count_of="addresses"),
    ]


def _addresses(item: Any) -> Any:
    # scapy's own limit (100 items) would refuse a lawful advert.
    return FieldListField(
        "addresses", [], item, count_from=lambda packet: packet.address_count, max_count=MOST_ADDRESSES
    )


_VERSION_2 = [
    *_head(2),
    ByteField("auth_type", 0),
    ByteField("advert_interval", 1),
    XShortField("checksum", 0),
]
_VERSION_3 = [
    *_head(3),
    BitField("reserved", 0, 4),
    BitField("advert_interval", 100, 12),
    XShortField("checksum", 0),
]


class Version2Ipv4(Packet):  # type: ignore[misc]
    """Intervals are whole seconds; the password is plain."""

    name = "VRRPv2"
    fields_desc: ClassVar[list[Any]] = [
        *_VERSION_2,
        _addresses(IPField("", "0.0.0.0")),
        StrFixedLenField("auth_data", bytes(AUTH_DATA), AUTH_DATA),
    ]


class Version2Ipv6(Packet):  # type: ignore[misc]
    """No RFC describes it; keepalived sends it where it is asked for."""

    name = "VRRPv2 over IPv6"
    fields_desc: ClassVar[list[Any]] = [*_VERSION_2, _addresses(IP6Field("", "::"))]


class Version3Ipv4(Packet):  # type: ignore[misc]
    """Intervals are centiseconds in twelve bits."""

    name = "VRRPv3"
    fields_desc: ClassVar[list[Any]] = [*_VERSION_3, _addresses(IPField("", "0.0.0.0"))]


class Version3Ipv6(Packet):  # type: ignore[misc]
    """As over IPv4, with longer addresses."""

    name = "VRRPv3 over IPv6"
    fields_desc: ClassVar[list[Any]] = [*_VERSION_3, _addresses(IP6Field("", "::"))]


_FORMS: dict[tuple[int, int], Any] = {
    (2, 4): Version2Ipv4,
    (2, 6): Version2Ipv6,
    (3, 4): Version3Ipv4,
    (3, 6): Version3Ipv6,
}

_AT = byte_offsets(Version2Ipv4)
VRID = _AT["vrid"]
PRIORITY = _AT["priority"]
ADDRESS_COUNT = _AT["address_count"]
AUTH_TYPE = _AT["auth_type"]
# Version 3 has four reserved bits and twelve of interval where version 2 has type and interval.
CENTISECONDS = byte_offsets(Version3Ipv4)["reserved"]
INTERVAL = _AT["advert_interval"]
CHECKSUM = slice(_AT["checksum"], _AT["checksum"] + 2)


def length_of(version: int, family: int, address_count: int) -> int:
    """The length in bytes of a message of this kind."""
    ending = AUTH_DATA if version == VERSION_2 and family == 4 else 0
    return MESSAGE_HEADER + address_count * ADDRESS_LENGTH[family] + ending


def build_message(advert: AdvertToSend) -> bytes:
    """The message of `advert` with its checksum zero.

    Raises ValueError if its version or one of its addresses has no such form.
    """
    form = _FORMS.get((advert.version, advert.family))
    if form is None or any(address.version != advert.family for address in advert.addresses):
        raise ValueError(f"no VRRPv{advert.version} message over IPv{advert.family} says this")
    values: dict[str, object] = {
        "vrid": advert.vrid,
        "priority": advert.priority,
        "advert_interval": advert.advert_interval,
        "addresses": [str(address) for address in advert.addresses],
    }
    if advert.version == VERSION_2:
        values["auth_type"] = advert.auth_type.value
        if advert.family == 4:
            # The key of AH is no password: it never leaves this machine.
            password = advert.auth_data if advert.auth_type is AuthType.PASS else b""
            values["auth_data"] = password[:AUTH_DATA].ljust(AUTH_DATA, b"\0")
    return bytes(form(**values))


def with_checksum(message: bytes, pseudo: bytes) -> bytes:
    """`message` with its checksum over `pseudo` and itself."""
    zeroed = message[: CHECKSUM.start] + b"\0\0" + message[CHECKSUM.stop :]
    return (
        message[: CHECKSUM.start]
        + internet_checksum(pseudo + zeroed).to_bytes(2, "big")
        + message[CHECKSUM.stop :]
    )


def pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    """What version 3 over IPv4 sums up before a message of `length` bytes (RFC 5798 section 5.2.8)."""
    return source + destination + bytes((0, PROTOCOL_VRRP)) + length.to_bytes(2, "big")
