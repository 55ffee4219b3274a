"""Tracked checks by a process of their own: what comes back, what does not, and what becomes of it."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.clock import seconds
from keepalived_py.base.names import ScriptName
from keepalived_py.model.checks import ConnectedCheck, HttpGet, SslGet, TcpCheck, Url
from keepalived_py.model.config import CheckScript, Configuration
from keepalived_py.model.effects import AskServer, WriteLog
from keepalived_py.model.events import ScriptFinished
from keepalived_py.model.interfaces import SslSettings
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.probes.server_checks import ServerChecks
from tests.probes.web_server import (
    CERTIFICATE,
    KEY,
    Talk,
    endlessly,
    lived,
    page,
    saying,
    serving,
    then_silent,
)

WEB = ScriptName("web")
HERE = ip_address("127.0.0.1")
GOOD, BAD = page(b"fine", b"200 OK", b"Content-Length: 4"), page(b"", b"503 Service Unavailable")


def configured(*checks: ConnectedCheck, ssl_settings: Any = None) -> Configuration:
    made = tuple(
        CheckScript(ScriptName(f"web{at or ''}"), NO_COMMAND, seconds(1), seconds(1), asks=check)
        for at, check in enumerate(checks)
    )
    return Configuration(checks=made, ssl=ssl_settings)


def fetching(port: int, *paths: str, kind: type[HttpGet] | type[SslGet] = HttpGet) -> HttpGet | SslGet:
    urls = tuple(Url(path) for path in paths or ("/",))
    return kind(connect_ip=HERE, connect_port=port, urls=urls, connect_timeout_us=seconds(1))


class Asker:
    """The vrrp process's side, with what it was told."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[ScriptFinished] = asyncio.Queue()
        self.lines: list[WriteLog] = []
        self.checks = ServerChecks(self.ends.put_nowait, self.lines.append)

    async def asked(self, name: ScriptName = WEB, limit_s: float = 10) -> ScriptFinished:
        self.checks.ask(AskServer(name, seconds(limit_s)))
        return await self.ends.get()


@asynccontextmanager
async def asking(configuration: Configuration) -> AsyncIterator[Asker]:
    asker = Asker()
    await asker.checks.follow(configuration)
    try:
        yield asker
    finally:
        asker.checks.close()


def found(
    talk: Talk, *paths: str, limit_s: float = 10, context: ssl.SSLContext | None = None
) -> ScriptFinished:
    """What is told of a server that talks so."""

    async def life() -> ScriptFinished:
        async with serving(talk, context) as served:
            kind = HttpGet if context is None else SslGet
            async with asking(configured(fetching(served.target.port, *paths, kind=kind))) as asker:
                return await asker.asked(limit_s=limit_s)

    return lived(life)


def test_a_good_page() -> None:
    assert found(saying(GOOD)) == ScriptFinished(WEB, text="200 OK")


def test_a_bad_page_says_what_it_was() -> None:
    assert found(saying(BAD)) == ScriptFinished(WEB, status=1, text="503 Service Unavailable")


def test_all_pages_must_be_good() -> None:
    """They are fetched in turn, and the first bad one is the last."""

    async def life() -> None:
        answers = [GOOD, BAD, GOOD]

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answers[len(served.requests) - 1])

        async with serving(talk) as served:
            async with asking(configured(fetching(served.target.port, "/a", "/b", "/c"))) as asker:
                end = await asker.asked()
            assert end == ScriptFinished(WEB, status=1, text="503 Service Unavailable for /b")
            assert [request.split()[1] for request in served.requests] == [b"/a", b"/b"]

    lived(life)


@pytest.mark.parametrize(
    "talk", [then_silent(), endlessly(page(b""), b"x" * 65536)], ids=["silent", "endless"]
)
def test_a_check_that_does_not_end_has_timed_out(talk: Talk) -> None:
    assert found(talk, limit_s=0.3) == ScriptFinished(
        WEB, status=1, timed_out=True, text="no end within 0.3 s"
    )


