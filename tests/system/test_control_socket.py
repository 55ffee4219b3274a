"""The control socket by itself: answers that come later, and loops that remember what they poll."""

import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.system.control_socket import ControlServer, Hints, Later, Reply

HINTS = Hints("shorter", "refused", "served")


class Serving:
    """A server whose replies are given by the test."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.replies: list[Reply | Later] = []
        self.watched: set[int] = set()
        self.server = ControlServer(
            self.path,
            lambda line: line,
            lambda line: self.replies.pop(0),
            HINTS,
            self.watched.add,
            self.watched.remove,
        )

    def connect(self, text: bytes) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(5)
        made.connect(self.path)
        made.sendall(text)
        return made

    def run(self) -> None:
        """Until nothing is left to read."""
        end = time.monotonic() + 5
        while time.monotonic() < end and (ready := select.select(self.server.descriptors(), [], [], 0)[0]):
            for descriptor in ready:
                self.server.ready(descriptor)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path / "control")
    yield made
    made.server.close()
    assert made.watched == set()


def test_an_answer_may_come_later(serving: Serving) -> None:
    later = Later()
    serving.replies = [later, {"ok": False}]
    with serving.connect(b"slow\n") as slow, serving.connect(b"quick\n") as quick:
        serving.run()
        assert json.loads(quick.recv(1000)) == {"ok": False}
        later.settle({"ok": True})
        assert json.loads(slow.recv(1000)) == {"ok": True}
        serving.replies = [{"ok": False}]
        slow.sendall(b"again\n")
        serving.run()
        assert json.loads(slow.recv(1000)) == {"ok": False}


def test_what_was_settled_before_it_was_returned_is_answered_at_once(serving: Serving) -> None:
    later = Later()
    later.settle({"ok": True})
    serving.replies = [later]
    with serving.connect(b"x\n") as client:
        serving.run()
        assert json.loads(client.recv(1000)) == {"ok": True}


def test_whoever_asks_on_before_the_answer_is_cut(serving: Serving) -> None:
    later = Later()
    serving.replies = [later]
    with serving.connect(b"x\n") as client:
        serving.run()
        client.sendall(b"y\n")
        serving.run()
        assert len(serving.server.descriptors()) == 1
        later.settle({"ok": True})
        with pytest.raises(ConnectionError):  # what it sent was not read
            assert client.recv(1000) or None is None
            client.sendall(b"z")


def test_an_answer_for_somebody_who_left_does_not_reach_the_next(serving: Serving) -> None:
    later = Later()
    serving.replies = [later, Later()]
    with serving.connect(b"x\n"):
        serving.run()
        (before,) = serving.watched - {serving.server.descriptors()[0]}
    serving.run()
    with serving.connect(b"y\n") as other:  # it gets the same descriptor
        serving.run()
        assert before in serving.watched
        later.settle({"ok": True})
        assert select.select([other], [], [], 0)[0] == []


def test_descriptors_are_announced(serving: Serving) -> None:
    serving.replies = [Later()]
    with serving.connect(b"x\n"):
        serving.run()
        assert serving.watched == set(serving.server.descriptors())
        assert len(serving.watched) == 2
    serving.run()
    assert len(serving.watched) == 1
