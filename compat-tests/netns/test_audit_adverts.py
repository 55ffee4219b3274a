"""Adverts that must be refused, each for another reason, and what a MASTER says when it loses its address."""

import hmac
import re
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from kernel_pair import checksum
from lab import Lab, laboratory
from space import inside
from twins import Twins
from variants import AH, PASS

pytestmark = pytest.mark.netns

PRIORITY, BETTER = 100, 200
STRANGER = bytes((2, 0, 0, 0, 0, 9))
SENT_BY = {4: "10.77.0.9", 6: "fe80::9"}
GROUP = {4: "224.0.0.18", 6: "ff02::12"}
CHECKED = ("check_unicast_src", "unicast_peer {", "    10.77.0.9 min_ttl 250 max_ttl 254", "}")
PEER = ("unicast_peer {", "    10.77.0.9", "}")


@dataclass(frozen=True, slots=True)
class Row:
    """One virtual router (its number is its place in the table) and how the advert it hears is spoiled."""

    what: str
    version: int = 2
    family: int = 4
    lines: tuple[str, ...] = ()
    spoiled: dict[str, Any] = field(default_factory=dict)
    good: dict[str, Any] = field(default_factory=dict)


ROWS = (
    Row("longer than it says", spoiled={"more": bytes(50)}),
    Row("shorter than it says", spoiled={"count": 20}),
    Row("TTL", spoiled={"ttl": 254}),
    Row("version", spoiled={"version": 3, "tail": b""}),
    Row("unknown authentication", spoiled={"auth": 7}),
    Row("other authentication", spoiled={"auth": 1}),
    Row("password", lines=PASS, spoiled={"tail": b"abcdefgX"}, good={"auth": 1, "tail": b"abcdefgh"}),
    Row("seal", lines=AH, spoiled={"auth": 2, "key": b"other"}, good={"auth": 2, "key": b"secret12", "number": 500}),
    Row("interval", spoiled={"interval": 2}),
    Row("type", spoiled={"kind": 2}),
    Row("checksum", spoiled={"off_by": 1}),
    Row("version 3, checksum", version=3, spoiled={"off_by": 1}),
    Row("version 3, TTL", version=3, spoiled={"ttl": 1}),
    Row("version 3, type", version=3, spoiled={"kind": 3}),
    Row("IPv6, hop limit", version=3, family=6, spoiled={"ttl": 64}),
    Row("IPv6, type", version=3, family=6, spoiled={"kind": 2}),
    Row("IPv6, checksum", version=3, family=6, spoiled={"off_by": 1}),
    Row("a stranger", lines=CHECKED, spoiled={"source": "10.77.0.8"}, good={"ttl": 252}),
    Row("checksum between peers", version=3, lines=PEER, spoiled={"off_by": 1}),
)  # fmt: skip


def virtual(vrid: int, family: int) -> str:
    return f"10.77.1.{vrid}" if family == 4 else f"fe80::1:{vrid}"


def config() -> str:
    """The file with every row's router."""
    parts = ["global_defs {\nrouter_id lab\nvrrp_garp_master_delay 0\nvrrp_garp_master_repeat 1\n}"]
    for vrid, row in enumerate(ROWS, 1):
        inner = "\n".join(row.lines)
        parts.append(
            f"vrrp_instance R{vrid} {{\ninterface eth0\nvirtual_router_id {vrid}\nversion {row.version}\n"
            f"priority {PRIORITY}\n{inner}\nvirtual_ipaddress {{\n{virtual(vrid, row.family)}/32\n}}\n}}"
            if row.family == 4
            else f"vrrp_instance R{vrid} {{\ninterface eth0\nvirtual_router_id {vrid}\n"
            f"priority {PRIORITY}\nvirtual_ipaddress {{\n{virtual(vrid, 6)}/64\n}}\n}}"
        )
    return "\n".join(parts) + "\n"


def advert(vrid: int, row: Row, how: dict[str, Any]) -> bytes:
    """The frame of a better router, spoiled as `how` says."""
    plain = row.version == 2 and row.family == 4
    it: dict[str, Any] = {
        "version": row.version,
        "kind": 1,
        "count": 1,
        "auth": 0,
        "interval": 1,
        "off_by": 0,
        "more": b"",
    }
    it |= {"tail": bytes(8) if plain else b"", "ttl": 255, "source": SENT_BY[row.family], "key": None}
    it |= {"number": 400, **how}
    to = "10.77.0.1" if row.lines in (CHECKED, PEER) else GROUP[row.family]
    source, destination = ip_address(it["source"]).packed, ip_address(to).packed
    last = struct.pack("BB", it["auth"], it["interval"]) if it["version"] == 2 else struct.pack(">H", 100)
    head = struct.pack("BBBB", it["version"] << 4 | it["kind"], vrid, BETTER, it["count"]) + last
    body = ip_address(virtual(vrid, row.family)).packed + it["tail"]
    pseudo = b""
    if it["version"] == 3:
        length = len(head) + 2 + len(body)
        pseudo = (
            source
            + destination
            + (struct.pack(">BBH", 0, 112, length) if row.family == 4 else struct.pack(">II", length, 112))
        )
    total = (checksum(pseudo + head + bytes(2) + body) + it["off_by"]) % 65536
    message = head + struct.pack(">H", total) + body + it["more"]
    return in_ipv6(source, destination, message, it["ttl"]) if row.family == 6 else in_ipv4(
        source, destination, message, it["ttl"], it["key"], it["number"]
    )  # fmt: skip


