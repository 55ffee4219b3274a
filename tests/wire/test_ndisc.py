"""Unsolicited neighbour advertisements, against bytes that keepalived sent."""

from ipaddress import IPv6Address

import pytest

from keepalived_py.wire.checksum import is_valid
from keepalived_py.wire.ndisc import unsolicited_advertisement

MAC = bytes.fromhex("020000000001")
CAPTURED = [
    (
        "fe80::100",
        "33330000000102000000000186dd6000000000203afffe800000000000000000000000000100ff0200000000000000000000000000018800559d20000000fe8000000000000000000000000001000201020000000001",
    ),
    (
        "fd00::100",
        "33330000000102000000000186dd6000000000203afffd000000000000000000000000000100ff0200000000000000000000000000018800589d20000000fd0000000000000000000000000001000201020000000001",
    ),
]


@pytest.mark.parametrize(("address", "text"), CAPTURED)
def test_frame_equals_keepalived(address: str, text: str) -> None:
    frame = unsolicited_advertisement(MAC, IPv6Address(address), router=False)
    assert frame.hex() == text
    assert len(frame) == 86


def test_a_router_says_so() -> None:
    quiet = unsolicited_advertisement(MAC, IPv6Address("fe80::100"), router=False)
    router = unsolicited_advertisement(MAC, IPv6Address("fe80::100"), router=True)
    assert (quiet[58], router[58]) == (0x20, 0xA0)
    assert {i for i in range(86) if quiet[i] != router[i]} <= {56, 57, 58}
    assert checksum_holds(router[14:])


def test_infiniband() -> None:
    mac = bytes(range(20))
    frame = unsolicited_advertisement(mac, IPv6Address("fd00::1"), router=False)
    assert frame[:24].hex() == "00ffffffff12601b0000000000000000ffffffff86dd0000"
    packet = frame[24:]
    assert packet[4:6] == (len(packet) - 40).to_bytes(2, "big")
    # Type 2, three units of eight bytes, two of padding.
    assert packet[64:68] == b"\x02\x03\0\0"
    assert packet[68:] == mac
    assert checksum_holds(packet)


def test_other_hardware_is_refused() -> None:
    with pytest.raises(ValueError, match="6 or 20 bytes"):
        unsolicited_advertisement(bytes(8), IPv6Address("fd00::1"), router=False)


def checksum_holds(packet: bytes) -> bool:
    """RFC 8200 section 8.1."""
    pseudo = packet[8:40] + (len(packet) - 40).to_bytes(4, "big") + bytes((0, 0, 0, 58))
    return is_valid(pseudo + packet[40:])
