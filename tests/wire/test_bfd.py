"""BFD control packets: those of the real keepalived, scapy's idea of the format, and no format at all."""

import random

import pytest
from scapy.contrib.bfd import BFD

from keepalived_py.model.bfd_packet import ControlPacket, Diagnostic, State
from keepalived_py.wire.bfd import build, dissect

# A session between two keepalived 2.2.7, min_tx 100 ms, min_rx 200 ms: the UDP payloads.
DISCRIMINATOR = 0x13D61518
CAPTURED = [
    (
        ControlPacket(State.DOWN, DISCRIMINATOR, 0, 1_000_000, 200_000, 3),
        "2040031813d6151800000000000f424000030d4000000000",
    ),
    (
        ControlPacket(State.INIT, DISCRIMINATOR, DISCRIMINATOR, 1_000_000, 200_000, 3),
        "2080031813d6151813d61518000f424000030d4000000000",
    ),
    (
        ControlPacket(State.UP, DISCRIMINATOR, DISCRIMINATOR, 100_000, 200_000, 3, poll=True),
        "20e0031813d6151813d61518000186a000030d4000000000",
    ),
    (
        ControlPacket(State.UP, DISCRIMINATOR, DISCRIMINATOR, 100_000, 200_000, 3, final=True),
        "20d0031813d6151813d61518000186a000030d4000000000",
    ),
    (
        ControlPacket(State.UP, DISCRIMINATOR, DISCRIMINATOR, 100_000, 200_000, 3),
        "20c0031813d6151813d61518000186a000030d4000000000",
    ),
]


@pytest.mark.parametrize(("packet", "text"), CAPTURED)
def test_as_keepalived_sends_them(packet: ControlPacket, text: str) -> None:
    assert build(packet).hex() == text
    assert dissect(bytes.fromhex(text)) == packet


def some_packet(chance: random.Random) -> ControlPacket:
    """Any value that fits the fields."""
    flags = [chance.random() < 0.5 for _ in range(6)]
    return ControlPacket(
        state=chance.randrange(4),
        my_discriminator=chance.getrandbits(32),
        your_discriminator=chance.getrandbits(32),
        desired_min_tx_us=chance.getrandbits(32),
        required_min_rx_us=chance.getrandbits(32),
        multiplier=chance.randrange(256),
        poll=flags[0],
        final=flags[1],
        diagnostic=chance.randrange(32),
        demand=flags[2],
        version=chance.randrange(8),
        control_plane_independent=flags[3],
        authenticated=flags[4],
        multipoint=flags[5],
        length=chance.randrange(256),
        required_min_echo_rx_us=chance.getrandbits(32),
    )


def test_scapy_reads_what_we_build() -> None:
    chance = random.Random(5880)
    letters = {"P": "poll", "F": "final", "C": "control_plane_independent", "D": "demand", "M": "multipoint"}
    for _ in range(300):
        packet = some_packet(chance)._replace(authenticated=False)
        seen = BFD(build(packet))
        assert (seen.version, seen.diag, seen.sta) == (packet.version, packet.diagnostic, packet.state)
        assert set(str(seen.flags)) == {letter for letter, name in letters.items() if getattr(packet, name)}
        assert (seen.detect_mult, seen.len) == (packet.multiplier, packet.length)
        assert (seen.my_discriminator, seen.your_discriminator) == packet[1:3]
        assert (seen.min_tx_interval, seen.min_rx_interval) == packet[3:5]
        assert seen.echo_rx_interval == packet.required_min_echo_rx_us


def test_what_is_built_is_read_back() -> None:
    chance = random.Random(5881)
    for _ in range(2000):
        packet = some_packet(chance)
        assert dissect(build(packet)) == packet


def test_each_byte_takes_every_value() -> None:
    """Bytes and value say the same, whatever the bytes are."""
    for _, text in CAPTURED:
        raw = bytearray.fromhex(text)
        for position in range(len(raw)):
            kept = raw[position]
            for value in range(256):
                raw[position] = value
                found = dissect(bytes(raw))
                assert found is not None
                assert build(found) == raw
            raw[position] = kept


def test_every_length() -> None:
    whole = bytes.fromhex(CAPTURED[0][1])
    for length in range(24):
        assert dissect(whole[:length]) is None
    # What follows the mandatory part is not looked at: the judge compares the lengths.
    assert dissect(whole + b"\xff" * 500) == CAPTURED[0][0]


def test_diagnostics_stand_beside_the_version() -> None:
    packet = CAPTURED[0][0]._replace(diagnostic=Diagnostic.ADMIN_DOWN, state=State.ADMIN_DOWN)
    assert build(packet)[:2] == b"\x27\x00"
