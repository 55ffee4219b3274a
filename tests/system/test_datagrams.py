"""UDP sockets between members: addresses that are not quite there yet, and what the kernel drops in a flood."""

import socket
from collections.abc import Callable, Iterator

import pytest

from keepalived_py.system.datagrams import Datagrams, Proof


@pytest.mark.netns
def test_tentative_address(ip: Callable[[str], None]) -> None:
    ip("addr add 2001:db8::1/64 dev v0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain, pytest.raises(OSError):
        plain.bind(("2001:db8::1", 7000))
    opened = Datagrams(socket.AF_INET6, "2001:db8::1", 7000)
    assert opened.port == 7000
    opened.close()
    with pytest.raises(OSError):
        Datagrams(socket.AF_INET6, "2001:db8::2", 7000)


# -- what the kernel drops ---------------------------------------------------------------

MARK = (0, b"kvr1")
SECRET = Proof(4, b"8 bytes!", 12, 100)


class Pair:
    """A socket and somebody who sends to it from another address of this machine."""

    def __init__(self) -> None:
        self.opened = Datagrams(socket.AF_INET, "127.0.0.1", 0)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sender.bind(("127.0.0.2", 0))

    def passed(self, frame: bytes, times: int = 1) -> int:
        """How many of these come through."""
        heard = 0
        for _ in range(times):
            self.sender.sendto(frame, ("127.0.0.1", self.opened.port))
            heard += len(list(self.opened.drain(10)))
        return heard


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.opened.close()
    made.sender.close()


def frame(mark: bytes = b"kvr1", secret: bytes = b"8 bytes!", number: int = 100) -> bytes:
    return mark + secret + number.to_bytes(4, "big")


def test_the_kernel_drops_what_has_no_mark_or_comes_from_elsewhere(pair: Pair) -> None:
    assert pair.opened.only((MARK, (4, b"8 by")), ("127.0.0.9", "127.0.0.2", "127.0.0.8")) == 0
    assert pair.passed(frame()) == 1
    assert pair.passed(frame(mark=b"kvr0")) == 0
    assert pair.passed(frame(secret=b"9 bytes!")) == 0
    assert pair.passed(b"kv") == 0
    assert pair.opened.only((MARK,), ("127.0.0.9",)) == 0
    assert pair.passed(frame()) == 0
    assert pair.opened.everything() == 0
    assert pair.passed(b"") == 1


def test_who_shows_no_proof_is_heard_now_and_then(pair: Pair) -> None:
    other = Proof(4, b"another!")
    assert pair.opened.only((MARK,), ("127.0.0.2",), (other, SECRET)) == 0
    for proved in (frame(), frame(number=2**32 - 1), frame(secret=b"another!", number=0)):
        assert pair.passed(proved, 200) == 200
    # The chance that a sample of one in 32 lets nobody or everybody of 1000 pass is below 1e-13.
    for unknown in (frame(number=99), frame(secret=b"8 bytes?"), frame(secret=b"9 bytes!")):
        assert 0 < pair.passed(unknown, 1000) < 200
    assert pair.passed(frame(mark=b"kvr0"), 500) == 0


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_largest_cluster_has_room_in_the_kernel(family: int) -> None:
    address, sources = ("127.0.0.1", [f"10.0.{n}.1" for n in range(128)])
    if family == socket.AF_INET6:
        address, sources = ("::1", [f"2001:db8::{n:x}" for n in range(128)])
    opened = Datagrams(family, address, 0)
    proofs = [Proof(53, bytes([n]) * 8, 89, 7) for n in range(64)]
    marks = [(0, b"kvr1"), *((5 + at, b"name") for at in range(0, 16, 4))]
    assert opened.only(marks, sources, proofs) == 0
    opened.close()
