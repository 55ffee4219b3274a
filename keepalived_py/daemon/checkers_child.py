"""The process of the virtual servers: checks, the kernel's table, and who is told about it.

It shares nothing with the VRRP process; where the two meet is the kernel.  So
whatever happens here, ten thousand slow servers or a program that eats the processor, no
advert is late.  A kernel without IPVS ends this process alone.
"""

import asyncio
import os
import random
import signal
import socket
import time
from typing import assert_never

from keepalived_py.base.errors import FatalStart
from keepalived_py.core.checks import sessions
from keepalived_py.daemon import bfd_lines
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.child_process import ReloadingProcess, own_umask, run_process
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.health.order_desk import OrderDesk
from keepalived_py.health.orders import places
from keepalived_py.health.ports import Machine
from keepalived_py.health.shell import Shell
from keepalived_py.health.table_watch import TableWatch
from keepalived_py.health.targets import tracked_by_servers
from keepalived_py.health.whole_table import WholeTable
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import (
    AddressAdded,
    AddressRemoved,
    BfdChanged,
    FileRead,
    LinkChanged,
    RouteLost,
    RuleLost,
    ScriptFinished,
)
from keepalived_py.model.globals import Globals, Process
from keepalived_py.probes.table import Probes
from keepalived_py.status import checkers_data, checks_snapshot, statistics
from keepalived_py.system import scheduling
from keepalived_py.system.fifo import Fifos, of_checkers
from keepalived_py.system.file_watch import FileWatch
from keepalived_py.system.ipvs_at_need import IpvsAtNeed
from keepalived_py.system.loop import now
from keepalived_py.system.mail import Mailer
from keepalived_py.system.netlink import Kernel
from keepalived_py.system.processes import Runner

# Checks leave no cycles behind, and looking for some takes 0.1 s with ten thousand of them: after each look
# that finds nothing it is twice as long to the next one.
_COLLECT_EVERY_S = 10.0
_COLLECT_AT_LEAST_EVERY_S = 320.0
# Pipes, sockets and files besides one for each check.
_DESCRIPTORS = 128
# No advert waits here, and a server whose file says that it is faulty should not be put into the table first.
_FILES_S = 4.0
# For scripts and mails of the end.
_FAREWELL_S = 1.0


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    return run_process(lambda: _Child(configuration, settings, channel))


