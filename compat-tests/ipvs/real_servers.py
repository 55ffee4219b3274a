"""Real servers for the daemons to check: they listen, answer as they are told, and count who asked.

One asyncio server for each "ADDRESS:PORT" of a play.  How it answers is a mapping,
which may be changed while it runs:

    kind      tcp (default) | http | https | smtp | dns | udp
    status    of HTTP, 200
    body      of HTTP, "ok"
    banner    of SMTP, "220 here"
    rcode     of DNS, 0
    reply     of UDP: hexadecimal bytes, None for silence
    listens   False: nobody is there at the start
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

_DATAGRAMS = ("dns", "udp")


def split(server: str) -> tuple[str, int]:
    """("fd05::11", 80) of "[fd05::11]:80"."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


class RealServers:
    """Every real server of one play."""

    def __init__(self, servers: Mapping[str, Mapping[str, Any]], certificate: str) -> None:
        self._words = {name: dict(words) for name, words in servers.items()}
        self._open: dict[str, asyncio.AbstractServer | asyncio.DatagramTransport] = {}
        self._certificate = certificate
        self.contacts: Counter[str] = Counter()

    async def start(self) -> None:
        """All that listen from the beginning."""
        await self.up(name for name, words in self._words.items() if words.get("listens", True))

    async def up(self, names: Any) -> None:
        """These listen from now on."""
        for name in names:
            self._open[name] = await self._listen(name, self._words[name].get("kind", "tcp"))

    def down(self, names: Any) -> None:
        """Whoever asks these is refused from now on."""
        for name in names:
            self._open.pop(name).close()

    def answer(self, name: str, words: Mapping[str, Any]) -> None:
        """Change how it answers."""
        self._words[name].update(words)

    def close(self) -> None:
        """Nobody listens any more."""
        self.down(list(self._open))

    async def _listen(self, name: str, kind: str) -> asyncio.AbstractServer | asyncio.DatagramTransport:
        host, port = split(name.partition("/")[0])
        if kind in _DATAGRAMS:
            loop = asyncio.get_running_loop()
            made = await loop.create_datagram_endpoint(lambda: _Datagrams(self, name, kind), (host, port))
            return made[0]
        context = None
        if kind == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
        return await asyncio.start_server(lambda r, w: self._talk(name, kind, r, w), host, port, ssl=context)

    def words(self, name: str) -> dict[str, Any]:
        """How it answers now."""
        return self._words[name]

    async def _talk(
        self, name: str, kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.contacts[name] += 1
        try:
            if kind in ("http", "https"):
                await self._page(name, reader, writer)
            elif kind == "smtp":
                await self._letter_box(name, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _page(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        words = self._words[name]
        body = str(words.get("body", "ok")).encode()
        head = f"HTTP/1.0 {words.get('status', 200)} So\r\nContent-Length: {len(body)}\r\nX-Server: {name}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    async def _letter_box(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(f"{self._words[name].get('banner', '220 here')}\r\n".encode())
        while line := await reader.readline():
            writer.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 yes\r\n")
            if line.upper().startswith(b"QUIT"):
                return


class _Datagrams(asyncio.DatagramProtocol):
    """A name server of one rcode, or an echo of fixed bytes."""

    def __init__(self, servers: RealServers, name: str, kind: str) -> None:
        self._servers, self._name, self._kind = servers, name, kind
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._servers.contacts[self._name] += 1
        words = self._servers.words(self._name)
        reply = words.get("reply", "6f6b")
        if self._kind == "dns":
            flags = bytes((0x81, 0x80 | words.get("rcode", 0)))
            answer: bytes | None = data[:2] + flags + data[4:]
        else:
            answer = None if reply is None else bytes.fromhex(reply)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)
