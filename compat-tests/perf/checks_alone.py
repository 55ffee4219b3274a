"""The checks of keepalived-py on a kernel without IPVS: the real shell and probes, and a table that takes everything.

    checks_alone.py FILE [--profile FILE]

Checks what FILE configures until SIGTERM; then it says how late the checks were (JSON), and with
--profile where the time went.  SIGUSR1: count from now on.  News go to its
`lvs_notify_fifo`.  It runs in the network namespace and on the processors that it is given.
"""

import argparse
import asyncio
import contextlib
import cProfile
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure import spread

from keepalived_py.base.clock import Micros
from keepalived_py.config.host import RealHost
from keepalived_py.config.load import load
from keepalived_py.core.checks import schedule
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.health.ports import Machine
from keepalived_py.health.shell import Shell
from keepalived_py.model.check_events import CheckResult, SendAlert, StartCheck
from keepalived_py.model.config import Command, Configuration
from keepalived_py.model.effects import Done, Outcome, RunCheck
from keepalived_py.model.globals import LvsTimeouts
from keepalived_py.model.ipvs import IpvsChange
from keepalived_py.probes.table import Probes
from keepalived_py.system import scheduling
from keepalived_py.system.loop import now, run

_COLLECT_EVERY_S = 10.0


class _Everything:
    """A kernel's table, pipes, mail, programs and a log that take everything."""

    def __init__(self) -> None:
        self._pipe = -1

    def apply(self, changes: Sequence[IpvsChange]) -> Sequence[Outcome]:
        return [Done()] * len(changes)

    def timeouts(self) -> LvsTimeouts:
        return LvsTimeouts(900, 120, 300)

    def close(self) -> None:
        return

    def info(self, text: str) -> None:
        return

    def detail(self, text: str) -> None:
        return

    def notify(self, command: Command) -> int:
        return 0

    def check(self, check: RunCheck) -> int:
        return 0

    async def finish(self, limit_s: float) -> None:
        return

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._pipe, f"{line}\n".encode())

    def follow(self, configuration: Configuration) -> None:
        pipe = configuration.globals.lvs_notify_fifo.pipe
        if pipe is not None:
            self._pipe = os.open(pipe.path, os.O_RDWR | os.O_NONBLOCK)

    def send(self, alert: SendAlert) -> None:
        return


class _Lateness:
    """When checks were due, against when they began."""

    def __init__(self) -> None:
        self._due: dict[int, int] = {}
        self.late_us: list[int] = []
        self._plain = schedule.due
        schedule.due = self._noted

    def _noted(self, checking: Checking, now: Micros, out: list[Consequence]) -> Checking:
        if checking.next_at is not None:
            self._due[checking.number] = checking.next_at
        return self._plain(checking, now, out)

    def began(self, number: int) -> None:
        """A check begins now."""
        self.late_us.append(now() - self._due.pop(number, now()))


class _Watched(Probes):
    """Counts what was asked."""

    def __init__(self, lateness: _Lateness) -> None:
        super().__init__(now, print)
        self._lateness = lateness
        self.good = self.bad = 0
        self.started = super().run

    async def run(self, order: StartCheck) -> CheckResult:
        self._lateness.began(order.number)
        result = await self.started(order)
        if result.good:
            self.good += 1
        else:
            self.bad += 1
        return result


async def _live(configuration: Configuration, profile: str) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    everything, lateness, collector = _Everything(), _Lateness(), scheduling.Collector()
    everything.follow(configuration)
    probes = _Watched(lateness)
    machine = Machine(everything, probes, everything, everything, everything, everything, now, random.random)
    shell = Shell(machine)
    probes.follow(configuration)
    collector.take_over()
    shell.start(configuration, ())
    profiler = cProfile.Profile()

    def collect() -> None:
        collector.collect()
        loop.call_later(_COLLECT_EVERY_S, collect)

    def begin() -> None:
        lateness.late_us.clear()
        probes.good = probes.bad = 0
        if profile:
            profiler.enable()

    collect()
    loop.add_signal_handler(signal.SIGUSR1, begin)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    late = spread([us / 1000 for us in lateness.late_us] or [0.0])
    figures = {"late p50 ms": late.p50, "late p99 ms": late.p99, "late max ms": late.worst}
    print(json.dumps({**figures, "failed": probes.bad}), flush=True)


def main() -> None:
    """See the head of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    loaded = load(options.file, config_id="lab", host=RealHost())
    if loaded.start_exit_code is not None:
        raise SystemExit("\n".join(str(one) for one in loaded.diagnostics[:5]))
    configuration = loaded.configuration
    servers = sum(len(virtual.real_servers) for virtual in configuration.virtual_servers)
    scheduling.allow_descriptors(servers + 128)
    run(_live(configuration, options.profile))


if __name__ == "__main__":
    main()
