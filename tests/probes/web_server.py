"""A server on loopback that says exactly what a test wants, byte by byte."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from keepalived_py.base.clock import Micros, seconds
from keepalived_py.model.check_events import CheckResult, StartCheck, Target
from keepalived_py.model.checks import ConnectedCheck
from keepalived_py.probes.table import Probes
from keepalived_py.system.loop import new_loop, now

LABEL = "[127.0.0.1]:tcp:80"
LIMIT_S = 20
T = TypeVar("T")
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Served:
    """The server: where it listens, and the requests it has read."""

    def __init__(self, port: int) -> None:
        self.target = Target(ip_address("127.0.0.1"), port)
        self.requests: list[bytes] = []


@asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """Answers each request with `talk`, and hangs up after it."""
    served = Served(0)

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            served.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(met, "127.0.0.1", 0, ssl=context)
    served.target = Target(served.target.address, server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()


def saying(*pieces: bytes) -> Talk:
    """Sends these pieces; each is sent after the one before has left."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return talk


def then_silent(*pieces: bytes) -> Talk:
    """Sends these pieces, and keeps the connection open until the other side goes away."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*pieces)(reader, writer)
        await reader.read()

    return talk


def then_reset(*pieces: bytes) -> Talk:
    """Sends these pieces, waits until they are acknowledged, and resets the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(*pieces)(reader, writer)
        made: socket.socket = writer.get_extra_info("socket")
        while unacknowledged(made):
            await asyncio.sleep(0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return talk


def unacknowledged(made: socket.socket) -> int:
    """Segments on their way (tcpi_unacked)."""
    found: int = struct.unpack_from("I", made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 24)[0]
    return found


def endlessly(head: bytes, piece: bytes, pause_s: float = 0.0) -> Talk:
    """Sends `head`, and then `piece` for ever."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return talk


def lived(life: Callable[[], Awaitable[T]]) -> T:
    """Runs `life` on the loop that the program uses; it may not take for ever."""

    async def bounded() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await life()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(bounded())


async def asked(check: ConnectedCheck, target: Target, part: int = 0) -> CheckResult:
    """One run of a check."""
    return await Probes(now, print).run(StartCheck(1, check, target, LABEL, part))


def outcome(check: ConnectedCheck, talk: Talk, context: ssl.SSLContext | None = None) -> CheckResult:
    """What a check says about a server that talks so."""

    async def life() -> CheckResult:
        async with serving(talk, context) as served:
            return await asked(check, served.target)

    return lived(life)


def limit(value_s: float) -> Micros:
    return seconds(value_s)


def page(body: bytes, status: bytes = b"200 OK", *headers: bytes) -> bytes:
    """A whole answer."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, b"", body])


CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBgjCCASmgAwIBAgIUGObzHeeR2x1TfdXenw3xc3ujE44wCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLd2ViLmV4YW1wbGUwIBcNMjYxMTIyMDI1NjAyWhgPMjEyNjEw
MjkwMjU2MDJaMBYxFDASBgNVBAMMC3dlYi5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEGPHMUGgNx+YPFn1+dBrUEwRstbgmPqcJgilLcBTU5k2IIMAb
VgmcHp31nVGMTmCvP/UKDU7IzKtfEALZSA/tPKNTMFEwHQYDVR0OBBYEFMv8C8XD
t0vbUlKyuJGay2o2quClMB8GA1UdIwQYMBaAFMv8C8XDt0vbUlKyuJGay2o2quCl
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgY8Ae6aRcR64Yqh5k
/Yspc/KerxHLaoX/To8JwJOP2dACIGs2K2OGTyMKubJ+zT4/UyATzz13n/VNXE3A
hFDH/7n3
-----END CERTIFICATE-----
"""

KEY = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIBTSwoaoA5ZmtQAXK7GnQlX1TG9GY56ZysTE9U+pQh9IoAoGCCqGSM49
AwEHoUQDQgAEGPHMUGgNx+YPFn1+dBrUEwRstbgmPqcJgilLcBTU5k2IIMAbVgmc
Hp31nVGMTmCvP/UKDU7IzKtfEALZSA/tPA==
-----END EC PRIVATE KEY-----
"""


def certificate_files(folder: Path) -> tuple[str, str]:
    """The certificate and the key of web.example, as files."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_text(CERTIFICATE)
    key.write_text(KEY)
    return str(certificate), str(key)


def tls_server(folder: Path, seen: list[Any] | None = None, **settings: Any) -> ssl.SSLContext:
    """A server's side of TLS; names that clients ask for are added to `seen`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate_files(folder))
    for name, value in settings.items():
        setattr(context, name, value)
    if seen is not None:
        context.sni_callback = lambda connection, name, context: seen.append(name)
    return context