def test_over_tls(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_text(CERTIFICATE + KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    assert found(saying(GOOD), context=context) == ScriptFinished(WEB, text="200 OK")


def test_a_certificate_that_is_not_there_makes_the_check_fail_and_is_named() -> None:
    async def life() -> None:
        settings = SslSettings(certificate="/nowhere.pem", key="/nowhere.key")
        async with asking(configured(fetching(1, kind=SslGet), ssl_settings=settings)) as asker:
            end = await asker.asked()
            assert (end.status, end.timed_out) == (1, False)
            assert end.text.startswith(
                "SSL: certificate or key (/nowhere.pem, /nowhere.key) cannot be loaded"
            )
            assert asker.lines[0].text.startswith("SSL: certificate")

    lived(life)


def test_what_a_server_says_cannot_spoil_the_log() -> None:
    end = found(saying(page(b"", b"500 \x1b[2J" + b"x" * 1000)))
    assert end.status == 1
    assert end.text.isprintable()
    assert len(end.text) <= 200


def test_no_process_without_a_check() -> None:
    async def life() -> None:
        async with asking(Configuration()) as asker:
            pids = [asker.checks.helper_pid]
            await asker.checks.follow(configured(fetching(1)))
            pids.append(asker.checks.helper_pid)
            assert (await asker.asked()).text == "connection refused"
            await asker.checks.follow(Configuration())
            pids.append(asker.checks.helper_pid)
            assert [bool(pid) for pid in pids] == [False, True, False]

    lived(life)


def test_a_reload_changes_what_is_asked() -> None:
    async def life() -> None:
        async with serving(saying(GOOD)) as served, asking(configured(fetching(1))) as asker:
            before = asker.checks.helper_pid
            assert (await asker.asked()).status == 1
            await asker.checks.follow(configured(fetching(served.target.port)))
            assert (await asker.asked()).status == 0
            assert asker.checks.helper_pid == before

    lived(life)


def test_settings_longer_than_a_message() -> None:
    """Three thousand checks, of which the last one is asked."""

    async def life() -> None:
        checks = [fetching(1, f"/{'x' * 100}{number}") for number in range(3000)]
        async with asking(configured(*checks)) as asker:
            last = ScriptName("web2999")
            assert await asker.asked(last) == ScriptFinished(last, status=1, text="connection refused")

    lived(life)


def test_a_helper_that_is_killed_is_replaced_and_knows_everything() -> None:
    """What it was asked times out, and so does what is asked while there is none."""

    async def life() -> None:
        async with serving(saying(GOOD)) as served, asking(configured(fetching(served.target.port))) as asker:
            first = asker.checks.helper_pid
            os.kill(first, signal.SIGSTOP)
            asker.checks.ask(AskServer(WEB, seconds(0.2)))
            os.kill(first, signal.SIGKILL)
            assert (await asker.ends.get()).timed_out
            assert (await asker.asked(limit_s=0.1)).timed_out
            assert not asker.checks.helper_pid, "nothing is forked for a question"
            while asker.checks.helper_pid in (0, first):
                await asyncio.sleep(0.01)
            assert (await asker.asked()).text == "200 OK"
            assert [line.text for line in asker.lines] == [
                "The process that asks servers has ended: another one is started"
            ]

    lived(life)


def test_a_helper_that_hangs_costs_the_check_and_nobody_else() -> None:
    async def life() -> None:
        async with asking(configured(fetching(1))) as asker:
            os.kill(asker.checks.helper_pid, signal.SIGSTOP)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            for _ in range(5000):
                asker.checks.ask(AskServer(WEB, seconds(0.5)))
            assert loop.time() - begun < 2
            assert (await asker.ends.get()).timed_out
            assert asker.ends.empty(), "each question has forgotten the one before it"
            os.kill(asker.checks.helper_pid, signal.SIGCONT)

    lived(life)


def test_an_answer_that_comes_too_late_says_nothing() -> None:
    async def life() -> None:
        with socket.create_server((str(HERE), 0)) as server:
            port = server.getsockname()[1]
            check = TcpCheck(connect_ip=HERE, connect_port=port, connect_timeout_us=seconds(1))
            async with asking(configured(check)) as asker:
                os.kill(asker.checks.helper_pid, signal.SIGSTOP)
                assert (await asker.asked(limit_s=0.1)).timed_out
                asker.checks.ask(AskServer(WEB, seconds(10)))
                os.kill(asker.checks.helper_pid, signal.SIGCONT)
                end = await asker.ends.get()
                assert (end.status, end.text) == (0, "connected")
                assert asker.ends.empty()

    lived(life)
