"""The control socket: how an administrator asks a running process, and gives it orders.

A UNIX socket that only its owner may open; one JSON object per line each way,
and no answer before its question.  The server stands in somebody else's loop
and never waits: whoever sends more than one request at a time, sends nonsense, or
does not read what was answered, is cut; when there are too many connections, the
one that was silent longest makes room.  So nothing a client does can hold up the
work of the process that serves it.

What may be asked for is the caller's: `parse` makes a request of a line, word by
word, so that the handler sees none that it does not know.  An answer that takes
time is given as a `Later`; other clients are served meanwhile.
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
from typing import Any, Generic, NamedTuple, TypeVar

from keepalived_py.base.errors import FatalStart, KeepalivedError
from keepalived_py.system.state_files import make_directory

LONGEST = 64 * 1024
MOST_CONNECTIONS = 16
_LONGEST_PATH = 107  # sun_path of unix(7), without its final zero
_MODE = 0o600

R = TypeVar("R")
Reply = dict[str, Any]


class ControlError(KeepalivedError):
    """Nobody answered; the text says why."""


class NotRunning(ControlError):
    """There is nobody at the socket."""


class NotAllowed(ControlError):
    """The socket belongs to somebody else."""


class NoAnswer(ControlError):
    """Somebody is there and does not answer, or not in this language."""


class Hints(NamedTuple):
    """What to do when the socket cannot be opened: its path is too long, the system refuses, or
    somebody listens there.
    """

    too_long: str
    refused: str
    served: str


# -- the server ----------------------------------------------------------------------


class Later:
    """A reply that is not known yet."""

    def __init__(self) -> None:
        self._deliver: Callable[[Reply], None] = self._keep
        self._reply: Reply | None = None

    def settle(self, reply: Reply) -> None:
        """This is the reply; it is lost if nobody waits for it any more."""
        self._deliver(reply)

    def _keep(self, reply: Reply) -> None:
        self._reply = reply

    def bind(self, deliver: Callable[[Reply], None]) -> None:
        """The server's: where the reply is to go."""
        self._deliver = deliver
        if self._reply is not None:
            deliver(self._reply)


class ControlServer(Generic[R]):
    """Listens at `path` from the moment it is made; raises FatalStart if it cannot.

    `parse` makes a request of a line, or says what is wrong with it; `handle` gives the reply
    to a request, at once or as a `Later`.  Poll `descriptors()` for reading, anew in each round,
    and call `ready` for each of them that is.  A loop that remembers what it polls is told of
    each descriptor by `opened` and, just before it is closed, `closing`.
    """

    def __init__(
        self,
        path: str,
        parse: Callable[[bytes], R | str],
        handle: Callable[[R], Reply | Later],
        hints: Hints,
        opened: Callable[[int], object] = lambda descriptor: None,
        closing: Callable[[int], object] = lambda descriptor: None,
    ) -> None:
        self._path = path
        self._parse = parse
        self._handle = handle
        self._opened, self._closing = opened, closing
        self._listener = _listener(path, hints)
        self._inode = os.stat(path).st_ino
        # In the order of their last sign of life.
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        # Whoever has asked and has no answer yet.
        self._waiting: set[int] = set()
        opened(self._listener.fileno())

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
        self._closing(self._listener.fileno())
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
        self._opened(client.fileno())

    def _cut(self, descriptor: int) -> None:
        client, _ = self._clients.pop(descriptor)
        self._waiting.discard(descriptor)
        self._closing(descriptor)
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
        if descriptor in self._waiting:  # it has left, or asks on
            self._cut(descriptor)
            return
        buffer += data
        line, end, more = buffer.partition(b"\n")
        if end:
            # What stands behind the line was sent before the answer: nobody waits for that one.
            self._answer(descriptor, client, bytes(line))
            buffer.clear()
            if more and descriptor in self._clients:
                self._cut(descriptor)
        elif not data or len(buffer) > LONGEST:
            self._cut(descriptor)

    def _answer(self, descriptor: int, client: socket.socket, line: bytes) -> None:
        request = self._parse(line)
        reply = _refused(request) if isinstance(request, str) else self._handle(request)
        if isinstance(reply, Later):
            self._waiting.add(descriptor)
            reply.bind(lambda settled: self._deliver(descriptor, client, settled))
        elif not _sent(client, reply):
            self._cut(descriptor)

    def _deliver(self, descriptor: int, client: socket.socket, reply: Reply) -> None:
        """The answer that `client` waits for, if it still does."""
        if self._clients.get(descriptor, (None,))[0] is not client or descriptor not in self._waiting:
            return
        self._waiting.discard(descriptor)
        if not _sent(client, reply):
            self._cut(descriptor)


def _sent(client: socket.socket, reply: Reply) -> bool:
    """Send the reply without waiting; whether all of it has been taken."""
    data = json.dumps(reply, separators=(",", ":")).encode() + b"\n"
    if len(data) > LONGEST:
        data = json.dumps(_refused("the answer is too long")).encode() + b"\n"
    try:
        return client.send(data, socket.MSG_NOSIGNAL) == len(data)
    except OSError:
        return False


def _refused(why: str) -> Reply:
    return {"ok": False, "error": why}


def parse_object(line: bytes) -> dict[str, Any] | str:
    """The JSON object in `line`, or what is wrong with it."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return "a request is one JSON object on one line"
    if not isinstance(found, dict):
        return "a request is a JSON object"
    return found


def _listener(path: str, hints: Hints) -> socket.socket:
    """A listening socket at `path`, its directory made if need be; raises FatalStart."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise FatalStart(
            f"The path of the control socket is too long ({_LONGEST_PATH} bytes are allowed): {path}."
            f" {hints.too_long}"
        )
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        make_directory(os.path.dirname(path) or ".")
        _make_room(path, hints)
        before = os.umask(0o777 & ~_MODE)
        try:
            made.bind(path)
        finally:
            os.umask(before)
        made.listen(MOST_CONNECTIONS)
    except OSError as fault:
        made.close()
        raise FatalStart(
            f"Unable to open the control socket {path}: {fault.strerror}. {hints.refused}"
        ) from fault
    except FatalStart:
        made.close()
        raise
    return made


def _make_room(path: str, hints: Hints) -> None:
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
    raise FatalStart(f"Somebody listens at {path} already: {hints.served}")


# -- the client ------------------------------------------------------------------------


def ask(path: str, request: Mapping[str, object], timeout_s: float) -> Reply:
    """Ask the process whose control socket is at `path`; the reply, whatever it says.

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
