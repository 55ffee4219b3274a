"""Scheduling, seen from a child process of its own so that the test run keeps its own."""

import gc
import subprocess
import sys

from keepalived_py.model.globals import Globals, Process
from keepalived_py.system.scheduling import Collector, vrrp_process


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


_SCHEDULER = """
import asyncio, resource, time
from keepalived_py.model.globals import Process
from keepalived_py.system import loop
lines = []

def in_loop(scenario):
    async def main():
        scheduler = scheduling.Scheduler(lines.append)
        await scenario(scheduler)
        scheduler.close()
    loop.run(main())

def policy():
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK, os.sched_getparam(0).sched_priority
"""


def test_process_that_does_not_wait_becomes_ordinary_and_comes_back() -> None:
    """With keepalived's hard limit of 10 ms the kernel would kill it here."""
    printed = in_child(
        _SCHEDULER
        + """
async def scenario(scheduler):
    scheduler.apply(Process(rt_priority=20))
    print(policy())
    await asyncio.sleep(0.01)
    end = time.monotonic() + 5
    while policy()[0] == os.SCHED_RR and time.monotonic() < end:
        pass
    print(policy())
    while policy()[0] != os.SCHED_RR and time.monotonic() < end:
        await asyncio.sleep(0.002)
    print(policy(), resource.getrlimit(resource.RLIMIT_RTTIME)[0])

in_loop(scenario)
print(policy(), resource.getrlimit(resource.RLIMIT_RTTIME)[0])
print(*lines, sep="|")
"""
    )
    assert printed.splitlines() == [
        "(2, 20)",
        "(0, 0)",
        "(2, 20) 10000",
        "(0, 0) -1",
        "VRRP process has used too much CPU time, vrrp_rlimit_rttime may need to be increased",
    ]


def test_priority_rises_with_every_late_timer() -> None:
    printed = in_child(
        _SCHEDULER
        + """
async def scenario(scheduler):
    scheduler.apply(Process(), max_auto_priority=2)
    for late_us in (1_000_001, 2_000_000, 3_000_000):
        scheduler.late(late_us)
    print(policy())
    scheduler.apply(Process(), max_auto_priority=1)
    print(policy())
    scheduler.apply(Process(rt_priority=30))
    print(policy())
    scheduler.apply(Process())
    print(policy())

in_loop(scenario)
print(*lines, sep="|")
"""
    )
    assert printed.splitlines() == [
        "(2, 2)",
        "(2, 1)",
        "(2, 30)",
        "(0, 0)",
        "A thread timer expired 1.000001 seconds ago|Set realtime priority 1"
        "|A thread timer expired 2.000000 seconds ago|Set realtime priority 2"
        "|A thread timer expired 3.000000 seconds ago",
    ]


def test_settings_follow_a_reload() -> None:
    printed = in_child(
        _SCHEDULER
        + """
def seen():
    return os.getpriority(os.PRIO_PROCESS, 0), len(os.sched_getaffinity(0))

async def scenario(scheduler):
    scheduler.apply(Process(nice=-3, cpu_affinity=(0,)))
    print(*seen())
    scheduler.apply(Process())
    nice, processors = seen()
    print(nice, processors == os.cpu_count())

in_loop(scenario)
print(lines)
"""
    )
    assert printed.splitlines() == ["-3 1", "0 True", "[]"]


def test_refusals_are_logged_and_nothing_raises() -> None:
    printed = in_child(
        _SCHEDULER
        + """
os.setgid(65534)
os.setuid(65534)

async def scenario(scheduler):
    scheduler.apply(Process(rt_priority=20, nice=-5, cpu_affinity=(4095,)))
    print(policy(), scheduler.priority)

in_loop(scenario)
print(*lines, sep="\\n")
"""
    )
    assert printed.splitlines() == [
        "(0, 0) 0",
        "child process: cannot raise priority - Operation not permitted",
        "Unable to set process priority to -5 - Permission denied",
        "unable to set cpu affinity to vrrp process - Invalid argument",
    ]


def test_room_for_descriptors() -> None:
    printed = in_child(
        "import resource\n"
        "limits = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 2000))\n"
        "print(scheduling.allow_descriptors(50), *limits())\n"
        "print(scheduling.allow_descriptors(1000), *limits())\n"
        "print(scheduling.allow_descriptors(3000) == (limits()[0] == 3000), limits()[0] >= 2000)\n"
    )
    assert printed.splitlines() == ["True 100 2000", "True 1000 2000", "True True"]


def test_vrrp_settings_stand_among_the_globals() -> None:
    wanted = Globals(nice=-5, rt_priority=7, no_swap=True, cpu_affinity=(1,), vrrp_process_name="v")
    assert vrrp_process(wanted) == Process(
        name="v",
        nice=-5,
        no_swap=True,
        rt_priority=7,
        cpu_affinity=(1,),
        rlimit_rttime_us=wanted.rlimit_rttime_us,
    )
