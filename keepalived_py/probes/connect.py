"""One TCP connection of a check: opened, waited for, given up, closed; and TCP_CHECK, which wants no more.

A check lives in callbacks of the event loop and has one future, at its end: a
coroutine that is woken at every step costs three times as much, and there may be
thousands of checks in a second.  Time limits are moved, not made anew: the timer
that runs out too early asks for the rest.

keepalived tells three things apart when it connects.  A server that cannot be
reached has failed.  A socket that cannot be made or bound (`NotBound`, or an
error of connect that says nothing about the server) is no verdict: the check is
put off (`Ending.BROKEN`).  And each phase has its own words for being late.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from keepalived_py.base.clock import as_seconds
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck
from keepalived_py.model.checks import ConnectedCheck
from keepalived_py.probes.sockets import NotBound, destination, opened

_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
# keepalived's list of what connect may say at once that is about the server.
_FAILED = _UNREACHABLE | {errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT}
_STANDING = frozenset({0, errno.EINPROGRESS})


class Stop(NamedTuple):
    """Why a connection is over.  `words` are keepalived's for it, "" if nothing went wrong."""

    ending: Ending
    words: str = ""
    text: str = ""


def reason(error: OSError | int) -> str:
    """An error for people: "connection refused"."""
    text = os.strerror(error) if isinstance(error, int) else error.strerror or str(error)
    return text[:1].lower() + text[1:]


def ending_of(number: int) -> Ending:
    """What an errno of a connection means."""
    if number == errno.ETIMEDOUT:
        return Ending.TIMED_OUT
    if number in _UNREACHABLE:
        return Ending.UNREACHABLE
    return Ending.REFUSED if number == errno.ECONNREFUSED else Ending.CLOSED


class Conversation:
    """A connection under way; `over` is its end.  Subclasses say what is done once it stands.

    Make it inside a running loop; whoever made it calls `close`.
    """

    def __init__(self, made: socket.socket, limit_s: float) -> None:
        self.socket = made
        self.late_words = "Timeout connecting"
        self._loop = asyncio.get_running_loop()
        self._descriptor = made.fileno()
        self._watched: Callable[[int], bool] | None = None
        self.over: asyncio.Future[Stop] = self._loop.create_future()
        self._deadline = self._loop.time() + limit_s
        self._timer = self._loop.call_at(self._deadline, self._alarm)
        self.when_writable(self._settled)

    def connected(self) -> None:
        """It stands.  Here: that is all that was asked."""
        self.stop(Stop(Ending.ANSWERED))

    def stop(self, how: Stop) -> None:
        """This is the end; only the first one counts."""
        if not self.over.done():
            self.over.set_result(how)
            self.unwatch()

    def close(self) -> None:
        """Give everything back; may be called at any time."""
        self._timer.cancel()
        self.unwatch()
        self.socket.close()

    def give(self, limit_s: float) -> None:
        """From now on, this long is left."""
        self._deadline = self._loop.time() + limit_s
        if self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._alarm)

    def later(self, callback: Callable[[], None]) -> None:
        """Call it again soon, if it is not over by then."""
        self._loop.call_soon(self._unless_over, callback)

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call it whenever data can be sent, and not any more what was called before."""
        self.unwatch()
        self._loop.add_writer(self._descriptor, callback)
        self._watched = self._loop.remove_writer

    def when_readable(self, callback: Callable[[], None]) -> None:
        """Call it whenever data can be read, and not any more what was called before."""
        self.unwatch()
        self._loop.add_reader(self._descriptor, callback)
        self._watched = self._loop.remove_reader

    def unwatch(self) -> None:
        """Wait for the descriptor no longer."""
        if self._watched is not None:
            self._watched(self._descriptor)
            self._watched = None

    def _unless_over(self, callback: Callable[[], None]) -> None:
        if not self.over.done():
            callback()

    def _settled(self) -> None:
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error == 0:
            self.connected()
        elif error == errno.ETIMEDOUT:
            self.stop(Stop(Ending.TIMED_OUT, "Timeout connecting", reason(error)))
        elif error != errno.EINPROGRESS:
            self.stop(Stop(ending_of(error), "Connection failed", reason(error)))

    def _alarm(self) -> None:
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._alarm)
        else:
            self.stop(
                Stop(Ending.TIMED_OUT, self.late_words, _LATE.get(self.late_words, "no answer in time"))
            )


_LATE = {"Timeout connecting": "no connection in time"}


class Names(NamedTuple):
    """What a kind of check says when it cannot connect."""

    no_socket: str
    not_bound: str
    unreachable: str


_TCP = Names("TCP connect fail to create socket. Rescheduling.", "TCP socket bind failed. Rescheduling.", "")


def connecting(order: StartCheck, names: Names) -> socket.socket | CheckResult:
    """A socket that connects to the target (or stands already), or what became of it at once."""
    assert isinstance(order.check, ConnectedCheck)
    try:
        made = opened(order.check, order.target, socket.SOCK_STREAM)
    except NotBound as error:
        return broken(str(error.strerror), error.line, names.not_bound)
    except OSError as error:
        return broken(reason(error), names.no_socket)
    number = _connected(made, order)
    if number in _STANDING:
        return made
    made.close()
    if number in _FAILED:
        lines = (names.unreachable,) if names.unreachable else ()
        return CheckResult(False, ending_of(number), None, reason(number), lines)
    return broken(reason(number), names.not_bound)


def _connected(made: socket.socket, order: StartCheck) -> int:
    try:
        return made.connect_ex(destination(order.target))
    except OSError as error:  # the zone of a link-local address is unknown
        return error.errno or errno.EINVAL


def broken(text: str, *lines: str) -> CheckResult:
    """The check could not be made: nothing is known of the server."""
    return CheckResult(False, Ending.BROKEN, None, text, lines)


async def check_port(order: StartCheck) -> CheckResult:
    """TCP_CHECK: the port accepts a connection within `connect_timeout`."""
    made = connecting(order, _TCP)
    if isinstance(made, CheckResult):
        return made
    assert isinstance(order.check, ConnectedCheck)
    conversation = Conversation(made, as_seconds(order.check.connect_timeout_us))
    try:
        stop = await conversation.over
    finally:
        conversation.close()
    if not stop.words:
        line = f"TCP connection to {order.label} success."
        return CheckResult(True, Ending.ANSWERED, None, "connected", (line,))
    how = "timeout" if stop.ending is Ending.TIMED_OUT else "failed"
    return CheckResult(False, stop.ending, None, stop.text, (f"TCP connection to {order.label} {how}.",))
