"""DNS_CHECK against unbound, and against servers that answer wrongly."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from keepalived_py.base.clock import seconds
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import DnsCheck, DnsType
from keepalived_py.probes.dns import ask_name_server, code_of, question
from keepalived_py.system.loop import new_loop

LIMIT_S = 0.3
UNBOUND = shutil.which("unbound", path="/usr/sbin:/usr/bin:/usr/local/sbin")
SETTINGS = """
server:
    interface: 127.0.0.1
    interface: ::1
    port: {port}
    directory: "{home}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    logfile: ""
    num-threads: 1
    module-config: "iterator"
    access-control: 127.0.0.0/8 allow
    access-control: ::1 allow
    local-zone: "test." static
    local-data: "test. SOA ns.test. root.test. 1 2 3 4 5"
    local-data: "www.test. A 192.0.2.1"
    local-zone: "no.test." always_refuse
    local-zone: "mute.test." always_deny
    local-zone: "." refuse
    local-zone: "broken." transparent
remote-control:
    control-enable: no
stub-zone:
    name: "broken."
    stub-addr: 127.0.0.1@1
"""


def ask(port: int, host: str = "127.0.0.1", limit_s: float = LIMIT_S, **more: Any) -> CheckResult:
    check = DnsCheck(connect_timeout_us=seconds(limit_s), **more)
    order = StartCheck(1, check, Target(ip_address(host), port), f"[{host}]:udp:{port}")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(ask_name_server(order))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# -- a real server -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def unbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an unbound that knows `test.`."""
    assert UNBOUND is not None, "unbound is not installed"
    home: Path = tmp_path_factory.mktemp("unbound")
    port = free_port()
    settings = home / "unbound.conf"
    settings.write_text(SETTINGS.format(port=port, home=home))
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen([UNBOUND, "-d", "-c", settings], stdout=log, stderr=log) as server,
    ):
        try:
            end = time.monotonic() + 20
            while not ask(port, name="www.test", query_type=DnsType.A).good:
                assert server.poll() is None and time.monotonic() < end, (home / "log").read_text()
            yield port
        finally:
            server.terminate()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(
    ("name", "kind"), [("test", DnsType.SOA), ("www.test.", DnsType.A), ("www.test", DnsType.MX)]
)
def test_known_names(unbound: int, host: str, name: str, kind: DnsType) -> None:
    result = ask(unbound, host, 10, name=name, query_type=kind)
    assert (result.good, result.code, result.text, result.lines) == (True, 0, "NOERROR", ())


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("nobody.test", 3, "NXDOMAIN"),
        ("x.no.test", 5, "REFUSED"),
        (".", 5, "REFUSED"),
        ("broken", 2, "SERVFAIL"),
    ],
)
def test_errors(unbound: int, name: str, code: int, text: str) -> None:
    result = ask(unbound, limit_s=10, name=name)
    assert (result.good, result.ending, result.code, result.text) == (False, Ending.WRONG, code, text)
    assert result.lines == (f"DNS_CHECK ([127.0.0.1]:udp:{unbound}) read error occurred. (rcode = {code})",)


def test_a_server_that_drops_the_query(unbound: int) -> None:
    result = ask(unbound, name="x.mute.test")
    assert (result.good, result.ending, result.code) == (False, Ending.TIMED_OUT, None)
    assert result.lines == (f"DNS_CHECK ([127.0.0.1]:udp:{unbound}) read timeout from socket",)


# -- servers that do as they like --------------------------------------------------------

Answers = Callable[[bytes], list[bytes]]


@pytest.fixture
def serving() -> Iterator[Callable[[Answers], int]]:
    """Starts a server; the port of it."""
    over = Event()
    threads: list[Thread] = []

    def serve(opened: socket.socket, answers: Answers) -> None:
        with opened:
            while not over.is_set():
                try:
                    query, sender = opened.recvfrom(2048)
                except TimeoutError:
                    continue
                for answer in answers(query):
                    opened.sendto(answer, sender)

    def start(answers: Answers) -> int:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(("127.0.0.1", 0))
        opened.settimeout(0.05)
        port: int = opened.getsockname()[1]
        threads.append(Thread(target=serve, args=(opened, answers), daemon=True))
        threads[-1].start()
        return port

    yield start
    over.set()
    for thread in threads:
        thread.join(10)


