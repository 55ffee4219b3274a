"""What the rules of virtual servers say, written a second time, from the rules and not from the program.

The model has no steps in between and no effects: it knows which checks say what, and
says from that what the kernel's table must be and who must be told what, in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from keepalived_py.model.ipvs import Destination, DestinationSettings, Service, ServiceSettings
from keepalived_py.model.scripts import Command
from keepalived_py.model.virtual_server import (
    AddressRange,
    Forwarding,
    RealServer,
    ServerGroup,
    SorryServer,
    VirtualServer,
)
from keepalived_py.simulation.checks.checking import Checks
from keepalived_py.simulation.checks.kernel import Place
from keepalived_py.simulation.checks.scenario import Plan, Scene

Told = str
Row = dict[int, Checks]


@dataclass
class Server:
    """A real server: alive while none of its checks has failed.  `extra` is what checks add to its weight."""

    settings: RealServer
    checks: Checks
    extra: int
    alive: bool

    @property
    def weight(self) -> int:
        return max(0, min(self.settings.weight + self.extra, 2**31 - 1))


@dataclass
class Virtual:
    """A virtual server.  `up`: it has its quorum; `serving`: its sorry server serves."""

    plan: Plan
    group: ServerGroup
    up: bool = False
    serving: bool = False
    servers: dict[IPv4Address, Server] = field(default_factory=dict)

    @property
    def settings(self) -> VirtualServer:
        return self.plan.virtual

    @property
    def name(self) -> str:
        if self.settings.group is not None:
            return f"[{self.settings.group}]:{self.plan.place}"
        if self.settings.mark is not None:
            return f"FWM {self.settings.mark}"
        return f"[{self.settings.address}]:tcp:{self.settings.port}"

    @property
    def alive_weight(self) -> int:
        return sum(server.weight for server in self.servers.values() if server.alive)

    def same_as(self, plan: Plan) -> bool:
        """Whether that is this virtual server after a reload."""
        if self.settings.group is not None and plan.virtual.group is not None:
            return self.plan.place == plan.place
        return self.plan.kind == plan.kind

    # -- who is told ---------------------------------------------------------------

    def server_name(self, server: RealServer) -> str:
        protocol = self.settings.protocol
        return f"[{server.address}]:{protocol.value.lower() if protocol else 'none'}:{server.port}"

    def about(self, server: Server) -> list[Told]:
        """The script and the line about a server."""
        up = server.alive
        command = server.settings.notify_up if up else server.settings.notify_down
        line = f"RS {self.server_name(server.settings)} {self.name} {'UP' if up else 'DOWN'}"
        return [*_script(command), line]

    def about_itself(self) -> list[Told]:
        """The script, the line and the mail about the virtual server."""
        state = "UP" if self.up else "DOWN"
        command = self.settings.quorum_up if self.up else self.settings.quorum_down
        mail = [f"mail Virtualserver {self.name} - {state}"] if self.settings.smtp_alert else []
        return [*_script(command), f"VS {self.name} {state}", *mail]

    def judge(self, *, first: bool = False) -> list[Told]:
        """The quorum has hysteresis: gained at quorum + h, lost below quorum - h or with nothing alive."""
        quorum, margin, weight = self.settings.quorum, self.settings.hysteresis, self.alive_weight
        was_up, was_serving = self.up, self.serving
        if weight == 0:
            self.up = False
        elif weight >= quorum + margin:
            self.up = True
        elif weight < quorum - margin:
            self.up = False
        self.serving = not self.up and self.settings.sorry_server is not None
        begins = first and self.serving and not was_serving
        return self.about_itself() if self.up != was_up or begins else []

    # -- the table -----------------------------------------------------------------

    def is_in(self, server: Server) -> bool:
        """Whether the server itself is in the kernel."""
        return (server.alive and not self.serving) or server.settings.inhibit_on_failure

    def services(self) -> Iterator[Service]:
        settings = self.settings
        if settings.address is not None:
            yield Service(4, settings.protocol, settings.address, settings.port)
        elif settings.mark is not None:
            yield Service(4, mark=settings.mark)
        else:
            for entry in self.group.entries:
                if not isinstance(entry, AddressRange):
                    yield Service(4, mark=entry.mark)
                    continue
                address = entry.first
                while address <= entry.last:  # type: ignore[operator]  # both are of one family
                    yield Service(4, settings.protocol, address, entry.port)
                    address += 1

    def servers_in(self) -> Iterator[tuple[RealServer | SorryServer, DestinationSettings]]:
        """Who is in, and how."""
        sorry = self.settings.sorry_server
        for server in self.servers.values():
            mine = server.settings
            if sorry is not None and self.serving and sorry.address == mine.address:
                continue
            weight = server.weight if server.alive and not self.serving else 0
            if self.is_in(server):
                yield (
                    mine,
                    DestinationSettings(weight, mine.method, mine.upper_threshold, mine.lower_threshold),
                )
        if sorry is not None and self.serving:
            yield sorry, DestinationSettings(1, sorry.method)
        elif sorry is not None and sorry.inhibit and sorry.address not in self.servers:
            yield sorry, DestinationSettings(0, sorry.method)


def _script(command: Command | None) -> list[Told]:
    return [] if command is None else [f"run {' '.join(command.argv)}"]


class Model:
    """All virtual servers of a configuration."""

    def __init__(self) -> None:
        self.virtuals: list[Virtual] = []

    def table(self) -> dict[Place, DestinationSettings]:
        """What stands in the kernel: every server of every service."""
        made: dict[Place, DestinationSettings] = {}
        for virtual in self.virtuals:
            for service in virtual.services():
                for server, settings in virtual.servers_in():
                    rewritten = server.method.forwarding is Forwarding.NAT
                    port = server.port if rewritten else service.port
                    made[service, Destination(server.address, port)] = settings
        return made

    def services(self) -> dict[Service, ServiceSettings]:
        """The services themselves."""
        return {
            service: ServiceSettings(
                virtual.settings.scheduler, persistence_s=virtual.settings.persistence_timeout_s
            )
            for virtual in self.virtuals
            for service in virtual.services()
        }

    # -- what happens --------------------------------------------------------------

    def start(self, scene: Scene, rows: list[Row]) -> list[Told]:
        """Everything begins."""
        told: list[Told] = []
        for plan, row in zip(scene.plans, rows, strict=True):
            virtual = Virtual(plan, scene.group)
            self.virtuals.append(virtual)
            told += self._begin(virtual, row, scene, {})
        return told

    def _begin(self, virtual: Virtual, row: Row, scene: Scene, kept: dict[IPv4Address, Server]) -> list[Told]:
        told: list[Told] = []
        virtual.servers = {}
        for index, settings in enumerate(virtual.settings.real_servers):
            checks = row[index]
            address = IPv4Address(int(settings.address))
            server = Server(settings, checks, checks.extra, checks.all_up)
            virtual.servers[address] = server
            if address not in kept and server.alive and scene.general.lvs.rs_init_notifies:
                told += virtual.about(server)
        return told + virtual.judge(first=True)

    def result(self, which: int, index: int, number: int, good: bool) -> list[Told]:
        """A check has said something (and `checks` knows it not yet)."""
        virtual = self.virtuals[which]
        server = list(virtual.servers.values())[index]
        check = server.checks.by_number[number]
        if check.up == good:
            return virtual.about(server) if not check.has_run and (check.alpha or not good) else []
        others_up = all(other.up for key, other in server.checks.by_number.items() if key != number)
        alive = good and others_up
        if alive == server.alive:
            return []
        server.alive = alive
        return virtual.about(server) + virtual.judge()

    def weigh(self, which: int, index: int, extra: int) -> list[Told]:
        """A check has set another weight."""
        virtual = self.virtuals[which]
        server = list(virtual.servers.values())[index]
        before = server.weight
        server.extra = extra
        return virtual.judge() if server.weight != before else []

    def reload(self, scene: Scene, rows: list[Row]) -> list[Told]:
        """The configuration is another one."""
        told: list[Told] = []
        olds, self.virtuals = self.virtuals, []
        heirs: dict[int, Virtual] = {}
        for old in olds:
            place = next((n for n, plan in enumerate(scene.plans) if old.same_as(plan)), None)
            if place is None:
                told += self._removed(old, scene)
                continue
            heirs[place] = old
            told += self._carried(old, Virtual(scene.plans[place], scene.group), rows[place])
        for place, plan in enumerate(scene.plans):
            virtual, before = Virtual(plan, scene.group), heirs.get(place)
            self.virtuals.append(virtual)
            kept: dict[IPv4Address, Server] = {}
            if before is not None:
                virtual.up = before.up
                now, then = plan.virtual.sorry_server, before.settings.sorry_server
                virtual.serving = before.serving and _same(now, then)
                ports = {server.address: server.port for server in plan.virtual.real_servers}
                kept = {
                    address: server
                    for address, server in before.servers.items()
                    if ports.get(address) == server.settings.port
                }
            told += self._begin(virtual, rows[place], scene, kept)
        return told

    def _removed(self, old: Virtual, scene: Scene) -> list[Told]:
        """Nobody is told of what is flushed."""
        if scene.general.lvs.flush_on_stop is not None:
            return []
        told = [line for server in old.servers.values() for line in self._server_removed(old, server)]
        if not old.up:
            return told
        old.up = False
        return told + old.about_itself()

    def _server_removed(self, old: Virtual, server: Server) -> list[Told]:
        if not server.alive or not old.is_in(server):
            return []
        server.alive = False
        mail = f"mail Realserver {old.server_name(server.settings)} of virtual server {old.name} - DOWN"
        return [*old.about(server), *([mail] if server.settings.smtp_alert else [])]

    def _carried(self, old: Virtual, new: Virtual, row: Row) -> list[Told]:
        told: list[Told] = []
        places = {(one.address, one.port): index for index, one in enumerate(new.settings.real_servers)}
        for server in old.servers.values():
            index = places.get((server.settings.address, server.settings.port))
            if index is None:
                told += self._server_removed(old, server)
                continue
            alive = row[index].all_up
            if alive != server.alive:
                told += new.about(Server(new.settings.real_servers[index], row[index], 0, alive))
        return told

    def stop(self, scene: Scene) -> list[Told]:
        """The end: who wanted it (omega) is told of everything that was up."""
        told: list[Told] = []
        for virtual in self.virtuals:
            if scene.general.lvs.flush_on_stop is None:
                lines = [
                    line
                    for server in virtual.servers.values()
                    for line in self._server_removed(virtual, server)
                ]
                told += lines if virtual.settings.omega else []
            virtual.up = False
            told += virtual.about_itself() if virtual.settings.omega else []
        self.virtuals = []
        return told


def _same(one: SorryServer | None, other: SorryServer | None) -> bool:
    if one is None or other is None:
        return False
    return (one.address, one.port) == (other.address, other.port)
