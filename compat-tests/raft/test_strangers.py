"""What a stranger can do to members of a cluster: nothing, but be counted.

Two members in namespaces of a bridge send each other numbered messages without
end.  A third machine, which sees all their frames, sends pickles that would make a
file, noise, packets of the greatest size, cut and changed frames, and recordings,
from its own address and from that of a member.  Afterwards every message was
delivered once and in no life but its own, nothing was executed, nobody was answered,
there are few log lines, and the members still talk.
"""

import errno
import json
import os
import pickle
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from space import Space, inside

from keepalived_py.election.raft.session import LONGEST_FRAME

PORT = 7400
ROOT = Path(__file__).resolve().parents[2]
ETH_P_IP = 0x0800
MEMBER = """
import asyncio, json, resource, sys
from keepalived_py.base.names import MemberId
from keepalived_py.election.raft.links import Links
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import LogPart, RaftCluster, RaftMember
from keepalived_py.system import loop

own, hosts, port, key = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode()
members = tuple(RaftMember(MemberId(each), Endpoint(host, port)) for each, host in hosts.items())
cluster = RaftCluster("strangers", MemberId(own), members, key=key)
heard, said = [], []

async def main():
    links = Links(cluster, lambda member, message, age: heard.append(message.body.decode()), said.append)
    links.open()
    number = 0
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    asked = asyncio.ensure_future(reader.readline())
    while True:
        number += 1
        for each in cluster.others:
            links.send(each.id, LogPart(b"%s/%d" % (own.encode(), number)))
        done, _ = await asyncio.wait((asked,), timeout=0.02)
        if done:
            if not asked.result():
                return
            memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            refused = dict(links.counters.refused)
            print(json.dumps({"heard": heard, "said": said, "memory": memory_kib, "refused": refused}), flush=True)
            asked = asyncio.ensure_future(reader.readline())

loop.run(main())
"""


@dataclass(slots=True)
class Told:
    """What a member has seen until now."""

    heard: list[str]
    said: list[str]
    memory: int
    refused: dict[str, int]


class Member:
    """A process that is one member."""

    def __init__(self, space: Space, number: int, key: str) -> None:
        hosts = json.dumps({"a": space.address(1), "b": space.address(2)})
        words = [sys.executable, "-c", MEMBER, "ab"[number - 1], hosts, str(PORT), key]
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", space.node(number), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def ask(self) -> Told:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], 20)
        assert ready, "the member does not answer"
        return Told(**json.loads(self._process.stdout.readline()))

    def hears_more_than(self, count: int) -> Told:
        deadline = time.monotonic() + 20
        while len((told := self.ask()).heard) <= count:
            assert time.monotonic() < deadline, "the members do not talk any more"
            time.sleep(0.02)
        return told

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            assert self._process.wait(10) == 0
        finally:
            self._process.kill()
            self._process.wait()


@pytest.fixture(params=["k" * 32, ""], ids=["signed", "unsigned"])
def key(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def space() -> Iterator[Space]:
    made = Space(nodes=3).up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def members(space: Space, key: str) -> Iterator[tuple[Member, Member]]:
    made: list[Member] = []
    try:
        made += [Member(space, number, key) for number in (1, 2)]
        for each in made:
            each.hears_more_than(5)
        yield made[0], made[1]
    finally:
        for each in made:
            each.close()


class Bomb:
    """Unpickled it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


def captured(space: Space, count: int) -> list[bytes]:
    """Frames from b to a, as a machine on the same segment may see them."""
    with inside(space.node(1)):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    frames: list[bytes] = []
    with tap:
        tap.settimeout(10)
        while len(frames) < count:
            packet = tap.recv(65_536)
            if packet[9] == socket.IPPROTO_UDP and socket.inet_ntoa(packet[12:16]) == space.address(2):
                frames.append(packet[28:])
    return frames


class Stranger:
    """The third machine, writing to both members."""

    def __init__(self, space: Space) -> None:
        self._space = space
        with inside(space.node(3)):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._socket.bind(("", 0))
        self._socket.setblocking(False)
        # Packets of the greatest size go out in pieces; none may be missing here already.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)

    def send(self, data: bytes) -> None:
        for number in (1, 2):
            try:
                self._socket.sendto(data, (self._space.address(number), PORT))
            except BlockingIOError:
                time.sleep(0.001)

    def forge(self, data: bytes) -> None:
        """To a, in the name of b's address and port."""
        source, to = (socket.inet_aton(self._space.address(number)) for number in (2, 1))
        udp = struct.pack("!HHHH", PORT, PORT, 8 + len(data), 0)
        head = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, socket.IPPROTO_UDP, 0, source, to
        )
        self._raw.sendto(head + udp + data, (self._space.address(1), 0))

    def was_answered(self) -> bool:
        return bool(select.select([self._socket], [], [], 0)[0])

    def tcp_is_refused(self) -> bool:
        with inside(self._space.node(3)), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.settimeout(5)
            return tried.connect_ex((self._space.address(1), PORT)) == errno.ECONNREFUSED

    def close(self) -> None:
        self._socket.close()
        self._raw.close()


