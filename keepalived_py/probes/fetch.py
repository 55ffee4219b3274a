"""One page over one connection: the request in one piece, and then whatever comes until the server hangs up.

Limits are those of keepalived: `connect_timeout` for the connection, the same
again for the first byte, and again for each further one.  One is added, since a
server that sends a byte now and then would keep a check alive for ever: how long
the body may take in all is among the `Terms`.
"""

from collections.abc import Callable
from socket import socket
from typing import NamedTuple

from keepalived_py.model.check_events import Ending
from keepalived_py.probes.connect import Conversation, Stop, ending_of, reason
from keepalived_py.probes.page import Page

# Other checks want their turn, too.
_READS_AT_ONCE = 8


class Terms(NamedTuple):
    """What is sent, how long each step may take, and how long the whole body; in seconds."""

    request: bytes
    step_s: float
    body_s: float


class Fetch(Conversation):
    """A page under way, over a plain connection.

    `over` has no words when the server has hung up after all: then the page has to be judged.
    `took`, if set, is told of each piece that was read, and of the part of it that was hashed.
    """

    reading_words = "Timeout HTTP read"

    def __init__(self, made: socket, terms: Terms, page: Page) -> None:
        super().__init__(made, terms.step_s)
        self.terms = terms
        self.page = page
        self.took: Callable[[bytes, bytes], None] | None = None
        self._last_s = 0.0

    def connected(self) -> None:
        """The connection stands."""
        self.ask()

    def ask(self) -> None:
        """Send the request.  What the kernel does not take at once counts as refused, as in keepalived."""
        self.late_words = "Timeout WEB read"
        try:
            self.send(self.terms.request)
        except OSError as error:
            self.stop(Stop(Ending.CLOSED, "Cannot send get request to", reason(error)))
            return
        self.give(self.terms.step_s)
        self.when_readable(self.read)

    def send(self, request: bytes) -> None:
        """Raises OSError."""
        self.socket.send(request)

    def receive(self, room: int) -> bytes | Stop | None:
        """What has come, at most `room` bytes; None if nothing is there yet; a `Stop` at the end."""
        try:
            data = self.socket.recv(room)
        except BlockingIOError:
            return None
        except OSError as error:
            return Stop(ending_of(error.errno or 0), "Read error with", reason(error))
        return data or Stop(Ending.ANSWERED)

    def heard(self) -> None:
        """Something has come."""
        self.give(min(self.terms.step_s, self._last_s - self._loop.time()))

    def more(self) -> None:
        """It is the turn of others, and there may be more to read: the kernel will say so again."""

    def read(self) -> None:
        """Take what has come."""
        if not self._last_s:
            self._last_s = self._loop.time() + self.terms.body_s
            self.late_words = self.reading_words
            self.give(self.terms.step_s)
        for _ in range(_READS_AT_ONCE):
            data = self.receive(self.page.room)
            if data is None:
                return
            if isinstance(data, Stop):
                self.stop(data)
                return
            used = self.page.take(data)
            if self.took is not None:
                self.took(data, used)
            self.heard()
        self.more()
