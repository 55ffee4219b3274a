"""Scheduling, seen from a child process of its own so that the test run keeps its own."""

import gc
import subprocess
import sys

from keepalived_py.system.scheduling import Collector


def in_child(code: str) -> str:
    """Run `code` in a fresh interpreter; what it printed."""
    prelude = "import os\nfrom keepalived_py.system import scheduling\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def test_real_time_is_reset_on_fork() -> None:
    printed = in_child(
        "scheduling.set_real_time(1000)\n"
        "policy = os.sched_getscheduler(0)\n"
        "print(policy == os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority, flush=True)\n"
        "if os.fork() == 0:\n"
        "    print(os.sched_getscheduler(0) == os.SCHED_OTHER, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    assert printed.split() == ["True", "99", "True"]


def test_nice_memory_and_back() -> None:
    printed = in_child(
        "def locked():\n"
        "    return [int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmLck')][0] > 0\n"
        "scheduling.set_nice(-5); scheduling.lock_memory()\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0), locked())\n"
        "scheduling.be_ordinary()\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0), locked())\n"
    )
    assert printed.split() == ["-5", "True", "0", "False"]


def test_priority_below_the_range_is_held_to_it() -> None:
    assert in_child("scheduling.set_real_time(-4); print(os.sched_getparam(0).sched_priority)") == "1"


def test_collector_takes_over_and_finds_cycles() -> None:
    collector = Collector(full_every=2)
    try:
        collector.take_over()
        assert not gc.isenabled()
        for _ in range(2):
            cycle: list[object] = []
            cycle.append(cycle)
            del cycle
            assert collector.collect() >= 1
    finally:
        gc.enable()
        gc.unfreeze()