def answer(query: bytes, flags: int = 0x8180, rest: bytes | None = None) -> bytes:
    return query[:2] + flags.to_bytes(2, "big") + (query[4:] if rest is None else rest)


@pytest.mark.parametrize(
    "made",
    [
        lambda query: [answer(query)],
        lambda query: [answer(query, 0x8380)],  # truncated
        lambda query: [answer(query, 0x8000, b"\xff" * 8)],  # counts that are lies
        lambda query: [answer(query, 0x8000, b"\xff" * 5000)],
        lambda query: [b"", b"x", answer(query, rest=b"short"), answer(query)],
        lambda query: [bytes([query[0] ^ 1]) + answer(query)[1:], query, answer(query)],
    ],
)
def test_only_the_header_counts(serving: Callable[[Answers], int], made: Answers) -> None:
    result = ask(serving(made), limit_s=10)
    assert (result.good, result.code) == (True, 0)


@pytest.mark.parametrize(
    "made",
    [
        lambda query: [bytes([query[0] ^ 1]) + answer(query)[1:]],  # somebody else's number
        lambda query: [query],  # not an answer
        lambda query: [answer(query)[:11]],
        lambda query: [b"garbage"] * 50,
    ],
)
def test_what_is_no_answer(serving: Callable[[Answers], int], made: Answers) -> None:
    began = time.monotonic()
    assert ask(serving(made)).ending is Ending.TIMED_OUT
    assert LIMIT_S <= time.monotonic() - began < 10


def test_the_first_answer_decides(serving: Callable[[Answers], int]) -> None:
    result = ask(serving(lambda query: [answer(query, 0x818C), answer(query)]), limit_s=10)
    assert (result.good, result.code) == (False, 12)


def test_query_on_the_wire(serving: Callable[[Answers], int]) -> None:
    heard: list[bytes] = []
    port = serving(lambda query: [heard.append(query) or answer(query)])  # type: ignore[func-returns-value]
    for _ in range(3):
        assert ask(port, limit_s=10).good
    assert {query[2:].hex() for query in heard} == {"01000001000000000000" + "00" + "0006" + "0001"}
    assert len({query[:2] for query in heard}) > 1


def test_nobody_there() -> None:
    port = free_port()
    result = ask(port, limit_s=10)
    assert result.ending is Ending.REFUSED
    assert result.lines == (
        f"DNS_CHECK ([127.0.0.1]:udp:{port}) failed to read socket; errno 111 (Connection refused)",
    )


def test_own_address_that_is_not_ours_says_nothing_about_the_server() -> None:
    result = ask(53, source_ip=ip_address("192.0.2.1"))
    assert result.ending is Ending.BROKEN
    assert result.lines == (
        "Checker bind failed: Cannot assign requested address",
        "DNS_CHECK ([127.0.0.1]:udp:53) UDP socket bind failed. Rescheduling.",
    )


@pytest.mark.parametrize("name", ["x" * 64, ".".join(["x" * 60] * 5)])
def test_names_that_do_not_fit(name: str) -> None:
    result = ask(free_port(), name=name)
    assert (result.good, result.ending) == (False, Ending.WRONG)
    assert "more than 63 bytes" in result.text


@pytest.mark.parametrize(
    ("name", "kind", "wire"),
    [
        (".", DnsType.SOA, b"\0\0\6\0\1"),
        ("", DnsType.NS, b"\0\0\2\0\1"),
        ("Www.test", DnsType.AAAA, b"\3Www\4test\0\0\x1c\0\1"),
        ("www.test.", DnsType.DNSKEY, b"\3www\4test\0\0\x30\0\1"),
        ("a\\.b", DnsType.TXT, b"\2a\\\1b\0\0\x10\0\1"),
        ("é", DnsType.RRSIG, b"\2\xc3\xa9\0\0\x2e\0\1"),
    ],
)
def test_question(name: str, kind: DnsType, wire: bytes) -> None:
    assert question(name, kind) == b"\1\0\0\1\0\0\0\0\0\0" + wire


def test_code_of() -> None:
    assert code_of(b"ab\x81\x83" + bytes(8), b"ab") == 3
    assert code_of(b"ab\x01\x83" + bytes(8), b"ab") is None
    assert code_of(b"ab\x81\x83" + bytes(7), b"ab") is None
    assert code_of(b"ax\x81\x83" + bytes(8), b"ab") is None
