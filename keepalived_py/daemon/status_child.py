"""The status process: serves keep-vip's metrics to whoever asks, and nothing else.

It knows no more than the snapshot that the keeper of the log writes, so strangers
never get near the processes that elect.  As soon as it listens it gives up root.

Nobody loses an address because metrics cannot be served: an address that is taken, or
not there yet, is tried again and again, and said once.
"""

import asyncio
import os
import socket

from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.child_process import ChildProcess, run_process
from keepalived_py.daemon.children import ChildSettings, die_with_parent
from keepalived_py.model.cluster import Cluster, Endpoint
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals, Process
from keepalived_py.model.raft import RaftCluster
from keepalived_py.status import metrics, raft_snapshot
from keepalived_py.system.http_listener import HttpListener, Page
from keepalived_py.system.unprivileged import give_up_root

_TRY_AGAIN_S = 5.0


def address(configuration: Configuration) -> Endpoint | None:
    """Where the metrics are to be served."""
    cluster = configuration.cluster
    if not isinstance(cluster, Cluster) or not cluster.prometheus.enabled:
        return None
    return cluster.prometheus.endpoint


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    return run_process(lambda: _Child(configuration, settings, channel))


class _Child(ChildProcess):
    """The running process."""

    title = "Status"

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        super().__init__(configuration, settings, channel)
        self._log = settings.log
        self._listener = HttpListener({"/metrics": self._metrics})
        self._at: Endpoint | None = None
        self._said = ""
        self._moving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen, and give up root; raises OSError."""
        parent = os.getppid()
        self._schedule()
        self._listen()
        self._collector.take_over()
        await self._try_once()
        try:
            give_up_root()
        except OSError as fault:  # a container that cannot change users; it can do little there anyway
            self._log.info(f"The status process keeps its user: {fault}")
        die_with_parent(parent)  # the kernel forgets this wish when the user changes
        if self._at != address(self._configuration):
            self._move()
        channels.send(self._channel, channels.Kind.READY)

    async def end(self) -> None:
        """Let go of everybody."""
        if self._moving is not None:
            self._moving.cancel()
        self._listener.close()

    def process_settings(self, general: Globals) -> Process:
        """As any other process of the machine."""
        return Process()

    def _schedule(self) -> None:
        # Never real-time, not even after a reload with max_auto_priority: strangers decide what it does.
        self._scheduler.apply(Process())

    def on_message(self, message: channels.Message) -> None:
        """A reload: the address may be another one."""
        if message.configuration is not None:
            self._log.info("Reloading")
            self._configuration = message.configuration
            self._move()
            channels.send(self._channel, channels.Kind.READY)

    def _metrics(self) -> Page:
        self._collector.collect()
        raft = self._configuration.raft
        directory = raft.run_directory if isinstance(raft, RaftCluster) else ""
        return Page(metrics.CONTENT_TYPE, metrics.page(os.path.join(directory, raft_snapshot.FILE)))

    # -- where it listens -----------------------------------------------------------------

    def _move(self) -> None:
        """Listen where the configuration says, from now on or as soon as possible."""
        if self._moving is not None:
            self._moving.cancel()
        self._moving = asyncio.get_running_loop().create_task(self._keep_trying())

    async def _keep_trying(self) -> None:
        while not await self._try_once():
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _try_once(self) -> bool:
        wanted = address(self._configuration)
        if wanted == self._at:
            return True
        if wanted is None:
            self._listener.close()
            self._at = None
            return True
        if self._at is not None and self._at.port == wanted.port:
            self._listener.close()  # one address of a port may be in the way of another
            self._at = None
        try:
            await self._listener.open(wanted)
        except OSError as fault:
            text = f"Unable to serve metrics at {wanted}: {fault.strerror or fault}. Trying again"
            if text != self._said:
                self._log.info(text)
                self._said = text
            return False
        self._at = wanted
        self._said = ""
        self._log.info(f"Metrics at http://{wanted}/metrics")
        return True
