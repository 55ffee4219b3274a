"""Whole adverts: from values to bytes and back, for each version, family and kind of authentication.

What costs time is done once.  scapy builds a packet when an advert changes;
after that only what differs each time is written over: the IP id, the sequence
number and digest of AH, the trailer of `auth_hmac`.  Heard adverts repeat in
the same way, so `dissect` remembers what it made of header and message, with IP
id and header checksum masked out; what differs each time is put beside it.

Nothing is judged here but whether there is a VRRP header at all (check 2 of
keepalived's receive path).  Lengths are taken from the message itself, so what
follows it (padding, or a trailer) stands apart, and what is missing is missing
from the value; `expected_length` tells.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from keepalived_py.base.names import Address
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import Advert, AdvertToSend, AuthenticationHeader, ChecksumForm, Signing
from keepalived_py.wire import ah, auth_hmac, ipv4
from keepalived_py.wire.checksum import is_valid
from keepalived_py.wire.message import (
    ADDRESS_COUNT,
    ADDRESS_LENGTH,
    AUTH_DATA,
    AUTH_TYPE,
    CENTISECONDS,
    INTERVAL,
    MESSAGE_HEADER,
    PRIORITY,
    VERSION_2,
    VRID,
    build_message,
    length_of,
    pseudo_header,
    with_checksum,
)

DEFAULT_GROUP = IPv4Address("224.0.0.18").packed
_REMEMBERED = 512
_IDS = 0xFFFF


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Bytes that are not even a packet with a whole VRRP header; `reason` is keepalived's text."""

    reason: str


# -- out ------------------------------------------------------------------------


class OutgoingAdverts:
    """The bytes of one instance's adverts, and the counters that go into them.

    The IP id starts at 1 and skips 0; all copies to peers share it.  The sequence
    number of AH starts at 1.  `wall_clock_ns` gives the time since 1970, for `auth_hmac`.
    """

    __slots__ = ("_advert", "_clock", "_id", "_message", "_packets", "_sequence", "_signed")

    def __init__(self, wall_clock_ns: Callable[[], int]) -> None:
        self._clock = wall_clock_ns
        self._advert: AdvertToSend | None = None
        self._message = b""
        self._packets: list[bytearray] = []
        self._id = 0
        self._sequence = 0
        self._signed: int | None = None

    def prepare(self, advert: AdvertToSend) -> None:
        """Build the packets now, so that sending them later costs next to nothing.

        Raises ValueError for what has no form on the wire: addresses of the other family, other versions.
        """
        last = self._advert
        if advert is last or advert == last:
            return
        if last is not None and replace(advert, priority=last.priority) == last:
            self._message = _with_priority(self._message, advert.priority)
        else:
            self._message = build_message(advert)
        self._packets = _packets(advert, self._message)
        self._advert = advert

    def next(self, advert: AdvertToSend) -> list[bytes]:
        """The packets of one more advert, one for each destination, in that order.

        Over IPv4 from the IP header on (its checksum is 0), over IPv6 the message alone.
        """
        self.prepare(advert)
        trailer = b"" if advert.signing is None else self._trailer(advert.signing, advert)
        if advert.family == 6:
            return [bytes(packet) + trailer for packet in self._packets]
        self._id = self._id % _IDS + 1
        identification = self._id.to_bytes(2, "big")
        for packet in self._packets:
            packet[ipv4.IDENTIFICATION : ipv4.IDENTIFICATION + 2] = identification
        if advert.auth_type is AuthType.AH:
            self._seal(advert)
        return [bytes(packet) + trailer for packet in self._packets]

    def raise_sequence(self, heard: int) -> None:
        """The next sequence number of AH is greater than `heard`, which was in another's advert."""
        self._sequence = max(self._sequence, min(heard, ah.LAST_SEQUENCE))

    def _seal(self, advert: AdvertToSend) -> None:
        self._sequence = min(self._sequence + 1, ah.LAST_SEQUENCE)
        for packet in self._packets:
            ah.seal(packet, self._sequence, advert.auth_data, not advert.multicast)

    def _trailer(self, signing: Signing, advert: AdvertToSend) -> bytes:
        sequence = auth_hmac.next_sequence(self._signed, self._clock(), signing)
        self._signed = sequence
        return auth_hmac.trailer(signing, advert.source, self._message, sequence)


