"""The vrrp process: wires the shell of the VRRP back-end to this machine.

It lives from the fork until SIGTERM (or until the parent is gone).  Nothing
here decides anything: it opens what `election.vrrp` needs, forwards netlink
events, reloads from the parent and signals, and lets the shell stop in order.
"""

import asyncio
import os
import signal
import socket
from typing import assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.errors import FatalStart, PermissionMissing
from keepalived_py.base.logs import Log
from keepalived_py.core import node as core
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.election.vrrp import Machine, VrrpShell
from keepalived_py.model.config import Configuration, Globals
from keepalived_py.model.events import AddressAdded, AddressRemoved, LinkChanged
from keepalived_py.status import statistics
from keepalived_py.system import scheduling
from keepalived_py.system.loop import now, run
from keepalived_py.system.neighbour import NeighbourSocket
from keepalived_py.system.netlink import Kernel
from keepalived_py.system.processes import Runner

# A collection takes a fraction of a millisecond; it never starts this close to a deadline.
_ROOM_TO_COLLECT = Micros(50_000)
_CHANNEL_PIECE = 65536
_NOT_YET: dict[int, str] = {
    signal.SIGUSR1: "keepalived.data",
    signal.SIGRTMIN + 2: "keepalived.json",
    signal.SIGRTMAX - 1: "keepalived.stats with counters set to zero",
}


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    _schedule(configuration.globals, settings.log)
    return run(_live(configuration, settings, channel))


def _schedule(wanted: Globals, log: Log) -> None:
    """Priorities are a wish: a container that forbids them is no reason not to run."""
    try:
        if wanted.rt_priority:
            scheduling.set_real_time(wanted.rt_priority)
        if wanted.nice:
            scheduling.set_nice(wanted.nice)
        if wanted.no_swap:
            scheduling.lock_memory()
    except OSError as error:
        log.info(f"Unable to set the scheduling of the VRRP process: {error}")


def _own_umask() -> int:
    """The umask of this process, which the parent chose; reading it means setting it."""
    mask = os.umask(0o177)
    os.umask(mask)
    return mask


async def _live(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    child = _Child(configuration, settings, channel)
    try:
        await child.start()
    except PermissionError as error:
        raise PermissionMissing(f"VRRP process may not open what it needs: {error}") from error
    except OSError as error:
        raise FatalStart(f"VRRP process cannot start: {error}") from error
    return await child.until_stopped()


class _Child:
    """The running process."""

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        self._configuration = configuration
        self._settings = settings
        self._channel = channel
        self._inbox = channels.Inbox()
        self._kernel = Kernel()
        self._collector = scheduling.Collector()
        self._stop = asyncio.Event()
        self._shell: VrrpShell
        self._runner: Runner
        self._listening: asyncio.Task[None]

    async def start(self) -> None:
        """Open everything and take the first step; raises OSError."""
        log = self._settings.log
        log.detail("Registering Kernel netlink reflector")
        log.detail("Registering Kernel netlink command channel")
        await self._kernel.open()
        interfaces = await self._kernel.interfaces()
        log.detail("Registering gratuitous ARP shared channel")
        self._runner = Runner(lambda event: self._shell.feed(event), umask=_own_umask())
        machine = Machine(self._kernel, self._runner, NeighbourSocket(), log, now)
        self._shell = VrrpShell(self._configuration, interfaces, machine)
        self._shell.after_advert = self._collect
        self._listen()
        self._collector.take_over()
        self._shell.start()
        channels.send(self._channel, channels.Kind.READY)

    async def until_stopped(self) -> int:
        """Run until SIGTERM; returns the exit code."""
        await self._stop.wait()
        await self._shell.stop(release=not self._settings.keep_addresses)
        self._listening.cancel()
        self._runner.close()
        await self._kernel.close()
        return 0

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening = loop.create_task(self._follow_kernel())
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._on_channel)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        # A terminal sends these to the whole group; the parent decides what they mean.
        for number in (signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        loop.add_signal_handler(signal.SIGUSR2, self._write_statistics)
        for unwritten, what in _NOT_YET.items():
            loop.add_signal_handler(unwritten, self._settings.log.info, f"{what} is not written yet")

    async def _follow_kernel(self) -> None:
        async for event in self._kernel.events():
            match event:
                case LinkChanged():
                    self._shell.on_interface(event)
                case AddressAdded() | AddressRemoved():
                    self._log_address(event)
                    self._shell.feed(event)
                case _:
                    assert_never(event)

    def _log_address(self, event: AddressAdded | AddressRemoved) -> None:
        if self._settings.address_monitoring:
            what = "added to" if isinstance(event, AddressAdded) else "removed from"
            text = f"Netlink reflector reports IP {event.address.address} {what} {event.interface}"
            self._settings.log.info(text)

    def _on_channel(self) -> None:
        try:
            piece = self._channel.recv(_CHANNEL_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._stop.set()
            return
        for message in self._inbox.feed(piece):
            self._on_message(message)

    def _on_message(self, message: channels.Message) -> None:
        if message.kind is channels.Kind.STOP:
            self._stop.set()
        elif message.configuration is not None:
            self._settings.log.info("Reloading")
            self._configuration = message.configuration
            self._shell.replace(message.configuration)
            channels.send(self._channel, channels.Kind.READY)

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
