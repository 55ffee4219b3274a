"""Tracked processes: which ones match, which events the kernel gives, and what becomes of a flood."""

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.model.config import Configuration, Globals, Instance
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import ProcessesCounted
from keepalived_py.model.globals import ReceiveBuffers
from keepalived_py.model.tracking import ParameterMatch, TrackedProcess, TrackProcess
from keepalived_py.system import loop, process_events
from keepalived_py.system.process_counter import Counter, Sought, matches_command
from keepalived_py.system.process_events import News
from keepalived_py.system.process_watch import ProcessWatch

LIMIT_S = 10.0
Made = Callable[..., TrackProcess]


def connector_answers() -> bool:
    """Whether this kernel tells of processes in this network namespace."""
    try:
        process_events.ProcessEvents(0, False, True).close()
    except OSError:
        return False
    return True


NUMBERS = itertools.count(1)
needs_connector = pytest.mark.skipif(
    not connector_answers(), reason="the proc connector does not answer here"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program with a name that nobody else has."""
    return Path(shutil.copy("/bin/sleep", tmp_path / f"kl{os.getpid()}.{next(NUMBERS)}"))


def tracking(*processes: TrackProcess, buffer: int = 0) -> Configuration:
    tracked = tuple(TrackedProcess(process.name) for process in processes)
    instance = Instance(InstanceName("VI_1"), InterfaceName("eth0"), 51, track_processes=tracked)
    unused = TrackProcess("unused", "unused")
    return Configuration(
        globals=Globals(receive_buffers=ReceiveBuffers(process_monitor=buffer)),
        instances=(instance,),
        track_processes=(*processes, unused),
    )


class Bench:
    """A watch, what it said, and the processes that were started."""

    def __init__(self, home: int | None = None) -> None:
        self.events: list[ProcessesCounted] = []
        self.lines: list[str] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self._something = asyncio.Event()
        self.watch = ProcessWatch(self._heard, self._logged, home)

    def _heard(self, event: ProcessesCounted) -> None:
        self.events.append(event)
        self._something.set()

    def _logged(self, line: WriteLog) -> None:
        self.lines.append(line.text)

    async def count(self, number: int | None, name: str = "p") -> None:
        """Wait until so many are counted."""
        async with asyncio.timeout(LIMIT_S):
            while ProcessesCounted(name, number) not in self.events[-1:]:
                self._something.clear()
                await self._something.wait()

    def run(self, *words: str | Path) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([str(word) for word in words], start_new_session=True)
        self.children.append(child)
        return child

    def close(self) -> None:
        self.watch.close()
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(5)


def run(scenario: Callable[[Bench], Awaitable[None]], home: int | None = None) -> Bench:
    made: list[Bench] = []

    async def main() -> None:
        bench = Bench(home)
        made.append(bench)
        try:
            await scenario(bench)
        finally:
            bench.close()

    loop.run(asyncio.wait_for(main(), 60))
    return made[0]


@pytest.mark.parametrize(
    ("match", "arguments", "command", "counts"),
    [
        (ParameterMatch.NONE, b"", b"/bin/x\0-a\0", True),
        (ParameterMatch.NONE, b"", b"/bin/xy\0-a\0", False),
        (ParameterMatch.NONE, b"", b"", False),
        (ParameterMatch.EXACT, b"", b"/bin/x\0", True),
        (ParameterMatch.EXACT, b"", b"/bin/x\0-a\0", False),
        (ParameterMatch.EXACT, b"-a\0b\0", b"/bin/x\0-a\0b\0", True),
        (ParameterMatch.EXACT, b"-a\0b\0", b"/bin/x\0-a\0bc\0", False),
        (ParameterMatch.PARTIAL, b"-a\0", b"/bin/x\0-a\0b\0", True),
        (ParameterMatch.PARTIAL, b"-a\0", b"/bin/x\0-ab\0", False),
        (ParameterMatch.INITIAL, b"-a\0b\0", b"/bin/x\0-a\0bcd\0e\0", True),
        (ParameterMatch.INITIAL, b"-a\0b\0", b"/bin/x\0-a\0c\0", False),
        (ParameterMatch.INITIAL, b"-a\0b\0", b"/bin/x\0-a\0", False),
    ],
)
def test_arguments(match: ParameterMatch, arguments: bytes, command: bytes, counts: bool) -> None:
    assert matches_command(Sought("p", b"/bin/x", arguments, match, True), command) is counts


def test_events_without_a_kernel() -> None:
    """A child counts like its parent; a changed name is another process; what ended does not count."""
    counter = Counter([Sought("p", b"x", b"", ParameterMatch.NONE, False)])
    found = []
    for news in (
        News(process_events.COMM, 7, name=b"x"),
        News(process_events.FORK, 8, 7),
        News(process_events.FORK, 10, 9),
        News(process_events.COMM, 7, name=b"y"),
        News(process_events.EXIT, 8),
        News(process_events.EXIT, 8),
    ):
        counter.heard(news)
        found.append(counter.counts()["p"])
    assert found == [1, 2, 2, 1, 0, 0]


@needs_connector
def test_a_process_that_comes_and_goes(program: Path) -> None:
    async def scenario(bench: Bench) -> None:
        first = bench.run(program, "60")
        found = await bench.watch.follow(tracking(TrackProcess("p", program.name)))
        assert found == (ProcessesCounted("p", 1),)
        bench.run(program, "61")
        await bench.count(2)
        first.kill()
        first.wait(5)
        await bench.count(1)

    assert "proc_events has confirmed it is configured" in run(scenario).lines


@needs_connector
def test_fork_exec_and_change_of_name(program: Path, tmp_path: Path) -> None:
    shutil.copy(os.path.realpath("/bin/sh"), program)
    for name in "abc":
        os.mkfifo(tmp_path / name)
    text = "read x <a; (read x <b; exec sleep 60) & read x <c; printf other >/proc/$$/comm; sleep 60"

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(TrackProcess("p", program.name)))
        bench.run(program, "-c", f"cd {tmp_path}; {text}")
        await bench.count(1)
        for name, count in (("a", 2), ("b", 1), ("c", 0)):
            await asyncio.to_thread((tmp_path / name).write_text, "\n")
            await bench.count(count)

    run(scenario)


@needs_connector
def test_a_full_command_line(program: Path) -> None:
    wanted = TrackProcess(
        "p", str(program), parameters=("60",), match=ParameterMatch.EXACT, full_command=True
    )

    async def scenario(bench: Bench) -> None:
        assert await bench.watch.follow(tracking(wanted)) == (ProcessesCounted("p", 0),)
        bench.run(program, "61")
        right = bench.run(program, "60")
        await bench.count(1)
        right.kill()
        await bench.count(0)

    run(scenario)


@needs_connector
def test_an_overrun_is_made_good(program: Path) -> None:
    """A flood that the smallest buffer cannot take, while the helper sleeps; then one look says it all."""

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(TrackProcess("p", program.name), buffer=1))
        os.kill(bench.watch.helper_pid, signal.SIGSTOP)
        for _ in range(40):
            subprocess.run(["/bin/true"], check=True)
        bench.run(program, "60")
        os.kill(bench.watch.helper_pid, signal.SIGCONT)
        await bench.count(1)

    assert any(
        line.startswith("Setting global_def process_monitor_rcv_bufs to ") for line in run(scenario).lines
    )


@needs_connector
def test_a_flood_costs_this_process_nothing(program: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(TrackProcess("p", program.name)))
        before = time.process_time()
        flood = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"
        )
        await flood.wait()
        assert time.process_time() - before < 0.2
        bench.run(program, "60")
        await bench.count(1)

    assert run(scenario).events == [ProcessesCounted("p", 1)]


@needs_connector
def test_another_helper_takes_the_place_of_a_killed_one(program: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(TrackProcess("p", program.name)))
        os.kill(bench.watch.helper_pid, signal.SIGKILL)
        bench.run(program, "60")
        await bench.count(1)

    run(scenario)


@needs_connector
def test_reload_counts_what_is_new(program: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.run(program, "60")
        p, q = TrackProcess("p", program.name), TrackProcess("q", program.name)
        await bench.watch.follow(tracking(p))
        assert await bench.watch.follow(tracking(p, q)) == (ProcessesCounted("q", 1),)
        assert await bench.watch.follow(tracking(p, q)) == ()
        assert await bench.watch.follow(Configuration()) == () and bench.watch.helper_pid == 0
        assert await bench.watch.follow(tracking(p)) == (ProcessesCounted("p", 1),)

    run(scenario)


@pytest.mark.usefixtures("ip")
def test_in_a_network_namespace_nothing_can_be_counted() -> None:
    async def scenario(bench: Bench) -> None:
        found = await bench.watch.follow(tracking(TrackProcess("p", "sleep")))
        assert found == (ProcessesCounted("p", None),)

    assert run(scenario).lines == ["Failed to set process event listen - errno 111 - Connection refused"]


@needs_connector
def test_where_the_program_came_from_they_can(program: Path, request: pytest.FixtureRequest) -> None:
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    request.getfixturevalue("ip")

    async def scenario(bench: Bench) -> None:
        assert await bench.watch.follow(tracking(TrackProcess("p", program.name))) == (
            ProcessesCounted("p", 0),
        )
        bench.run(program, "60")
        await bench.count(1)

    try:
        run(scenario, home)
    finally:
        os.close(home)


def test_the_filter_passes_whole_processes_only() -> None:
    """The filter on a socket of another kind: what comes through is what it passes."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    program = process_events.filter_program(names=False)
    kept = ctypes.create_string_buffer(program)
    right.setsockopt(socket.SOL_SOCKET, 26, process_events.packed_program(kept, len(program)))
    right.setblocking(False)
    fork, pair = process_events.FORK, (5, 5, 0, 0)
    expected = {
        (fork, (1, 1, 5, 5)): True,
        (fork, (1, 1, 6, 5)): False,
        (process_events.EXEC, pair): True,
        (process_events.EXEC, (6, 5, 0, 0)): False,
        (process_events.EXIT, pair): True,
        (process_events.EXIT, (6, 5, 0, 0)): False,
        (process_events.COMM, pair): False,
        (process_events.NONE, (0, 0, 0, 0)): True,
        (0x4, pair): False,
    }
    for (what, words), passes in expected.items():
        data = what.to_bytes(4, "little") + bytes(12) + b"".join(word.to_bytes(4, "little") for word in words)
        left.send(bytes(36) + data + bytes(8))
        try:
            right.recv(512)
            passed = True
        except BlockingIOError:
            passed = False
        assert passed is passes, (what, words)
    left.close()
    right.close()
