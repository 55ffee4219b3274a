"""The vrrp process: wires the shell of the VRRP back-end to this machine.

It lives from the fork until SIGTERM (or until the parent is gone).  Nothing
here decides anything: it opens what `election.vrrp` needs, forwards netlink
events, reloads from the parent and signals, and lets the shell stop in order.
"""

import asyncio
import os
import signal
import socket
import traceback

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.core import node as core
from keepalived_py.core.vrrp.timing import master_down_interval
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import naming
from keepalived_py.daemon.child_process import ChildProcess, run_process
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.daemon.vrrp_parts import Parts
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model.config import Configuration
from keepalived_py.model.events import AddressAdded, AddressRemoved
from keepalived_py.model.globals import Globals, Process
from keepalived_py.status import statistics
from keepalived_py.system import scheduling
from keepalived_py.system.loop import now, watch_pauses
from keepalived_py.system.processes import Runner

# A collection takes a fraction of a millisecond; it never starts this close to a deadline.
_ROOM_TO_COLLECT = Micros(50_000)
# What the process needs besides the sockets of its instances.
_DESCRIPTORS = 256
_NOT_YET: dict[int, str] = {
    signal.SIGUSR1: "keepalived.data",
    signal.SIGRTMIN + 2: "keepalived.json",
    signal.SIGRTMAX - 1: "keepalived.stats with counters set to zero",
}


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    return run_process(lambda: _Child(configuration, settings, channel))


def _own_umask() -> int:
    """The umask of this process, which the parent chose; reading it means setting it."""
    mask = os.umask(0o177)
    os.umask(mask)
    return mask


class _Child(ChildProcess):
    """The running process."""

    title = "VRRP"

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        super().__init__(configuration, settings, channel)
        self._reloading: asyncio.Task[None] | None = None
        self._waiting: Configuration | None = None
        self._parts: Parts
        self._shell: VrrpShell

    async def start(self) -> None:
        """Open everything and take the first step; raises OSError."""
        umask = _own_umask()
        runner = Runner(lambda event: self._shell.feed(event), umask=umask)
        self._schedule()
        self._parts = Parts(self._settings.log, runner, umask, self._settings.home_namespace)
        self._parts.monitor = self._log_address
        self._shell = await self._parts.open(self._configuration)
        self._shell.after_advert = self._collect
        self._listen()
        self._collector.take_over()
        self._log_addresses()
        self._shell.start()
        self._watch_pauses()
        channels.send(self._channel, channels.Kind.READY)

    async def end(self) -> None:
        """Resign, and give everything back."""
        if self._reloading is not None:
            self._reloading.cancel()
        release = not self._settings.keep_addresses
        await self._shell.stop(release=release)
        await self._parts.close(release)

    def process_settings(self, general: Globals) -> Process:
        """`vrrp_priority` and what goes with it."""
        return scheduling.vrrp_process(general)

    def _schedule(self) -> None:
        super()._schedule()
        # Unicast instances have a pair of sockets each.
        scheduling.allow_descriptors(_DESCRIPTORS + 2 * len(self._configuration.instances))

    def _watch_pauses(self) -> None:
        """A pause may matter when it is longer than half of the shortest master_down_interval."""
        states = self._node.instances.values()
        shortest = min((master_down_interval(state.settings, 254) for state in states), default=SECOND)
        watch_pauses(Micros(shortest // 2), self._shell.on_pause)

    def _listen(self) -> None:
        super()._listen()
        loop = asyncio.get_running_loop()
        events = self._settings.bfd_events
        if events is not None:
            loop.add_reader(events, self._parts.hear_bfd, events)
        loop.add_signal_handler(signal.SIGUSR2, self._write_statistics)
        for unwritten, what in _NOT_YET.items():
            loop.add_signal_handler(unwritten, self._settings.log.info, f"{what} is not written yet")

    def _log_addresses(self) -> None:
        """What is there already is news as well, as in keepalived."""
        for name, facts in self._parts.interfaces.items():
            for address in facts.addresses:
                self._log_address(AddressAdded(name, address))

    def _log_address(self, event: AddressAdded | AddressRemoved) -> None:
        if self._settings.address_monitoring:
            what = "added to" if isinstance(event, AddressAdded) else "removed from"
            text = f"Netlink reflector reports IP {event.address.address} {what} {event.interface}"
            self._settings.log.info(text)

    # -- the parent -----------------------------------------------------------

    def on_message(self, message: channels.Message) -> None:
        """A reload; the latest of those that come meanwhile is taken next."""
        if message.configuration is not None:
            self._waiting = message.configuration
            if self._reloading is None:
                self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        """Take every configuration that has come, one after the other."""
        while self._waiting is not None:
            self._settings.log.info("Reloading")
            self._configuration, self._waiting = self._waiting, None
            self._schedule()
            wanted = self._settings.process_name(self._configuration.globals)
            naming.call_this_process(wanted or naming.DEFAULT)
            try:
                await self._parts.replace(self._configuration)
            except Exception:  # a fault of ours: what runs goes on, and the next reload has its chance
                self._settings.log.info("The reload is incomplete:\n" + traceback.format_exc())
            self._watch_pauses()
            channels.send(self._channel, channels.Kind.READY)
        self._reloading = None

    def _collect(self) -> None:
        due = core.next_deadline(self._node)
        if due is None or due - now() > _ROOM_TO_COLLECT:
            self._collector.collect()

    @property
    def _node(self) -> core.Node:
        node = self._shell.node
        assert node is not None
        return node

    def _write_statistics(self) -> None:
        log = self._settings.log
        log.info(f"Printing VRRP stats for process({os.getpid()}) on signal")
        try:
            statistics.write("keepalived.stats", statistics.statistics(self._node.instances.values()))
        except OSError as error:
            log.info(f"Unable to write keepalived.stats: {error}")
