"""Adverts: the bytes of real keepalived captures, out and in, for every kind."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.integrity import ah_icv
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import Advert, AdvertToSend, ChecksumForm
from keepalived_py.wire.checksum import is_valid
from keepalived_py.wire.vrrp import OutgoingAdverts, Undecodable, advert_length, dissect, dissect_ipv6
from tests.wire.captured import (
    AH,
    AH_PACKETS,
    AH_RESIGNING,
    AH_UNICAST,
    AH_UNICAST_PACKETS,
    HMAC,
    HMAC_PACKETS,
    IPV4,
    IPV6,
    IPV6_MESSAGES,
    NO_AUTH,
    PASS,
    PASS_SHORT,
    PEERS,
    UNICAST_3,
    UNICAST_3_OLD,
    UNICAST_3_PACKETS,
    VERSION_3,
    without_header_checksum,
)


def outgoing(now_ns: int = 0) -> OutgoingAdverts:
    return OutgoingAdverts(lambda: now_ns)


def first_packet(advert: AdvertToSend) -> bytes:
    return outgoing().next(advert)[0]


def heard(raw: bytes, group: str = "224.0.0.18") -> Advert:
    found = dissect(raw, IPv4Address(group).packed)
    assert isinstance(found, Advert)
    return found


def heard_ipv6(message: bytes) -> Advert:
    found = dissect_ipv6(message, "fe80::ff:fe00:1", IPv6Address("ff02::12").packed, 255)
    assert isinstance(found, Advert)
    return found


@pytest.mark.parametrize(("advert", "ip_id", "text"), IPV4)
def test_built_bytes_equal_keepalived(advert: AdvertToSend, ip_id: int, text: str) -> None:
    made = outgoing()
    for _ in range(ip_id - 1):
        made.next(NO_AUTH)
    assert made.next(advert) == [without_header_checksum(text)]


@pytest.mark.parametrize(("advert", "ip_id", "text"), IPV4)
def test_captured_bytes_are_understood(advert: AdvertToSend, ip_id: int, text: str) -> None:
    raw = bytes.fromhex(text)
    found = heard(raw)
    assert found.checksum_valid is (advert.checksum_form is ChecksumForm.PSEUDO_HEADER)
    assert found.expected_length == found.received_length == found.total_length == len(raw)
    assert (found.source, found.destination, found.ttl) == (advert.source, advert.destinations[0], advert.ttl)
    assert (found.vrid, found.priority, found.addresses) == (51, advert.priority, advert.addresses)
    assert (found.version, found.kind, found.advert_interval) == (advert.version, 1, advert.advert_interval)
    assert found.auth_type == advert.auth_type.value
    assert found.auth_data == (advert.auth_data.ljust(8, b"\0") if advert.version == 2 else b"")
    assert (found.message, found.trailer, found.ah) == (raw[20:], b"", None)


@pytest.mark.parametrize(("advert", "text"), IPV6_MESSAGES)
def test_ipv6_messages_equal_keepalived(advert: AdvertToSend, text: str) -> None:
    message = bytes.fromhex(text)
    # The kernel writes the checksum, and judges it when it comes in.
    assert outgoing().next(advert) == [message[:6] + b"\0\0" + message[8:]]
    found = heard_ipv6(message)
    assert found.checksum_valid
    assert found.expected_length == found.received_length == found.total_length == len(message) == 40
    assert (found.source, found.destination, found.ttl) == (advert.source, advert.destinations[0], 255)
    assert (found.version, found.advert_interval) == (advert.version, advert.advert_interval)
    assert (found.priority, found.addresses) == (advert.priority, advert.addresses)
    assert (found.auth_type, found.auth_data) == (advert.auth_type.value, b"")
    assert (found.message, found.trailer) == (message, b"")


def test_every_peer_gets_its_own_checksum_and_the_same_ip_id() -> None:
    expected = [without_header_checksum(text) for text in UNICAST_3_PACKETS]
    made = outgoing()
    assert made.next(UNICAST_3) == expected
    assert [packet[4:6] for packet in made.next(UNICAST_3)] == [b"\0\2", b"\0\2"]
    assert all(heard(bytes.fromhex(text)).checksum_valid for text in UNICAST_3_PACKETS)


def test_the_old_checksum_covers_the_group() -> None:
    raw = first_packet(UNICAST_3_OLD)
    assert not heard(raw).checksum_valid
    assert heard(raw).old_checksum_valid
    assert not heard(raw, "224.0.0.99").old_checksum_valid
    other_group = first_packet(replace(UNICAST_3_OLD, group=IPv4Address("224.0.0.99")))
    assert heard(other_group, "224.0.0.99").old_checksum_valid
    assert not heard(first_packet(UNICAST_3)).old_checksum_valid


def test_the_checksum_of_rfc_9568_covers_the_message_alone() -> None:
    raw = first_packet(replace(UNICAST_3, checksum_form=ChecksumForm.MESSAGE_ONLY))
    assert is_valid(raw[20:])
    assert not heard(raw).checksum_valid


def test_ah_equals_keepalived() -> None:
    made = outgoing()
    for text in AH_PACKETS:
        assert made.next(AH) == [without_header_checksum(text)]
    assert made.next(replace(AH, priority=0)) == [without_header_checksum(AH_RESIGNING)]


def test_ah_to_peers_equals_keepalived() -> None:
    made = outgoing()
    for texts in AH_UNICAST_PACKETS:
        assert made.next(AH_UNICAST) == [without_header_checksum(text) for text in texts]


@pytest.mark.parametrize(("text", "unicast"), [(AH_PACKETS[1], False), (AH_UNICAST_PACKETS[1][0], True)])
def test_captured_ah_is_understood(text: str, unicast: bool) -> None:
    found = heard(bytes.fromhex(text))
    assert found.has_ah
    assert (found.vrid, found.priority, found.auth_type, found.checksum_valid) == (51, 255, 2, True)
    assert found.expected_length == found.received_length == found.total_length == 64
    header = found.ah
    assert header is not None
    assert (header.next_header, header.sequence) == (112, 2)
    assert header.spi == found.source.packed
    covered = header.covered[:8] + b"\0" + header.covered[9:] if unicast else header.covered
    assert ah_icv(b"secret", covered) == header.icv
    assert ah_icv(b"secreT", covered) != header.icv


def test_sequence_is_raised_but_never_lowered() -> None:
    made = outgoing()

    def next_sequence() -> int:
        found = heard(made.next(AH)[0]).ah
        assert found is not None
        return found.sequence

    made.raise_sequence(41)
    assert next_sequence() == 42
    made.raise_sequence(7)
    assert next_sequence() == 43
    made.raise_sequence(0xFFFFFFFF)
    assert [next_sequence(), next_sequence()] == [0xFFFFFFFD, 0xFFFFFFFD]


def test_signed_trailer_equals_keepalived() -> None:
    for number, text in enumerate(HMAC_PACKETS):
        raw = bytes.fromhex(text)
        seconds, fraction = int.from_bytes(raw[36:40], "big"), int.from_bytes(raw[40:42], "big")
        # The middle of the tick: whatever nanosecond of it keepalived read.
        made = outgoing(seconds * 10**9 + (2 * fraction + 1) * 10**9 // (1 << 17))
        for _ in range(number):
            made.next(VERSION_3)
        assert made.next(HMAC) == [without_header_checksum(text)]


def test_captured_trailer_stands_apart() -> None:
    raw = bytes.fromhex(HMAC_PACKETS[0])
    found = heard(raw)
    assert found.checksum_valid
    assert (found.expected_length, found.received_length, found.total_length) == (32, 60, 60)
    assert (found.message, found.trailer) == (raw[20:32], raw[32:])
    second = heard(bytes.fromhex(HMAC_PACKETS[1]))
    assert (second.message, second.addresses) == (found.message, found.addresses)
    assert second.trailer != found.trailer


def test_signed_ipv6() -> None:
    signed = replace(IPV6, signing=HMAC.signing)
    (packet,) = outgoing(10**18).next(signed)
    assert packet[:40] == first_packet(IPV6)
    found = heard_ipv6(packet)
    assert (found.expected_length, found.received_length, len(found.trailer)) == (40, 68, 28)
    assert found.trailer[:4] == b"\x01\x01\0\0"


def test_version_2_with_trailer() -> None:
    raw = first_packet(replace(NO_AUTH, signing=HMAC.signing))
    found = heard(raw)
    assert found.checksum_valid
    assert (found.expected_length, found.total_length, found.received_length) == (40, 68, 68)
    assert (found.auth_data, found.trailer[:2]) == (bytes(8), b"\x01\x01")


@pytest.mark.parametrize("advert", [NO_AUTH, PASS, VERSION_3, UNICAST_3, AH, HMAC, IPV6])
def test_lengths_are_as_reckoned(advert: AdvertToSend) -> None:
    kind = (advert.version, advert.family, len(advert.addresses))
    raw = first_packet(advert)
    assert len(raw) == advert_length(*kind, advert.auth_type is AuthType.AH, advert.signing is not None)


@pytest.mark.parametrize("base", [PASS, PASS_SHORT, VERSION_3, UNICAST_3_OLD, AH, IPV6])
def test_another_priority_is_as_built_anew(base: AdvertToSend) -> None:
    kept = outgoing()
    for priority, destinations in product((255, 0, 1, 254), (base.destinations, base.destinations * 2)):
        advert = replace(base, priority=priority, destinations=destinations)
        assert bare(kept.next(advert)) == bare(outgoing().next(advert))


def bare(packets: list[bytes]) -> list[bytes]:
    """Without IP id, AH sequence and integrity check value."""
    return [
        packet[:4] + packet[6:28] + packet[44:] if packet[9] == 51 else packet[:4] + packet[6:]
        for packet in packets
    ]


def test_ip_id_skips_zero() -> None:
    made = outgoing()
    ids = [made.next(NO_AUTH)[0][4:6] for _ in range(65537)]
    assert ids[0] == b"\0\1"
    assert ids[65534:] == [b"\xff\xff", b"\0\1", b"\0\2"]


def test_same_advert_with_another_ip_id_is_remembered() -> None:
    assert dissect(bytes.fromhex(IPV4[0][2])) is dissect(bytes.fromhex(IPV4[1][2]))


@pytest.mark.parametrize("base", [PASS, VERSION_3, AH, HMAC])
def test_255_addresses_there_and_back(base: AdvertToSend) -> None:
    addresses = tuple(IPv4Address(0x0A000000 + number) for number in range(255))
    raw = first_packet(replace(base, addresses=addresses))
    found = heard(raw)
    assert found.addresses == addresses
    assert found.expected_length + len(found.trailer) == len(raw)
    assert found.checksum_valid


def test_255_addresses_of_ipv6_there_and_back() -> None:
    addresses = tuple(IPv6Address((0xFD << 120) + number) for number in range(255))
    message = first_packet(replace(IPV6, addresses=addresses))
    assert len(message) == 8 + 255 * 16
    assert heard_ipv6(message).addresses == addresses


@pytest.mark.parametrize("text", [IPV4[3][2], IPV4[8][2], UNICAST_3_PACKETS[0]])
def test_each_wrong_bit_is_noticed(text: str) -> None:
    raw = bytes.fromhex(text)
    for bit in range(20 * 8, len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        found = heard(bytes(flipped))
        assert not found.checksum_valid or found.expected_length != found.received_length


def test_missing_addresses_are_left_out() -> None:
    raw = bytearray.fromhex(IPV4[0][2])
    raw[23] = 20
    found = heard(bytes(raw))
    assert found.address_count == 20
    assert found.expected_length == 20 + 8 + 80 + 8
    assert len(found.addresses) == 3
    assert found.auth_data == b""


def test_padding_stands_apart() -> None:
    raw = bytes.fromhex(IPV4[8][2])
    found = heard(raw + bytes(14))
    assert found.checksum_valid
    assert (found.trailer, found.expected_length, found.received_length) == (bytes(14), 32, 46)
    assert found.message == heard(raw).message


def test_reserved_bits_of_the_interval_are_ignored() -> None:
    raw = bytearray.fromhex(IPV4[8][2])
    raw[24] |= 0xF0
    assert heard(bytes(raw)).advert_interval == 37


def test_options_before_the_message() -> None:
    raw = bytes.fromhex(IPV4[0][2])
    with_options = b"\x46" + raw[1:20] + b"\x94\x04\0\0" + raw[20:]
    found = heard(with_options)
    assert (found.vrid, found.checksum_valid, found.expected_length) == (51, True, 44)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "IPv4 VRRP packet too short - 0 bytes"),
        (b"\x45", "IPv4 VRRP packet too short - 1 bytes"),
        (bytes.fromhex(IPV4[0][2])[:27], "IPv4 VRRP packet too short - 27 bytes"),
        (bytes.fromhex(AH_PACKETS[0])[:51], "IPv4 VRRP packet with AH too short - 51 bytes"),
        (b"\x44" + bytes(60), "IPv4 VRRP packet too short - 61 bytes"),
        (b"\x4f" + bytes(60), "IPv4 VRRP packet too short - 61 bytes"),
    ],
)
def test_no_vrrp_header(raw: bytes, reason: str) -> None:
    assert dissect(raw) == Undecodable(reason)


def test_no_vrrp_header_over_ipv6() -> None:
    short = dissect_ipv6(bytes(7), "fe80::1", bytes(16), 255)
    assert short == Undecodable("IPv6 VRRP packet too short - 7 bytes")


@pytest.mark.parametrize(
    "advert",
    [
        replace(NO_AUTH, version=4),
        replace(NO_AUTH, addresses=IPV6.addresses),
        replace(IPV6, addresses=NO_AUTH.addresses),
        replace(NO_AUTH, destinations=(*PEERS, IPv6Address("fd00::2"))),
    ],
)
def test_what_has_no_form_is_refused(advert: AdvertToSend) -> None:
    with pytest.raises(ValueError, match=r"no VRRP|cannot be reached"):
        first_packet(advert)


ADDRESSES = st.lists(st.ip_addresses(v=4), max_size=255).map(tuple)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([PASS, VERSION_3, AH, HMAC]),
    st.integers(1, 255),
    st.integers(0, 255),
    st.integers(1, 255),
    st.binary(max_size=12),
    ADDRESSES,
)
def test_built_then_dissected(
    base: AdvertToSend,
    vrid: int,
    priority: int,
    interval: int,
    password: bytes,
    addresses: tuple[IPv4Address, ...],
) -> None:
    advert = replace(
        base, vrid=vrid, priority=priority, advert_interval=interval, auth_data=password, addresses=addresses
    )
    raw = first_packet(advert)
    found = heard(raw)
    assert found.checksum_valid
    assert (found.vrid, found.priority, found.advert_interval) == (vrid, priority, interval)
    assert found.addresses == addresses
    if found.ah is not None:
        assert found.ah.icv == ah_icv(password, found.ah.covered)
    elif base.version == 2:
        assert found.auth_data == password[:8].ljust(8, b"\0")
