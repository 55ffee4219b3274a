"""Adverts: the bytes of real keepalived captures, and no bytes whatever that make us raise."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import AuthType
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.wire.vrrp import AdvertBytes, Undecodable, build, dissect

NO_AUTH = AdvertToSend(
    interface=InterfaceName("v0"),
    source=IPv4Address("10.0.0.1"),
    destination=IPv4Address("224.0.0.18"),
    ttl=255,
    version=2,
    vrid=51,
    priority=255,
    auth_type=AuthType.NONE,
    auth_data=b"",
    advert_interval=1,
    addresses=(IPv4Address("10.0.0.100"),),
)
PASS = replace(NO_AUTH, auth_type=AuthType.PASS, auth_data=b"abcdefgh")
PASS_SHORT = replace(PASS, auth_data=b"abc")
OTHER_GROUP = replace(NO_AUTH, source=IPv4Address("10.0.0.77"), destination=IPv4Address("224.0.0.99"))

# Captured from keepalived 2.2.7, IP header on: advert, IP id, bytes.
CAPTURED = [
    (NO_AUTH, 1, "45c0002800010000ff70d0910a000001e00000122133ff010001d5650a0000640000000000000000"),
    (NO_AUTH, 3, "45c0002800030000ff70d08f0a000001e00000122133ff010001d5650a0000640000000000000000"),
    (
        replace(NO_AUTH, priority=0),
        4,
        "45c0002800040000ff70d08e0a000001e0000012213300010001d4660a0000640000000000000000",
    ),
    (PASS, 1, "45c0002800010000ff70d0910a000001e00000122133ff01010142d00a0000646162636465666768"),
    (
        replace(PASS, priority=0),
        4,
        "45c0002800040000ff70d08e0a000001e000001221330001010141d10a0000646162636465666768",
    ),
    (PASS_SHORT, 1, "45c0002800010000ff70d0910a000001e00000122133ff01010110030a0000646162630000000000"),
    (
        replace(PASS_SHORT, priority=0),
        4,
        "45c0002800040000ff70d08e0a000001e00000122133000101010f040a0000646162630000000000",
    ),
    (OTHER_GROUP, 1, "45c0002800010000ff70cff40a00004de00000632133ff010001d5650a0000640000000000000000"),
    (
        replace(NO_AUTH, version=3, advert_interval=37),
        1,
        "45c0002000010000ff70d0990a000001e00000123133ff010025dab10a000064",
    ),
]


def packet(text: str) -> bytes:
    return bytes.fromhex(text)


def without_header_checksum(raw: bytes) -> bytes:
    return raw[:10] + b"\0\0" + raw[12:]


@pytest.mark.parametrize(("advert", "ip_id", "text"), CAPTURED)
def test_built_bytes_equal_keepalived(advert: AdvertToSend, ip_id: int, text: str) -> None:
    assert build(advert, ip_id) == without_header_checksum(packet(text))


@pytest.mark.parametrize(("advert", "ip_id", "text"), CAPTURED)
def test_captured_bytes_are_understood(advert: AdvertToSend, ip_id: int, text: str) -> None:
    heard = dissect(packet(text))
    assert isinstance(heard, Advert)
    assert heard.checksum_valid
    assert heard.expected_length == heard.received_length == heard.total_length == len(packet(text))
    assert (heard.source, heard.destination, heard.ttl) == (advert.source, advert.destination, 255)
    assert (heard.vrid, heard.priority, heard.addresses) == (51, advert.priority, advert.addresses)
    assert (heard.version, heard.kind, heard.advert_interval) == (advert.version, 1, advert.advert_interval)
    assert heard.auth_type == advert.auth_type.value
    assert heard.auth_data == (advert.auth_data.ljust(8, b"\0") if advert.version == 2 else b"")


def test_template_follows_ip_id_and_advert() -> None:
    kept = AdvertBytes()
    for advert, ip_id in ((PASS, 1), (PASS, 2), (replace(PASS, priority=0), 3), (PASS, 65535)):
        assert kept.packet(advert, ip_id) == build(advert, ip_id)


def test_same_advert_with_another_ip_id_is_remembered() -> None:
    first, third = dissect(packet(CAPTURED[0][2])), dissect(packet(CAPTURED[1][2]))
    assert first is third


def test_255_addresses_there_and_back() -> None:
    addresses = tuple(IPv4Address(0x0A000000 + number) for number in range(255))
    raw = build(replace(PASS, addresses=addresses), 9)
    heard = dissect(raw)
    assert isinstance(heard, Advert)
    assert heard.addresses == addresses
    assert heard.expected_length == len(raw)
    assert heard.checksum_valid


def test_each_wrong_bit_is_noticed() -> None:
    raw = packet(CAPTURED[3][2])
    for bit in range(20 * 8, len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        heard = dissect(bytes(flipped))
        assert isinstance(heard, Advert)
        assert not heard.checksum_valid or heard.expected_length != heard.received_length


def test_missing_addresses_are_left_out() -> None:
    raw = bytearray(packet(CAPTURED[0][2]))
    raw[23] = 20
    heard = dissect(bytes(raw))
    assert isinstance(heard, Advert)
    assert heard.address_count == 20
    assert heard.expected_length == 20 + 8 + 80 + 8
    assert len(heard.addresses) == 3
    assert heard.auth_data == b""


def test_authentication_header_is_skipped() -> None:
    raw = packet(CAPTURED[0][2])
    with_ah = raw[:9] + b"\x33" + raw[10:20] + b"\x70\x04" + bytes(22) + raw[20:]
    heard = dissect(with_ah)
    assert isinstance(heard, Advert)
    assert heard.has_ah
    assert heard.vrid == 51
    assert heard.expected_length == len(with_ah)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x45",
        packet(CAPTURED[0][2])[:27],
        b"\x65" + bytes(60),
        b"\x44" + bytes(60),
        b"\x45" + bytes(60),
    ],
)
def test_no_vrrp_header(raw: bytes) -> None:
    assert isinstance(dissect(raw), Undecodable)


def test_what_has_no_ipv4_form_is_refused() -> None:
    with pytest.raises(ValueError, match="AH"):
        build(replace(NO_AUTH, auth_type=AuthType.AH), 1)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=1500))
def test_any_bytes(raw: bytes) -> None:
    assert isinstance(dissect(raw), Advert | Undecodable)


@settings(max_examples=300, deadline=None)
@given(st.integers(5, 15), st.sampled_from([51, 112]), st.binary(max_size=200))
def test_any_bytes_after_a_plausible_ip_header(words: int, protocol: int, rest: bytes) -> None:
    raw = bytes((0x40 + words, 0xC0)) + bytes(7) + bytes((protocol,)) + rest
    heard = dissect(raw)
    assert isinstance(heard, Advert | Undecodable)
    if isinstance(heard, Advert):
        assert heard.received_length == len(raw)
        assert len(heard.addresses) <= heard.address_count


ADDRESSES = st.lists(st.ip_addresses(v=4), max_size=255).map(tuple)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 255), st.integers(0, 255), st.integers(1, 255), st.binary(max_size=12), ADDRESSES)
def test_built_then_dissected(
    vrid: int, priority: int, interval: int, password: bytes, addresses: tuple[IPv4Address, ...]
) -> None:
    advert = replace(
        PASS,
        vrid=vrid,
        priority=priority,
        advert_interval=interval,
        auth_data=password,
        addresses=addresses,
    )
    heard = dissect(build(advert, 77))
    assert isinstance(heard, Advert)
    assert heard.checksum_valid
    assert (heard.vrid, heard.priority, heard.advert_interval) == (vrid, priority, interval)
    assert heard.auth_data == password[:8].ljust(8, b"\0")
    assert heard.addresses == addresses
