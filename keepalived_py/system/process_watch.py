"""Tracked processes, seen from the vrrp process: how many run, as events (`vrrp_track_process`).

The work is done in a helper process (`system.process_counter`): neither a look
through all of /proc nor thousands of forks a second delay an advert.  Nothing
is opened while nothing is tracked.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import ProcessesCounted
from keepalived_py.model.tracking import TrackProcess
from keepalived_py.system import process_counter
from keepalived_py.system.helper import Helper

PATIENCE_S = 1.0

Order = dict[str, object]


def tracked_processes(configuration: Configuration) -> list[Order]:
    """What each process is that some instance or group tracks."""
    used = {tracked.name for one in configuration.instances for tracked in one.track_processes}
    used |= {tracked.name for one in configuration.groups for tracked in one.track_processes}
    return [_sought(process) for process in configuration.track_processes if process.name in used]


def _sought(process: TrackProcess) -> Order:
    return {
        "name": process.name,
        "process": process.process,
        "parameters": list(process.parameters),
        "match": process.match.value,
        "full_command": process.full_command,
    }


class ProcessWatch:
    """Gives `ProcessesCounted` events to `feed` and lines to `log`.  Make it inside a running loop.

    `home`: a descriptor of the network namespace that the program was started in, if it has left
    that one itself (`net_namespace`); the kernel tells of processes only in the machine's first.
    """

    def __init__(
        self,
        feed: Callable[[ProcessesCounted], None],
        log: Callable[[WriteLog], None],
        home: int | None = None,
    ) -> None:
        self._feed = feed
        self._log = log
        self._helper = Helper(partial(process_counter.serve, home=home), self._heard, self._tell, home)
        self._order: Order = {"processes": []}
        self._counts: dict[str, int | None] = {}
        self._number = 0
        self._ready = asyncio.Event()
        self._gathered: dict[str, ProcessesCounted] | None = None

    async def follow(self, configuration: Configuration) -> tuple[ProcessesCounted, ...]:
        """From now on count the processes of `configuration`; how many there are of those that are new.

        Waits until they have been counted, a second at most; what takes longer comes to `feed`, like
        everything that changes later.
        """
        wanted = tracked_processes(configuration)
        buffers = configuration.globals.receive_buffers
        order: Order = {
            "processes": wanted,
            "buffer": buffers.process_monitor,
            "force": buffers.process_monitor_force,
        }
        if not wanted:
            self._helper.close()
            self._counts.clear()
        if order == self._order or not wanted:
            self._order = order
            return ()
        kept = [each["name"] for each in wanted if each in _processes(self._order)]
        self._counts = {name: count for name, count in self._counts.items() if name in kept}
        self._order = order
        self._gathered = {}
        self._tell()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), PATIENCE_S)
        found, self._gathered = self._gathered, None
        return tuple(found.values())

    @property
    def helper_pid(self) -> int:
        """The process that counts; 0: nothing is tracked."""
        return self._helper.pid

    def close(self) -> None:
        """Watch nothing more."""
        self._helper.close()

    def _tell(self) -> None:
        self._number += 1
        self._ready.clear()
        failure = self._helper.tell({**self._order, "number": self._number})
        if failure:
            self._log(WriteLog(f"Failed to open process monitoring socket - {os.strerror(failure)}"))
            for each in _processes(self._order):
                self._counted(str(each["name"]), None)
            self._ready.set()

    def _heard(self, message: Any) -> None:
        if "log" in message:
            self._log(WriteLog(message["log"], detail=message["detail"]))
        elif "ready" in message:
            if message["ready"] == self._number:
                self._ready.set()
        elif any(each["name"] == message["process"] for each in _processes(self._order)):
            self._counted(message["process"], message["running"])

    def _counted(self, name: str, running: int | None) -> None:
        if name in self._counts and self._counts[name] == running:
            return
        self._counts[name] = running
        event = ProcessesCounted(name, running)
        if self._gathered is None:
            self._feed(event)
        else:
            self._gathered[name] = event


def _processes(order: Order) -> list[Order]:
    found = order["processes"]
    assert isinstance(found, list)
    return found
