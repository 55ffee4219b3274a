"""The offsets that packets are read at, held against scapy's own dissection."""

import random

import pytest

from keepalived_py.model.packet import Advert
from keepalived_py.wire.ah import AuthHeader
from keepalived_py.wire.auth_hmac import Trailer
from keepalived_py.wire.ipv4 import Ipv4Header
from keepalived_py.wire.layout import byte_offsets
from keepalived_py.wire.lean_scapy import Packet
from keepalived_py.wire.message import Version2Ipv4, Version2Ipv6, Version3Ipv4, Version3Ipv6
from keepalived_py.wire.vrrp import dissect, dissect_ipv6
from tests.wire.captured import IPV4, IPV6_MESSAGES


@pytest.mark.parametrize("kind", [Ipv4Header, AuthHeader, Trailer, Version2Ipv4, Version3Ipv4, Version3Ipv6])
def test_a_field_begins_where_scapy_reads_it(kind: type[Packet]) -> None:
    """Changing the byte at the offset changes the field, and no field that stands before."""
    offsets = byte_offsets(kind)
    assert list(offsets.values()) == sorted(offsets.values())
    zero = bytes(56)
    for name, offset in offsets.items():
        if name == "addresses":
            continue
        changed = kind(zero[:offset] + b"\xff" + zero[offset + 1 :])
        untouched = kind(zero)
        assert getattr(changed, name) != getattr(untouched, name), name
        for other, where in offsets.items():
            if where < offset and other != "addresses":
                assert getattr(changed, other) == getattr(untouched, other), other


def test_known_offsets() -> None:
    assert byte_offsets(Ipv4Header)["destination"] == 16
    assert byte_offsets(AuthHeader)["icv"] == 12
    assert byte_offsets(Version3Ipv4)["addresses"] == 8
    assert byte_offsets(Version3Ipv4)["reserved"] == 4


@pytest.mark.parametrize("seed", range(3))
def test_scapy_reads_the_same(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        _, _, text = chance.choice(IPV4)
        raw = bytearray.fromhex(text)
        for position in (21, 22, 24, 25, 29, 31, 8, 13, 17):
            raw[position] = chance.randrange(256)
        found = dissect(bytes(raw))
        header, message = Ipv4Header(bytes(raw[:20])), bytes(raw[20:])
        told = (Version2Ipv4 if raw[20] >> 4 == 2 else Version3Ipv4)(message)
        assert isinstance(found, Advert)
        assert (str(found.source), found.ttl) == (header.source, header.ttl)
        compare(found, told)


def test_scapy_reads_ipv6_the_same() -> None:
    for advert, text in IPV6_MESSAGES:
        found = dissect_ipv6(bytes.fromhex(text), "fe80::1", bytes(16), 255)
        compare(found, (Version2Ipv6 if advert.version == 2 else Version3Ipv6)(bytes.fromhex(text)))


def compare(found: object, told: Packet) -> None:
    for name in ("version", "kind", "vrid", "priority", "address_count", "advert_interval"):
        assert getattr(found, name) == getattr(told, name), name
    addresses = getattr(found, "addresses", ())
    assert [str(address) for address in addresses] == told.addresses