def advert_length(version: int, family: int, address_count: int, has_ah: bool, signed: bool) -> int:
    """How many bytes an advert of this kind has, from the IP header on (IPv6: the message)."""
    around = 0 if family == 6 else ipv4.HEADER_LENGTH + (ah.HEADER_LENGTH if has_ah else 0)
    return around + length_of(version, family, address_count) + (auth_hmac.TRAILER_LENGTH if signed else 0)


def _with_priority(message: bytes, priority: int) -> bytes:
    return message[:PRIORITY] + bytes((priority,)) + message[PRIORITY + 1 :]


def _packets(advert: AdvertToSend, message: bytes) -> list[bytearray]:
    if advert.family == 6:
        return [bytearray(message) for _ in advert.destinations]
    return [_ipv4_packet(advert, message, destination) for destination in advert.destinations]


def _ipv4_packet(advert: AdvertToSend, message: bytes, destination: Address) -> bytearray:
    source = advert.source
    if not isinstance(source, IPv4Address) or not isinstance(destination, IPv4Address):
        raise ValueError(f"{destination} cannot be reached from {source}")
    around = ah.build_ah(source) if advert.auth_type is AuthType.AH else b""
    protocol = ipv4.PROTOCOL_AH if around else ipv4.PROTOCOL_VRRP
    trailer = 0 if advert.signing is None else auth_hmac.TRAILER_LENGTH
    payload = len(around) + len(message) + trailer
    header = ipv4.build_header(source, destination, advert.ttl, protocol, payload)
    return bytearray(header + around + with_checksum(message, _pseudo(advert, destination, len(message))))


def _pseudo(advert: AdvertToSend, destination: IPv4Address, length: int) -> bytes:
    if advert.version == VERSION_2 or advert.checksum_form is ChecksumForm.MESSAGE_ONLY:
        return b""
    covered = advert.group if advert.checksum_form is ChecksumForm.OLD_UNICAST else destination
    return pseudo_header(advert.source.packed, covered.packed, length)


# -- in -------------------------------------------------------------------------


def dissect(raw: bytes, group: bytes = DEFAULT_GROUP) -> Advert | Undecodable:
    """What an IPv4 packet `raw` (from the IP header on) says; never raises.

    `group` is the address that the old form of the checksum covers for unicast, 4 bytes.
    """
    length = len(raw)
    if length < ipv4.HEADER_LENGTH:
        return Undecodable(f"IPv4 VRRP packet too short - {length} bytes")
    after_ip = (raw[0] & 15) * 4
    has_ah = raw[ipv4.PROTOCOL] == ipv4.PROTOCOL_AH
    start = after_ip + (ah.HEADER_LENGTH if has_ah else 0)
    if length < start + MESSAGE_HEADER or after_ip < ipv4.HEADER_LENGTH:
        return Undecodable(f"IPv4 VRRP packet {'with AH ' if has_ah else ''}too short - {length} bytes")
    end = start + length_of(raw[start] >> 4, 4, raw[start + ADDRESS_COUNT])
    # Identification and checksum change each time and say nothing.
    header = b"".join((raw[:4], b"\0\0", raw[6:10], b"\0\0", raw[12 : ipv4.HEADER_LENGTH]))
    if length == end and not has_ah:
        return _plain(header, raw[start:], length, end, group)
    opened = _opened(header, raw[start:end], length, end, group)
    heard: AuthenticationHeader | None = ah.read_ah(raw, after_ip) if has_ah else None
    return Advert(*(*opened, heard, raw[start:end], raw[end:]))


