"""The small HTTP server over a real socket: what is answered, and what is bounded."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from keepalived_py.model.cluster import Endpoint
from keepalived_py.system import http_listener
from keepalived_py.system.http_listener import HttpListener, Page

LIMIT_S = 5.0


@asynccontextmanager
async def serving() -> AsyncIterator[HttpListener]:
    made = HttpListener({"/metrics": lambda: Page("text/plain; version=0.0.4", b"a 1\n")})
    await made.open(Endpoint("127.0.0.1", 0))
    try:
        yield made
    finally:
        made.close()


async def fetch(listener: HttpListener, request: bytes, rest: bytes = b"") -> bytes:
    """The whole answer to `request`; `rest` is sent when the server has had time to see it."""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.ports[0])
        writer.write(request)
        await writer.drain()
        if rest:
            writer.write(rest)
        try:
            return await reader.read()
        finally:
            writer.close()


def answer(request: bytes, rest: bytes = b"") -> bytes:
    async def once() -> bytes:
        async with serving() as listener:
            return await fetch(listener, request, rest)

    return asyncio.run(once())


@pytest.mark.parametrize("target", [b"/metrics", b"/metrics?name=x"])
def test_a_page(target: bytes) -> None:
    assert answer(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: 4\r\n"
        b"Connection: close\r\n\r\na 1\n"
    )


def test_head_has_no_body() -> None:
    got = answer(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 4\r\n" in got
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_line", "begin"),
    [
        (b"GET / HTTP/1.1", b"HTTP/1.1 404 Not Found\r\n"),
        (b"POST /metrics HTTP/1.1", b"HTTP/1.1 405 Method Not Allowed\r\n"),
        (b"GET /metrics", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"\x16\x03\x01\x02", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"GET /metrics SSH-2.0", b"HTTP/1.1 400 Bad Request\r\n"),
    ],
)
def test_everything_else_is_refused(request_line: bytes, begin: bytes) -> None:
    assert answer(request_line + b"\r\n\r\n").startswith(begin)


def test_what_may_be_asked_is_named_with_405() -> None:
    assert b"\r\nAllow: GET, HEAD\r\n" in answer(b"PUT /metrics HTTP/1.0\r\n\r\n")


def test_a_request_in_pieces() -> None:
    assert answer(b"GET /met", b"rics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_an_endless_head_is_refused() -> None:
    async def once() -> bytes:
        async with serving() as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.ports[0])
            async with asyncio.timeout(LIMIT_S):
                writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (3 * http_listener.LONGEST_HEAD))
                got = await reader.readuntil(b"\r\n")
            writer.close()
            return got

    assert asyncio.run(once()) == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


def test_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "PATIENCE_S", 0.05)

    async def once() -> bytes:
        async with serving() as listener, asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.ports[0])
            try:
                return await reader.read()
            except ConnectionResetError:
                return b""
            finally:
                writer.close()

    assert asyncio.run(once()) == b""


def test_who_asks_is_answered_though_others_hold_all_connections() -> None:
    async def once() -> None:
        async with serving() as listener, asyncio.timeout(LIMIT_S):
            address = ("127.0.0.1", listener.ports[0])
            silent = [
                await asyncio.open_connection(*address) for _ in range(http_listener.MOST_CONNECTIONS + 5)
            ]
            assert (await fetch_or_nothing(listener)).startswith(b"HTTP/1.1 200")
            # Those that came first made room, before their patience was at an end.
            for reader, _ in silent[:6]:
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
            assert not silent[-1][0].at_eof()
            for _, writer in silent:
                writer.close()

    asyncio.run(once())


async def fetch_or_nothing(listener: HttpListener) -> bytes:
    try:
        return await fetch(listener, b"GET /metrics HTTP/1.1\r\n\r\n")
    except ConnectionError:
        return b""


def test_it_moves_to_another_address_or_stays() -> None:
    async def once() -> None:
        async with serving() as listener:
            before = listener.ports
            with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
                await listener.open(Endpoint("127.0.0.1", taken.getsockname()[1]))
            assert listener.ports == before
            await listener.open(Endpoint("127.0.0.1", 0))
            assert listener.ports != before
            assert (await fetch_or_nothing(listener)).startswith(b"HTTP/1.1 200")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", before[0])

    asyncio.run(once())
