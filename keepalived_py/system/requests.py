"""Requests to rtnetlink, made by a thread of their own.

The kernel carries out a request inside send(2), while it holds the lock of all
network configuration; whoever else holds it (a container being set up, a
firewall being loaded) makes the sender wait, however non-blocking the socket.
So one thread does nothing but send and receive, and the loop goes on.

What waits when the thread looks is sent together: the changes of a hundred
instances that became master in one step cost one datagram.  Only the last of a
series is to be acknowledged.  The kernel works in order and always reports what
failed, so what is not reported when the acknowledgement comes is done.

The thread ranks one below its process in real-time priority, so that the loop
gets the processor first where there is only one.
"""

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from keepalived_py.base.names import InterfaceName
from keepalived_py.system import receive_buffer, rtnetlink
from keepalived_py.system.rtnetlink import Message, Request

T = TypeVar("T")

# Python has no names for these (linux/socket.h, linux/netlink.h).
_SOL_NETLINK = 270
_SHORT_ERRORS = 10
_STRICT_DUMPS = 12

ANSWER_LIMIT_S = 2.0
_ANSWER_BUFFER = 1024 * 1024
# The kernel's dumps come in pieces of at most 32 KiB.
_LONGEST_DATAGRAM = 64 * 1024
_LONGEST_SENDING = 64 * 1024
_STACK_BYTES = 256 * 1024
# How long the thread may keep the interpreter from the loop (Python's default is 5 ms).
_LONGEST_TURN_S = 0.00005
_LAST_SEQUENCE = 0x7FFFFFFF
# A dump is interrupted when something changes meanwhile; after so many in a row it is taken as it is.
_DUMP_TRIES = 5


class Refused(NamedTuple):
    """The kernel refused a request; ENODEV also if an interface that it names does not exist."""

    errno: int


class Unanswered(NamedTuple):
    """The kernel did not say what became of a request."""


# None: done.
Answer = Refused | Unanswered | None


class Port(Protocol):
    """A netlink socket, as far as it is used here."""

    def send(self, data: bytes, /) -> int: ...

    def recv(self, length: int, /) -> bytes: ...

    def close(self) -> None: ...


