"""When the gate falls silent, seen from another machine that asks every millisecond.

The holder is a process in a namespace of its own; it is stopped at any moment, also in the
middle of an extension.  No answer may come later than what it had promised, neither while it
is stopped nor after it goes on.  Answers are timed by the kernel when they arrive.
"""

import json
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gate_holder import Page
from lab import wait
from space import Space, inside, run, sweep

from keepalived_py.base.clock import Micros
from keepalived_py.core.vrrp.timing import taken_over_after
from keepalived_py.election.dead_man import trusted_for
from keepalived_py.model.config import Instance
from keepalived_py.system.clocks import boottime

pytestmark = [pytest.mark.netns, pytest.mark.alone]

FOUR, SIX = "10.75.1.1", "fd77::100"
LEASE_US, EVERY_US = 200_000, 30_000
# So rarely extended, the kernel hears of every extension at once.
RARELY_US = 75_000
RUNS = 40
_TIMESTAMPS = 35  # SO_TIMESTAMPNS


class Answer(NamedTuple):
    """When it came (CLOCK_BOOTTIME, microseconds), what it was, from whose hardware address."""

    at: int
    kind: str
    mac: bytes


@pytest.fixture
def space() -> Iterator[Space]:
    sweep()
    made = Space(nodes=3, net=75, ipv6=True).up()
    try:
        yield made
    finally:
        made.down()


# -- asking --------------------------------------------------------------------------


def _sum(data: bytes) -> bytes:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~int(total) & 0xFFFF).to_bytes(2, "big")


def _icmpv6(mac: bytes, own: bytes, source: IPv6Address, to: bytes, body: bytes) -> bytes:
    pseudo = source.packed + to + struct.pack(">IHBB", len(body), 0, 0, 58)
    body = body[:2] + _sum(pseudo + body) + body[4:]
    head = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + source.packed + to
    return mac + own + b"\x86\xdd" + head + body


def questions(vip: str, own: bytes, holder: bytes) -> list[bytes]:
    """Who has it (on the link), and an echo request to the hardware address of `holder`."""
    address = ip_address(vip).packed
    if len(address) == 4:
        source = ip_address("10.75.0.3").packed
        asked = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + own + source + bytes(6) + address
        icmp = struct.pack(">BBHHH", 8, 0, 0, 7, 7)
        icmp = icmp[:2] + _sum(icmp) + icmp[4:]
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 1, 0) + source + address
        head = head[:10] + _sum(head) + head[12:]
        return [b"\xff" * 6 + own + b"\x08\x06" + asked, holder + own + b"\x08\x00" + head + icmp]
    source6 = IPv6Address("fd77::3")
    group = bytes.fromhex("ff0200000000000000000001ff") + address[13:]
    asked = bytes((135, 0, 0, 0)) + bytes(4) + address + b"\x01\x01" + own
    solicited = _icmpv6(b"\x33\x33\xff" + address[13:], own, source6, group, asked)
    return [solicited, _icmpv6(holder, own, source6, address, struct.pack(">BBHHH", 128, 0, 0, 7, 7))]


def kind_of(frame: bytes, address: bytes) -> str | None:
    """What kind of answer a frame is; None if it is none, or not from `address`."""
    kind, packed = None, b""
    if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x02":
        kind, packed = "link", frame[28:32]
    elif frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 0:
        kind, packed = "echo", frame[26:30]
    elif frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] in (129, 136):
        kind = "echo" if frame[54] == 129 else "link"
        packed = frame[22:38] if frame[54] == 129 else frame[62:78]
    return kind if packed == address else None


class Asker:
    """Asks for one address from node 3, every millisecond while `ask` runs."""

    def __init__(self, space: Space, vip: str, holders: tuple[int, ...] = (1,)) -> None:
        self._address = ip_address(vip).packed
        own = space.mac(3)
        self._questions = [each for node in holders for each in questions(vip, own, space.mac(node))]
        with inside(space.node(3)):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.bind(("eth0", 0))
        self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        self._socket.setblocking(False)

    def ask(self, end_us: int) -> list[Answer]:
        """The answers until `end_us`."""
        found: list[Answer] = []
        following = boottime()
        while (now := boottime()) < end_us:
            if now >= following:
                following = Micros(now + 1000)
                for question in self._questions:
                    self._socket.send(question)
            found += self._arrived()
        return found

    def _arrived(self) -> Iterator[Answer]:
        while True:
            try:
                frame, more, _, where = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                time.sleep(0.0001)
                return
            if where[2] == socket.PACKET_OUTGOING:
                continue
            kind = kind_of(frame, self._address)
            stamps = [data for level, type_, data in more if level == socket.SOL_SOCKET]
            if kind and stamps:
                seconds, nanoseconds = struct.unpack("=qq", stamps[0])
                ago_us = (time.time_ns() - seconds * 10**9 - nanoseconds) // 1000
                yield Answer(boottime() - ago_us, kind, frame[6:12])

    def close(self) -> None:
        self._socket.close()


# -- holding -----------------------------------------------------------------------------


@contextmanager
def holder(
    space: Space, node: int, directory: Path, **config: Any
) -> Iterator[tuple[subprocess.Popen[bytes], Page]]:
    """A process on `node` that holds the addresses of `config`, and its page."""
    path = directory / f"page{node}"
    page = Page.make(path)
    script = Path(__file__).with_name("gate_holder.py")
    words = json.dumps({"interface": "eth0", **config})
    for vip in config["vips"]:
        put_on(space, node, vip)
    with inside(space.node(node)):
        process = subprocess.Popen([sys.executable, str(script), str(path), words])
    try:
        wait(lambda: bool(page.holds), 10, "the holder holds")
        yield process, page
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(10)


