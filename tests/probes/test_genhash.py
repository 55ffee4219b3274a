"""genhash: its digest, what it shows, and how it ends."""

import asyncio
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keepalived_py.cli import main as program
from keepalived_py.cli.genhash_command import dumped
from tests.probes.web_server import Talk, page, saying, serving

BODY = b"hello world ok"
DIGEST = hashlib.md5(BODY).hexdigest()


@contextmanager
def served(talk: Talk) -> Iterator[tuple[str, list[bytes]]]:
    """A server in a thread: its port, and the requests it gets."""
    ready: list[tuple[str, list[bytes]]] = []
    started = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def life() -> None:
        async with serving(talk) as server:
            ready.append((str(server.target.port), server.requests))
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(life(),))
    thread.start()
    try:
        assert started.wait(10)
        yield ready[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


@pytest.mark.parametrize("front", [["genhash"], ["--genhash"], ["-T"], ["--gen"]])
def test_the_digest(front: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with served(saying(page(BODY))) as (port, requests):
        code = program.main([*front, "-s", "127.0.0.1", "-p", port, "-u", "/a", "-P", "1.0c", "-V", "www"])
    assert (code, capsys.readouterr().out) == (0, f"{DIGEST}\n")
    expected = b"GET /a HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www\r\n\r\n"
    assert requests == [expected]


def test_the_digest_is_made_whatever_the_status(capsys: pytest.CaptureFixture[str]) -> None:
    with served(saying(page(BODY, b"404 Not Found"))) as (port, _):
        assert program.main(["genhash", "-s", "127.0.0.1", "-p", port, "-u", "/a"]) == 0
    assert capsys.readouterr().out == f"{DIGEST}\n"


VERBOSE = """\
-----------------------[    HTTP Header Buffer    ]-----------------------
0000  48 54 54 50 2f 31 2e 31 - 20 32 30 30 20 4f 4b 0d   HTTP/1.1 200 OK.
0016  0a 0d 0a                -                           ...<13>
-----------------------[ HTTP Header Ascii Buffer ]-----------------------
HTTP/1.1 200 OK


-----------------------[        HTML Buffer        ]-----------------------
0000  68 65 6c 6c 6f 20 77 6f - 72 6c 64 20 6f 6b         hello world ok<2>

-----------------------[    HTML hash resulting    ]-----------------------
0000  91 1e 19 b7 55 50 b9 2f - 3b f6 e6 cd ac 81 52 11   ....UP./;.....R.
-----------------------[ HTML hash final resulting ]-----------------------
911e19b75550b92f3bf6e6cdac815211

Global response time for [/a] = N usecs
"""


def test_verbose_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    with served(saying(page(BODY))) as (port, _):
        assert program.main(["genhash", "-v", "-s", "127.0.0.1", "-p", port, "-u", "/a"]) == 0
    shown = capsys.readouterr().out.replace("\r\n", "\n")
    expected = VERBOSE.replace("<13>", " " * 13).replace("<2>", " " * 2)
    assert re.sub("= [0-9]+ usecs", "= N usecs", shown) == expected


def test_a_server_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with served(saying()) as (port, _):
        assert program.main(["genhash", "-s", "127.0.0.1", "-p", port, "-u", "/a"]) == 0
    assert capsys.readouterr() == ("", "no data received from remote webserver\n")


@pytest.mark.parametrize(("more", "said"), [([], "Connection failed\n"), (["-S"], "Connection failed\n")])
def test_nobody_there(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["genhash", "-s", "127.0.0.1", "-p", "1", "-u", "/a", *more]) == 0
    assert capsys.readouterr().out == said


def test_no_tls_there(capsys: pytest.CaptureFixture[str]) -> None:
    with served(saying(page(BODY))) as (port, _):
        words = ["genhash", "-S", "-s", "127.0.0.1", "-p", port, "-u", "/a", "-t", "1"]
        assert program.main(words) == 0
    assert capsys.readouterr().out == "Timeout connecting\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-s", "127.0.0.1", "-p", "80"],
        ["-s", "localhost", "-p", "80", "-u", "/"],
        ["-s", "127.0.0.1", "-p", "0", "-u", "/"],
        ["-s", "127.0.0.1", "-p", "80", "-u", "/", "-P", "2"],
        ["-s", "127.0.0.1", "-p", "80", "-u", "/", "-m", "-1"],
        ["-s", "127.0.0.1", "-p", "80", "-u", "/", "more"],
    ],
)
def test_asked_for_wrongly(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = program.main(["genhash", *words])
    except SystemExit as end:
        code = end.code
    assert code == 1
    assert "genhash" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "code"), [(["genhash", "-h"], 0), (["-T", "-h"], 1)])
def test_help_fails_as_keepalived_s_does_only_behind_its_option(
    words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended: object = program.main(words)
    except SystemExit as end:
        ended = end.code
    shown = capsys.readouterr()
    assert ended == code
    assert "usage: keepalived-py genhash" in (shown.err if code else shown.out)


def test_long_dumps_count_in_sixteen_bits() -> None:
    lines = dumped(bytes(65536 + 17)).splitlines()
    assert lines[4095].startswith("65520 ")
    assert lines[4096].startswith("0000 ")
    assert len(lines) == 4098
