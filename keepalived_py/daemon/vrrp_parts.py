"""What the vrrp process has of this machine, opened in order and closed in reverse.

Three layers stand between the kernel's news of an interface and the shell: what
polling corrects (`linkbeat`), what waits until it has lasted (`LinkDelays`), and
the shell's own sockets.  Instances that live on devices of their own get these
first: a configuration is planned, its devices are made, and only when the
kernel has reported them the shell hears of it.  After a reload the devices
that nobody wants are removed last, when their addresses are gone.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from operator import is_not
from typing import assert_never

from keepalived_py.base.logs import Log
from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.core.holder.devices import plan
from keepalived_py.daemon import bfd_lines
from keepalived_py.daemon.followers import Followers
from keepalived_py.election.dead_man import DeadMan
from keepalived_py.election.link_delays import LinkDelays
from keepalived_py.election.ports import GatePort, Machine
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.probes.server_checks import ServerChecks
from keepalived_py.probes.tcp import TcpProbes
from keepalived_py.system.clocks import boottime
from keepalived_py.system.devices import Devices
from keepalived_py.system.fifo import Fifos, of_vrrp
from keepalived_py.system.file_watch import FileWatch, initialise
from keepalived_py.system.firewall import Firewall, vmacs_of
from keepalived_py.system.linkbeat import Linkbeat
from keepalived_py.system.loop import now
from keepalived_py.system.neighbour import NeighbourSocket
from keepalived_py.system.netlink import Kernel
from keepalived_py.system.process_watch import ProcessWatch
from keepalived_py.system.processes import Runner

# How long a device that the kernel has made may take to be reported.
_REPORT_LIMIT_S = 2.0
_LOOK_AGAIN_S = 0.002


class Parts:
    """The machine of one vrrp process.  Make it inside its running loop; `open` before anything else.

    `interfaces`: those that `open` has found.
    """

    def __init__(
        self, log: Log, runner: Runner, umask: int, home_namespace: int | None, gate: GatePort
    ) -> None:
        self._log = log
        self._runner = runner
        self._umask = umask
        self._kernel = Kernel()
        self._dead_man = DeadMan(gate, boottime, log.info)
        self._devices = Devices(log)
        self._neighbours = NeighbourSocket()
        self._shell: VrrpShell | None = None
        self._delays = LinkDelays(self._to_shell, log.info)
        self._linkbeat = Linkbeat(self._delays.feed, log)
        self._files = FileWatch(self._feed, self._say)
        self._processes = ProcessWatch(self._feed, self._say, home_namespace)
        self._followers = Followers(Fifos(of_vrrp, log.info, runner), log)
        self._probes = TcpProbes(self._feed)
        self._servers = ServerChecks(self._feed, self._say)
        self._configuration = Configuration()
        self._sessions: dict[str, bfd_lines.BfdLine] = {}
        self._firewall: Firewall
        self._following: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self.interfaces: Mapping[InterfaceName, ev.InterfaceFacts] = {}
        self.monitor: Callable[[ev.AddressAdded | ev.AddressRemoved], None] = lambda event: None

    async def open(self, configuration: Configuration) -> VrrpShell:
        """The shell for `configuration`, with everything it needs there; raises OSError.

        The processes that watch files and processes, ask servers or send mails are forked before there is
        any thread.
        """
        self._runner.all_groups = configuration.globals.set_supplementary_groups
        initialise(configuration.track_files, self._umask, self._say)
        found: list[ev.FileRead | ev.ProcessesCounted] = [
            *await self._files.follow(configuration),
            *await self._processes.follow(configuration),
        ]
        await self._servers.follow(configuration)
        self._followers.prepare(configuration)
        self._log.detail("Registering Kernel netlink reflector")
        self._log.detail("Registering Kernel netlink command channel")
        await self._kernel.open()
        self._size_buffers(configuration)
        self._following = asyncio.get_running_loop().create_task(self._follow_kernel())
        self._say_filter(configuration)
        self._firewall = Firewall(configuration, self._log.info)
        planned = await self._planned(configuration)
        await self._devices.settle(planned)
        await self._follow(planned)
        # Read when nothing is waited for any more: until there is a shell, nobody hears of what changes
        # (the address that a device gets comes a moment after the device).
        self.interfaces = interfaces = self._linkbeat.corrected(await self._kernel.interfaces())
        self._log.detail("Registering gratuitous ARP shared channel")
        if any(_has_ipv6(instance) for instance in configuration.instances):
            self._log.detail("Registering gratuitous NDISC shared channel")
        machine = Machine(
            kernel=self._dead_man.kernel(self._kernel),
            scripts=self._runner,
            neighbours=self._neighbours,
            firewall=self._firewall,
            devices=self._devices,
            fifos=self._followers,
            probes=self._probes,
            servers=self._servers,
            log=self._log,
            now=now,
            wall_clock_s=lambda: int(time.time()),
            dead_man=self._dead_man,
        )
        self._shell = VrrpShell(planned, interfaces, machine, found)
        return self._shell

    async def present(self) -> list[Address]:
        """The addresses that this machine has now."""
        found = await self._kernel.interfaces()
        return [one.address for facts in found.values() for one in facts.addresses]

    async def replace(self, configuration: Configuration) -> None:
        """A reload: first what the new configuration needs, then the shell, then what nobody needs."""
        assert self._shell is not None
        self._runner.all_groups = configuration.globals.set_supplementary_groups
        self._size_buffers(configuration)
        news: list[ev.Event] = [
            *await self._files.follow(configuration),
            *await self._processes.follow(configuration),
        ]
        await self._servers.follow(configuration)
        planned = await self._planned(configuration)
        await self._devices.add(planned)
        await self._follow(planned)
        self._shell.replace(planned)
        for event in news:
            self._shell.feed(event)
        await self._shell.settled()
        await self._devices.settle(planned)
        await self._filter_devices()

    async def _follow(self, planned: Configuration) -> None:
        """Look after what `planned` needs from now on."""
        interfaces = await self._known(planned)
        before, self._configuration = self._configuration.instances, planned
        self._firewall.follow(planned)
        self._dead_man.follow(planned)
        await self._filter_devices()
        interfaces = await self._linkbeat.follow(planned, interfaces)
        self._delays.follow(planned, interfaces.values())
        if len(before) != len(planned.instances) or any(map(is_not, before, planned.instances)):
            # Requests are found by the very values that they are about.
            self._kernel.prepare(_changes(planned))

    def _size_buffers(self, configuration: Configuration) -> None:
        for line in self._kernel.size_buffers(configuration.globals.receive_buffers):
            self._log.info(line)

    async def close(self, release: bool) -> None:
        """Give everything back; without `release` devices, addresses and filters stay as they are."""
        if self._following is not None:
            self._following.cancel()
        for task in self._background:
            task.cancel()
        self._linkbeat.close()
        self._delays.close()
        self._files.close()
        self._processes.close()
        self._probes.close()
        self._servers.close()
        if release:
            await self._devices.restore()
            await self._firewall.clear()
        self._devices.close()
        self._firewall.close()
        await self._followers.finish()
        self._runner.close()
        await self._kernel.close()

    def hear_bfd(self, reader: socket.socket) -> None:
        """Sessions came up or went down."""
        for line in bfd_lines.receive(reader):
            state = "Up" if line.up else "Down"
            took_us = now() - line.at_us
            if self._sessions.get(line.name) != line:  # else it is told again, for who came later
                text = f"Received BFD event: instance {line.name} is in state {state}"
                self._log.detail(f"{text} (delivered in {took_us} usec)")
                self._sessions[line.name] = line
            self._feed(ev.BfdChanged(line.name, line.up))

    def _say_filter(self, configuration: Configuration) -> None:
        needed = any(not one.accept or one.vmac is not None for one in configuration.instances)
        if needed and configuration.globals.firewall.table is None:
            text = "use_vmac or no_accept/strict specified, but no firewall configured - using nftables"
            self._log.info(text)

    # -- devices --------------------------------------------------------------

    async def _planned(self, configuration: Configuration) -> Configuration:
        return plan(configuration, await self._kernel.interfaces(), await self._devices.existing())

    async def _known(self, planned: Configuration) -> dict[InterfaceName, ev.InterfaceFacts]:
        """All interfaces, once those that were just made are among them (or will not come)."""
        end = now() + _REPORT_LIMIT_S * 1_000_000
        made = {one.name for one in await self._devices.existing()}
        wanted = {device.name for device in planned.devices} & made
        while True:
            found = await self._kernel.interfaces()
            if wanted <= found.keys() or now() > end:
                return found
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _filter_devices(self) -> None:
        """The filter knows devices by index: whenever one was made, it is told of all."""
        interfaces = await self._kernel.interfaces()
        await self._firewall.settle(vmacs_of(self._configuration, interfaces))

    # -- news -----------------------------------------------------------------

    async def _follow_kernel(self) -> None:
        async for event in self._kernel.events():
            match event:
                case ev.LinkChanged():
                    self._on_link(event)
                case ev.AddressAdded() | ev.AddressRemoved():
                    self.monitor(event)
                    self._follow_base(event)
                    if self._shell is not None:
                        self._shell.on_address(event)
                case ev.RouteLost() | ev.RuleLost():
                    self._feed(event)
                case _:
                    assert_never(event)

    def _on_link(self, event: ev.LinkChanged) -> None:
        name = event.facts.name
        if name in self._devices.bases:
            self._do(self._devices.follow(name))
        if any(device.name == name for device in self._configuration.devices):
            self._do(self._filter_devices())
        self._linkbeat.feed(event)

    def _follow_base(self, event: ev.AddressAdded | ev.AddressRemoved) -> None:
        """IPv6 devices have the link-local address of the interface below."""
        if event.interface in self._devices.bases and event.address.address.version == 6:
            self._do(self._devices.follow(event.interface))

    def _do(self, work: Coroutine[object, object, None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _to_shell(self, event: ev.LinkChanged) -> None:
        if self._shell is not None:
            self._shell.on_interface(event)

    def _feed(self, event: ev.Event) -> None:
        if self._shell is not None:
            self._shell.feed(event)

    def _say(self, line: fx.WriteLog) -> None:
        (self._log.detail if line.detail else self._log.info)(line.text)


def _has_ipv6(instance: Instance) -> bool:
    return any(one.address.version == 6 for one in (*instance.addresses, *instance.excluded_addresses))


def _changes(configuration: Configuration) -> Iterator[fx.KernelChange]:
    """Everything that may be asked of the kernel under `configuration`, to be written ahead of time."""
    for instance in configuration.instances:
        for address in (*instance.addresses, *instance.excluded_addresses):
            yield fx.AddAddress(instance.name, address)
            yield fx.DeleteAddress(instance.name, address)
        for route in instance.routes:
            yield fx.AddRoute(instance.name, route)
            yield fx.DeleteRoute(instance.name, route)
        for rule in instance.rules:
            yield fx.AddRule(instance.name, rule)
            yield fx.DeleteRule(instance.name, rule)
