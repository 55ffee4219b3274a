"""PING_CHECK: echoes on loopback, into the void, and who may send them.

A namespace of one's own has its own net.ipv4.ping_group_range, in which nobody may ping at first.
"""

import asyncio
import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.clock import seconds
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import PingCheck
from keepalived_py.probes.ping import GROUP_RANGE, Pinger
from keepalived_py.system.loop import new_loop

pytestmark = pytest.mark.netns
CLONE_NEWNET = 0x40000000
LIMIT_S = 0.3
TEXT = (b"keepalived check - " * 7)[:128]
NOWHERE = "10.0.0.2"


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """A namespace where 10.0.0.2 and fd00::2 are known to be behind v0, and nobody is there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        assert libc.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        ip("link set lo up")
        ip("link add v0 type veth peer name v1")
        for change in (
            "addr add 10.0.0.1/24 dev v0",
            "addr add fd00::1/64 dev v0 nodad",
            "link set v0 up",
            "link set v1 up",
            f"neigh add {NOWHERE} lladdr 02:00:00:00:00:02 dev v0",
            "neigh add fd00::2 lladdr 02:00:00:00:00:02 dev v0",
        ):
            ip(change)
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)


class Pings:
    """A Pinger, and what it says."""

    def __init__(self, group_range: str = GROUP_RANGE) -> None:
        self.said: list[str] = []
        self.pinger = Pinger(self.said.append, group_range)

    def __call__(self, host: str, number: int = 1, limit_s: float = LIMIT_S, **more: Any) -> CheckResult:
        check = PingCheck(connect_timeout_us=seconds(limit_s), **more)
        order = StartCheck(number, check, Target(ip_address(host), 0), f"[{host}]:tcp:80")
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(self.pinger.ping(order))


@pytest.fixture
def pings() -> Iterator[Pings]:
    made = Pings()
    yield made
    made.pinger.close()


@pytest.fixture
def wire() -> Iterator[Callable[[int], bytes]]:
    """Takes the next echo request of that kind from the other end of the line."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as tap:
        tap.bind(("v1", 0))
        tap.settimeout(5)

        def next_one(kind: int) -> bytes:
            while True:
                frame = tap.recv(2048)
                begin = 14 + (20 if frame[12:14] == b"\x08\0" else 40)
                if frame[begin : begin + 1] == bytes([kind]) and len(frame) - begin == 136:
                    return frame[begin:]

        yield next_one


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "10.0.0.1", "fd00::1"])
def test_who_answers(pings: Pings, host: str) -> None:
    for _ in range(3):
        result = pings(host, limit_s=10)
        assert (result.good, result.ending, result.lines) == (True, Ending.ANSWERED, ())


@pytest.mark.parametrize("host", [NOWHERE, "fd00::2"])
def test_silence(pings: Pings, host: str) -> None:
    result = pings(host)
    assert (result.good, result.ending) == (False, Ending.TIMED_OUT)
    assert result.lines == (f"ICMP connection to address [{host}]:tcp:80 timeout.",)


@pytest.mark.parametrize(("host", "kind"), [(NOWHERE, 8), ("fd00::2", 128)])
def test_request_on_the_wire(pings: Pings, wire: Callable[[int], bytes], host: str, kind: int) -> None:
    pings(host)
    packet = wire(kind)
    assert packet[0:2] == bytes([kind, 0])
    assert packet[6:8] == b"\0\1"
    assert packet[8:] == TEXT


def test_no_two_requests_are_alike(pings: Pings, wire: Callable[[int], bytes]) -> None:
    pings(NOWHERE)
    first = wire(8)
    pings("127.0.0.1", limit_s=10)
    pings(NOWHERE)
    second = wire(8)
    assert (first[6:8], second[6:8]) == (b"\0\1", b"\0\3")
    assert first[4:6] != second[4:6]


def test_nothing_stays_open(pings: Pings) -> None:
    assert pings("127.0.0.1", limit_s=10).good
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert pings("127.0.0.1", limit_s=10).good
        assert not pings(NOWHERE, limit_s=0.01).good
    assert len(os.listdir("/proc/self/fd")) == before


def test_configured_identifier(pings: Pings, wire: Callable[[int], bytes]) -> None:
    pings(NOWHERE, source_port=4711, source_ip=ip_address("10.0.0.1"), source_interface="v0")
    assert wire(8)[4:6] == (4711).to_bytes(2, "big")


