"""Signed adverts (`auth_hmac`) between two of ours: elections, roll-out and change of keys without a blink, forgeries.

2.2.7 does not know the extension; what a trailer must be is worked out here once
more, from nothing but hashlib, and compared with what is on the wire.
"""

import hashlib
import hmac
import ipaddress
import itertools
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from capture import Frame
from lab import SECOND_NS, Lab, laboratory
from program import Program
from space import inside
from variants import Variant, file, gaps, holds_all, settled

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]

KEYS = {1: bytes(range(32)), 2: b"0123456789abcdef0123456789abcdefghij"}
BETTER, WORSE = 150, 100
SLACK_S, EARLY_S = 0.35, -0.003
TRAILER = 28


def block(mode: str = "enforce", keys: tuple[int, ...] = (1,), active: int = 1, *more: str) -> list[str]:
    """The lines of an auth_hmac block."""
    texts = {1: f"hex:{KEYS[1].hex()}", 2: KEYS[2].decode()}
    listed = [f"    key {number} {texts[number]}" for number in keys]
    return [
        "auth_hmac {",
        *listed,
        f"    active_key {active}",
        f"    mode {mode}",
        *(f"    {m}" for m in more),
        "}",
    ]


SIGNED = (
    Variant("v2", 1, lines=block(), address_count=2),
    Variant("v3", 2, version=3, lines=block(), address_count=5),
    Variant("v3_ipv6", 3, version=3, family=6, lines=block(), address_count=2),
    Variant("v2_ipv6", 4, family=6, lines=block()),
    Variant("unicast", 5, version=3, unicast=True, lines=block()),
    Variant("unicast_ipv6", 6, version=3, family=6, unicast=True, lines=block("enforce", (1, 2), 2)),
    Variant("vmac", 7, version=3, lines=["use_vmac", *block()]),
    Variant("monotonic", 8, version=3, lines=block("enforce", (1,), 1, "anti_replay monotonic")),
)
COUNTERS = ("Missing", "Malformed", "Unknown Key", "Invalid HMAC", "Stale", "Replay")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """Two nodes that speak both families."""
    with laboratory(tmp_path, ipv6=True) as made:
        yield made


def split(frame: Frame) -> tuple[bytes, bytes]:
    """The VRRP message and what follows it."""
    message = frame.vrrp
    old = message[0] >> 4 == 2 and not frame.is_ipv6
    length = 8 + message[3] * (16 if frame.is_ipv6 else 4) + (8 if old else 0)
    return message[:length], message[length:]


def signature(key: bytes, source: str, message: bytes, head: bytes) -> bytes:
    """What must stand at the end of the trailer that begins with `head`."""
    address = ipaddress.ip_address(source)
    pseudo = struct.pack("!4B", address.version, message[0] >> 4, message[1], 0) + address.packed.ljust(
        16, b"\0"
    )
    covered = message[:6] + b"\0\0" + message[8:]
    return hmac.new(key, pseudo + covered + head + bytes(16), hashlib.sha256).digest()[:16]


def check_trailer(frame: Frame) -> None:
    """Scheme, a time that is now, and the HMAC."""
    message, trailer = split(frame)
    assert len(trailer) == TRAILER and (trailer[0], trailer[2:4]) == (1, b"\0\0")
    assert trailer[12:] == signature(KEYS[trailer[1]], frame.source, message, trailer[:12])
    seconds, fraction = struct.unpack("!IH", trailer[4:10])
    assert abs(seconds + fraction / 65536 - frame.time_ns / SECOND_NS) < 0.25


def sequence(frame: Frame) -> int:
    """The 64 bits that grow."""
    return int.from_bytes(split(frame)[1][4:12], "big")


def start(lab: Lab, node: int, priority: int, variants: tuple[Variant, ...]) -> Program:
    """Start ours and wait until it listens on all of them; its statistics go where nobody else's do."""
    with pytest.MonkeyPatch.context() as patch:
        statistics = lab.directory / f"statistics{node}"
        statistics.mkdir(exist_ok=True)
        patch.setenv("TMPDIR", str(statistics))
        program = lab.start(node, "ours", file(node, (3 - node,), priority, variants))
    names = [f"({variant.name}) Entering BACKUP STATE (init)" for variant in variants]
    lab.wait(lambda: all(program.logged(name) for name in names), 8, f"node {node} listens")
    return program


