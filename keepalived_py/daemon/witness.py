"""A witness: a member that votes, and has nothing to hold.

It needs no rights on the machine: a socket above port 1024, and a directory of its own
for the log.  So it is one process (and the keeper of the log) in the foreground, for
any user, with none of what touches the network's configuration loaded.

SIGHUP reads the configuration again; one that cannot be used changes nothing.
"""

import asyncio
import os
import signal
from collections.abc import Callable

from keepalived_py.base.errors import FatalStart, KeepalivedError
from keepalived_py.base.logs import Log
from keepalived_py.daemon import notify_systemd
from keepalived_py.daemon.raft_parts import RaftParts
from keepalived_py.election.raft.shell import RaftShell
from keepalived_py.model.raft import RaftCluster
from keepalived_py.system.loop import run as run_loop

EXIT_FATAL = 1


class Unusable(KeepalivedError):
    """There is no witness in this configuration; the text says why and what to do.

    `code` is the exit code of a start with it.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


Load = Callable[[], RaftCluster]


def run(load: Load, log: Log) -> int:
    """Read the configuration and be a witness until SIGTERM or SIGINT; returns the exit code.

    `load` raises Unusable.
    """
    try:
        run_loop(_Witness(load(), load, log).live())
    except Unusable as fault:
        log.error(str(fault))
        return fault.code
    except FatalStart as fault:
        log.error(str(fault))
        return EXIT_FATAL
    return 0


class _Witness:
    """The running member."""

    def __init__(self, cluster: RaftCluster, load: Load, log: Log) -> None:
        self._cluster = cluster
        self._load = load
        self._log = log
        self._stop = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._shell: RaftShell

    async def live(self) -> None:
        """The whole life; raises FatalStart."""
        self._shell = RaftParts(self._cluster, self._log).open()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._want_reload)
        self._shell.start()
        own = self._cluster.member(self._cluster.own)
        self._log.info(
            f"Witness {own.id} of cluster {self._cluster.id} at {self._cluster.bind or own.endpoint}"
        )
        notify_systemd.ready(os.getpid())
        try:
            await self._stop.wait()
        finally:
            self._end()

    def _end(self) -> None:
        notify_systemd.stopping()
        if self._reloading is not None:
            self._reloading.cancel()
        self._shell.begin_stop()
        self._shell.node_released()
        self._shell.close()
        self._log.info("Witness stopped")

    # -- reload ---------------------------------------------------------------------

    def _want_reload(self) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        """Reading takes a while, in which heartbeats must be answered: it is done in a thread."""
        self._log.info("Reloading ...")
        notify_systemd.reloading()
        try:
            cluster = await asyncio.to_thread(self._load)
        except Unusable as fault:
            self._log.error(f"{fault}\nNew configuration refused, the running one is kept")
        else:
            self._cluster = cluster
            self._shell.replace(cluster, ())
            self._log.info("Reload complete")
        notify_systemd.ready(os.getpid())
