"""VRRP adverts over IPv4: bytes to values and back (RFC 3768 section 5, RFC 5798 section 5).

scapy defines the packets, builds and dissects them, but it is lenient and
slow, so it never stands in the way of the clock or of a hostile packet:

- Lengths and the checksum are judged on the raw bytes, before scapy sees them.
- An advert is the same bytes each time but for the IP id, so `AdvertBytes`
  keeps the built packet and patches two bytes.
- Heard adverts repeat in the same way: `dissect` remembers what it made of
  the bytes, with IP id and header checksum masked out.

The bytes equal keepalived's: no IP options, TOS 0xC0, DF clear, header
checksum left to the kernel, and in version 2 always the eight bytes of
authentication data, zero if there is none.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Any, ClassVar

from keepalived_py.base.names import Address
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.wire.checksum import internet_checksum, is_valid
from keepalived_py.wire.lean_scapy import (
    BitField,
    ByteField,
    ConditionalField,
    FieldLenField,
    FieldListField,
    IPField,
    Packet,
    ShortField,
    StrFixedLenField,
    XByteField,
    XShortField,
)

PROTOCOL_VRRP = 112
PROTOCOL_AH = 51
MULTICAST_TTL = 255

_IP_HEADER = 20
_AH_HEADER = 24
_VRRP_HEADER = 8
_AUTH_DATA = 8
_ADDRESS = 4
_TOS_INTERNETWORK_CONTROL = 0xC0
_REMEMBERED = 512
# An advert of 255 addresses with all headers and options; nothing longer is worth remembering.
_LONGEST = 60 + _AH_HEADER + _VRRP_HEADER + 255 * _ADDRESS + _AUTH_DATA


class Ipv4Header(Packet):  # type: ignore[misc]
    """The fixed part of an IPv4 header (RFC 791 section 3.1) with keepalived's values as defaults."""

    name = "IPv4 header"
    fields_desc: ClassVar[list[Any]] = [
        BitField("version", 4, 4),
        BitField("header_words", 5, 4),
        XByteField("tos", _TOS_INTERNETWORK_CONTROL),
        ShortField("total_length", 0),
        ShortField("identification", 0),
        BitField("flags", 0, 3),
        BitField("fragment_offset", 0, 13),
        ByteField("ttl", MULTICAST_TTL),
        ByteField("protocol", PROTOCOL_VRRP),
        XShortField("checksum", 0),
        IPField("source", "0.0.0.0"),
        IPField("destination", "224.0.0.18"),
    ]


def _is_version_2(packet: Packet) -> bool:
    return bool(packet.version == 2)


def _is_not_version_2(packet: Packet) -> bool:
    return not _is_version_2(packet)