def counted(lab: Lab, node: int) -> list[dict[str, int]]:
    """The counters of the extension of every instance, from the file that SIGUSR2 asks for."""
    path = lab.directory / f"statistics{node}" / "keepalived.stats"
    path.unlink(missing_ok=True)
    lab.programs[node].send(signal.SIGUSR2)
    lab.wait(path.exists, 3, f"statistics of node {node}")
    sections = path.read_text().split("Authentication Extension Errors:\n")[1:]
    return [
        {name.strip(): int(number) for name, number in (line.split(":") for line in part.splitlines()[:6])}
        for part in sections
    ]


def test_life_of_a_signed_pair(lab: Lab) -> None:
    """Election, power cut, return and stop of every kind of advert; every trailer is right; nothing is refused."""
    start(lab, 1, BETTER, SIGNED)
    start(lab, 2, WORSE, SIGNED)
    lab.wait(lambda: settled(lab, 1, SIGNED), 10, "node 1 is MASTER of everything")
    lab.programs[1].kill_all()
    lab.wait(lambda: holds_all(lab, 2, SIGNED), 8, "node 2 holds everything")
    late = gaps(lab, lambda v: lab.last_advert(1, v.vrid), 2, lambda v: v.master_down_s(WORSE), SIGNED)
    assert all(EARLY_S <= gap <= SLACK_S for gap in late.values()), late
    start(lab, 1, BETTER, SIGNED)
    lab.wait(lambda: settled(lab, 1, SIGNED), 12, "node 1 is MASTER again")
    zeros = [dict.fromkeys(COUNTERS, 0)] * len(SIGNED)
    assert [counted(lab, node) for node in (1, 2)] == [zeros, zeros]
    frames = lab.capture.adverts()
    for frame in frames:
        check_trailer(frame)
    assert {frame.vrid for frame in frames} == {variant.vrid for variant in SIGNED}
    assert {split(frame)[1][1] for frame in frames} == {1, 2}
    for node, variant in itertools.product((1, 2), SIGNED):
        numbers = [sequence(frame) for frame in lab.capture.adverts(node, vrid=variant.vrid)]
        assert all(a < b for a, b in itertools.pairwise(numbers)), variant.name


# Roll-out ------------------------------------------------------------------------


def plain(lines: list[str]) -> tuple[Variant, ...]:
    """One virtual router of each family with these lines."""
    return (
        Variant("four", 1, version=3, lines=lines),
        Variant("six", 2, version=3, family=6, lines=lines),
    )


def reload(lab: Lab, node: int, lines: list[str]) -> None:
    """Give the node another file, and wait until a second of its life with it is over."""
    program, priority = lab.programs[node], BETTER if node == 1 else WORSE
    program.config_path.write_text(file(node, (3 - node,), priority, plain(lines)))
    asked = program.send(signal.SIGHUP)
    lab.wait(lambda: program.logged("Reload complete", asked), 5, f"node {node} has reloaded")
    time.sleep(0.9)


def form(lab: Lab, vrid: int) -> tuple[int, int]:
    """Length of the trailer of node 1's newest advert and the id of its key (0: none)."""
    trailer = split(lab.last_advert(1, vrid))[1]
    return len(trailer), trailer[1] if trailer else 0


