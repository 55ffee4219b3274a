"""Connecting to ports: what accepts is good, and nothing ever blocks or is reported twice."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import ScriptName
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.effects import RunProbe
from keepalived_py.model.events import ScriptFinished
from keepalived_py.probes.tcp import TcpProbes
from keepalived_py.system.loop import new_loop

WEB = ScriptName("web")
LIMIT_S = 10


class Ends:
    """The reported ends, which can be waited for."""

    def __init__(self) -> None:
        self.all: list[ScriptFinished] = []
        self._more = asyncio.Event()
        self.probes = TcpProbes(self._note)

    def _note(self, end: ScriptFinished) -> None:
        self.all.append(end)
        self._more.set()

    def connect(self, host: str, port: int, timeout_s: float = LIMIT_S, name: ScriptName = WEB) -> None:
        self.probes.connect(RunProbe(name, Endpoint(host, port), Micros(round(timeout_s * 1_000_000))))

    async def wait(self, many: int) -> list[ScriptFinished]:
        async with asyncio.timeout(LIMIT_S):
            while len(self.all) < many:
                self._more.clear()
                await self._more.wait()
        return self.all


def run(life: Callable[[Ends], Awaitable[None]]) -> None:
    async def lived() -> None:
        ends = Ends()
        try:
            await life(ends)
        finally:
            ends.probes.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(lived())


@contextmanager
def listening(host: str = "127.0.0.1", backlog: int = 16) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen(backlog)
        server.settimeout(LIMIT_S)
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("bound", "host"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.0.0.1", "localhost"), ("127.0.0.1", ""), ("::1", "")],
)
def test_a_port_that_accepts_is_good_and_hung_up_on(bound: str, host: str) -> None:
    async def life(ends: Ends) -> None:
        with listening(bound) as server:
            ends.connect(host, port_of(server))
            assert await ends.wait(1) == [ScriptFinished(WEB, 0)]
            accepted, _ = server.accept()
            with accepted:
                accepted.settimeout(LIMIT_S)
                assert accepted.recv(1) == b""

    run(life)


def test_a_closed_port_is_bad_at_once() -> None:
    async def life(ends: Ends) -> None:
        with listening() as server:
            port = port_of(server)
        ends.connect("127.0.0.1", port)
        assert await ends.wait(1) == [ScriptFinished(WEB, 1)]

    run(life)


@contextmanager
def full() -> Iterator[int]:
    """A port whose queue is full: the kernel leaves further connections unanswered."""
    with listening(backlog=0) as server:
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield port_of(server)
        for client in waiting:
            client.close()


def test_a_port_that_says_nothing_times_out() -> None:
    async def life(ends: Ends) -> None:
        with full() as port:
            before = asyncio.get_running_loop().time()
            ends.connect("127.0.0.1", port, 0.2)
            assert await ends.wait(1) == [ScriptFinished(WEB, 1, timed_out=True)]
            assert 0.19 < asyncio.get_running_loop().time() - before < 5

    run(life)


def test_a_name_that_nobody_knows_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    async def life(ends: Ends) -> None:
        ends.connect("no.such.host", 80)
        ends.connect("a" * 70 + ".example", 80, name=ScriptName("long"))
        assert {end.status for end in await ends.wait(2)} == {1}

    run(life)


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def life(ends: Ends) -> None:
        with listening() as server, listening() as other:
            closed = port_of(other)
            other.close()
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
                for port in (closed, port_of(server))
            ]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            ends.connect("two.example", 80)
            assert await ends.wait(1) == [ScriptFinished(WEB, 0)]

    run(life)


def test_a_resolver_that_hangs_holds_nobody_up_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, asked = threading.Event(), []

    def hanging(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        go_on.wait(LIMIT_S)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", hanging)

    async def life(ends: Ends) -> None:
        with listening() as server:
            for number in range(1, 4):
                ends.connect("slow.example", port_of(server), 0.05)
                assert (await ends.wait(number))[-1].timed_out
            assert asked == ["slow.example"]
            ends.connect("127.0.0.1", port_of(server), name=ScriptName("other"))
            assert (await ends.wait(4))[-1] == ScriptFinished(ScriptName("other"), 0)
            ends.connect("slow.example", port_of(server))
            go_on.set()
            assert (await ends.wait(5))[-1] == ScriptFinished(WEB, 0)
            assert asked == ["slow.example"]

    run(life)


def test_a_program_that_ends_does_not_wait_for_its_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def hanging(*_: Any, **__: Any) -> Any:
        begun.set()
        go_on.wait(LIMIT_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)

    async def life(ends: Ends) -> None:
        ends.connect("slow.example", 80)
        while not begun.is_set():
            await asyncio.sleep(0)

    run(life)
    threads = [each for each in threading.enumerate() if each.name == "lookup slow.example"]
    assert threads and all(each.daemon for each in threads)
    go_on.set()
    for each in threads:
        each.join(LIMIT_S)
        assert not each.is_alive(), "its answer comes too late for everybody, and that is all"


def test_a_newer_probe_replaces_the_older_one_of_its_name() -> None:
    async def life(ends: Ends) -> None:
        with full() as port, listening() as server:
            ends.connect("127.0.0.1", port, 0.1)
            ends.connect("127.0.0.1", port_of(server))
            assert await ends.wait(1) == [ScriptFinished(WEB, 0)]
            ends.connect("127.0.0.1", port, 0.3, name=ScriptName("later"))
            assert [end.name for end in await ends.wait(2)] == [WEB, ScriptName("later")]

    run(life)


def test_who_is_told_may_begin_the_next_probe_at_once() -> None:
    async def life(ends: Ends) -> None:
        with listening() as server:

            def again(end: ScriptFinished) -> None:
                ends._note(end)
                if len(ends.all) < 3:
                    ends.connect("127.0.0.1", port_of(server))

            ends.probes = TcpProbes(again)
            ends.connect("127.0.0.1", port_of(server))
            assert await ends.wait(3) == [ScriptFinished(WEB, 0)] * 3

    run(life)


def test_after_the_close_nothing_is_reported() -> None:
    async def life(ends: Ends) -> None:
        with full() as port, listening() as server:
            ends.connect("127.0.0.1", port, 0.1)
            ends.probes.close()
            ends.probes = TcpProbes(ends._note)
            ends.connect("127.0.0.1", port_of(server), name=ScriptName("other"))
            ends.connect("127.0.0.1", port, 0.3, name=ScriptName("last"))
            assert [end.name for end in await ends.wait(2)] == ["other", "last"]

    run(life)


def test_without_descriptors_the_check_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def life(ends: Ends) -> None:
        real = socket.socket

        def none_left(*_: Any, **__: Any) -> Any:
            raise OSError(24, "too many")

        monkeypatch.setattr(socket, "socket", none_left)
        ends.connect("127.0.0.1", 80)
        ended = await ends.wait(1)
        monkeypatch.setattr(socket, "socket", real)
        assert ended == [ScriptFinished(WEB, 1)]

    run(life)
