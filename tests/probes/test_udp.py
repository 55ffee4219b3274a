"""UDP_CHECK: silence, refusals and replies of every kind."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from threading import Thread
from typing import Any

import pytest

from keepalived_py.base.clock import seconds
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import HexPattern, UdpCheck
from keepalived_py.probes.udp import matches, send_datagram
from keepalived_py.system.loop import new_loop

Answer = Callable[[socket.socket, bytes, tuple[str, int]], None]
ANY = HexPattern()
LIMIT_S = 0.2
OWN_TEXT = b"keepalived check - keepalived ch"


class Server:
    """Hears one datagram and does something about it."""

    def __init__(self, answer: Answer, host: str) -> None:
        self.host = host
        self.heard = b""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(10)
        self.port = self._socket.getsockname()[1]
        self._thread = Thread(target=self._serve, args=(answer,), daemon=True)
        self._thread.start()

    def _serve(self, answer: Answer) -> None:
        self.heard, sender = self._socket.recvfrom(65_536)
        answer(self._socket, self.heard, sender)

    def close(self) -> None:
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def serving() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def serve(answer: Answer, host: str = "127.0.0.1") -> Server:
        made.append(Server(answer, host))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def replies(*data: bytes) -> Answer:
    def answer(opened: socket.socket, heard: bytes, sender: tuple[str, int]) -> None:
        for reply in data:
            opened.sendto(reply, sender)

    return answer


SILENT = replies()


def ask(port: int, host: str = "127.0.0.1", limit_s: float = LIMIT_S, **more: Any) -> CheckResult:
    check = UdpCheck(connect_timeout_us=seconds(limit_s), **more)
    order = StartCheck(1, check, Target(ip_address(host), port), f"[{host}]:udp:{port}")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(send_datagram(order))


def free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_closed_port(host: str) -> None:
    port = free_port(host)
    result = ask(port, host, limit_s=10)
    assert (result.good, result.ending, result.text) == (False, Ending.REFUSED, "connection refused")
    assert result.lines == (f"UDP connection to [{host}]:udp:{port} failed.",)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_silence_is_good_after_the_whole_time(serving: Callable[..., Server], host: str) -> None:
    server = serving(SILENT, host)
    began = time.monotonic()
    assert ask(server.port, host).good
    assert time.monotonic() - began >= LIMIT_S
    assert server.heard == OWN_TEXT


def test_silence_where_an_answer_is_required(serving: Callable[..., Server]) -> None:
    result = ask(serving(SILENT).port, reply=ANY)
    assert (result.good, result.ending) == (False, Ending.TIMED_OUT)
    assert result.lines[0].endswith(" failed.")


def test_any_datagram_is_an_answer_at_once(serving: Callable[..., Server]) -> None:
    assert ask(serving(replies(b"")).port, limit_s=60).good
    assert ask(serving(replies(b"x" * 5000)).port, limit_s=60, reply=ANY).good


@pytest.mark.parametrize("payload", [b"", b"\x01\xff", bytes(range(256))])
def test_payload(serving: Callable[..., Server], payload: bytes) -> None:
    server = serving(replies(b"ok"))
    assert ask(server.port, limit_s=10, payload=payload).good
    server.close()
    assert server.heard == payload


def test_the_first_reply_decides(serving: Callable[..., Server]) -> None:
    wanted = HexPattern(b"yes")
    port = serving(replies(b"no", b"yes")).port
    result = ask(port, limit_s=10, reply=wanted)
    assert (result.good, result.ending) == (False, Ending.WRONG)
    assert result.lines == (f"UDP check to [127.0.0.1]:udp:{port} reply data mismatch.",)
    assert ask(serving(replies(b"yes", b"no")).port, limit_s=10, reply=wanted).good


def test_strangers_are_not_heard(serving: Callable[..., Server]) -> None:
    def from_elsewhere(opened: socket.socket, heard: bytes, sender: tuple[str, int]) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"yes", sender)

    assert ask(serving(from_elsewhere).port, reply=HexPattern(b"yes")).ending is Ending.TIMED_OUT


def test_a_huge_reply_is_too_long(serving: Callable[..., Server]) -> None:
    result = ask(serving(replies(b"a" * 60_000)).port, limit_s=10, reply=HexPattern(b"a"))
    assert (result.ending, result.text) == (
        Ending.WRONG,
        "another answer than required (too many bytes)",
    )


@pytest.mark.parametrize(
    ("reply", "pattern", "lengths", "good"),
    [
        (b"\x01\x02", HexPattern(b"\x01\x02"), (0, 255), True),
        (b"\x01\x03", HexPattern(b"\x01\x02"), (0, 255), False),
        (b"\x01\x13", HexPattern(b"\x01\x00", b"\x00\xff"), (0, 255), True),
        (b"\x01\x13", HexPattern(b"\x01\x03", b"\x00\xf0"), (0, 255), True),
        (b"\x01\x14", HexPattern(b"\x01\x03", b"\x00\xf0"), (0, 255), False),
        (b"\x01", HexPattern(b"\x01\x02"), (0, 255), True),
        (b"", HexPattern(b"\x01"), (0, 255), True),
        (b"\x01", HexPattern(b"\x01\x02"), (2, 255), False),
        (b"\x01\xff", HexPattern(b"\x01"), (0, 1), False),
        (b"\x01\xff", HexPattern(b"\x01"), (2, 2), True),
        (b"\x01\xff", HexPattern(), (7, 9), True),
        (b"\x01\xff", None, (7, 9), True),
    ],
)
def test_matches(reply: bytes, pattern: HexPattern | None, lengths: tuple[int, int], good: bool) -> None:
    low, high = lengths
    check = UdpCheck(reply=pattern, min_reply_length=low, max_reply_length=high)
    assert matches(reply, check) is good


def test_own_side(serving: Callable[..., Server]) -> None:
    own = free_port("127.0.0.5")
    senders: list[tuple[str, int]] = []

    def note(opened: socket.socket, heard: bytes, sender: tuple[str, int]) -> None:
        senders.append(sender)
        opened.sendto(b"x", sender)

    server = serving(note)
    assert ask(server.port, limit_s=10, source_ip=ip_address("127.0.0.5"), source_port=own).good
    assert senders == [("127.0.0.5", own)]


def test_own_address_that_is_not_ours_is_a_failure() -> None:
    result = ask(9, source_ip=ip_address("192.0.2.1"))
    assert (result.good, result.ending) == (False, Ending.UNREACHABLE)
    assert result.lines == ("bind failed. errno: 99, error: Cannot assign requested address",)


def icmp(kind: int, code: int) -> Answer:
    """Complain about the datagram with this ICMP message instead of an answer."""

    def answer(opened: socket.socket, heard: bytes, sender: tuple[str, int]) -> None:
        local = socket.inet_aton("127.0.0.1")
        length = len(heard) + 8
        header = struct.pack("!BBHHHBBH", 0x45, 0, length + 20, 0, 0, 64, 17, 0) + local + local
        about = header + struct.pack("!HHHH", sender[1], opened.getsockname()[1], length, 0)
        body = struct.pack("!BBHI", kind, code, 0, 0) + about
        total = sum(struct.unpack(f"!{len(body) // 2}H", body))
        total = (total >> 16) + (total & 0xFFFF)
        checksum = ~(total + (total >> 16)) & 0xFFFF
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.sendto(body[:2] + struct.pack("!H", checksum) + body[4:], ("127.0.0.1", 0))

    return answer


@pytest.mark.netns
def test_what_routers_say(serving: Callable[..., Server]) -> None:
    """No way to the host is a refusal, though only the queue of errors tells; a packet that lived too
    long is none.
    """
    unreachable = ask(serving(icmp(3, 1)).port, limit_s=10)
    assert (unreachable.good, unreachable.ending) == (False, Ending.UNREACHABLE)
    expired = ask(serving(icmp(11, 0)).port, limit_s=10)
    assert (expired.good, expired.text) == (True, "not refused (no route to host)")
    assert not ask(serving(icmp(11, 0)).port, limit_s=10, reply=ANY).good
