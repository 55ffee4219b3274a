"""HTTP_GET: the bytes that are asked, and what is thought of answers, good and odd."""

import errno
import hashlib
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import HttpGet, HttpVersion, StatusRange, Url
from keepalived_py.probes.http import request_for
from tests.probes.web_server import (
    LABEL,
    Talk,
    asked,
    endlessly,
    limit,
    lived,
    outcome,
    page,
    saying,
    serving,
    then_reset,
    then_silent,
)

BODY = b"hello world ok"
GOOD = page(BODY)


def get(limit_s: float = 10, **url: Any) -> HttpGet:
    return HttpGet(
        urls=(Url(**{"path": "/a", **url}),), connect_timeout_us=limit(limit_s), delay_loop_us=limit(1)
    )


def line(words: str) -> tuple[str]:
    return (f"{words} server {LABEL}.",)


@pytest.mark.parametrize(
    ("host", "check", "expected"),
    [
        (
            "10.5.0.11",
            HttpGet(urls=(Url(path="/a?b=c"),)),
            b"GET /a?b=c HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 10.5.0.11:80\r\n\r\n",
        ),
        (
            "fd05::11",
            HttpGet(urls=(Url(path="/"),)),
            b"GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: [fd05::11]:80\r\n\r\n",
        ),
        (
            "fe80::1%lo",
            HttpGet(urls=(Url(path="/"),)),
            b"GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: [fe80::1]:80\r\n\r\n",
        ),
        (
            "10.5.0.11",
            HttpGet(
                urls=(Url(path="/a b", virtualhost="u"),), virtualhost="c", http_version=HttpVersion.HTTP_1_1
            ),
            b"GET /a b HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: u\r\n\r\n",
        ),
        (
            "fd05::11",
            HttpGet(urls=(Url(path="/"),), virtualhost="c", http_version=HttpVersion.HTTP_1_0_CLOSE),
            b"GET / HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: c\r\n\r\n",
        ),
    ],
)
def test_the_request(host: str, check: HttpGet, expected: bytes) -> None:
    assert request_for(StartCheck(1, check, Target(ip_address(host), 80), LABEL)) == expected


def test_the_request_is_what_arrives_and_the_part_says_which_page() -> None:
    async def life() -> list[bytes]:
        async with serving(saying(GOOD)) as served:
            check = HttpGet(urls=(Url(path="/1"), Url(path="/2")))
            assert (await asked(check, served.target, part=1)).good
            return served.requests

    requests = lived(life)
    assert len(requests) == 1
    assert requests[0].startswith(b"GET /2 HTTP/1.0\r\nUser-Agent")


@pytest.mark.parametrize(
    ("url", "answer", "words"),
    [
        ({}, GOOD, "HTTP status code"),
        ({}, page(b""), "HTTP status code"),
        ({}, b"ANY 299 x\r\n\r\n", "HTTP status code"),
        ({"status_codes": (StatusRange(404, 404),)}, page(b"", b"404 Not Found"), "HTTP status code"),
        ({"digest": hashlib.md5(BODY).digest()}, GOOD, "MD5 digest"),
        (
            {"digest": hashlib.md5(BODY).digest()},
            page(BODY + b" and more", b"200 OK", b"Content-Length: %d" % len(BODY)),
            "MD5 digest",
        ),
        ({"regex": "w.rld"}, GOOD, "Regex match"),
        ({"regex": "200 OK"}, GOOD, "Regex match"),
        ({"regex": "ok$"}, GOOD, "Regex match"),
        ({"regex": "absent", "regex_no_match": True}, GOOD, "Regex match"),
        (
            {"digest": hashlib.md5(b"5\r\nhello\r\n0\r\n\r\n").digest()},
            page(b"5\r\nhello\r\n0\r\n\r\n", b"200 OK", b"Transfer-Encoding: chunked"),
            "MD5 digest",
        ),
    ],
)
def test_good_answers(url: dict[str, Any], answer: bytes, words: str) -> None:
    found = outcome(get(**url), saying(answer))
    assert found.good
    assert found.lines[-1] == f"{words} success to {LABEL} url(/a)"


