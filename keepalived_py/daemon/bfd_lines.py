"""What the BFD process tells its listeners, VRRP and checkers: which session came up or went down.

One JSON object per message of a sequenced-packet socket pair, with a newline at
its end: `{"name": "b1", "up": true, "at_us": 123}`.  `at_us` is the monotonic clock
when it happened, in microseconds, which both processes share.

The parent makes one pair for each listener and keeps both ends for its whole life, so
a child of any kind that is started again finds the same pair and nothing has to be
connected anew.  While a listener is away its messages pile up; the parent throws them
away before it starts the next one (`discard`), and has the BFD process tell the state
of every session again when that one is ready.  So a listener may hear a state that it
knows already, with the time of when it began.
"""

import json
import socket
from contextlib import suppress
from dataclasses import dataclass

_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class BfdLine:
    """Session `name` is up, or is not, since `at_us` (monotonic clock, microseconds)."""

    name: str
    up: bool
    at_us: int


def pair() -> tuple[socket.socket, socket.socket]:
    """The reading end and the writing end; neither ever waits.  Raises OSError."""
    kind = socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK
    return socket.socketpair(socket.AF_UNIX, kind)


def encode(line: BfdLine) -> bytes:
    """The message that says `line`."""
    return json.dumps({"name": line.name, "up": line.up, "at_us": line.at_us}).encode() + b"\n"


def decode(message: bytes) -> BfdLine | None:
    """What `message` says; None if it says nothing that makes sense."""
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):  # ValueError also for bytes that are no text
        return None
    if not isinstance(said, dict):
        return None
    name, up, at_us = said.get("name"), said.get("up"), said.get("at_us")
    if not (isinstance(name, str) and isinstance(up, bool) and type(at_us) is int):
        return None
    return BfdLine(name, up, at_us)


def send(writer: socket.socket, line: BfdLine) -> bool:
    """Say `line` without waiting; False if it could not be said."""
    try:
        writer.send(encode(line))
    except OSError:
        return False
    return True


def receive(reader: socket.socket) -> list[BfdLine]:
    """What has arrived, in order, without waiting."""
    said: list[BfdLine] = []
    with suppress(OSError):
        while message := reader.recv(_LONGEST):
            line = decode(message)
            if line is not None:
                said.append(line)
    return said


def discard(reader: socket.socket) -> None:
    """Throw away what nobody has read."""
    receive(reader)
