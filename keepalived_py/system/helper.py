"""Small processes of our own, for work that may wait or cost time where adverts may not.

A helper is forked, serves one end of a socket, and leaves when the other end
is closed, however that came about.  It runs with ordinary priority, has one
thread, and talks in datagrams of JSON.  Whatever it does (read a file on a disk
that hangs, look through all of /proc, swallow a flood of events) delays nobody.

`Helper` is the other end, inside an asyncio loop.  Somebody may kill a helper:
then another one is forked a second later and told everything anew.
"""

import asyncio
import contextlib
import gc
import json
import os
import select
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from keepalived_py.system import scheduling

LONGEST_MESSAGE = 128 * 1024
AGAIN_AFTER_S = 1.0
_PATIENCE_MS = 20
_ALL_SIGNALS = frozenset(signal.valid_signals())
_LAST_DESCRIPTOR = 2**31 - 1
_STANDARD = 3

Message = Mapping[str, Any]


def fork_helper(serve: Callable[[socket.socket], None], kept: int | None = None) -> tuple[int, socket.socket]:
    """Fork a helper that runs `serve` with its (blocking) end; its pid and our (non-blocking) end.

    Of the other descriptors it has only `kept`, and standard ones that lead nowhere.  Raises OSError
    if there is no room for a process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    # The interpreter's signal handlers would write to a wake-up descriptor that both processes share.
    before = signal.pthread_sigmask(signal.SIG_SETMASK, _ALL_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _be_helper(theirs, serve, kept)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
    return pid, ours


def _be_helper(
    connection: socket.socket, serve: Callable[[socket.socket], None], kept: int | None
) -> NoReturn:
    try:
        # Garbage of the parent would close its sockets by numbers that belong to others here.
        gc.freeze()
        signal.set_wakeup_fd(-1)
        _close_all_but(sorted({connection.fileno(), connection.fileno() if kept is None else kept}))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A signal to the whole group (Ctrl-C) is for the others; we leave when the socket closes.
            # A handler and not SIG_IGN: what a helper executes would inherit that.
            signal.signal(number, lambda signal_number, frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        with contextlib.suppress(OSError):
            scheduling.be_ordinary()
        connection.setblocking(True)
        serve(connection)
    finally:
        os._exit(0)


def _close_all_but(descriptors: list[int]) -> None:
    """Standard input and outputs lead nowhere, and stay taken: else what is said to them went to a peer."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(_STANDARD):
        if standard not in descriptors:
            os.dup2(nowhere, standard)
    begin = _STANDARD
    for descriptor in descriptors:
        os.closerange(begin, descriptor)
        begin = max(begin, descriptor + 1)
    os.closerange(begin, _LAST_DESCRIPTOR)


def tell(connection: socket.socket, message: Message) -> None:
    """Send one message from a helper; wait for the other side to read when the socket is full.

    If the other side has left already, the next look at the socket says so.
    """
    data = json.dumps(message).encode()
    with contextlib.suppress(OSError):
        while True:
            try:
                connection.send(data)
                return
            except BlockingIOError:
                room = select.poll()
                room.register(connection, select.POLLOUT)
                room.poll()


def told(connection: socket.socket) -> Any | None:
    """The next message from the other side; None: it has left.  BlockingIOError: none yet."""
    try:
        data = connection.recv(LONGEST_MESSAGE)
    except ConnectionError:
        return None
    return json.loads(data) if data else None


class Helper:
    """Our end of a helper, forked at the first `tell`.  Make it inside a running loop.

    `heard` is called with each of its messages; `begin_again` when another one
    had to be forked, to tell it what it has to know; `kept` is a descriptor that it
    inherits.
    """

    def __init__(
        self,
        serve: Callable[[socket.socket], None],
        heard: Callable[[Any], None],
        begin_again: Callable[[], None],
        kept: int | None = None,
    ) -> None:
        self._serve = serve
        self._heard = heard
        self._begin_again = begin_again
        self._kept = kept
        self._loop = asyncio.get_running_loop()
        self._pid = 0
        self._connection: socket.socket | None = None
        self._again: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int:
        """The process id of the helper; 0: there is none."""
        return self._pid

    def tell(self, message: Message) -> int:
        """Send `message`; 0, or the errno if it could not be sent."""
        try:
            if self._connection is None:
                self._pid, self._connection = fork_helper(self._serve, self._kept)
                self._loop.add_reader(self._connection, self._readable)
            self._connection.send(json.dumps(message).encode())
        except OSError as error:
            return error.errno or 1
        return 0

    def close(self) -> None:
        """Dismiss the helper, without waiting for what it is doing."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._leave()

    def _leave(self) -> None:
        if self._connection is None:
            return
        self._loop.remove_reader(self._connection)
        self._connection.close()
        self._connection = None
        pid, self._pid = self._pid, 0
        _end(pid)

    def _readable(self) -> None:
        assert self._connection is not None
        try:
            message = told(self._connection)
        except BlockingIOError:
            return
        if message is not None:
            self._heard(message)
            return
        self._leave()
        self._again = self._loop.call_later(AGAIN_AFTER_S, self._once_more)

    def _once_more(self) -> None:
        self._again = None
        self._begin_again()


def _end(pid: int) -> None:
    """It has nothing to lose, but may be waiting for a disk that does not answer: do not wait long."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGKILL)
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            ended.poll(_PATIENCE_MS)
            os.waitpid(pid, os.WNOHANG)
        finally:
            os.close(descriptor)