def attacks(bomb: Path, frames: list[bytes]) -> Iterator[bytes]:
    source = random.Random(5)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        poison = pickle.dumps(Bomb(bomb), protocol)
        yield poison
        yield struct.pack("i", len(poison)) + poison
        yield frames[0][:93] + poison
        yield frames[0][:93] + poison + frames[0][-32:]
    yield b""
    for size in (1, 92, 93, 125, 1400, LONGEST_FRAME, LONGEST_FRAME + 1, 65_507):
        yield bytes(size)
        yield source.randbytes(size)
        yield (frames[0] * (size // len(frames[0]) + 1))[:size]
    for frame in frames:
        yield frame
        yield frame[: source.randrange(len(frame))]
        at = source.randrange(len(frame))
        yield frame[:at] + bytes((frame[at] ^ 1 << source.randrange(8),)) + frame[at + 1 :]


def test_a_stranger_gets_nothing_done(
    space: Space, members: tuple[Member, Member], key: str, tmp_path: Path
) -> None:
    bomb = tmp_path / "made by the stranger"
    frames = captured(space, 40)
    before = [each.ask() for each in members]
    stranger = Stranger(space)
    try:
        for data in attacks(bomb, frames):
            stranger.send(data)
        for frame in frames:
            stranger.forge(frame)
        assert stranger.tcp_is_refused()
        after = [
            each.hears_more_than(len(told.heard) + 20) for each, told in zip(members, before, strict=True)
        ]
        assert not stranger.was_answered()
    finally:
        stranger.close()
    assert not bomb.exists()
    for told, old, sender in zip(after, before, "ba", strict=True):
        assert len(set(told.heard)) == len(told.heard), "a message was delivered twice"
        assert all(each.partition("/")[0] == sender for each in told.heard)
        numbers = [int(each.partition("/")[2]) for each in told.heard]
        assert numbers == sorted(numbers)
        assert len([line for line in told.said if "refused a frame" in line]) == 1, told.said
        assert told.memory - old.memory < 8 * 1024
    assert sum(after[0].refused.values()) > 100
    assert after[0].refused["a second time"] >= 30


def test_a_flood_does_not_keep_members_from_talking(space: Space, members: tuple[Member, Member]) -> None:
    stranger = Stranger(space)
    begin = time.monotonic()
    before = [len(each.ask().heard) for each in members]
    try:
        while time.monotonic() - begin < 2:
            for _ in range(200):
                stranger.send(b"noise" * 20)
    finally:
        stranger.close()
    for each, count in zip(members, before, strict=True):
        told = each.ask()
        assert len(told.heard) - count > 50
        assert len([line for line in told.said if "flood" in line]) == 1
        assert len(told.said) == 2


def test_recordings_of_an_earlier_life_are_worthless(
    space: Space, members: tuple[Member, Member], key: str
) -> None:
    frames = captured(space, 40)
    members[1].close()
    again = Member(space, 2, key)
    stranger = Stranger(space)
    try:
        again.hears_more_than(5)
        count = len(members[0].ask().heard)
        told = members[0].hears_more_than(count + 5)
        for frame in frames:
            stranger.forge(frame)
        told = members[0].hears_more_than(len(told.heard) + 10)
        restart = next(at for at in range(1, len(told.heard)) if _number(told, at) < _number(told, at - 1))
        numbers = [_number(told, at) for at in range(restart, len(told.heard))]
        assert numbers == sorted(set(numbers)), "only the new life is heard"
        assert told.refused["for or of an earlier life"] >= 30
    finally:
        stranger.close()
        again.close()


def _number(told: Told, at: int) -> int:
    return int(told.heard[at].partition("/")[2])
