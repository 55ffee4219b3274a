"""The sockets between members, on loopback addresses: delivery, names, refusals, log lines, start-up errors."""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.errors import FatalStart
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.election.raft import links as links_module
from keepalived_py.election.raft import resolver
from keepalived_py.election.raft.links import FRAMES_AT_ONCE, LOG_EVERY_US, Links
from keepalived_py.election.raft.resolver import look_up
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import Answer, LogPart, RaftCluster, RaftMember, RaftMessage
from keepalived_py.system import loop
from keepalived_py.system.datagrams import Datagrams, Target, literal

A, B, C = MemberId("a"), MemberId("b"), MemberId("c")
KEY = b"k" * 32
HELLO = LogPart(b"hello")


def free_port(family: int = socket.AF_INET, host: str = "127.0.0.1") -> int:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def cluster_of(own: MemberId, hosts: dict[MemberId, Endpoint], key: bytes = KEY) -> RaftCluster:
    return RaftCluster("test", own, tuple(RaftMember(each, at) for each, at in hosts.items()), key=key)


@dataclass
class Seat:
    """One member with what it heard and said, and a clock that a test may push."""

    cluster: RaftCluster
    heard: list[tuple[MemberId, RaftMessage, Micros]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    ahead: int = 0

    def __post_init__(self) -> None:
        self.links = Links(
            self.cluster,
            lambda member, message, age: self.heard.append((member, message, age)),
            self.said.append,
            now=self.now,
        )

    def now(self) -> Micros:
        return Micros(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 + self.ahead)

    def got(self, body: bytes) -> bool:
        return any(message == LogPart(body) for _, message, _ in self.heard)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    loop.run(asyncio.wait_for(main(), 30))


async def until(condition: Callable[[], object], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.002)


async def arrives(sender: Seat, receiver: Seat, body: bytes) -> None:
    """Members send again and again; sooner or later it gets there."""
    deadline = time.monotonic() + 10
    while not receiver.got(body):
        assert time.monotonic() < deadline, f"{body!r} does not arrive"
        sender.links.send(receiver.cluster.own, LogPart(body))
        await asyncio.sleep(0.01)


def seats(key: bytes = KEY, hosts: tuple[str, str] = ("127.0.0.1", "127.0.0.2")) -> tuple[Seat, Seat]:
    port = free_port()
    where = {A: Endpoint(hosts[0], port), B: Endpoint(hosts[1], port)}
    return Seat(cluster_of(A, where, key)), Seat(cluster_of(B, where, key))


@pytest.mark.parametrize("key", [KEY, b""], ids=["signed", "unsigned"])
def test_messages_go_both_ways(key: bytes) -> None:
    a, b = seats(key)

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        a.links.send(B, HELLO)
        await until(lambda: b.heard)
        answer = Answer(Micros(1), Micros(2), (LeaseName("x"),), {})
        b.links.send(A, answer)
        await until(lambda: a.heard)
        assert b.heard[0][:2] == (A, HELLO)
        assert a.heard[0][:2] == (B, answer)
        assert a.links.counters.refused == b.links.counters.refused == {}
        assert a.links.counters.sent == b.links.counters.received == 2
        a.links.close()
        b.links.close()

    run(scenario)
    assert a.said == b.said == []


def test_restart_of_one_and_members_that_are_away() -> None:
    a, b = seats()

    async def scenario() -> None:
        a.links.open()
        a.links.send(B, HELLO)  # nobody is there
        a.links.send(C, HELLO)  # nor ever will be
        for _ in range(3):
            b.links.open()
            await arrives(a, b, b"to b")
            await arrives(b, a, b"to a")
            b.links.close()
            b.__post_init__()
            b.heard.clear()
            a.heard.clear()
        a.links.close()

    run(scenario)
    assert a.said == b.said == []


def test_ipv6() -> None:
    where = {each: Endpoint("::1", free_port(socket.AF_INET6, "::1")) for each in (A, B)}
    a, b = Seat(cluster_of(A, where)), Seat(cluster_of(B, where))

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(a, b, b"x")
        a.links.close()
        b.links.close()

    run(scenario)


def test_both_families_at_every_address() -> None:
    where = {
        A: Endpoint("127.0.0.1", free_port()),
        B: Endpoint("::1", free_port(socket.AF_INET6, "::1")),
        C: Endpoint("127.0.0.3", free_port()),
    }
    b, c = Seat(cluster_of(B, where)), Seat(cluster_of(C, where))
    a = Seat(replace(cluster_of(A, where), bind=Endpoint("", where[A].port)))
    b = Seat(replace(cluster_of(B, where), bind=Endpoint("", where[B].port)))

    async def scenario() -> None:
        for seat in (a, b, c):
            seat.links.open()
        await arrives(a, b, b"x")
        await arrives(a, c, b"x")
        await arrives(b, a, b"y")
        for seat in (a, b, c):
            seat.links.close()

    run(scenario)


def _hanging(names: dict[str, str]) -> Callable[[str, int], tuple[Target, ...]]:
    def stands_for(host: str, port: int) -> tuple[Target, ...]:
        if host not in names:
            time.sleep(3600)
        return literal(names[host], port)

    return stands_for


def test_a_name_that_nobody_answers_for_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "targets", _hanging({"b.example": "127.0.0.2"}))
    port = free_port()
    where = {A: Endpoint("127.0.0.1", port), B: Endpoint("b.example", port), C: Endpoint("c.example", port)}
    a = Seat(cluster_of(A, where))
    b = Seat(cluster_of(B, {**where, B: Endpoint("127.0.0.2", port)}))
    begin = time.monotonic()

    async def scenario() -> None:
        b.links.open()
        a.links.open()
        a.links.send(C, HELLO)
        await arrives(a, b, b"x")
        await arrives(b, a, b"y")
        assert a.links.counters.unsent > 0
        a.links.close()
        b.links.close()

    run(scenario)
    assert time.monotonic() - begin < 8


