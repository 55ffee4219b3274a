"""The answer of a web server as it comes in: status, length, digest, and whether a pattern was found.

What counts is what keepalived reads out of the bytes, which is less than HTTP
says and sometimes more.  The head ends with the first empty line (CR LF CR LF),
and that must be within the first 4095 bytes: then keepalived's buffer is full,
which it takes for the end of the answer.  The status is three digits between the
first blank and the next one, whatever stands before; without a blank behind it
there is no status.  `Content-Length:` counts in this spelling only, and bounds
only what goes into the digest.  Nothing is decoded: chunks are hashed as they
came.  A parser of HTTP would refuse much of this, so h11 is only asked what is
wrong with a head in which no status was found, to tell a person.

A pattern is looked for in the body; but the bytes of the head that came in the
same read as the first bytes of the body are searched too, and offsets count from
there, as keepalived does it.  Memory is bounded whatever comes: the head by its
limit, the body by being hashed and searched in pieces.
"""

import hashlib
import re
from typing import Protocol

import h11

LARGEST_HEAD = 4095
_PIECE = 65536
_LENGTH = re.compile(rb"Content-Length:(?:[ \t\n\v\f\r]*([+-]?)([0-9]+))?([^\r\n]?)")
_STATUS = re.compile(rb"[^ \r]* ([0-9]{3}) ")
_LARGEST = 2**64 - 1


class Search(Protocol):
    """A pattern that is looked for in pieces of text."""

    def feed(self, data: bytes) -> None: ...

    def found(self) -> bool: ...


class Page:
    """An answer that is coming in.

    `status` is 0 while there is none; `length` None: the answer names none.
    `received` counts bytes of the body.
    """

    __slots__ = (
        "_digest",
        "_head",
        "_search",
        "head_complete",
        "largest_read",
        "length",
        "received",
        "status",
    )

    def __init__(self, digested: bool, search: Search | None = None, largest_read: int = _PIECE) -> None:
        self._head = b""
        self._digest = hashlib.md5(usedforsecurity=False) if digested else None
        self._search = search
        self.largest_read = largest_read
        self.head_complete = False
        self.status = 0
        self.length: int | None = None
        self.received = 0

    @property
    def room(self) -> int:
        """How many bytes may be read at most; none if the head is too long."""
        return self.largest_read if self.head_complete else LARGEST_HEAD - len(self._head)

    def take(self, data: bytes) -> bytes:
        """The next bytes, at most `room`; returns those of them that went into the digest."""
        if self.head_complete:
            if self._search is not None:
                self._search.feed(data)
            return self._hash(data)
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        return self._begun(end + 4)

    def _begun(self, end: int) -> bytes:
        whole = self._head
        self.head_complete = True
        self.status = status_in(whole)
        self.length = length_in(whole)
        self._head = whole[:end]
        if end == len(whole):
            return b""
        if self._search is not None:
            self._search.feed(whole)
        return self._hash(whole[end:])

    def _hash(self, body: bytes) -> bytes:
        if self.length is not None:
            used = body[: max(0, self.length - self.received)]
        else:
            used = body
        self.received += len(body)
        if self._digest is not None and used:
            self._digest.update(used)
        return used

    @property
    def head(self) -> bytes:
        """The head, with the empty line; what there is of it while it is not complete."""
        return self._head

    @property
    def digest(self) -> bytes:
        """The MD5 of the body so far; that of nothing if nobody asked for one."""
        return (self._digest or hashlib.md5(usedforsecurity=False)).digest()

    @property
    def matched(self) -> bool:
        """Whether the pattern was found; ask at the end."""
        return self._search is not None and self._search.found()

    def title(self) -> str:
        """Status and reason for people: "503 Service Unavailable"; what is wrong if there is none."""
        if not self.status:
            return complaint(self._head)
        line = self._head.partition(b"\r\n")[0].partition(b" ")[2]
        return printable(line[:80])


def printable(data: bytes) -> str:
    """Bytes of a stranger as text that may stand in a log."""
    text = data.decode("ascii", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)


def status_in(head: bytes) -> int:
    """The status as keepalived finds it; 0 if it does not."""
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


def length_in(head: bytes) -> int | None:
    """Content-Length as keepalived finds it (up to a zero byte), None if it does not."""
    found = _LENGTH.search(head.partition(b"\0")[0])
    if found is None or found[3]:
        return None
    value = min(int(found[2] or 0), _LARGEST)
    if found[1] == b"-":
        value = -value % (_LARGEST + 1)
    return None if value == _LARGEST else value


def complaint(head: bytes) -> str:
    """What h11 finds wrong with a head in which there is no status."""
    asked = h11.Connection(h11.CLIENT)
    asked.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    try:
        asked.receive_data(head)
        asked.next_event()
    except h11.RemoteProtocolError as error:
        return printable(str(error).encode())[:120]
    return "no status with a reason in the first line"