def put_on(space: Space, node: int, vip: str) -> None:
    bits = ip_address(vip).max_prefixlen
    space.ip(node, "addr", "add", f"{vip}/{bits}", "dev", "eth0", *(["nodad"] if bits == 128 else []))


@pytest.mark.parametrize(
    ("vip", "every_us", "early_limit_us"), [(FOUR, RARELY_US, 30_000), (SIX, EVERY_US, LEASE_US // 2)]
)
def test_silent_when_its_time_is_over_however_it_was_stopped(
    space: Space, tmp_path: Path, vip: str, every_us: int, early_limit_us: int
) -> None:
    chance = random.Random(5)
    early_us: list[int] = []
    asker = Asker(space, vip)
    with holder(space, 1, tmp_path, vips=[vip], lease_us=LEASE_US, every_us=every_us) as (process, page):
        for _ in range(RUNS):
            answers = asker.ask(boottime() + chance.randrange(80_000, 160_000))
            assert {answer.kind for answer in answers} == {"link", "echo"}
            process.send_signal(signal.SIGSTOP)
            answers = asker.ask(boottime() + 5000)
            until, page.quiet = page.until, 1
            answers += asker.ask(until + chance.randrange(10_000, 60_000))
            # What it was about to ask the kernel for comes now, and is refused.
            process.send_signal(signal.SIGCONT)
            answers += asker.ask(boottime() + 30_000)
            for kind in ("link", "echo"):
                last = max(answer.at for answer in answers if answer.kind == kind)
                assert last <= until
                early_us.append(until - last)
            page.quiet = 0
            wait(lambda: bool(asker.ask(boottime() + 5000)), 5, "it answers again")
    asker.close()
    early_us.sort()
    print(f"{vip}: silent before its time: median {statistics.median(early_us)} us, most {early_us[-1]} us")
    assert statistics.median(early_us) < early_limit_us


def test_dead_silent_with_its_process(space: Space, tmp_path: Path) -> None:
    """Killed: nobody releases anything, and the address stays on the machine."""
    asker = Asker(space, FOUR)
    with holder(space, 1, tmp_path, vips=[FOUR], lease_us=LEASE_US, every_us=EVERY_US) as (process, page):
        assert asker.ask(boottime() + 100_000)
        process.kill()
        process.wait(10)
        until = page.until
        assert all(answer.at <= until for answer in asker.ask(until + 300_000))
        assert f"{FOUR}/" in space.ip(1, "addr")
    asker.close()


def test_a_stopped_master_is_silent_before_a_backup_answers(space: Space, tmp_path: Path) -> None:
    interval = 100_000
    settings = Instance("VI_1", "eth0", 1, version=3, advert_interval_us=Micros(interval), dead_man=True)  # type: ignore[arg-type]
    old, new = space.mac(1), space.mac(2)
    asker = Asker(space, FOUR, (1, 2))
    with holder(space, 1, tmp_path, vips=[FOUR], every_us=interval) as (process, page):
        for run_number in range(10):
            process.send_signal(signal.SIGSTOP)
            page.quiet = 1
            heard = page.until
            # The best BACKUP there may be.
            takeover = heard + taken_over_after(settings, 254)
            answers = asker.ask(takeover)
            put_on(space, 2, FOUR)
            answers += asker.ask(boottime() + 50_000)
            process.send_signal(signal.SIGCONT)
            answers += asker.ask(boottime() + 30_000)
            of_old = [answer.at for answer in answers if answer.mac == old]
            of_new = [answer.at for answer in answers if answer.mac == new]
            assert of_old and of_new, run_number
            assert max(of_old) <= heard + trusted_for(settings) < takeover <= min(of_new)
            space.ip(2, "addr", "del", f"{FOUR}/32", "dev", "eth0")
            page.quiet = 0
            wait(lambda: any(answer.mac == old for answer in asker.ask(boottime() + 5000)), 5, "MASTER again")
            asker.ask(boottime() + 2 * interval)
    asker.close()


def test_renewing_is_quick(space: Space, tmp_path: Path) -> None:
    """Both tables, ticket and extension, without the way through the loop; figures for the record."""
    script = """
import json, sys, time
from keepalived_py.system.clocks import boottime
from keepalived_py.system.gate import Extend, Guard, Tables
from keepalived_py.system.gate_rules import Key
tables = Tables(); assert tables.make() == 0
keys = (Key("4", bytes((10, 75, 1, 1))),)
def timed(order):
    before = time.perf_counter_ns(); assert tables.carry_out([order]) == 0
    return (time.perf_counter_ns() - before) // 1000
guards = [timed(Guard(str(n), (Key("4", bytes((10, 75, 2, n))),), boottime() + 400000, None)) for n in range(100)]
extensions = []
until = boottime() + 10_000_000
for n in range(1000):
    # Less time than before: the kernel hears of that at once.
    extensions.append(timed(Extend("1", until - n))); time.sleep(0.001)
tables.close(True)
print(json.dumps([sorted(guards), sorted(extensions)]))
"""
    with inside(space.node(1)):
        guards, extensions = json.loads(run(sys.executable, "-c", script))
    print(f"guard: median {guards[50]} us; extend: median {extensions[500]} us, p99 {extensions[990]} us")
    assert extensions[500] < 2000