class Conversation:
    """Requests and their answers over one socket; every call waits for the kernel."""

    def __init__(self, port: Port, index_of: Callable[[InterfaceName], int]) -> None:
        self._port = port
        self._index_of = index_of
        self._sequence = 0

    def perform(self, requests: Sequence[Request]) -> list[Answer]:
        """Have the kernel carry out `requests` in order; one answer for each.

        A request that names an interface which does not exist is not sent.
        """
        answers: list[Answer] = [None] * len(requests)
        indices = self._indices(requests)
        all_there = all(indices.values())
        waiting: list[int] = []
        size = 0
        for place, one in enumerate(requests):
            if not all_there and any(not indices[name] for _, name in one.indices):
                answers[place] = Refused(errno.ENODEV)
                continue
            if size + len(one.data) > _LONGEST_SENDING:
                self._send(requests, waiting, indices, answers)
                waiting, size = [], 0
            waiting.append(place)
            size += len(one.data)
        if waiting:
            self._send(requests, waiting, indices, answers)
        return answers

    def _indices(self, requests: Sequence[Request]) -> dict[InterfaceName, int]:
        """Asked anew each time: an interface that was made again has another index."""
        names = {name for one in requests for _, name in one.indices}
        return {name: self._index_of(name) for name in names}

    def _send(
        self,
        requests: Sequence[Request],
        places: Sequence[int],
        indices: dict[InterfaceName, int],
        answers: list[Answer],
    ) -> None:
        by_sequence: dict[int, int] = {}
        data = bytearray()
        for place in places:
            sequence = self._next_sequence()
            by_sequence[sequence] = place
            data += rtnetlink.numbered(requests[place], sequence, indices, place == places[-1])
        try:
            self._port.send(bytes(data))
            self._collect(by_sequence, answers)
        except OSError as error:
            failed: Answer = Unanswered() if _silence(error) else Refused(error.errno or errno.EIO)
            for place in by_sequence.values():
                if answers[place] is None:
                    answers[place] = failed

    def _collect(self, by_sequence: dict[int, int], answers: list[Answer]) -> None:
        """Read answers until that to the last request; others' (late ones) are passed over."""
        last = max(by_sequence)
        while True:
            for message in rtnetlink.messages(self._port.recv(_LONGEST_DATAGRAM)):
                code = rtnetlink.error_of(message)
                place = by_sequence.get(message.sequence)
                if code is None or place is None:
                    continue
                if code:
                    answers[place] = Refused(code)
                if message.sequence == last:
                    return

    def _next_sequence(self) -> int:
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        return self._sequence

    def dump(self, one: Request) -> list[Message]:
        """Everything of a kind; raises OSError if the kernel refuses or does not answer."""
        for _ in range(_DUMP_TRIES - 1):
            found, interrupted = self._dump_once(one)
            if not interrupted:
                return found
        return self._dump_once(one)[0]

    def _dump_once(self, one: Request) -> tuple[list[Message], bool]:
        sequence = self._next_sequence()
        self._port.send(bytes(rtnetlink.numbered(one, sequence, {}, last=False)))
        found: list[Message] = []
        interrupted = False
        while True:
            for message in rtnetlink.messages(self._port.recv(_LONGEST_DATAGRAM)):
                if message.sequence != sequence:
                    continue
                interrupted = interrupted or bool(message.flags & rtnetlink.DUMP_INTERRUPTED)
                code = rtnetlink.error_of(message)
                if code:
                    raise OSError(code, os.strerror(code))
                if message.kind == rtnetlink.DONE:
                    return found, interrupted
                found.append(message)


def _silence(error: OSError) -> bool:
    """No answer in time, or answers that did not fit into the socket."""
    return error.errno in (errno.EAGAIN, errno.ENOBUFS)


Ended = Callable[[Sequence[Answer]], None]


class _Series(NamedTuple):
    requests: Sequence[Request]
    ended: Ended


class _Call(NamedTuple):
    function: Callable[[Conversation], Any]
    future: "asyncio.Future[Any]"