def test_a_name_that_moves_is_looked_up_again_when_the_member_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    where = {A: Endpoint("127.0.0.1", port), B: Endpoint("b.example", port)}
    a, b = Seat(cluster_of(A, where)), Seat(cluster_of(B, {**where, B: Endpoint("127.0.0.2", port)}))
    answers = [literal("127.0.0.9", port), literal("127.0.0.2", port)]
    asked = 0

    def told(self: resolver.Resolver, endpoint: Endpoint) -> None:
        nonlocal asked
        self._known[endpoint] = answers[min(asked, 1)]
        asked += 1
        self._found(endpoint)

    monkeypatch.setattr(resolver.Resolver, "_ask", told)

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        assert asked == 1
        a.ahead = 6_000_000
        await until(lambda: asked == 2)
        await arrives(a, b, b"x")
        a.links.close()
        b.links.close()

    run(scenario)


def test_literals_need_no_helper() -> None:
    a, _ = seats()

    async def scenario() -> None:
        a.links.open()
        assert a.links._resolver is not None and a.links._resolver._helper is None
        a.links.close()

    run(scenario)


def test_look_up_at_the_start_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "targets", _hanging({"known": "127.0.0.2"}))
    assert look_up(Endpoint("known", 7), 5) == (Target(socket.AF_INET, ("127.0.0.2", 7)),)
    begin = time.monotonic()
    assert look_up(Endpoint("unknown", 7), 0.1) == ()
    assert time.monotonic() - begin < 3


def test_own_name_that_only_we_reach_is_not_listened_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "targets", _hanging({"me": "127.0.1.1"}))
    mine, other = free_port(), Endpoint("127.0.0.2", free_port())
    a = Seat(cluster_of(A, {A: Endpoint("me", mine), B: other}))
    b = Seat(cluster_of(B, {A: Endpoint("127.0.0.5", mine), B: other}))

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(b, a, b"x")
        a.links.close()
        b.links.close()

    run(scenario)
    assert "listening at every address" in a.said[0]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("192.0.2.77", "no address of this machine"), ("2001:db8::77", "no address of this machine")],
)
def test_own_address_must_be_local(host: str, expected: str) -> None:
    a = Seat(cluster_of(A, {A: Endpoint(host, 7000), B: Endpoint("127.0.0.2", 7000)}))

    async def scenario() -> None:
        a.links.open()

    with pytest.raises(FatalStart, match=expected) as fault:
        run(scenario)
    assert str(Endpoint(host, 7000)) in str(fault.value)


