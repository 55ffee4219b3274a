"""The vrrp process: wires the shell of the VRRP back-end to this machine.

It lives from the fork until SIGTERM (or until the parent is gone).  Nothing
here decides anything: it opens what `election.vrrp` needs, forwards netlink
events, reloads from the parent and signals, and lets the shell stop in order.
"""

import asyncio
import os
import signal
import socket
from functools import partial
from typing import TYPE_CHECKING

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.errors import FatalStart
from keepalived_py.base.logs import Log
from keepalived_py.base.names import Address
from keepalived_py.core import node as core
from keepalived_py.core.holder.holding import all_addresses
from keepalived_py.core.standing import leases_of
from keepalived_py.core.vrrp.timing import master_down_interval
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.child_process import ReloadingProcess, own_umask, run_process
from keepalived_py.daemon.children import EXIT_FATAL, ChildSettings
from keepalived_py.daemon.node_side import NodeSide, addresses_of
from keepalived_py.daemon.vrrp_parts import Parts
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Role
from keepalived_py.model.events import AddressAdded, AddressRemoved
from keepalived_py.model.globals import Globals, Process
from keepalived_py.status import statistics
from keepalived_py.system import scheduling
from keepalived_py.system.gate_at_need import GateAtNeed
from keepalived_py.system.loop import now, watch_pauses
from keepalived_py.system.processes import Runner

if TYPE_CHECKING:
    from keepalived_py.daemon.raft_parts import RaftParts

# A collection takes a fraction of a millisecond; it never starts this close to a deadline.
_ROOM_TO_COLLECT = Micros(50_000)
# What the process needs besides the sockets of its instances.
_DESCRIPTORS = 256
# How long the news of a change may take that the kernel has carried out, and how often to look.
_REPORT_LIMIT_US = Micros(SECOND)
_LOOK_AGAIN_S = 0.005
_NOT_YET: dict[int, str] = {
    signal.SIGUSR1: "keepalived.data",
    signal.SIGRTMIN + 2: "keepalived.json",
    signal.SIGRTMAX - 1: "keepalived.stats with counters set to zero",
}


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    return run_process(lambda: _Child(configuration, settings, channel))


def _raft_parts(configuration: Configuration, log: Log) -> "RaftParts":
    # Only who belongs to a cluster pays for what it needs.
    from keepalived_py.daemon.raft_parts import RaftParts

    return RaftParts(configuration.raft, log)


class _Child(ReloadingProcess):
    """The running process."""

    title = "VRRP"

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        super().__init__(configuration, settings, channel)
        self._parts: Parts
        self._shell: VrrpShell
        self._gate = GateAtNeed(settings.log.warn)
        self._settling: asyncio.Task[None] | None = None
        self._raft: RaftParts | None = None

    async def start(self) -> None:
        """Open everything and take the first step; raises OSError."""
        umask = own_umask()
        runner = Runner(lambda event: self._shell.feed(event), umask=umask)
        self._schedule()
        if self._configuration.raft is not None:
            self._raft = _raft_parts(self._configuration, self._settings.log)
        home = self._settings.home_namespace
        self._parts = Parts(self._settings.log, runner, umask, home, self._gate)
        self._parts.monitor = self._log_address
        self._shell = await self._parts.open(self._configuration)
        self._shell.after_advert = self._collect
        self._shell.ended = self._end_program
        if self._configuration.raft is not None:
            await self._gate.open()
        self._listen()
        self._collector.take_over()
        self._log_addresses()
        self._shell.start()
        if self._raft is not None:
            self._join(self._raft)
        self._watch_pauses()
        self._settling = asyncio.get_running_loop().create_task(self._settle())
        channels.send(self._channel, channels.Kind.READY)

    async def end(self) -> None:
        """Resign, and give everything back."""
        for task in (self._reloading, self._settling):
            if task is not None:
                task.cancel()
        release = not self._settings.keep_addresses
        shell = self._raft.shell if self._raft is not None else None
        if shell is not None:
            shell.begin_stop()
            if release:
                self._shell.released = shell.node_released
        await self._shell.stop(release=release)
        if shell is not None:
            if release:
                await shell.farewell()
            shell.close()
        await self._gate.close(release)
        await self._parts.close(release)

    # -- the cluster ------------------------------------------------------------

    async def _settle(self) -> None:
        """What earlier lives have left is taken out by the first step; then their gates may go."""
        if await self._shell.settled():
            end = now() + _REPORT_LIMIT_US
            present = await self._parts.present()
            # The kernel has carried it out, its news may still be on their way.
            while not self._not_held().isdisjoint(present) and now() < end:
                await asyncio.sleep(_LOOK_AGAIN_S)
                present = await self._parts.present()
            await self._gate.settled(present)

    def _not_held(self) -> set[Address]:
        """The virtual addresses that this machine should not have now."""
        states = [state for state in self._node.instances.values() if state.role is not Role.MASTER]
        return {one.address for state in states for one in all_addresses(state.settings)}

    def _join(self, raft: "RaftParts") -> None:
        """From now on leases decide about the instances that are elected by quorum."""
        configuration = self._configuration
        vip = None if configuration.cluster is None else str(configuration.cluster.vip)
        shell = raft.open(leases_of(configuration), NodeSide(self._shell), self._gate, vip)
        self._shell.before_step = shell.catch_up
        self._shell.after_step = lambda node: shell.follow_node()
        self._shell.may_announce = shell.may_announce
        shell.start()

    def _leave(self, raft: "RaftParts") -> None:
        """A reload took the cluster away."""
        self._raft = None
        self._shell.before_step = lambda: None
        self._shell.after_step = lambda node: None
        self._shell.may_announce = lambda instance: True
        if raft.shell is not None:
            raft.shell.begin_stop()
            raft.shell.node_released()
            raft.shell.close()

    async def take_over(self) -> None:
        """A reload: what is guarded first, then the node, then the cluster, then what nobody guards."""
        configuration = self._configuration
        if self._raft is None and configuration.raft is not None:
            # Before the gate has its thread, as far as it has none yet.
            self._raft = self._found_cluster(configuration)
        if self._raft is not None and configuration.raft is not None:
            await self._gate.open()
            if self._raft.shell is not None:
                wanted = partial(addresses_of, configuration)
                await self._raft.shell.prepare(leases_of(configuration), wanted)
        await self._parts.replace(configuration)
        self._follow_cluster()
        if self._raft is not None and self._raft.shell is not None and await self._shell.settled():
            await self._raft.shell.reloaded()
        self._watch_pauses()

    def _found_cluster(self, configuration: Configuration) -> "RaftParts | None":
        """For a reload that brings a cluster; None, and a line in the log, if it is not possible."""
        try:
            return _raft_parts(configuration, self._settings.log)
        except FatalStart as fault:
            self._settings.log.info(
                f"{fault}\nThis machine holds nothing by quorum until that is mended and reloaded"
            )
            return None

    def _follow_cluster(self) -> None:
        """The reload's part that the cluster has to do after the node has had its own."""
        cluster = self._configuration.raft
        if cluster is None:
            if self._raft is not None:
                self._leave(self._raft)
        elif self._raft is not None and self._raft.shell is not None:
            self._raft.shell.replace(cluster, leases_of(self._configuration))
        elif self._raft is not None:
            self._join(self._raft)

    def _end_program(self, reason: str) -> None:
        self._settings.log.info(f"{reason}, the program ends")
        self.exit_code = EXIT_FATAL
        self._stop.set()

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
