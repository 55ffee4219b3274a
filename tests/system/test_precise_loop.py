"""The loop wakes between two milliseconds, and serves descriptors above select's limit."""

import asyncio
import fcntl
import os
import resource
import socket

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.system import loop


async def _overshoot(delay_us: int) -> int:
    reached = asyncio.Event()
    when = Micros(loop.now() + delay_us)
    loop.call_at(when, reached.set)
    await reached.wait()
    return loop.now() - when


async def _overshoots(count: int) -> list[int]:
    return [await _overshoot(2_300) for _ in range(count)]


def test_timers_are_not_rounded_to_milliseconds() -> None:
    overshoots = sorted(loop.run(_overshoots(60)))
    assert overshoots[0] >= -1
    # epoll alone would be late by 700 microseconds or more, each time.
    assert overshoots[len(overshoots) // 4] < 600


def test_result_and_exception_come_out() -> None:
    async def value() -> int:
        return 7

    async def fault() -> None:
        raise KeyError("x")

    assert loop.run(value()) == 7
    with pytest.raises(KeyError):
        loop.run(fault())


def test_high_descriptors_are_served() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048) if soft > 0 else soft, hard))
    ours, theirs = socket.socketpair()
    high = fcntl.fcntl(ours.fileno(), fcntl.F_DUPFD_CLOEXEC, 1500)

    async def hear() -> bytes:
        heard = asyncio.Event()
        asyncio.get_running_loop().add_reader(high, heard.set)
        theirs.send(b"x")
        await asyncio.wait_for(heard.wait(), 5)
        asyncio.get_running_loop().remove_reader(high)
        return os.read(high, 10)

    try:
        assert loop.run(hear()) == b"x"
    finally:
        os.close(high)
        ours.close()
        theirs.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
