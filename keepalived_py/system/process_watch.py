"""Tracked processes, seen from the vrrp process: how many run, as events (`vrrp_track_process`).

The work is done in a helper process (`system.process_counter`): neither a look
through all of /proc nor thousands of forks a second delay an advert.  Nothing
is opened while nothing is tracked.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import ProcessesCounted
from keepalived_py.model.tracking import TrackProcess
from keepalived_py.system import process_counter
from keepalived_py.system.helper import Helper
from keepalived_py.system.helper_watch import HelperWatch

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


class ProcessWatch(HelperWatch[ProcessesCounted]):
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
        helper = partial(Helper, partial(process_counter.serve, home=home), kept=home)
        super().__init__(helper, ProcessesCounted, feed, log)
        self._ordered: Order = {"processes": []}

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
            self._values.clear()
        if order == self._ordered or not wanted:
            self._ordered = order
            return ()
        kept = [each["name"] for each in wanted if each in _processes(self._ordered)]
        self._values = {name: count for name, count in self._values.items() if name in kept}
        self._ordered = order
        return await self._gather()

    def _order(self) -> Mapping[str, object]:
        return self._ordered

    def _refused(self, failure: int) -> None:
        self._log(WriteLog(f"Failed to open process monitoring socket - {os.strerror(failure)}"))
        for each in _processes(self._ordered):
            self._found(str(each["name"]), None)

    def _news(self, message: Any) -> None:
        if any(each["name"] == message["process"] for each in _processes(self._ordered)):
            self._found(message["process"], message["running"])


def _processes(order: Order) -> list[Order]:
    found = order["processes"]
    assert isinstance(found, list)
    return found