def dissect_ipv6(message: bytes, source: str, destination: bytes, hop_limit: int) -> Advert | Undecodable:
    """What the payload `message` of an IPv6 packet says; never raises for any bytes.

    `source` is the sender's address as text without zone, `destination` the 16 bytes of the packet's.
    """
    length = len(message)
    if length < MESSAGE_HEADER:
        return Undecodable(f"IPv6 VRRP packet too short - {length} bytes")
    end = length_of(message[0] >> 4, 6, message[ADDRESS_COUNT])
    if length == end:
        return _plain_ipv6(message, length, source, destination, hop_limit)
    opened = _opened_ipv6(message[:end], length, source, destination, hop_limit)
    return Advert(*(*opened, None, message[:end], message[end:]))


def _open(header: bytes, message: bytes, length: int, end: int, group: bytes) -> tuple[Any, ...]:
    """The fields of `Advert` up to `old_checksum_valid`."""
    source = header[ipv4.SOURCE : ipv4.SOURCE + 4]
    destination = header[ipv4.DESTINATION : ipv4.DESTINATION + 4]
    if message[0] >> 4 == VERSION_2:
        valid, old_valid = is_valid(message), False
    else:
        valid = is_valid(pseudo_header(source, destination, len(message)) + message)
        old_valid = is_valid(pseudo_header(source, group, len(message)) + message)
    return (
        IPv4Address(source),
        IPv4Address(destination),
        header[ipv4.TTL],
        int.from_bytes(header[ipv4.TOTAL_LENGTH : ipv4.TOTAL_LENGTH + 2], "big"),
        length,
        end,
        header[ipv4.PROTOCOL] == ipv4.PROTOCOL_AH,
        *_fields(message, 4, IPv4Address, valid),
        old_valid,
    )


def _open_ipv6(
    message: bytes, length: int, source: str, destination: bytes, hop_limit: int
) -> tuple[Any, ...]:
    """As `_open`; the kernel has judged the checksum already."""
    end = length_of(message[0] >> 4, 6, message[ADDRESS_COUNT])
    return (
        IPv6Address(source),
        IPv6Address(destination),
        hop_limit,
        length,
        length,
        end,
        False,
        *_fields(message, 6, IPv6Address, True),
        False,
    )


def _fields(message: bytes, family: int, address: type[Address], checksum_valid: bool) -> tuple[Any, ...]:
    """The fields of `Advert` from `version` to `auth_data`."""
    version, count, size = message[0] >> 4, message[ADDRESS_COUNT], ADDRESS_LENGTH[family]
    ends = range(MESSAGE_HEADER + size, min(len(message), MESSAGE_HEADER + count * size) + 1, size)
    addresses = tuple(address(message[end - size : end]) for end in ends)
    auth_at = MESSAGE_HEADER + count * size
    if version == VERSION_2:
        timing = (message[AUTH_TYPE], message[INTERVAL])
    else:
        timing = (0, int.from_bytes(message[CENTISECONDS : CENTISECONDS + 2], "big") & 0xFFF)
    auth_type, interval = timing
    return (
        version,
        message[0] & 15,
        message[VRID],
        message[PRIORITY],
        count,
        auth_type,
        interval,
        checksum_valid,
        addresses,
        message[auth_at : auth_at + AUTH_DATA],
    )


def _whole(header: bytes, message: bytes, length: int, end: int, group: bytes) -> Advert:
    return Advert(*(*_open(header, message, length, end, group), None, message))


def _whole_ipv6(message: bytes, length: int, source: str, destination: bytes, hop_limit: int) -> Advert:
    return Advert(*(*_open_ipv6(message, length, source, destination, hop_limit), None, message))


_opened = lru_cache(maxsize=_REMEMBERED)(_open)
_opened_ipv6 = lru_cache(maxsize=_REMEMBERED)(_open_ipv6)
_plain = lru_cache(maxsize=_REMEMBERED)(_whole)
_plain_ipv6 = lru_cache(maxsize=_REMEMBERED)(_whole_ipv6)