@pytest.mark.parametrize(
    ("url", "talk", "words", "ending", "code"),
    [
        ({}, saying(page(b"", b"503 No")), "HTTP status code error to", Ending.WRONG, 503),
        ({}, saying(b"HTTP/1.1 200\r\n\r\n"), "HTTP status code error to", Ending.WRONG, None),
        ({}, saying(b"garbage\r\n\r\n"), "HTTP status code error to", Ending.WRONG, None),
        ({}, saying(b"HTTP/1.1 200 OK\n\nbody"), "Read, no data received from ", Ending.CLOSED, None),
        ({}, saying(), "Read, no data received from ", Ending.CLOSED, None),
        ({}, saying(b"HTTP/1.1 200 OK\r\n"), "Read, no data received from ", Ending.CLOSED, None),
        (
            {},
            endlessly(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
            "Read, no data received from ",
            Ending.CLOSED,
            None,
        ),
        ({"digest": bytes(16)}, saying(GOOD), "MD5 digest error to", Ending.WRONG, 200),
        ({"regex": "absent"}, saying(GOOD), "Regex match failed", Ending.WRONG, 200),
        ({"regex": "world", "regex_no_match": True}, saying(GOOD), "Regex match failed", Ending.WRONG, 200),
        ({"regex": "world", "regex_max_offset": 3}, saying(GOOD), "Regex match failed", Ending.WRONG, 200),
        ({}, then_reset(GOOD), "Read error with", Ending.CLOSED, 200),
    ],
)
def test_bad_answers(url: dict[str, Any], talk: Talk, words: str, ending: Ending, code: int | None) -> None:
    found = outcome(get(**url), talk)
    assert (found.good, found.ending, found.code) == (False, ending, code)
    assert found.lines == line(words)
    assert found.text


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (then_silent(), "Timeout WEB read"),
        (then_silent(b"H"), "Timeout HTTP read"),
        (then_silent(GOOD), "Timeout HTTP read"),
        (then_silent(page(BODY, b"200 OK", b"Content-Length: %d" % len(BODY))), "Timeout HTTP read"),
    ],
)
def test_a_server_that_keeps_the_connection_open_is_too_late(talk: Talk, words: str) -> None:
    found = outcome(get(0.05), talk)
    assert (found.good, found.ending) == (False, Ending.TIMED_OUT)
    assert found.lines == line(words)


def test_each_byte_renews_the_time_but_not_for_ever() -> None:
    found = outcome(get(0.1), endlessly(page(b""), b"x", 0.005))
    assert found.lines == line("Timeout HTTP read")
    assert 900_000 <= found.took_us < 5_000_000


def test_an_endless_page_ends_with_the_time_and_does_not_fill_the_memory() -> None:
    import tracemalloc

    tracemalloc.start()
    try:
        found = outcome(get(0.05, digest=bytes(16), regex="absent"), endlessly(page(b""), b"x" * 100_000))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert found.lines == line("Timeout HTTP read")


def test_a_large_page_is_hashed_whole() -> None:
    body = bytes(range(256)) * 20_000
    found = outcome(get(digest=hashlib.md5(body).digest()), saying(page(body)))
    assert found.good


def test_a_length_that_is_wrong_is_told_of() -> None:
    found = outcome(get(), saying(page(BODY, b"200 OK", b"Content-Length: 99")))
    assert found.good
    assert "14 bytes came where Content-Length says 99" in found.text
    assert found.lines[0] == "content_length (99) does not match received bytes (14)"
    assert len(found.lines) == 2


def test_a_length_that_is_wrong_is_told_of_before_a_wrong_digest_but_not_after_a_wrong_status() -> None:
    short = page(BODY, b"200 OK", b"Content-Length: 99")
    words = "content_length (99) does not match received bytes (14)"
    assert outcome(get(digest=bytes(16)), saying(short)).lines == (words, *line("MD5 digest error to"))
    gone = page(BODY, b"404 No", b"Content-Length: 99")
    assert outcome(get(), saying(gone)).lines == line("HTTP status code error to")


def test_a_head_that_comes_alone_is_not_searched() -> None:
    """The bytes before the body are searched only if they came in the same read."""

    async def life() -> CheckResult:
        import asyncio

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(page(b""))
            await writer.drain()
            taken.set()
            await reader.read(0)
            await more.wait()
            writer.write(BODY)

        taken, more = asyncio.Event(), asyncio.Event()
        async with serving(talk) as served:
            run = asyncio.get_running_loop().create_task(asked(get(regex="200 OK"), served.target))
            await taken.wait()
            # The check reads at the next turn of the same loop.
            for _ in range(20):
                await asyncio.sleep(0)
            more.set()
            return await run

    assert lived(life).lines == line("Regex match failed")


def test_a_port_that_refuses() -> None:
    found = lived(lambda: asked(get(), Target(ip_address("127.0.0.1"), 1)))
    assert found.ending is Ending.REFUSED
    assert found.lines == line("Connection failed")


@pytest.mark.parametrize(
    ("number", "ending", "lines"),
    [
        (errno.ENETUNREACH, Ending.UNREACHABLE, line("HTTP/SSL_CHECK - network unreachable")),
        (errno.ECONNREFUSED, Ending.REFUSED, line("HTTP/SSL_CHECK - network unreachable")),
        (errno.EACCES, Ending.BROKEN, ("WEB socket bind failed. Rescheduling",)),
    ],
)
def test_what_the_kernel_says_at_once(
    number: int, ending: Ending, lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepalived_py.probes.connect._connected", lambda *_: number)
    found = lived(lambda: asked(get(), Target(ip_address("127.0.0.1"), 1)))
    assert (found.good, found.ending, found.lines) == (False, ending, lines)


def test_a_source_that_is_not_ours_is_no_verdict() -> None:
    check = HttpGet(urls=(Url(path="/"),), source_ip=ip_address("192.0.2.1"))
    found = lived(lambda: asked(check, Target(ip_address("127.0.0.1"), 1)))
    assert found.ending is Ending.BROKEN
    assert found.lines[-1] == "WEB socket bind failed. Rescheduling"