def test_port_that_is_taken() -> None:
    a, _ = seats()
    port = a.cluster.member(A).endpoint.port

    async def scenario() -> None:
        a.links.open()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        with pytest.raises(FatalStart, match="the port is taken"):
            run(scenario)
        a.cluster = replace(a.cluster, bind=Endpoint("", port))
        a.__post_init__()
        with pytest.raises(FatalStart, match="the port is taken"):
            run(scenario)


def test_port_that_is_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = seats()

    def refuse(self: Datagrams, address: str, port: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Datagrams, "_open", refuse)

    async def scenario() -> None:
        a.links.open()

    with pytest.raises(FatalStart, match="above 1023"):
        run(scenario)


def test_name_to_bind_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "_NAME_LIMIT_S", 0.1)
    monkeypatch.setattr(resolver, "targets", _hanging({}))
    a, _ = seats()
    a.cluster = replace(a.cluster, bind=Endpoint("nowhere.example", 7000))
    a.__post_init__()

    async def scenario() -> None:
        a.links.open()

    with pytest.raises(FatalStart, match=r"nowhere\.example"):
        run(scenario)


def test_strangers_are_counted_and_logged_once_a_minute() -> None:
    a, b = seats()

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(a, b, b"before")
        port = a.cluster.member(A).endpoint.port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.66", 0))
            stranger.setblocking(False)
            for _ in range(50):
                stranger.sendto(b"garbage", ("127.0.0.1", port))
            await until(lambda: sum(a.links.counters.refused.values()) == 50)
            with pytest.raises(BlockingIOError):
                stranger.recv(100)
        assert a.links.counters.refused == {"not of this protocol": 50}
        assert len(a.said) == 1 and "127.0.0.66" in a.said[0]
        a.ahead = LOG_EVERY_US
        await until(lambda: len(a.said) == 2)
        assert "(49 of this kind in all since the last line)" in a.said[1]
        await arrives(b, a, b"after")
        a.links.close()
        b.links.close()

    run(scenario)
    assert len(a.said) == 2