def test_roll_out_and_new_keys_without_a_blink(lab: Lab) -> None:
    """Unsigned, receive-only, permissive, enforce; then a second key beside the first, used, and alone."""
    start(lab, 1, BETTER, plain([]))
    second = start(lab, 2, WORSE, plain([]))
    lab.wait(lambda: settled(lab, 1, plain([])), 10, "node 1 is MASTER of both")
    since = lab.last_advert(1).time_ns
    steps = (
        (block("receive-only"), (0, 0)),
        (block("permissive"), (TRAILER, 1)),
        (block(), (TRAILER, 1)),
        (block("enforce", (1, 2), 1), (TRAILER, 1)),
        (block("enforce", (1, 2), 2), (TRAILER, 2)),
        (block("enforce", (2,), 2), (TRAILER, 2)),
    )
    for lines, expected in steps:
        for node in (2, 1):
            reload(lab, node, lines)
        assert [form(lab, vrid) for vrid in (1, 2)] == [expected] * 2
    for vrid in (1, 2):
        times = [frame.time_ns for frame in lab.capture.adverts(1, since, vrid)]
        longest = max(b - a for a, b in itertools.pairwise(times)) / SECOND_NS
        assert longest <= 0.6, f"an advert came {longest:.3f} s after the one before"
    assert not lab.capture.adverts(2) and not second.logged("Entering MASTER STATE")
    assert counted(lab, 2) == [dict.fromkeys(COUNTERS, 0)] * 2
    reload(lab, 1, [])
    lab.wait(lambda: holds_all(lab, 2, plain([])), 5, "node 2 believes no unsigned advert")
    assert all(found["Missing"] > 0 for found in counted(lab, 2))


# Forgeries -----------------------------------------------------------------------


def say(lab: Lab, *frames: bytes) -> None:
    """Put frames on the bridge, as a machine behind it would."""
    with inside(lab.space.switch), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("br0", 0))
        for frame in frames:
            sock.send(frame)


def changed(frame: Frame, at: int, value: int) -> bytes:
    """The frame with one byte of its trailer changed."""
    raw = bytearray(frame.raw)
    raw[len(raw) - TRAILER + at] = value
    return bytes(raw)


def unsigned(frame: Frame) -> bytes:
    """The frame without its trailer; the IP header says so."""
    raw = bytearray(frame.raw[:-TRAILER])
    raw[16:18] = struct.pack("!H", len(raw) - 14)
    raw[24:26] = b"\0\0"
    total = sum(struct.unpack("!10H", raw[14:34]))
    raw[24:26] = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    return bytes(raw)


def test_forgeries_are_counted_and_change_nothing(lab: Lab) -> None:
    """Replayed, stale, unsigned, bent and foreign adverts of a better one: each has its counter, none has an effect."""
    one = (Variant("one", 1, version=3, lines=block("enforce", (1,), 1, "time_window 2")),)
    start(lab, 1, BETTER, one)
    second = start(lab, 2, WORSE, one)
    lab.wait(lambda: settled(lab, 1, one), 8, "node 1 is MASTER")
    oldest = lab.capture.adverts(1)[0]
    lab.wait(lambda: time.time_ns() - oldest.time_ns > 4 * SECOND_NS, 5, "the oldest advert is stale")
    genuine = lab.last_advert(1)
    flipped = genuine.raw[-1] ^ 1
    forgeries = {
        "Missing": unsigned(genuine),
        "Malformed": changed(genuine, 3, 1),
        "Unknown Key": changed(genuine, 1, 9),
        "Invalid HMAC": changed(genuine, TRAILER - 1, flipped),
        "Stale": oldest.raw,
        "Replay": genuine.raw,
    }
    for number, frame in enumerate(forgeries.values(), 1):
        for _ in range(number):
            say(lab, frame)
            time.sleep(0.02)  # what repeats a packet of the last 5 ms is not judged once there are many
    expected = {name: number for number, name in enumerate(forgeries, 1)}
    lab.wait(lambda: counted(lab, 2) == [expected], 3, f"{expected}, found {counted(lab, 2)}")

    lab.programs[1].kill_all()
    last = lab.last_advert(1)

    def replayed_until_master() -> bool:
        say(lab, last.raw)
        time.sleep(0.05)
        return second.logged("Entering MASTER STATE")

    lab.wait(replayed_until_master, 4, "replays do not keep node 2 from taking over")
    late = gaps(lab, lambda _: last, 2, lambda v: v.master_down_s(WORSE), one)["one"]
    assert EARLY_S <= late <= SLACK_S, late
    since = time.time_ns()
    for _ in range(10):
        say(lab, last.raw)
        time.sleep(0.1)
    assert settled(lab, 2, one) or not second.logged("Entering BACKUP STATE", since), lab.report()
    assert (
        counted(lab, 2)[0]["Replay"] + counted(lab, 2)[0]["Stale"]
        > expected["Replay"] + expected["Stale"] + 10
    )