class VrrpMessage(Packet):  # type: ignore[misc]
    """A VRRP message over IPv4, version 2 (RFC 3768 section 5.1) or 3 (RFC 5798 section 5.1)."""

    name = "VRRP"
    fields_desc: ClassVar[list[Any]] = [
        BitField("version", 2, 4),
        BitField("kind", 1, 4),
        ByteField("vrid", 1),
        ByteField("priority", 100),
        FieldLenField("address_count", None, fmt="B", count_of="addresses"),
        ConditionalField(ByteField("auth_type", 0), _is_version_2),
        ConditionalField(ByteField("advert_interval", 1), _is_version_2),
        ConditionalField(BitField("reserved", 0, 4), _is_not_version_2),
        ConditionalField(BitField("advert_interval_cs", 100, 12), _is_not_version_2),
        XShortField("checksum", 0),
        # The count is one byte; scapy's own limit (100 items) would refuse a lawful advert.
        FieldListField(
            "addresses",
            [],
            IPField("", "0.0.0.0"),
            count_from=lambda packet: packet.address_count,
            max_count=255,
        ),
        ConditionalField(StrFixedLenField("auth_data", bytes(_AUTH_DATA), _AUTH_DATA), _is_version_2),
    ]


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Bytes that are not even an IPv4 packet with a whole VRRP header."""

    reason: str


def build(advert: AdvertToSend, ip_id: int) -> bytes:
    """The packet from the IP header on, for a raw socket with IP_HDRINCL.

    `ip_id` is 0..65535.  The IP header checksum is 0: the kernel fills it in.
    Raises ValueError for what has no IPv4 form: other families, AH.
    """
    if advert.auth_type is AuthType.AH:
        raise ValueError("an advert with AH has a sequence number and cannot be built from a template")
    source, destination = _ipv4(advert.source), _ipv4(advert.destination)
    message = _message(advert)
    summed = message if advert.version == 2 else _pseudo_header(source, destination, len(message)) + message
    message = message[:6] + internet_checksum(summed).to_bytes(2, "big") + message[8:]
    header = Ipv4Header(
        total_length=_IP_HEADER + len(message),
        identification=ip_id,
        ttl=advert.ttl,
        source=str(source),
        destination=str(destination),
    )
    return bytes(header) + message


def _ipv4(address: Address) -> IPv4Address:
    if not isinstance(address, IPv4Address):
        raise ValueError(f"{address} is not an IPv4 address")
    return address


def _message(advert: AdvertToSend) -> bytes:
    """The VRRP message with its checksum field zero."""
    common = {"version": advert.version, "vrid": advert.vrid, "priority": advert.priority}
    if advert.version == 2:
        rest = {
            "auth_type": advert.auth_type.value,
            "advert_interval": advert.advert_interval,
            "auth_data": advert.auth_data[:_AUTH_DATA].ljust(_AUTH_DATA, b"\0"),
        }
    else:
        rest = {"advert_interval_cs": advert.advert_interval}
    return bytes(VrrpMessage(**common, **rest, addresses=[str(_ipv4(a)) for a in advert.addresses]))


def _pseudo_header(source: IPv4Address, destination: IPv4Address, length: int) -> bytes:
    """What version 3 sums up before the message (RFC 5798 section 5.2.8)."""
    return source.packed + destination.packed + bytes((0, PROTOCOL_VRRP)) + length.to_bytes(2, "big")


class AdvertBytes:
    """The built packet of one instance, kept until the advert changes."""

    __slots__ = ("_advert", "_template")

    def __init__(self) -> None:
        self._advert: AdvertToSend | None = None
        self._template = bytearray()

    def prepare(self, advert: AdvertToSend) -> None:
        """Build the packet now, so that sending it later costs next to nothing."""
        if advert is not self._advert and advert != self._advert:
            self._template = bytearray(build(advert, 0))
            self._advert = advert

    def packet(self, advert: AdvertToSend, ip_id: int) -> bytes:
        """As `build`, but only the IP id is written if `advert` equals the last one."""
        self.prepare(advert)
        self._template[4:6] = ip_id.to_bytes(2, "big")
        return bytes(self._template)


def dissect(raw: bytes) -> Advert | Undecodable:
    """What `raw` (from the IP header on) says; never raises.

    Judges nothing but whether there is a VRRP header at all (check 2 of
    keepalived's receive path); missing bytes of addresses and authentication
    are left out of the value, and `expected_length` tells of them.
    """
    if len(raw) < _IP_HEADER or len(raw) > _LONGEST:
        return _dissect(raw)
    return _remembered(b"".join((raw[:4], b"\0\0", raw[6:10], b"\0\0", raw[12:])))


def _header_lengths(raw: bytes) -> tuple[int, bool] | Undecodable:
    """Where the VRRP header begins, and whether an AH header stands before it."""
    if len(raw) < _IP_HEADER or raw[0] >> 4 != 4 or raw[0] & 15 < 5:
        return Undecodable(f"no IPv4 header in {len(raw)} bytes")
    if raw[9] not in (PROTOCOL_VRRP, PROTOCOL_AH):
        return Undecodable(f"IP protocol {raw[9]} is neither VRRP nor AH")
    has_ah = raw[9] == PROTOCOL_AH
    start = (raw[0] & 15) * 4 + (_AH_HEADER if has_ah else 0)
    if len(raw) < start + _VRRP_HEADER:
        return Undecodable(f"{len(raw)} bytes end before the VRRP header does")
    return start, has_ah


def _dissect(raw: bytes) -> Advert | Undecodable:
    lengths = _header_lengths(raw)
    if isinstance(lengths, Undecodable):
        return lengths
    start, has_ah = lengths
    header = Ipv4Header(raw[:_IP_HEADER])
    source, destination = IPv4Address(header.source), IPv4Address(header.destination)
    version, count = raw[start] >> 4, raw[start + 3]
    auth_at = start + _VRRP_HEADER + count * _ADDRESS
    expected = auth_at + (_AUTH_DATA if version == 2 else 0)
    present = raw[start:expected]
    # scapy is shown a whole message; what the padding made up is cut off again below.
    message = VrrpMessage(present.ljust(expected - start, b"\0"))
    whole_addresses = min(count, (len(present) - _VRRP_HEADER) // _ADDRESS)
    pseudo = b"" if version == 2 else _pseudo_header(source, destination, len(present))
    return Advert(
        source=source,
        destination=destination,
        ttl=header.ttl,
        total_length=header.total_length,
        received_length=len(raw),
        expected_length=expected,
        has_ah=has_ah,
        version=version,
        kind=message.kind,
        vrid=message.vrid,
        priority=message.priority,
        address_count=count,
        auth_type=message.auth_type if version == 2 else 0,
        advert_interval=message.advert_interval if version == 2 else message.advert_interval_cs,
        checksum_valid=is_valid(pseudo + present),
        addresses=tuple(IPv4Address(address) for address in message.addresses[:whole_addresses]),
        auth_data=raw[auth_at : auth_at + _AUTH_DATA],
    )


_remembered = lru_cache(maxsize=_REMEMBERED)(_dissect)