def reply(identifier: int, sequence: int, sender: str) -> None:
    """An echo reply to 10.0.0.1 that nobody asked for."""
    body = struct.pack("!BBHHH", 0, 0, 0, identifier, sequence) + TEXT
    total = sum(struct.unpack(f"!{len(body) // 2}H", body))
    total = (total >> 16) + (total & 0xFFFF)
    body = body[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + body[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.bind((sender, 0))
        raw.sendto(body, ("10.0.0.1", 0))


@pytest.mark.parametrize(
    ("sequence", "sender", "good"), [(1, NOWHERE, True), (7, NOWHERE, False), (1, "10.0.0.9", False)]
)
def test_only_the_right_reply_counts(pings: Pings, sequence: int, sender: str, good: bool) -> None:
    ip(f"addr add {sender}/32 dev lo")
    ip("rule add pref 0 from all lookup 100")  # before `local`: what goes to 10.0.0.2 leaves by v0
    ip("rule del pref 0 lookup local")
    ip("rule add pref 1 lookup local")
    ip(f"route add {NOWHERE} dev v0 src 10.0.0.1 table 100")
    check = PingCheck(connect_timeout_us=seconds(10 if good else LIMIT_S), source_port=99)

    async def lived() -> CheckResult:
        order = StartCheck(1, check, Target(ip_address(NOWHERE), 0), "[10.0.0.2]:tcp:80")
        asked = asyncio.ensure_future(pings.pinger.ping(order))
        await asyncio.sleep(0)
        reply(99, sequence, sender)
        return await asked

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(lived()).good is good


def test_no_way(pings: Pings) -> None:
    result = pings("192.0.2.1")
    assert (result.ending, result.lines) == (Ending.UNREACHABLE, ("send ICMP packet fail",))
    result = pings("2001:db8::1")
    assert (result.ending, result.lines) == (
        Ending.UNREACHABLE,
        ("send ICMPv6 packet fail - errno 101",),
    )


def test_own_address_that_is_not_ours_says_nothing_about_the_server(pings: Pings) -> None:
    result = pings("127.0.0.1", source_ip=ip_address("192.0.2.1"))
    assert result.ending is Ending.BROKEN
    assert result.lines == ("bind failed. errno: 99, error: Cannot assign requested address",)


def test_unknown_interface(pings: Pings) -> None:
    result = pings("127.0.0.1", source_interface="v9")
    assert (result.ending, result.lines) == (
        Ending.BROKEN,
        ("Checker can't bind to device v9: No such device",),
    )


# -- who may ping ------------------------------------------------------------------------


def test_range_is_widened_and_given_back() -> None:
    sysctl = Path(GROUP_RANGE)
    pings = Pings()
    assert sysctl.read_text().split() == ["1", "0"]
    assert pings("127.0.0.1", limit_s=10).good
    assert sysctl.read_text().split() == ["0", "0"]
    pings.pinger.close()
    assert (sysctl.read_text().split(), pings.said) == (["1", "0"], [])


def test_range_of_others_is_widened_with_a_warning() -> None:
    Path(GROUP_RANGE).write_text("1000\t2000\n")
    pings = Pings()
    assert pings("127.0.0.1", limit_s=10).good
    assert pings("127.0.0.1", limit_s=10).good
    assert pings.said == [f"Warning: {GROUP_RANGE} being expanded from 1000 2000 to 0 2000"]
    pings.pinger.close()
    assert Path(GROUP_RANGE).read_text().split() == ["1000", "2000"]


def test_a_range_that_somebody_changed_since_stays() -> None:
    pings = Pings()
    assert pings("127.0.0.1", limit_s=10).good
    Path(GROUP_RANGE).write_text("5\t9\n")
    pings.pinger.close()
    assert Path(GROUP_RANGE).read_text().split() == ["5", "9"]


@pytest.mark.parametrize(("host", "nobody"), [("127.0.0.1", NOWHERE), ("::1", "fd00::2")])
def test_raw_socket_where_the_range_cannot_be_widened(tmp_path: Path, host: str, nobody: str) -> None:
    pings = Pings(str(tmp_path / "none"))
    with pytest.raises(PermissionError):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    assert pings(host, limit_s=10).good
    assert pings(host, limit_s=10).good
    assert pings(nobody).ending is Ending.TIMED_OUT


def test_raw_request_on_the_wire(tmp_path: Path, wire: Callable[[int], bytes]) -> None:
    Pings(str(tmp_path / "none"))(NOWHERE)
    packet = wire(8)
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    assert (packet[:2], total, packet[6:8], packet[8:]) == (b"\x08\0", 0xFFFF, b"\0\1", TEXT)