def test_a_flood_is_stopped_by_the_kernel_and_members_pass() -> None:
    a, b = seats()
    target = ("127.0.0.1", a.cluster.member(A).endpoint.port)

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(b, a, b"before")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.66", 0))

            async def flood(most: int) -> int:
                before = sum(a.links.counters.refused.values())
                for _ in range(most // 50):
                    for _ in range(50):
                        stranger.sendto(b"garbage", target)
                    await asyncio.sleep(0.001)
                await arrives(b, a, b"%d" % time.monotonic_ns())
                return sum(a.links.counters.refused.values()) - before

            assert 500 <= await flood(1_000) < 1_000
            assert await flood(1_000) == 0
            a.ahead = LOG_EVERY_US
            await until(lambda: not a.links._filtered_until)
            assert await flood(50) == 50
        a.links.close()
        b.links.close()

    run(scenario)
    assert [line for line in a.said if "flood" in line] == a.said[1:2]


def test_unsigned_members_must_send_from_their_address() -> None:
    a, b = seats(b"")
    port = a.cluster.member(A).endpoint.port
    b.cluster = replace(b.cluster, bind=Endpoint("127.0.0.3", port))
    b.__post_init__()

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        b.links.send(A, HELLO)
        await until(lambda: a.links.counters.refused)
        a.links.close()
        b.links.close()

    run(scenario)
    assert a.links.counters.refused == {"not from the member's address": 1}
    assert "127.0.0.3" in a.said[0] and a.heard == []


def test_different_keys_are_said_with_a_hint() -> None:
    a, b = seats()
    b.cluster = replace(b.cluster, key=b"x" * 32)
    b.__post_init__()

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        b.links.send(A, HELLO)
        await until(lambda: a.said)
        a.links.close()
        b.links.close()

    run(scenario)
    assert a.said == [
        "Raft: refused a frame with a wrong signature, from 127.0.0.2: is the key file the same on all members?"
    ]


def test_members_can_be_replaced() -> None:
    a, b = seats()

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(a, b, b"x")
        own = a.cluster.member(A)
        a.links.replace(replace(a.cluster, members=(own,)))
        a.links.send(B, HELLO)
        b.links.send(A, LogPart(b"still"))
        await until(lambda: a.links.counters.refused)
        a.links.replace(a.cluster)
        await arrives(b, a, b"again")
        assert not a.got(b"still")
        a.said.clear()
        a.links.replace(replace(a.cluster, bind=Endpoint("127.0.0.9", 7000)))
        assert "until the next start" in a.said[0]
        a.links.close()
        b.links.close()

    run(scenario)


def test_messages_that_are_too_long_are_said_and_not_sent() -> None:
    a, _ = seats()

    async def scenario() -> None:
        a.links.open()
        for _ in range(3):
            a.links.send(B, LogPart(bytes(50_000)))
        a.links.close()

    run(scenario)
    assert len(a.said) == 1 and "longer than a frame" in a.said[0]
    assert a.links.counters.unsent == 3 and a.links.counters.sent == 0


def test_a_long_message_arrives_whole() -> None:
    a, b = seats()
    body = os.urandom(44_000)

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(a, b, body)
        a.links.close()
        b.links.close()

    run(scenario)


def test_nothing_is_heard_after_the_end() -> None:
    a, b = seats()

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(a, b, b"x")
        b.links.close()
        b.links.close()
        b.links.send(A, HELLO)
        a.links.close()

    run(scenario)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", a.cluster.member(A).endpoint.port))


def test_tcp_is_refused() -> None:
    a, _ = seats()

    async def scenario() -> None:
        a.links.open()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", a.cluster.member(A).endpoint.port), 5)
        a.links.close()

    run(scenario)


class Box:
    """A socket that hears, and another one that fills it."""

    def __init__(self) -> None:
        self.inside = Datagrams(socket.AF_INET, "127.0.0.1", 0)
        self.outside = Datagrams(socket.AF_INET, "127.0.0.1", 0)

    def put(self, data: bytes) -> None:
        assert self.outside.send(data, Target(socket.AF_INET, ("127.0.0.1", self.inside.port))) == 0

    def close(self) -> None:
        self.inside.close()
        self.outside.close()


def test_a_bounded_number_is_taken_at_once() -> None:
    box = Box()
    for number in range(200):
        box.put(b"%d" % number)
    first = [int(each.data) for each in box.inside.drain(FRAMES_AT_ONCE)]
    assert first == list(range(FRAMES_AT_ONCE))
    assert len(list(box.inside.drain(1000))) == 200 - FRAMES_AT_ONCE
    for _ in range(15):
        box.put(bytes(60_000))
    assert len(list(box.inside.drain(FRAMES_AT_ONCE))) == 5
    box.close()


@pytest.mark.parametrize(
    ("family", "host", "other"), [(socket.AF_INET, "127.0.0.1", "127.0.0.2"), (socket.AF_INET6, "::1", "::2")]
)
def test_the_kernel_looks_at_bytes_and_source(family: int, host: str, other: str) -> None:
    inside, outside = (Datagrams(family, host, 0) for _ in range(2))
    to = literal(host, inside.port)[0]

    def passes(data: bytes) -> bool:
        assert outside.send(data, to) == 0
        return [each.data for each in inside.drain(2)] == [data]

    marks = ((0, b"abcd"), (5, b"efgh"))
    assert inside.only(marks, [other, host]) == 0
    assert passes(b"abcd_efgh") and passes(b"abcd efgh and more")
    assert not passes(b"abcx_efgh") and not passes(b"abcd_efgx")
    assert not passes(b"abcd_efg") and not passes(b"")
    assert inside.only(marks, [other]) == 0
    assert not passes(b"abcd_efgh")
    assert inside.everything() == 0
    assert passes(b"x")
    inside.close()
    outside.close()


def test_age_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    assert list(box.inside.drain(1)) == []
    begin = time.monotonic()
    box.put(b"x")
    while time.monotonic() - begin < 0.02:
        pass
    (found,) = box.inside.drain(1)
    assert 20_000 <= found.age_us <= (time.monotonic() - begin) * 1_000_000
    box.close()


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_clock_that_is_set_does_not_make_anything_older(
    monkeypatch: pytest.MonkeyPatch, step_s: int
) -> None:
    box = Box()
    real = time.time_ns
    monkeypatch.setattr(
        "keepalived_py.system.datagrams.time.time_ns", lambda: real() + step_s * 1_000_000_000
    )
    begin = time.monotonic()
    assert list(box.inside.drain(1)) == []
    box.put(b"x")
    (found,) = box.inside.drain(1)
    assert 0 <= found.age_us <= (time.monotonic() - begin) * 1_000_000 + 1
    box.close()
