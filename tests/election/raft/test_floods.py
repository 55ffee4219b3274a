"""A flood of frames in a member's name, from that member's address: the kernel tells them from the member's."""

import asyncio
import socket

import pytest

from keepalived_py.election.raft.session import Session
from keepalived_py.model.raft import LogPart
from keepalived_py.system import datagrams
from tests.election.raft.test_links import KEY, A, Seat, arrives, run, seats

BATCH = 4_000


class Forger:
    """Sends what looks like frames of B, from B's host; it has never heard what B and A tell each other."""

    def __init__(self, a: Seat, b: Seat) -> None:
        self.a = a
        self.target = ("127.0.0.1", a.cluster.member(A).endpoint.port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.2", 0))
        (greeting,) = Session(b.cluster, lambda length: b"?" * length).frames(A, b"", a.now())
        # A frame with data, whose ticket and signature are guessed.
        self.frame = greeting[:4] + bytes([greeting[4] & 0x80 | 3]) + greeting[5:53] + b"!" * 80

    async def flood(self) -> int:
        """How many of a batch got as far as the program."""
        before = sum(self.a.links.counters.refused.values())
        for _ in range(BATCH // 50):
            for _ in range(50):
                self.socket.sendto(self.frame, self.target)
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return sum(self.a.links.counters.refused.values()) - before


@pytest.mark.parametrize("key", [KEY, b""], ids=["signed", "unsigned"])
def test_forged_frames_stop_in_the_kernel_and_the_member_is_heard(key: bytes) -> None:
    a, b = seats(key)

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(b, a, b"before")
        forger = Forger(a, b)
        await forger.flood()
        assert a.links._filtered_until
        heard = a.links.counters.received
        # What was on its way when the kernel began to look is over by now.
        await arrives(b, a, b"meanwhile")
        assert 0 < await forger.flood() < BATCH // 8
        for number in range(50):
            b.links.send(A, b_part(number))
        await arrives(b, a, b"49")
        assert all(a.got(b"%d" % number) for number in range(50))
        assert a.links.counters.received >= heard + 50
        forger.socket.close()
        a.links.close()
        b.links.close()

    run(scenario)


def test_a_member_that_starts_anew_is_heard_in_spite_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # A greater sample, not to wait for long.
    monkeypatch.setattr(datagrams, "ONE_IN", 4)
    a, b = seats()

    async def scenario() -> None:
        a.links.open()
        b.links.open()
        await arrives(b, a, b"before")
        forger = Forger(a, b)
        await forger.flood()
        b.links.close()
        b.__post_init__()
        b.links.open()

        async def flood() -> None:
            while True:
                await forger.flood()

        flooding = asyncio.create_task(flood())
        deadline = asyncio.get_running_loop().time() + 25
        while not a.got(b"anew"):
            assert asyncio.get_running_loop().time() < deadline
            # Its first greeting is one of many; each try is another chance.
            b.links.send(A, b_part("anew"))
            await asyncio.sleep(0.01)
        flooding.cancel()
        forger.socket.close()
        a.links.close()
        b.links.close()

    run(scenario)


def b_part(body: object) -> LogPart:
    """A message with that text."""
    return LogPart(str(body).encode())
