"""No bytes whatever make dissecting raise, say more than is there, or take long.

The random numbers have a fixed seed; a failure prints the bytes.
"""

import random
import time
from ipaddress import IPv4Address

import pytest

from keepalived_py.model.packet import Advert
from keepalived_py.wire.vrrp import Undecodable, dissect, dissect_ipv6
from tests.wire.captured import AH_PACKETS, AH_UNICAST_PACKETS, HMAC_PACKETS, IPV4, IPV6_MESSAGES

PACKETS = [text for _, _, text in IPV4] + [AH_PACKETS[0], AH_UNICAST_PACKETS[0][0], HMAC_PACKETS[0]]
MESSAGES = [text for _, text in IPV6_MESSAGES]
GROUP = IPv4Address("224.0.0.18").packed
LONGEST = 65535


def consistent(found: Advert | Undecodable, raw: bytes, ip_header: int) -> None:
    """What holds for every packet, good or bad."""
    if isinstance(found, Undecodable):
        assert "too short" in found.reason, raw.hex()
        return
    assert found.received_length == len(raw), raw.hex()
    assert len(found.addresses) <= found.address_count, raw.hex()
    assert 0 <= found.version < 16 and 0 <= found.kind < 16, raw.hex()
    around = ip_header + (24 if found.has_ah else 0)
    assert raw[around:] == found.message + found.trailer, raw.hex()
    assert (found.expected_length <= len(raw)) or not found.trailer, raw.hex()
    assert (found.ah is not None) is found.has_ah, raw.hex()


def look(raw: bytes) -> None:
    consistent(dissect(raw, GROUP), raw, (raw[0] & 15) * 4 if raw else 0)


def look_ipv6(raw: bytes) -> None:
    consistent(dissect_ipv6(raw, "fe80::1", bytes(16), 255), raw, 0)


@pytest.mark.parametrize("text", PACKETS)
def test_each_byte_takes_every_value(text: str) -> None:
    raw = bytearray.fromhex(text)
    for position in range(len(raw)):
        kept = raw[position]
        for value in range(256):
            raw[position] = value
            look(bytes(raw))
        raw[position] = kept


@pytest.mark.parametrize("text", MESSAGES)
def test_each_byte_of_ipv6_takes_every_value(text: str) -> None:
    raw = bytearray.fromhex(text)
    for position in range(len(raw)):
        kept = raw[position]
        for value in range(256):
            raw[position] = value
            look_ipv6(bytes(raw))
        raw[position] = kept


@pytest.mark.parametrize("text", PACKETS + MESSAGES)
def test_every_length(text: str) -> None:
    whole = bytes.fromhex(text)
    for length in range(len(whole) + 1):
        look(whole[:length])
        look_ipv6(whole[:length])
    for more in (1, 2, 6, 14, 28, 1000, 4000):
        look(whole + bytes(more))
        look_ipv6(whole + bytes(more))


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3000):
        raw = chance.randbytes(chance.choice((0, 1, 19, 20, 27, 28, 40, 52, 64, 300, 1500)))
        look(raw)
        look_ipv6(raw)


@pytest.mark.parametrize("seed", range(4))
def test_random_changes(seed: int) -> None:
    """Several fields at once: what one wrong byte cannot reach."""
    chance = random.Random(seed)
    for _ in range(3000):
        raw = bytearray.fromhex(chance.choice(PACKETS))
        for _ in range(chance.randint(2, 8)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        if chance.random() < 0.3:
            raw = raw[: chance.randrange(len(raw))]
        elif chance.random() < 0.3:
            raw += chance.randbytes(chance.randrange(60))
        look(bytes(raw))
        look_ipv6(bytes(raw[20:]))


def test_a_flood_of_different_packets_is_dissected_quickly() -> None:
    """None is remembered, so each costs its full price; the bound is twenty times what it takes."""
    chance = random.Random(1)
    flood = [bytes.fromhex(PACKETS[0])[:-8] + chance.randbytes(8) for _ in range(5000)]
    begun = time.process_time()
    for raw in flood:
        dissect(raw, GROUP)
    assert (time.process_time() - begun) / len(flood) < 200e-6


def test_the_longest_packet_is_dissected_quickly() -> None:
    raw = bytes.fromhex(PACKETS[0])[:20] + b"\x21\x33\xff\xff" + bytes(LONGEST - 24)
    begun = time.process_time()
    for _ in range(50):
        look(raw)
    assert (time.process_time() - begun) / 50 < 20e-3