class Requests:
    """The thread and what it is given to do.  Open it inside a running loop, after all forks."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[_Series | _Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None
        self.port_id = 0

    def open(self, connect: Callable[[], Port] | None = None) -> None:
        """Open the socket and start the thread.  Raises OSError if the kernel refuses the socket.

        Socket and thread belong to the network namespace of the caller.  `connect` replaces the socket.
        """
        self._loop = asyncio.get_running_loop()
        sys.setswitchinterval(min(sys.getswitchinterval(), _LONGEST_TURN_S))
        port = self._connect() if connect is None else connect()
        # A thread's stack is locked into memory with the rest of the process: 8 MiB by default.
        before = threading.stack_size(_STACK_BYTES)
        try:
            self._thread = threading.Thread(target=self._run, args=(port,), name="netlink", daemon=True)
            self._thread.start()
        finally:
            threading.stack_size(before)

    def _connect(self) -> Port:
        opened = _open_socket()
        self.port_id = opened.getsockname()[0]
        self._socket = opened
        return opened

    def resize(self, size: int, force: bool) -> int:
        """Hold `size` bytes of answers, 0: as many as usual.  The errno of the kernel's refusal, 0: none."""
        if self._socket is None:
            return 0
        return receive_buffer.resize(self._socket, size or _ANSWER_BUFFER, force or not size)

    def close(self) -> None:
        """Let the thread end after what it was given; its socket goes with it."""
        if self._thread is not None:
            self._thread = self._socket = None
            self._queue.put(None)

    def perform(self, requests: Sequence[Request], ended: Ended) -> None:
        """Have the kernel carry out `requests` in order.

        The loop then calls `ended` with the answers in that order: not by a
        future, which would cost another turn of the loop.
        """
        if self._thread is None:
            asyncio.get_running_loop().call_soon(ended, [Refused(errno.ESHUTDOWN)] * len(requests))
        else:
            self._queue.put(_Series(requests, ended))

    def call(self, function: Callable[[Conversation], T]) -> "asyncio.Future[T]":
        """Run `function` in the thread, after everything that it was given before."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._thread is None:
            future.set_exception(OSError(errno.ESHUTDOWN, os.strerror(errno.ESHUTDOWN)))
        else:
            self._queue.put(_Call(function, future))
        return future

    # -- in the thread --------------------------------------------------------

    def _run(self, port: Port) -> None:
        conversation = Conversation(port, _index_of)
        rank = Rank()
        rank.follow()
        try:
            while True:
                taken = [self._queue.get()]
                with contextlib.suppress(Empty):
                    while True:
                        taken.append(self._queue.get_nowait())
                if not self._work(conversation, taken):
                    return
                rank.follow()
        finally:
            port.close()

    def _work(self, conversation: Conversation, taken: list[_Series | _Call | None]) -> bool:
        """Do all of it in order, changes that follow each other together; False at the end."""
        together: list[_Series] = []
        for one in taken:
            if isinstance(one, _Series):
                together.append(one)
                continue
            self._perform(conversation, together)
            together = []
            if one is None:
                return False
            self._carry_out(conversation, one)
        self._perform(conversation, together)
        return True

    def _perform(self, conversation: Conversation, together: list[_Series]) -> None:
        if not together:
            return
        requests = [request for series in together for request in series.requests]
        answers: Sequence[Answer] = [Unanswered()] * len(requests)
        try:
            answers = conversation.perform(requests)
        except Exception as error:  # the thread must outlive it, and the loop report it
            self._hand_back(_report, error)
        finally:
            self._hand_back(_settle, together, answers)

    def _carry_out(self, conversation: Conversation, one: _Call) -> None:
        try:
            result = one.function(conversation)
        except Exception as error:  # it belongs to whoever asked
            self._hand_back(_fail, one.future, error)
        else:
            self._hand_back(_finish, one.future, result)

    def _hand_back(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        # A loop that has ended asks for nothing any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _report(error: Exception) -> None:
    raise error


def _settle(together: Sequence[_Series], answers: Sequence[Answer]) -> None:
    start = 0
    for series in together:
        end = start + len(series.requests)
        series.ended(answers[start:end])
        start = end


def _finish(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


class Rank:
    """The thread's real-time priority: one below that of its process, whenever that changes.

    It is not inherited where it is reset on fork; and a thread that shares the
    interpreter's lock must not be kept waiting by ordinary processes.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._seen = 0

    def follow(self) -> None:
        """Look at the process, and follow if its priority is another one than the last time."""
        with contextlib.suppress(OSError):
            priority = os.sched_getparam(self._process).sched_priority
            if priority == self._seen:
                return
            self._seen = priority
            policy = os.sched_getscheduler(self._process)
            os.sched_setscheduler(0, policy, os.sched_param(max(1, priority - 1) if priority else 0))


def _index_of(interface: InterfaceName) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return 0


def _open_socket() -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        seconds, fraction = divmod(ANSWER_LIMIT_S, 1)
        limit = struct.pack("@ll", int(seconds), int(fraction * 1_000_000))
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        opened.setsockopt(_SOL_NETLINK, _SHORT_ERRORS, 1)
        with contextlib.suppress(OSError):
            # From Linux 4.20 on, dumps may ask for a part; without, they give all.
            opened.setsockopt(_SOL_NETLINK, _STRICT_DUMPS, 1)
        # Where that is refused, some hundred errors at once are more than the socket holds.
        receive_buffer.resize(opened, _ANSWER_BUFFER, True)
        opened.bind((0, 0))
    except OSError:
        opened.close()
        raise
    return opened
