"""The control socket: how an administrator asks a running member, and gives it orders.

A UNIX socket that only its owner may open; one JSON object per line each way,
and no answer before its question.  The server stands in somebody else's poll
loop and never waits: whoever sends more than one request at a time, sends
nonsense, or does not read what was answered, is cut; when there are too many
connections, the one that was silent longest makes room.  So nothing a client
does can hold up the log that is kept in the same process.

Requests are checked here, word by word; the handler sees none that is not in
`REQUESTS`, and gets just the fields that stand there.
"""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from keepalived_py.base.errors import FatalStart, KeepalivedError
from keepalived_py.status.raft_snapshot import make_directory

FILE = "control"
LONGEST = 64 * 1024
MOST_CONNECTIONS = 16
_LONGEST_NAME = 255
_LONGEST_PATH = 107  # sun_path of unix(7), without its final zero
_MODE = 0o600

# What may be asked for, and the fields that each needs.
REQUESTS: Mapping[str, tuple[str, ...]] = {
    "status": (),
    "transfer": ("lease", "to"),
    "unpin": ("lease",),
    "drain": ("member",),
    "undrain": ("member",),
    "history": (),
}

Request = dict[str, str]
Reply = dict[str, Any]


class ControlError(KeepalivedError):
    """Nobody answered; the text says why."""


class NotRunning(ControlError):
    """There is nobody at the socket."""


class NotAllowed(ControlError):
    """The socket belongs to somebody else."""


class NoAnswer(ControlError):
    """Somebody is there and does not answer, or not in this language."""


# -- the server ----------------------------------------------------------------------


class ControlServer:
    """Listens at `path` from the moment it is made; raises FatalStart if it cannot.

    `handle` gets a checked request and gives a reply, at once.  Poll `descriptors()` for
    reading, anew in each round, and call `ready` for each of them that is.
    """

    def __init__(self, path: str, handle: Callable[[Request], Reply]) -> None:
        self._path = path
        self._handle = handle
        self._listener = _listener(path)
        self._inode = os.stat(path).st_ino
        # In the order of their last sign of life.
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}

    def descriptors(self) -> list[int]:
        """What is to be polled for reading."""
        return [self._listener.fileno(), *self._clients]

    def ready(self, descriptor: int) -> None:
        """Take what has come there; a descriptor that is not (or no more) ours is passed over."""
        if descriptor == self._listener.fileno():
            self._accept()
        elif descriptor in self._clients:
            self._read(descriptor)

    def close(self) -> None:
        """Leave; the name in the file system goes too, if it is still this server's."""
        for descriptor in tuple(self._clients):
            self._cut(descriptor)
        self._listener.close()
        with suppress(OSError):
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)

    def _accept(self) -> None:
        if len(self._clients) >= MOST_CONNECTIONS:
            self._cut(next(iter(self._clients)))
        try:
            client, _ = self._listener.accept()
        except OSError:  # it has gone again, or there are no descriptors left: it may come again
            return
        client.setblocking(False)
        self._clients[client.fileno()] = (client, bytearray())

    def _cut(self, descriptor: int) -> None:
        client, _ = self._clients.pop(descriptor)
        client.close()

    def _read(self, descriptor: int) -> None:
        client, buffer = self._clients.pop(descriptor)
        self._clients[descriptor] = (client, buffer)
        try:
            data = client.recv(LONGEST + 1 - len(buffer))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer += data
        line, end, more = buffer.partition(b"\n")
        if end:
            # What stands behind the line was sent before the answer: nobody waits for that one.
            sent = self._answer(client, bytes(line))
            buffer.clear()
            if more or not sent:
                self._cut(descriptor)
        elif not data or len(buffer) > LONGEST:
            self._cut(descriptor)

    def _answer(self, client: socket.socket, line: bytes) -> bool:
        """Answer one request; whether all of the answer has been taken."""
        request = parse_request(line)
        reply = _refused(request) if isinstance(request, str) else self._handle(request)
        data = json.dumps(reply, separators=(",", ":")).encode() + b"\n"
        if len(data) > LONGEST:
            data = json.dumps(_refused("the answer is too long")).encode() + b"\n"
        try:
            return client.send(data, socket.MSG_NOSIGNAL) == len(data)
        except OSError:
            return False


def _refused(why: str) -> Reply:
    return {"ok": False, "error": why}


def parse_request(line: bytes) -> Request | str:
    """The request in `line`, or what is wrong with it."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "a request is one JSON object on one line"
    if not isinstance(found, dict):
        return "a request is a JSON object"
    do = found.get("do")
    if not isinstance(do, str) or do not in REQUESTS:
        return f"unknown request; there are {', '.join(REQUESTS)}"
    request = {"do": do}
    for field in REQUESTS[do]:
        value = found.get(field)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
            return f"{do} needs {field}, a name"
        request[field] = value
    return request


def _listener(path: str) -> socket.socket:
    """A listening socket at `path`, its directory made if need be; raises FatalStart."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise FatalStart(
            f"The path of the control socket is too long ({_LONGEST_PATH} bytes are allowed): {path}."
            " Choose a shorter run_directory"
        )
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        make_directory(os.path.dirname(path) or ".")
        _make_room(path)
        before = os.umask(0o777 & ~_MODE)
        try:
            made.bind(path)
        finally:
            os.umask(before)
        made.listen(MOST_CONNECTIONS)
    except OSError as fault:
        made.close()
        raise FatalStart(
            f"Unable to open the control socket {path}: {fault.strerror}. Is run_directory right,"
            " and may this user write there?"
        ) from fault
    except FatalStart:
        made.close()
        raise
    return made


def _make_room(path: str) -> None:
    """Remove what a dead server left at `path`; raises FatalStart if somebody is alive there."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FatalStart(f"{path} should be the control socket, but is something else: remove it")
    if not is_served(path):
        os.unlink(path)
        return
    raise FatalStart(
        f"Somebody listens at {path} already: the same member runs twice, or two have one run_directory"
    )


# -- the client ------------------------------------------------------------------------


def ask(path: str, request: Mapping[str, str], timeout_s: float) -> Reply:
    """Ask the member whose control socket is at `path`; the reply, whatever it says.

    Raises NotRunning, NotAllowed or NoAnswer.  Waits `timeout_s` at most.
    """
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(path)
            connection.send(json.dumps(request).encode() + b"\n", socket.MSG_NOSIGNAL)
            line = _line(connection, deadline)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as fault:
            raise NotRunning(f"nobody listens at {path}") from fault
        except PermissionError as fault:
            raise NotAllowed(f"{path} may be used by its owner only") from fault
        except OSError as fault:
            raise NoAnswer(f"{path}: {fault.strerror or fault}") from fault
    return _reply(line, path)


def is_served(path: str) -> bool:
    """Whether somebody listens at `path`, whoever may talk to them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except (BlockingIOError, PermissionError):
            return True
        except OSError:
            return False
    return True


def _line(connection: socket.socket, deadline: float) -> bytes:
    """The first line that comes; b"" if none does in time.  Raises OSError."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    data = bytearray()
    while not data.endswith(b"\n") and len(data) <= LONGEST:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1000):
            return b""
        piece = connection.recv(LONGEST)
        if not piece:
            return b""
        data += piece
    return bytes(data)


def _reply(line: bytes, path: str) -> Reply:
    try:
        reply = json.loads(line) if line else None
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
        raise NoAnswer(f"no answer from {path}")
    return reply