def in_ipv6(source: bytes, destination: bytes, message: bytes, hops: int) -> bytes:
    header = struct.pack(">IHBB", 0x6C000000, len(message), 112, hops) + source + destination
    return b"\x33\x33\0\0\0\x12" + STRANGER + b"\x86\xdd" + header + message


def in_ipv4(
    source: bytes, destination: bytes, message: bytes, ttl: int, key: bytes | None, number: int
) -> bytes:
    protocol, seal = (112, b"") if key is None else (51, bytes(24))
    length = 20 + len(seal) + len(message)
    bare = struct.pack(">BBHHHBB", 0x45, 0xC0, length, 1, 0, ttl, protocol)
    if key is not None:
        seal = struct.pack(">BBH4sI", 112, 4, 0, source, number)
        covered = bare[:1] + b"\0" + bare[2:] + bytes(2) + source + destination + seal + bytes(12) + message
        seal += hmac.digest(key.ljust(8, b"\0"), covered, "md5")[:12]
    header = bare + struct.pack(">H", checksum(bare + bytes(2) + source + destination)) + source + destination
    to = b"\1\0\x5e\0\0\x12" if destination[0] == 224 else bytes((2, 0, 0, 0, 0, 1))
    return to + STRANGER + b"\x08\0" + header + seal + message


def say(lab: Lab, frame: bytes) -> None:
    """Put a frame on the bridge, as a machine behind it would."""
    with inside(lab.space.switch), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind(("br0", 0))
        sock.send(frame)


def said(lab: Lab, since_ns: int) -> list[str]:
    """What was logged of the routers, without the senders that only we name."""
    lines = [line.text.split(": ", 1)[1] for line in list(lab.programs[1].log) if line.time_ns >= since_ns]
    return sorted(
        re.sub(r" from (10\.77\.0\.9|fe80::9)", "", line) for line in lines if re.match(r"\(R\d+\) ", line)
    )


@pytest.fixture
def twins(tmp_path: Path, subject: str) -> Iterator[Twins]:
    """Two laboratories of one node that speaks both families and knows where its peers are."""
    with (
        laboratory(tmp_path / "real", nodes=1, ipv6=True) as real,
        laboratory(tmp_path / "other", nodes=1, ipv6=True) as other,
    ):
        for lab in (real, other):
            for peer in ("10.77.0.8", "10.77.0.9"):
                lab.space.ip(1, "neigh", "add", peer, "lladdr", "02:00:00:00:00:09", "dev", "eth0")
        yield Twins(real, other, subject)


def begin(twins: Twins) -> None:
    twins.start(lambda _: config())
    numbers = range(1, len(ROWS) + 1)
    twins.wait(
        lambda lab: all(lab.programs[1].logged(f"(R{n}) Entering MASTER") for n in numbers), 8, "all MASTER"
    )


def test_every_reason_to_refuse_an_advert(twins: Twins) -> None:
    """The same words for each, and nobody gives way; to the same advert unspoiled everybody does."""
    begin(twins)
    time.sleep(0.3)
    since = time.time_ns()
    for vrid, row in enumerate(ROWS, 1):
        for lab, _ in twins.both:
            say(lab, advert(vrid, row, {**row.good, **row.spoiled}))
    time.sleep(0.5)
    lines = twins.same(lambda lab: said(lab, since))
    # The kernel drops a wrong checksum of IPv6 without a word.
    assert isinstance(lines, list) and len(lines) == len(ROWS) - 1, lines
    since = time.time_ns()
    for vrid, row in enumerate(ROWS, 1):
        for lab, _ in twins.both:
            say(lab, advert(vrid, row, row.good))
    twins.wait(
        lambda lab: all(f"(R{n}) Entering BACKUP STATE" in said(lab, since) for n in range(1, len(ROWS) + 1)),
        3,
        "all give way",
    )


def test_a_master_without_its_address_resigns(twins: Twins) -> None:
    """The address is gone; the others still hear from it that they need not wait."""
    begin(twins)
    since = time.time_ns()
    for lab, _ in twins.both:
        lab.space.ip(1, "addr", "del", "10.77.0.1/16", "dev", "eth0")

    def resigned(lab: Lab) -> list[tuple[int, str]]:
        frames = [f for f in lab.capture.adverts(1, since) if not f.is_ipv6 and not f.priority]
        sent = [(f.raw[35 if f.raw[23] == 112 else 59], socket.inet_ntoa(f.raw[26:30])) for f in frames]
        return sorted(one for one in sent if ROWS[one[0] - 1].lines not in (CHECKED, PEER))

    found = twins.same(resigned)
    multicast = [n for n, row in enumerate(ROWS, 1) if row.family == 4 and row.lines not in (CHECKED, PEER)]
    assert found == [(n, "10.77.0.1") for n in multicast for _ in range(2)]
