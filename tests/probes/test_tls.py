"""SSL_GET: handshakes, names, good-byes, and servers that do it wrong."""

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.errors import FatalStart
from keepalived_py.model.check_events import Ending
from keepalived_py.model.checks import SslGet, Url
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.probes.tls import context_for
from tests.probes.web_server import (
    LABEL,
    asked,
    certificate_files,
    endlessly,
    limit,
    lived,
    outcome,
    page,
    saying,
    serving,
    then_reset,
    then_silent,
    tls_server,
)

BODY = b"hello world ok"


def get(limit_s: float = 10, **check: Any) -> SslGet:
    return SslGet(**{"urls": (Url(path="/a"),), "connect_timeout_us": limit(limit_s), **check})


def line(words: str) -> tuple[str]:
    return (f"{words} server {LABEL}.",)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_page_over_tls_whoever_the_server_is(version: ssl.TLSVersion, tmp_path: Path) -> None:
    server = tls_server(tmp_path, minimum_version=version, maximum_version=version)
    check = get(urls=(Url(path="/a", digest=hashlib.md5(BODY).digest()),))
    found = outcome(check, saying(page(BODY)), server)
    assert found.good
    assert found.lines == (f"MD5 digest success to {LABEL} url(/a)",)


def test_a_large_page(tmp_path: Path) -> None:
    body = bytes(range(256)) * 8_000
    check = get(urls=(Url(path="/a", digest=hashlib.md5(body).digest()),))
    assert outcome(check, saying(page(body)), tls_server(tmp_path)).good


@pytest.mark.parametrize(
    ("check", "name"),
    [
        (get(), None),
        (get(virtualhost="c.example"), None),
        (get(enable_sni=True), None),
        (get(enable_sni=True, virtualhost="c.example"), "c.example"),
        (get(enable_sni=True, virtualhost="c.example", sni_name="s.example"), "s.example"),
        (get(enable_sni=True, virtualhost="c", urls=(Url(path="/a", virtualhost="u.example"),)), "u.example"),
        (get(enable_sni=True, virtualhost=".not-a-name"), None),
        (get(enable_sni=True, virtualhost="too-long" * 10), None),
        (get(enable_sni=True, virtualhost="b\u00fccher.example"), "xn--bcher-kva.example"),
    ],
)
def test_the_name_in_the_handshake(check: SslGet, name: str | None, tmp_path: Path) -> None:
    seen: list[str | None] = []
    assert outcome(check, saying(page(BODY)), tls_server(tmp_path, seen)).good
    assert seen == [name]


@pytest.mark.parametrize("compliant", [True, False])
def test_the_good_bye(compliant: bool, tmp_path: Path) -> None:
    """A server that closes TLS first, sees close_notify only of a compliant check."""

    async def life() -> bool:
        seen: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        server = tls_server(tmp_path)

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = server.wrap_bio(incoming, outgoing, server_side=True)

            async def until_done(step: Any) -> Any:
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        writer.write(outgoing.read())
                        data = await reader.read(65536)
                        if not data:
                            raise EOFError from None
                        incoming.write(data)

            await until_done(tls.do_handshake)
            await until_done(lambda: tls.read(4096))
            tls.write(page(BODY))
            try:
                await until_done(tls.unwrap)
                seen.set_result(True)
            except (EOFError, OSError):
                seen.set_result(False)
            writer.close()

        listening = await asyncio.start_server(met, "127.0.0.1", 0)
        async with serving(saying()) as served:
            target = served.target._replace(port=listening.sockets[0].getsockname()[1])
            assert (await asked(get(tls_compliant=compliant), target)).good
        try:
            return await seen
        finally:
            listening.close()

    assert lived(life) is compliant


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (saying(b"HTTP/1.1 503 No\r\n\r\n"), "HTTP status code error to"),
        (saying(), "SSL read error from"),
        (then_reset(), "Read, no data received from "),
    ],
)
def test_bad_answers(talk: Any, words: str, tmp_path: Path) -> None:
    found = outcome(get(), talk, tls_server(tmp_path))
    assert not found.good
    assert found.lines == line(words)


def test_what_came_before_a_reset_counts(tmp_path: Path) -> None:
    assert outcome(get(), then_reset(page(BODY)), tls_server(tmp_path)).good


@pytest.mark.parametrize(
    ("talk", "words"), [(then_silent(), "Timeout WEB read"), (then_silent(page(BODY)), "Timeout SSL read")]
)
def test_a_server_that_keeps_the_connection_open(talk: Any, words: str, tmp_path: Path) -> None:
    # TLS 1.3 has tickets to send after the handshake, which are a first sign of life.
    server = tls_server(tmp_path, maximum_version=ssl.TLSVersion.TLSv1_2)
    found = outcome(get(0.3), talk, server)
    assert (found.ending, found.lines) == (Ending.TIMED_OUT, line(words))


def test_more_bytes_do_not_renew_the_time(tmp_path: Path) -> None:
    found = outcome(get(0.3), endlessly(page(b""), b"x", 0.01), tls_server(tmp_path))
    assert found.lines == line("Timeout SSL read")
    assert found.took_us < 3_000_000


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 100, b""])
def test_a_server_that_breaks_the_handshake(answer: bytes) -> None:
    async def life() -> Any:
        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(5)
            writer.write(answer)
            writer.close()

        listening = await asyncio.start_server(met, "127.0.0.1", 0)
        async with serving(saying()) as served:
            return await asked(get(), served.target._replace(port=listening.sockets[0].getsockname()[1]))

    found = lived(life)
    assert (found.good, found.ending) == (False, Ending.WRONG)
    assert found.lines == line("SSL handshake/communication error connecting to")
    assert found.text


def test_a_server_that_never_shakes_hands() -> None:
    async def life() -> Any:
        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        listening = await asyncio.start_server(met, "127.0.0.1", 0)
        async with serving(saying()) as served:
            return await asked(get(0.05), served.target._replace(port=listening.sockets[0].getsockname()[1]))

    assert lived(life).lines == line("Timeout connecting")


def test_our_certificate_is_shown(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path)
    server = tls_server(tmp_path)
    server.load_verify_locations(certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    settings = SslSettings(ca=certificate, certificate=certificate, key=key)

    async def life() -> bool:
        from keepalived_py.model.check_events import StartCheck
        from keepalived_py.probes.http import get_page

        async with serving(saying(page(BODY)), server) as served:
            order = StartCheck(1, get(), served.target, LABEL)
            without = await get_page(order, context_for(None), None)
            assert not without.good
            return (await get_page(order, context_for(settings), None)).good

    assert lived(life)


@pytest.mark.parametrize(
    "settings",
    [
        SslSettings(ca="/nonexistent/ca.pem"),
        SslSettings(certificate="/nonexistent/c.pem", key="/nonexistent/k.pem"),
        SslSettings(certificate="/nonexistent/c.pem"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(settings: SslSettings) -> None:
    with pytest.raises(FatalStart, match=r"SSL: .*\(/nonexistent/.*cannot be loaded"):
        context_for(settings)


def test_a_key_of_somebody_else_ends_the_start(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path)
    Path(key).write_text("garbage")
    with pytest.raises(FatalStart, match="certificate and key"):
        context_for(SslSettings(certificate=certificate, key=key))


def test_a_certificate_without_a_key_is_of_no_use_but_no_fault(tmp_path: Path) -> None:
    certificate, _ = certificate_files(tmp_path)
    context_for(SslSettings(certificate=certificate))
