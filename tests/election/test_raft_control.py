"""The control socket: orderly clients are answered, all others are cut, and nobody waits for anybody."""

import contextlib
import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.errors import FatalStart
from keepalived_py.election.raft import control
from keepalived_py.election.raft.control import ControlServer, ask

LIMIT_S = 5.0


class Serving:
    """A server in a poll loop of its own, as in the keeper."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked: list[dict[str, str]] = []
        self.reply: Callable[[dict[str, str]], dict[str, Any]] = lambda request: {
            "ok": True,
            "do": request["do"],
        }
        self.server = ControlServer(path, self._handle)
        self.slowest_s = 0.0
        self._ends, self._end = os.pipe()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _handle(self, request: dict[str, str]) -> dict[str, Any]:
        self.asked.append(request)
        return self.reply(request)

    def _loop(self) -> None:
        while True:
            readable, _, _ = select.select([self._ends, *self.server.descriptors()], [], [], LIMIT_S)
            if self._ends in readable:
                return
            began = time.monotonic()
            for descriptor in readable:
                self.server.ready(descriptor)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def stop(self) -> None:
        os.write(self._end, b"x")
        self._thread.join(LIMIT_S)
        self.server.close()
        os.close(self._ends)
        os.close(self._end)

    def connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(LIMIT_S)
        made.connect(self.path)
        return made


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(str(tmp_path / "run" / "control"))
    yield made
    made.stop()


def is_cut(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_question_and_its_answer(serving: Serving) -> None:
    assert ask(serving.path, {"do": "status"}, LIMIT_S) == {"ok": True, "do": "status"}
    ask(serving.path, {"do": "transfer", "lease": "VI_1", "to": "node2", "more": "x"}, LIMIT_S)
    assert serving.asked == [{"do": "status"}, {"do": "transfer", "lease": "VI_1", "to": "node2"}]


def test_one_connection_may_ask_again_after_the_answer(serving: Serving) -> None:
    with serving.connect() as client:
        for do in ("status", "history"):
            client.sendall(json.dumps({"do": do}).encode() + b"\n")
            assert json.loads(client.recv(1000)) == {"ok": True, "do": do}


def test_a_request_in_pieces(serving: Serving) -> None:
    with serving.connect() as client:
        for piece in (b'{"do": ', b'"status"', b"}\n"):
            client.sendall(piece)
        assert json.loads(client.recv(1000))["ok"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"hello", "a request is one JSON object on one line"),
        (b"\xff\xfe", "a request is one JSON object on one line"),
        (b"[" * 60_000, "a request is one JSON object on one line"),
        (b"[]", "a request is a JSON object"),
        (b'{"do": []}', "unknown request; there are status, transfer, unpin, drain, undrain, history"),
        (b'{"do": "shoot"}', "unknown request; there are status, transfer, unpin, drain, undrain, history"),
        (b'{"do": "transfer", "lease": "a"}', "transfer needs to, a name"),
        (b'{"do": "drain", "member": ""}', "drain needs member, a name"),
        (b'{"do": "drain", "member": 5}', "drain needs member, a name"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(line: bytes, error: str, serving: Serving) -> None:
    with serving.connect() as client:
        client.sendall(line + b"\n")
        assert json.loads(client.recv(1000)) == {"ok": False, "error": error}
    assert serving.asked == []


def test_whoever_does_not_end_the_line_is_cut(serving: Serving) -> None:
    with serving.connect() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(b"x" * (control.LONGEST + 2))
        assert is_cut(client)
    assert ask(serving.path, {"do": "status"}, LIMIT_S)["ok"]


def test_whoever_does_not_wait_for_the_answer_is_cut(serving: Serving) -> None:
    with serving.connect() as client:
        client.sendall(b'{"do": "status"}\n' * 50)
        assert is_cut(client)
    assert len(serving.asked) == 1


def test_whoever_does_not_read_costs_no_time(serving: Serving) -> None:
    serving.reply = lambda request: {"ok": True, "text": "x" * 60_000}
    with serving.connect() as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(200):
                client.send(b'{"do": "status"}\n')
                while len(serving.server.descriptors()) > 1 and not select.select([], [client], [], 0)[1]:
                    pass
        assert is_cut(client)
    assert serving.slowest_s < 1


def test_an_answer_that_is_too_long_is_not_sent(serving: Serving) -> None:
    serving.reply = lambda request: {"ok": True, "text": "x" * control.LONGEST}
    reply = ask(serving.path, {"do": "history"}, LIMIT_S)
    assert reply == {"ok": False, "error": "the answer is too long"}


def test_the_most_silent_makes_room(serving: Serving) -> None:
    clients = []
    for _ in range(control.MOST_CONNECTIONS):
        clients.append(serving.connect())
        clients[-1].sendall(b'{"do": "status"}\n')
        assert clients[-1].recv(1000)
    clients[0].sendall(b'{"do": "status"}\n')
    assert clients[0].recv(1000)
    with serving.connect() as another:
        another.sendall(b'{"do": "status"}\n')
        assert another.recv(1000)
        assert is_cut(clients[1])
        clients[0].sendall(b'{"do": "status"}\n')
        assert clients[0].recv(1000)
        assert len(serving.server.descriptors()) == 1 + control.MOST_CONNECTIONS
    for client in clients:
        client.close()


def test_only_the_owner_may_connect(serving: Serving) -> None:
    assert stat.S_IMODE(os.stat(serving.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(serving.path)).st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_is_told_so(serving: Serving) -> None:
    directory = Path(serving.path).parent
    while directory != Path("/"):  # pytest's directories are for their owner only
        if directory.stat().st_mode & 0o001 == 0:
            directory.chmod(0o711)
        directory = directory.parent
    program = (
        "import os, sys; from keepalived_py.election.raft.control import *; os.setuid(65534)\n"
        f"try: ask({serving.path!r}, {{'do': 'status'}}, 2)\n"
        "except NotAllowed: sys.exit(77)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=20, check=False)
    assert done.returncode == 77


def test_nobody_there(tmp_path: Path, serving: Serving) -> None:
    with pytest.raises(control.NotRunning):
        ask(str(tmp_path / "missing"), {"do": "status"}, LIMIT_S)
    dead = str(tmp_path / "dead")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(dead)
    with pytest.raises(control.NotRunning):
        ask(dead, {"do": "status"}, LIMIT_S)


@pytest.mark.parametrize(
    "answer", [None, b"", b"hello\n", b"[]\n", b'{"ok": 1}\n', b"x" * (control.LONGEST + 1)]
)
def test_a_server_that_speaks_otherwise(answer: bytes | None, tmp_path: Path) -> None:
    """None: it does not answer at all."""
    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.recv(1000)
                if answer is not None:
                    client.sendall(answer)
                else:
                    client.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(control.NoAnswer):
            ask(path, {"do": "status"}, 0.2)
        thread.join(LIMIT_S)
        assert not thread.is_alive()


# -- opening and closing ---------------------------------------------------------------


def test_what_a_dead_server_left_makes_room(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    server = ControlServer(path, lambda request: {"ok": True})
    server.close()
    assert not os.path.exists(path)


def test_a_second_server_is_refused(serving: Serving) -> None:
    with pytest.raises(FatalStart, match="the same member runs twice"):
        ControlServer(serving.path, lambda request: {"ok": True})
    assert ask(serving.path, {"do": "status"}, LIMIT_S)["ok"]


def test_another_kind_of_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control"
    path.write_text("precious")
    with pytest.raises(FatalStart, match="remove it"):
        ControlServer(str(path), lambda request: {"ok": True})
    assert path.read_text() == "precious"


def test_the_name_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "control")
    first = ControlServer(path, lambda request: {"ok": True})
    os.unlink(path)
    second = ControlServer(path, lambda request: {"ok": True})
    first.close()
    assert os.path.exists(path)
    second.close()


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(FatalStart, match="Choose a shorter run_directory"):
        ControlServer(str(tmp_path / ("x" * 108)), lambda request: {"ok": True})
    (tmp_path / "file").write_text("")
    with pytest.raises(FatalStart, match="Is run_directory right"):
        ControlServer(str(tmp_path / "file" / "control"), lambda request: {"ok": True})
