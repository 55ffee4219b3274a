"""A small HTTP server for pages that programs fetch: one request per connection, and no more.

Whoever can reach the port may send anything, so everything is bounded: how many
connections there are, how long the head of a request may be, and how long a client
may take to send it and to take the answer.  When there are too many, the one that
has been there longest makes room: it had its time, and who asks at once is answered
though others hold their connections open.  Bodies are not read; only GET and
HEAD are answered.
"""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from keepalived_py.model.cluster import Endpoint

MOST_CONNECTIONS = 32
LONGEST_HEAD = 8192
PATIENCE_S = 5.0
_METHODS = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Page:
    """A body and its type."""

    content_type: str
    body: bytes


Pages = Mapping[str, Callable[[], Page]]


class HttpListener:
    """Serves `pages` (by path, without a query); each is made anew for each request."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._servers: list[asyncio.Server] = []
        # In the order in which they came.
        self._clients: dict[asyncio.StreamWriter, None] = {}

    async def open(self, endpoint: Endpoint) -> None:
        """Listen at `endpoint` (host "": every address) and nowhere else any more.

        Raises OSError, and then listens where it did before.
        """
        made = [
            await asyncio.start_server(
                self._connected, sock=each, limit=LONGEST_HEAD, backlog=MOST_CONNECTIONS
            )
            for each in _bound(endpoint)
        ]
        self._stop_listening()
        self._servers = made

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it listens."""
        return tuple(each.getsockname()[1] for server in self._servers for each in server.sockets)

    def close(self) -> None:
        """Listen no more, and let go of everybody."""
        self._stop_listening()
        for writer in self._clients:
            writer.transport.abort()

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CONNECTIONS:
            oldest = next(iter(self._clients))
            del self._clients[oldest]
            oldest.transport.abort()
        self._clients[writer] = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._serve(reader, writer)
        except (OSError, TimeoutError):
            writer.transport.abort()
        finally:
            self._clients.pop(writer, None)
            # What a client never took does not stay either.
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_failed(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        except asyncio.IncompleteReadError:
            return
        else:
            writer.write(self._answer(head))
        await writer.drain()
        writer.write_eof()
        # A connection that is closed with something unread is reset, and the answer may be lost.
        with contextlib.suppress(asyncio.LimitOverrunError):
            while await reader.read(LONGEST_HEAD):
                pass

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _failed(HTTPStatus.BAD_REQUEST)
        method, target, _ = words
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            return _failed(HTTPStatus.NOT_FOUND)
        if method not in _METHODS:
            return _failed(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD\r\n")
        page = make()
        made = _head(HTTPStatus.OK, page.content_type, len(page.body))
        return made if method == "HEAD" else made + page.body


def _bound(endpoint: Endpoint) -> list[socket.socket]:
    """Sockets for all addresses of the endpoint; raises OSError if one of them cannot be had.

    A name is looked up here and now: asyncio would start a thread, and whoever has given up root
    may be unable to load what that takes.
    """
    host = endpoint.host.encode() or None
    found = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in found:
            made += _socket(family, address, optional=host is None and family == socket.AF_INET6)
    except OSError:
        for each in made:
            each.close()
        raise
    return made


def _socket(family: int, address: Any, optional: bool) -> list[socket.socket]:
    """The socket; none if it is `optional` and this machine has no such addresses."""
    try:
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:
        if optional:
            return []
        raise
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError as fault:
        made.close()
        if optional and fault.errno == errno.EADDRNOTAVAIL:
            return []
        raise
    return [made]


def _failed(status: HTTPStatus, more: str = "") -> bytes:
    body = f"{status.phrase}\n".encode()
    return _head(status, "text/plain; charset=utf-8", len(body), more) + body


def _head(status: HTTPStatus, content_type: str, length: int, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n{more}Connection: close\r\n\r\n"
    ).encode("latin-1")
