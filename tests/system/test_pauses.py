"""The loop notices that it was stopped, starved or asleep, and tells before anything else happens."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.system import loop

_STOPPED = """
import asyncio, sys
from keepalived_py.base.clock import Micros
from keepalived_py.system import loop

async def main():
    order = []
    loop.watch_pauses(Micros(500_000), lambda us: order.append(f"pause {us}"))
    loop.call_at(Micros(loop.now() + 400_000), lambda: order.append("timer"))
    asyncio.get_running_loop().add_reader(0, lambda: order.append("input " + sys.stdin.readline().strip()))
    print("ready", flush=True)
    while len(order) < 3:
        await asyncio.sleep(0.02)
    print(*order, loop.lateness().greatest_us, sep="|", flush=True)

loop.run(main())
"""


@pytest.fixture
def child() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPPED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate(timeout=10)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_stopped_process_says_so_before_any_callback(child: "subprocess.Popen[str]") -> None:
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline() == "ready\n"
    os.kill(child.pid, signal.SIGSTOP)
    end = time.monotonic() + 5
    while _state(child.pid) != "T":
        assert time.monotonic() < end
    child.stdin.write("meanwhile\n")
    child.stdin.flush()
    time.sleep(1.2)  # the pause itself
    os.kill(child.pid, signal.SIGCONT)
    first, second, third, greatest = child.stdout.readline().strip().split("|")
    assert first.startswith("pause ")
    assert 700_000 < int(first.split()[1]) < 3_000_000
    # What arrived in the meantime is read before the timer that is overdue.
    assert (second, third) == ("input meanwhile", "timer")
    assert int(greatest) >= 0


def _pauses_of(work: float, threshold_us: int) -> list[int]:
    """The pauses noticed while a callback keeps the loop busy for `work` seconds."""
    noticed: list[int] = []

    async def main() -> None:
        loop.watch_pauses(Micros(threshold_us), noticed.append)
        asyncio.get_running_loop().call_soon(time.sleep, work)
        await asyncio.sleep(0.01)
        await asyncio.sleep(0)

    loop.run(main())
    return noticed


def test_callback_that_takes_too_long_counts() -> None:
    noticed = _pauses_of(0.6, 500_000)
    assert len(noticed) == 1
    assert 590_000 < noticed[0] < 2_000_000


def test_short_absence_does_not_count() -> None:
    assert _pauses_of(0.01, 3_000_000) == []


def test_suspended_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    noticed: list[int] = []
    real = time.clock_gettime
    suspended = 0.0

    def boot_time(clock: int) -> float:
        return real(clock) + (suspended if clock == time.CLOCK_BOOTTIME else 0)

    async def main() -> None:
        nonlocal suspended
        loop.watch_pauses(Micros(5_000_000), noticed.append)
        await asyncio.sleep(0.01)
        suspended = 60.0
        await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)

    monkeypatch.setattr(time, "clock_gettime", boot_time)
    loop.run(main())
    assert len(noticed) == 1
    assert noticed[0] == pytest.approx(60_000_000, abs=1_000_000)


def test_each_watcher_has_its_threshold_and_the_last_one_counts() -> None:
    short: list[int] = []
    long: list[int] = []

    async def main() -> None:
        for threshold_us in (1, 100_000):
            loop.watch_pauses(Micros(threshold_us), short.append)
        loop.watch_pauses(Micros(3_000_000), long.append)
        await asyncio.sleep(0.02)
        time.sleep(0.15)
        await asyncio.sleep(0.01)

    loop.run(main())
    assert len(short) == 1
    assert long == []


def test_watcher_may_arm_timers() -> None:
    """It is called inside the selector: what it arms or cancels there holds."""
    order: list[str] = []

    async def main() -> None:
        here = asyncio.get_running_loop()
        doomed = here.call_later(0.05, order.append, "doomed")

        def paused(_: Micros) -> None:
            doomed.cancel()
            here.call_soon(order.append, "soon")
            here.call_later(0.01, order.append, "later")

        loop.watch_pauses(Micros(100_000), paused)
        await asyncio.sleep(0)
        time.sleep(0.2)
        await asyncio.sleep(0.05)

    loop.run(main())
    assert order == ["soon", "later"]


def test_lateness_is_counted() -> None:
    async def main() -> loop.Lateness:
        for _ in range(20):
            await asyncio.sleep(0.002)
        return loop.lateness()

    found = loop.run(main())
    assert 20 <= found.count <= 25
    assert 0 <= found.greatest_us < 2_000_000
    assert found.count == sum(found.counts)


def test_buckets() -> None:
    lateness = loop.Lateness()
    for late_us in (0, 100, 101, 999, 1_000_001, 5_000_000):
        lateness.add(late_us / 1_000_000)
    assert lateness.counts == [2, 1, 0, 1, 0, 0, 0, 0, 0, 2]
    assert lateness.greatest_us == 5_000_000


def test_another_loop_does_not_measure() -> None:
    async def main() -> int:
        loop.watch_pauses(Micros(1), lambda _: None)
        return loop.lateness().count

    assert asyncio.run(main()) == 0


_LONG_WAIT = """
import asyncio, time
from keepalived_py.system import loop

async def main():
    due = time.monotonic() + 1.2
    print("ready", flush=True)
    await asyncio.sleep(1.2)
    print(time.monotonic() - due, flush=True)

loop.run(main())
"""


@pytest.mark.slow
@pytest.mark.alone
def test_stopped_time_counts_for_timers() -> None:
    """A timer that ran out while the process was stopped is due at once, not after the rest of its time."""
    with subprocess.Popen([sys.executable, "-c", _LONG_WAIT], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        end = time.monotonic() + 5
        while _state(child.pid) != "S":
            assert time.monotonic() < end
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(1.6)
        os.kill(child.pid, signal.SIGCONT)
        late_s = float(child.stdout.readline())
    assert 0.2 < late_s < 1