class _Child(ReloadingProcess):
    """The running process."""

    title = "Healthcheck"

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        super().__init__(configuration, settings, channel)
        log = settings.log
        self._log = log
        self._running = configuration
        # Helper processes are forked before there is any thread.
        self._runner = Runner(self._program_ended, umask=own_umask(), syslog_name="Keepalived_healthcheckers")
        self._files = FileWatch(self._file_read, self._say, tracked_by_servers, _FILES_S)
        self._ipvs = IpvsAtNeed()
        self._probes = Probes(now, log.info)
        self._mailer = Mailer(log.info, log.detail, configuration)
        self._fifos = Fifos(of_checkers, log.info, self._runner)
        machine = Machine(
            ipvs=self._ipvs,
            probes=self._probes,
            programs=self._runner,
            fifos=self._fifos,
            mail=self._mailer,
            log=log,
            now=now,
            chance=random.random,
        )
        self._shell = Shell(machine)
        self._whole = WholeTable(self._ipvs, log)
        self._watch = TableWatch(self._ipvs.read, self._shell, log)
        where = places(configuration.globals, settings.namespace)
        self._desk = OrderDesk(log, where, self._shell.view, self._ipvs.read, self._shell.ordered)
        self._snapshot = checks_snapshot.Writer(
            os.path.join(where.run_directory, checks_snapshot.FILE),
            self._shell.view,
            lambda: {"healed": self._watch.healed},
            log.info,
        )
        self._addresses: asyncio.Task[None] | None = None
        self._collect_every_s = _COLLECT_EVERY_S / 2
        self._kernel: Kernel | None = None

    # -- begin and end ------------------------------------------------------------

    async def start(self) -> None:
        """Open everything and take the first step; raises OSError or FatalStart."""
        configuration = self._configuration
        self._schedule()
        self._runner.all_groups = configuration.globals.set_supplementary_groups
        found = await self._files.follow(configuration)
        if configuration.virtual_servers:
            self._log.detail("Initializing ipvs")
            self._ipvs.open(configuration.globals.net_namespace_ipvs)
        self._probes.follow(configuration)
        present = await self._follow_addresses()
        self._listen()
        self._desk.load()
        self._shell.orders = lambda: self._desk.orders
        self._shell.changed = self._snapshot.changed
        self._fifos.follow(configuration)
        self._whole.follow(configuration)
        self._shell.present(present)
        self._shell.start(configuration, found)
        self._desk.open()
        self._watch.start()
        self._collector.take_over()
        self._collect()
        channels.send(self._channel, channels.Kind.READY)

    async def end(self) -> None:
        """Take everything out of the kernel that is to go, and tell whom it concerns."""
        await self._watch.close()
        await self._desk.close()
        if self._addresses is not None:
            self._addresses.cancel()
        self._files.close()
        self._shell.stop(release=not self._settings.keep_services)
        self._whole.end()
        await self._snapshot.close()
        await asyncio.gather(self._mailer.finish(_FAREWELL_S), self._runner.finish(_FAREWELL_S))
        self._fifos.close()
        self._runner.close()
        if self._kernel is not None:
            await self._kernel.close()
        self._probes.close()
        self._ipvs.close()

    def process_settings(self, general: Globals) -> Process:
        """`checker_priority` and what goes with it."""
        return general.checker

    def _schedule(self) -> None:
        super()._schedule()
        scheduling.allow_descriptors(_DESCRIPTORS + sum(1 for _ in self._configuration.server_checks()))

    def _listen(self) -> None:
        super()._listen()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._write_data)
        events = self._settings.bfd_events
        if events is not None:
            loop.add_reader(events, self._hear_bfd, events)

    def _collect(self) -> None:
        found = self._collector.collect()
        longer_s = min(2 * self._collect_every_s, _COLLECT_AT_LEAST_EVERY_S)
        self._collect_every_s = _COLLECT_EVERY_S if found else longer_s
        asyncio.get_running_loop().call_later(self._collect_every_s, self._collect)

    # -- news -----------------------------------------------------------------------

    def _program_ended(self, event: ScriptFinished) -> None:
        self._shell.program_ended(event)

    def _file_read(self, event: FileRead) -> None:
        self._shell.file_read(event)

    def _say(self, line: WriteLog) -> None:
        (self._log.detail if line.detail else self._log.info)(line.text)

    def _hear_bfd(self, reader: socket.socket) -> None:
        for line in bfd_lines.receive(reader):
            took_us = now() - line.at_us
            self._say(sessions.news_line(line.name, "Up" if line.up else "Down", took_us))
            self._shell.session_changed(BfdChanged(line.name, line.up))

    async def _follow_addresses(self) -> list[AddressAdded]:
        """The addresses of this machine, if checks depend on them or they are to be logged.

        What is there already is news as well, as in keepalived.
        """
        wanted = self._settings.address_monitoring or any(
            virtual.ha_suspend for virtual in self._configuration.virtual_servers
        )
        if not wanted or self._kernel is not None:
            return []
        self._log.detail("Registering Kernel netlink reflector")
        self._log.detail("Registering Kernel netlink command channel")
        self._kernel = Kernel()
        await self._kernel.open()
        self._addresses = asyncio.get_running_loop().create_task(self._hear_kernel(self._kernel))
        interfaces = await self._kernel.interfaces()
        present = [AddressAdded(name, one) for name, facts in interfaces.items() for one in facts.addresses]
        for event in present:
            self._tell_address(event)
        return present

    def _tell_address(self, event: AddressAdded | AddressRemoved) -> None:
        if self._settings.address_monitoring:
            came = "added" if isinstance(event, AddressAdded) else "removed"
            self._log.info(f"Netlink reflector reports IP {event.address.address} {came}")

    async def _hear_kernel(self, kernel: Kernel) -> None:
        async for event in kernel.events():
            match event:
                case AddressAdded() | AddressRemoved():
                    self._tell_address(event)
                    self._shell.address_changed(event, told=self._settings.address_monitoring)
                case LinkChanged():
                    if not event.facts.index:
                        self._shell.interface_gone(event.facts.name)
                case RouteLost() | RuleLost():
                    pass
                case _:
                    assert_never(event)

    # -- the parent -----------------------------------------------------------------

    async def take_over(self) -> None:
        """A reload: what the new configuration needs, then the table, then what has become idle."""
        configuration = self._configuration
        try:
            if configuration.virtual_servers:
                self._log.detail("Reinitializing ipvs")
                self._ipvs.open(configuration.globals.net_namespace_ipvs)
            self._probes.follow(configuration)
        except FatalStart as fault:
            # keepalived ends here, and every virtual server with it.
            self._log.error(f"{fault}. The virtual servers stay as they were before the reload")
            self._configuration = self._running
            return
        self._running = configuration
        self._runner.all_groups = configuration.globals.set_supplementary_groups
        found = await self._files.follow(configuration)
        present = await self._follow_addresses()
        self._mailer.follow(configuration)
        self._fifos.follow(configuration)
        self._whole.follow(configuration)
        self._desk.reloaded()
        self._shell.present(present)
        self._shell.replace(configuration, found)
        self._desk.followed()

    def _write_data(self) -> None:
        self._log.info(f"Printing checkers data for process({os.getpid()}) on signal")
        view = self._shell.view()
        text = checkers_data.check_data(self._configuration, view, time.time())
        try:
            statistics.write(checkers_data.FILE, text)
        except OSError as error:
            self._log.info(f"Unable to write {checkers_data.FILE}: {error}")
