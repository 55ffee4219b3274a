"""Servers that behave in one odd way each, for checks to be tried on.

A behaviour is a value: what is done with a connection, or a datagram, step by step.
Each case has one for each phase of the run, and the change from one phase to the
next is made for all cases at once.  Everything is bound to the case's own address.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

_PIECE = b"x" * 65536
_LATE = 30.0


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes, at once."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Read:
    """Wait until the peer has sent this (or has hung up)."""

    until: bytes = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Drip:
    """These bytes one by one, a pause before each."""

    data: bytes
    pause_s: float


@dataclass(frozen=True, slots=True)
class Flood:
    """So many bytes as fast as they are taken; None: without end."""

    count: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing until the peer hangs up."""


@dataclass(frozen=True, slots=True)
class Reset:
    """End with RST."""


@dataclass(frozen=True, slots=True)
class Page:
    """Answer the request that was read with 200 if `good` says so of it and of the peer's address, else with 404."""

    good: Callable[[bytes, tuple[str, int]], bool]


Step = Send | Read | Drip | Flood | Hold | Reset | Page


@dataclass(frozen=True, slots=True)
class Talk:
    """A TCP server: the steps, and then the connection is closed.  `tls`: "" none, "any", or the only name served."""

    steps: tuple[Step, ...] = (Hold(),)
    tls: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Full:
    """Somebody listens and takes no more connections: what comes is dropped."""


@dataclass(frozen=True, slots=True)
class Datagrams:
    """A UDP server: what it answers to each datagram; None for silence."""

    reply: Callable[[bytes], bytes | None]


@dataclass(frozen=True, slots=True)
class Program:
    """What the case's program does: lines of a shell script."""

    lines: str


@dataclass(frozen=True, slots=True)
class Number:
    """What is in the case's file; None: there is no file."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Address:
    """Whether this machine has the case's address."""

    there: bool


Behaviour = Talk | Refused | Full | Datagrams | Program | Number | Address


def page(body: bytes = b"ok", status: str = "200 OK", head: str = "") -> Talk:
    """A web server with one page."""
    text = f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    return Talk((Read(), Send(text.encode() + body)))


def sent(data: bytes, *more: Step) -> Talk:
    """A web server that answers any request with these bytes."""
    return Talk((Read(), Send(data), *more))


def answered(code: int) -> Datagrams:
    """A name server of one response code."""
    return Datagrams(lambda asked: asked[:2] + bytes((0x81, 0x80 | code)) + asked[4:])


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case's server is, and which files are its own."""

    host: str
    port: int
    files: Path
    certificate: str


class Target:
    """The server of one case."""

    def __init__(self, place: Place, phases: tuple[Behaviour, ...]) -> None:
        self.place = place
        self._phases = phases
        self._now: Behaviour | None = None
        self._close: Callable[[], object] = lambda: None
        self.port = place.port

    async def enter(self, phase: int) -> None:
        """Behave as in this phase; what has no behaviour of its own goes on."""
        behaviour = self._phases[min(phase, len(self._phases) - 1)]
        if behaviour is self._now:
            return
        self._now = behaviour
        self._close()
        self._close = lambda: None
        match behaviour:
            case Talk():
                await self._listen(behaviour)
            case Full():
                self._fill()
            case Datagrams():
                self._hear(behaviour)
            case Program():
                self.place.files.with_suffix(".sh").write_text(behaviour.lines)
            case Number():
                self._write(behaviour)
            case Address():
                self._address(behaviour.there)
            case Refused():
                pass
            case _:
                assert_never(behaviour)

    def _address(self, there: bool) -> None:
        more = ["/64", "nodad"] if ":" in self.place.host else ["/16"]
        words = [
            "ip",
            "address",
            "add" if there else "del",
            self.place.host + more[0],
            "dev",
            "eth0",
            *more[1:],
        ]
        os.spawnvp(os.P_WAIT, "ip", words)

    def _write(self, number: Number) -> None:
        path = self.place.files.with_suffix(".number")
        if number.text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(number.text)

    def _fill(self) -> None:
        """One connection is all that fits; three more wait for ever."""
        family = socket.AF_INET6 if ":" in self.place.host else socket.AF_INET
        opened = [socket.socket(family, socket.SOCK_STREAM) for _ in range(4)]
        opened[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened[0].bind((self.place.host, self.place.port))
        opened[0].listen(0)
        for one in opened[1:]:
            one.setblocking(False)
            one.connect_ex((self.place.host, self.place.port))

        def close() -> None:
            for one in opened:
                one.close()

        self._close = close

    def _hear(self, behaviour: Datagrams) -> None:
        family = socket.AF_INET6 if ":" in self.place.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        opened.bind((self.place.host, self.place.port))
        loop = asyncio.get_running_loop()
        loop.add_reader(opened, self._answer, opened, behaviour)

        def close() -> None:
            loop.remove_reader(opened)
            opened.close()

        self._close = close

    def _answer(self, opened: socket.socket, behaviour: Datagrams) -> None:
        with contextlib.suppress(OSError):
            asked, sender = opened.recvfrom(4096)
            reply = behaviour.reply(asked)
            if reply is not None:
                opened.sendto(reply, sender)

    async def _listen(self, behaviour: Talk) -> None:
        server = await asyncio.start_server(
            lambda reader, writer: self._talk(behaviour, reader, writer),
            self.place.host, self.place.port, backlog=64, ssl=self._context(behaviour.tls),
        )  # fmt: skip
        self._close = server.close
        self.port = server.sockets[0].getsockname()[1]

    def _context(self, tls: str) -> ssl.SSLContext | None:
        if not tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.place.certificate)
        if tls != "any":
            context.sni_callback = lambda _made, name, _context: (
                None if name == tls else ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            )
        return context

    def close(self) -> None:
        """Nobody is there any more."""
        self._close()

    async def _talk(
        self, behaviour: Talk, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_LATE):
                await _played(behaviour.steps, reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _played(
    steps: tuple[Step, ...], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    request = b""
    for step in steps:
        match step:
            case Send(data):
                writer.write(data)
                await writer.drain()
            case Read(until):
                request = await reader.readuntil(until)
            case Drip(data, pause_s):
                for byte in data:
                    await asyncio.sleep(pause_s)
                    writer.write(bytes((byte,)))
            case Flood(count):
                await _flood(count, writer)
            case Hold():
                while await reader.read(65536):
                    pass
            case Reset():
                made = writer.get_extra_info("socket")
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            case Page(good):
                word = "200 OK" if good(request, writer.get_extra_info("peername")[:2]) else "404 No"
                writer.write(f"HTTP/1.0 {word}\r\n\r\nok".encode())
            case _:
                assert_never(step)


async def _flood(count: int | None, writer: asyncio.StreamWriter) -> None:
    left = count
    while (left is None or left > 0) and not writer.is_closing():
        writer.write(_PIECE if left is None else _PIECE[:left])
        await writer.drain()
        # `drain` does not give way while there is room; others want their turn.
        await asyncio.sleep(0)
        left = None if left is None else left - len(_PIECE)


class Targets:
    """The servers of all cases."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets

    async def enter(self, phase: int) -> None:
        """All of them change."""
        for target in self._targets.values():
            await target.enter(phase)


def md5(data: bytes) -> str:
    """As a configuration has it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
