"""SMTP_CHECK against a real mail server, and against servers that do everything wrong."""

import asyncio
import resource
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing
from ipaddress import ip_address
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from keepalived_py.base.clock import seconds
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import SmtpCheck
from keepalived_py.probes.smtp import ask_mail_server, status
from keepalived_py.system.loop import new_loop

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMIT_S = 0.3


def check(timeout_s: float = LIMIT_S, **more: Any) -> SmtpCheck:
    return SmtpCheck(connect_timeout_us=seconds(timeout_s), **more)


def order(port: int, asked: SmtpCheck, host: str = "127.0.0.1") -> StartCheck:
    return StartCheck(1, asked, Target(ip_address(host), port), f"[{host}]:tcp:{port}")


def run(life: Awaitable[CheckResult]) -> CheckResult:
    async def bounded() -> CheckResult:
        async with asyncio.timeout(20):
            return await life

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(bounded())


def against(serve: Serve, asked: SmtpCheck | None = None) -> CheckResult:
    """What the check says of such a server."""

    async def lived() -> CheckResult:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            return await ask_mail_server(order(server.sockets[0].getsockname()[1], asked or check()))
        finally:
            server.close()

    return run(lived())


def says(*lines: bytes, pause_s: float = 0) -> Serve:
    """A server that says its lines, one for each that it hears, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            for number, line in enumerate(lines):
                if number:
                    await reader.readline()
                for byte in line if pause_s else ():
                    writer.write(bytes([byte]))
                    await asyncio.sleep(pause_s)
                if not pause_s:
                    writer.write(line)
            await reader.read(1)

    return serve


def line_of(result: CheckResult) -> str:
    assert not result.good
    return result.lines[-1].partition(" [")[0]


def test_real_server() -> None:
    heard: list[bytes] = []

    class Listening(SMTP):
        def data_received(self, data: bytes) -> None:
            heard.append(data)
            super().data_received(data)

    async def lived() -> CheckResult:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Listening(object(), hostname="mx.test"), "::1", 0)
        try:
            port = server.sockets[0].getsockname()[1]
            return await ask_mail_server(order(port, check(5), "::1"))
        finally:
            server.close()

    result = run(lived())
    assert (result.good, result.code, result.lines) == (True, 250, ())
    assert result.text.startswith("220 mx.test")
    assert heard == [b"HELO smtpchecker.keepalived.org\r\n", b"QUIT\r\n"]


@pytest.mark.parametrize(
    "lines",
    [
        (b"220 hello\r\n", b"250 ok\r\n", b"221 bye\r\n"),
        (b"220\n", b"250 \n", b"500 what you say counts no more\n"),
        (b"220 hello\r\n250 ok\r\n", b"250 ok\r\n", b"221\n"),
        (b"220 hello\r\n", b"250 ok\r\n", b"x" * 2000),
    ],
)
def test_accepted(lines: tuple[bytes, ...]) -> None:
    assert against(says(*lines)).good


@pytest.mark.parametrize(
    ("lines", "words", "code"),
    [
        ((b"220-several\r\n220 lines\r\n",), "SMTP_CHECK Bad greeting banner from server", None),
        ((b"220\r\n",), "SMTP_CHECK Bad greeting banner from server", None),
        ((b"2200 no\r\n",), "SMTP_CHECK Bad greeting banner from server", None),
        ((b"554 go away\r\n",), "SMTP_CHECK Bad greeting banner from server", 554),
        ((b"\xff\xfe\x01\r\n",), "SMTP_CHECK Bad greeting banner from server", None),
        ((b"\n",), "SMTP_CHECK Bad greeting banner from server", None),
        ((b"220 a\r\n", b"250-mx\r\n250 HELP\r\n"), "SMTP_CHECK Bad HELO response from server", None),
        ((b"220 a\r\n", b"501 name?\r\n"), "SMTP_CHECK Bad HELO response from server", 501),
        ((b"220 a\0b\r\n",), "SMTP_CHECK Read timeout from server", None),
        ((b"220 no end",), "SMTP_CHECK Read timeout from server", None),
        ((b"220 a\r\n", b""), "SMTP_CHECK Read timeout from server", None),
        ((b"220 a\r\n", b"250 b\r\n", b""), "SMTP_CHECK Read timeout from server", None),
    ],
)
def test_refused(lines: tuple[bytes, ...], words: str, code: int | None) -> None:
    result = against(says(*lines))
    assert (line_of(result), result.code) == (words, code)
    assert result.text.isprintable()


def test_lines_name_the_server() -> None:
    async def lived() -> CheckResult:
        server = await asyncio.start_server(says(b"554 no\r\n"), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with closing(server):
            result = await ask_mail_server(order(port, check()))
        assert result.lines == (f"SMTP_CHECK Bad greeting banner from server [127.0.0.1]:{port}",)
        return result

    assert run(lived()).text == "554 no"


def test_slow_bytes_are_waited_for() -> None:
    """Each byte comes within the limit, all of them do not."""
    slow = against(says(b"220 slow\r\n", b"250\n", b"221\n", pause_s=0.05), check(0.25))
    assert slow.good


def test_hangs_up_and_resets() -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 h")
        writer.close()

    result = against(hangs_up)
    assert (line_of(result), result.ending) == ("SMTP_CHECK Read failure from server", Ending.CLOSED)

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        opened = writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    result = against(resets)
    assert (line_of(result), result.ending) == ("SMTP_CHECK Read failure from server", Ending.CLOSED)


def test_endless_line_is_not_read() -> None:
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with closing(writer):
            try:
                while sent < 1 << 30:
                    writer.write(b"220 " + b"x" * 65_532)
                    await writer.drain()
                    sent += 65_536
            except OSError:
                return

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = against(floods)
    assert line_of(result) == "SMTP_CHECK Bad greeting banner from server"
    assert result.lines[0].startswith("SMTP_CHECK Buffer overflow reading from server [127.0.0.1]:")
    assert sent < 64 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_long_name_is_cut() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"220 a\n")
            heard.append(await reader.read(2000))

    against(serve, check(helo_name="n" * 600))
    assert heard == [b"HELO " + b"n" * 506]


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        result = run(ask_mail_server(order(port, check())))
    assert (result.ending, line_of(result)) == (Ending.REFUSED, "SMTP_CHECK Could not connect to server")


def test_full_backlog_is_a_connection_timeout() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        result = run(ask_mail_server(order(full.getsockname()[1], check())))
    assert (result.ending, line_of(result)) == (
        Ending.TIMED_OUT,
        "SMTP_CHECK Connection timeout to server",
    )


def test_own_address_that_is_not_ours_says_nothing_about_the_server() -> None:
    asked = check(source_ip=ip_address("192.0.2.1"))
    result = run(ask_mail_server(order(25, asked)))
    assert result.ending is Ending.BROKEN
    assert result.lines == (
        "Checker bind failed: Cannot assign requested address",
        "SMTP_CHECK socket bind failed. Rescheduling.",
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"220", 220), (b"220 x", 220), (b"220-x", None), (b"22", None), (b"abc", None), (b"", None)],
)
def test_status(line: bytes, code: int | None) -> None:
    assert status(line) == code
