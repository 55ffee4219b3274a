"""The gratuitous ARP frame and the checksum, against bytes that keepalived sent."""

from ipaddress import IPv4Address

import pytest

from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.checksum import internet_checksum, is_valid


def test_frame_equals_keepalived() -> None:
    mac = bytes.fromhex("76b014b3f65f")
    frame = gratuitous_arp(mac, IPv4Address("10.0.0.100"))
    assert frame.hex() == (
        "ffffffffffff" "76b014b3f65f" "0806" "0001080006040001"
        "76b014b3f65f" "0a000064" "ffffffffffff" "0a000064"
    )  # fmt: skip
    assert len(frame) == 42


def test_other_hardware_is_refused() -> None:
    for mac, broadcast in ((bytes(8), None), (bytes(6), b"\xff" * 20), (b"", None)):
        with pytest.raises(ValueError, match="bytes"):
            gratuitous_arp(mac, IPv4Address("10.0.0.100"), broadcast)


def test_infiniband() -> None:
    """RFC 4391 section 6: the receiver's link address, the type, two bytes reserved; then ARP of type 32."""
    mac, everyone = bytes(range(20)), bytes.fromhex("00ffffffff12401b8001000000000000ffffffff")
    address = IPv4Address("10.0.0.100")
    frame = gratuitous_arp(mac, address, everyone)
    assert frame == (
        everyone + bytes.fromhex("08060000") + bytes.fromhex("0020080014040001")
        + mac + address.packed + everyone + address.packed
    )  # fmt: skip
    assert gratuitous_arp(mac, address)[:8].hex() == "00ffffffff12401b"


def test_checksum_of_rfc_1071() -> None:
    # RFC 1071 section 3: the sum of these words is ddf2.
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert internet_checksum(data) == 0xFFFF - 0xDDF2
    assert is_valid(data + internet_checksum(data).to_bytes(2, "big"))


def test_zero_is_no_valid_message() -> None:
    assert internet_checksum(bytes(8)) == 0xFFFF
    assert not is_valid(bytes(8))


def test_odd_length_is_padded() -> None:
    assert internet_checksum(b"\x12\x34\x56") == internet_checksum(b"\x12\x34\x56\x00")
