"""One virtual server: which of its real servers are alive, and what therefore stands in the kernel.

The pool knows of each server whether it is alive and what the kernel was told
about it (`placed`).  What should be in the kernel follows from the state alone
(`_wanted`), so each step changes the state and then settles the servers that it
touched, in keepalived's order:

* a server that is alive is in with its weight;
* one that is not is out, or in with weight 0 (inhibit_on_failure);
* while the sorry server serves, those that are alive are treated as if they were not;
* the sorry server is in while it serves, or with weight 0 (sorry_server_inhibit).

A sorry server that is one of the real servers has that one's place in the kernel.
The sorry server serves from when the quorum is lost until it is gained, with
hysteresis between the two.

What is decided, said and told, and in which order, is keepalived's.  It differs
where that leaves in the kernel what the configuration does not say: keepalived
adds what is there already with a weight that must change (the kernel refuses),
edits what is not there (and so adds a failed server), gives a new server of a
reload to the kernel although the sorry server serves, and leaves failed
servers of a group in the kernel when they are removed.  After a reload it judges the
quorum once, where keepalived may tell of a loss twice or of one that is none.  A quorum of 0
is never reached in keepalived, since its hysteresis overflows; here it is while
any weight is alive.
"""

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keepalived_py.base.names import Address
from keepalived_py.core.checks.names import server_name, sorry_name, virtual_name
from keepalived_py.core.checks.services import (
    destination,
    destination_settings,
    real_weight,
    service_settings,
    services_of,
    sorry_settings,
)
from keepalived_py.core.checks.verdicts import CheckerVerdict
from keepalived_py.model.check_events import CheckEffect, SendAlert
from keepalived_py.model.effects import RunNotify, WriteFifo, WriteLog
from keepalived_py.model.globals import Globals, LvsFlush
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    DestinationSettings,
    EditDestination,
    Service,
)
from keepalived_py.model.virtual_server import RealServer, ServerGroup, SorryServer, VirtualServer

Effects = list[CheckEffect]


class ServerState(NamedTuple):
    """A real server.  `weight` is what the configuration and the checks make of it, unclamped.

    `failed`: how many of its checks have failed.  `placed`: what the kernel was told
    about it, None if it is not in there.  `intended` is not None between the two halves of a reload:
    it was there before, and this is its new weight.
    """

    settings: RealServer
    alive: bool = False
    weight: int = 1
    failed: int = 0
    placed: DestinationSettings | None = None
    intended: int | None = None

    @property
    def live_weight(self) -> int:
        """What it counts for the quorum."""
        return real_weight(self.weight) if self.alive else 0


@dataclass(frozen=True, slots=True)
class Addition:
    """Services that a reload adds, and the line of the log if that is an entry of the group."""

    line: str | None
    services: tuple[Service, ...]


class Pool(NamedTuple):
    """A virtual server and its servers.

    `twin`: the index of the real server that is the sorry server, too.  `live`: the weight of
    all that are alive.  `present`: its services are in the kernel.  `withheld`: servers that are
    alive are kept out, since the sorry server serves (or one served that a reload took away).
    `fresh`: between the two halves of a reload, the services that have no servers yet.
    """

    settings: VirtualServer
    name: str
    group: ServerGroup | None
    services: tuple[Service, ...]
    servers: tuple[ServerState, ...]
    twin: int | None
    live: int = 0
    quorum_up: bool = False
    present: bool = False
    sorry_alive: bool = False
    sorry_placed: DestinationSettings | None = None
    withheld: bool = False
    fresh: tuple[Service, ...] = ()
    additions: tuple[Addition, ...] = ()
    flush_on_stop: LvsFlush | None = None
    init_notifies: bool = False

    @property
    def sorry_present(self) -> bool:
        """Whether the sorry server is in the kernel as such."""
        return self.sorry_placed is not None or (self.twin is not None and self.sorry_alive)


# -- who is who --------------------------------------------------------------------


def identity(settings: VirtualServer, place_in_group: int = 0) -> Hashable:
    """What makes a virtual server the same one after a reload."""
    if settings.group is not None:
        return ("group", settings.group, place_in_group)
    if settings.mark is not None:
        return ("mark", settings.family or 4, settings.mark)
    return ("address", settings.protocol, settings.address, settings.port)


def server_identity(server: RealServer | SorryServer) -> tuple[Address, int]:
    """What makes a real server, or a sorry server, the same one after a reload."""
    return (server.address, server.port)


def shared_services(pool: Pool, others: Iterable[Pool]) -> frozenset[Service]:
    """Those services of the pool that others of the same group have in the kernel."""
    if pool.settings.group is None:
        return frozenset()
    mine = frozenset(pool.services)
    return frozenset(
        service
        for other in others
        if other is not pool and other.present and other.settings.group == pool.settings.group
        for service in other.services
        if service in mine and service not in other.fresh
    )


def begun(
    settings: VirtualServer,
    group: ServerGroup | None,
    place_in_group: int,
    failed: Sequence[int],
    general: Globals,
    added: Sequence[int] = (),
) -> Pool:
    """A pool of which nothing is in the kernel yet.

    `failed` says of each server how many of its checks count as failed, `added`
    what its checks add to its weight (nothing if it is empty).
    """
    extra = added or (0,) * len(settings.real_servers)
    servers = tuple(
        ServerState(server, weight=server.weight + more, failed=count)
        for server, count, more in zip(settings.real_servers, failed, extra, strict=True)
    )
    sorry = settings.sorry_server
    twins = (
        index
        for index, server in enumerate(settings.real_servers)
        if sorry is not None and server_identity(server) == server_identity(sorry)
    )
    return Pool(
        settings,
        virtual_name(settings, place_in_group),
        group,
        services_of(settings, group),
        servers,
        next(twins, None),
        flush_on_stop=general.lvs.flush_on_stop,
        init_notifies=general.lvs.rs_init_notifies,
    )


def is_present(pool: Pool, index: int) -> bool:
    """Whether the server is in the kernel by itself, and not only because the sorry server is the same."""
    server = pool.servers[index]
    only_sorry = pool.twin == index and pool.sorry_alive and not server.settings.inhibit_on_failure
    return server.placed is not None and not only_sorry


# -- what is in the kernel -----------------------------------------------------------


def _wanted(pool: Pool, index: int, server: ServerState) -> DestinationSettings | None:
    sorry = pool.settings.sorry_server
    if pool.sorry_alive and pool.twin == index and sorry is not None:
        return sorry_settings(sorry, True)
    if server.alive and not pool.withheld:
        return destination_settings(server.settings, server.weight)
    return destination_settings(server.settings, 0) if server.settings.inhibit_on_failure else None


def settled(pool: Pool, index: int, server: ServerState, out: Effects) -> ServerState:
    """The kernel is told what it does not know yet about a server of the pool."""
    wanted = _wanted(pool, index, server)
    if wanted == server.placed:
        return server
    move(pool, server.settings, server.placed, wanted, out)
    return server._replace(placed=wanted)


def sorry_settled(pool: Pool, out: Effects) -> Pool:
    """The same for the sorry server."""
    sorry = pool.settings.sorry_server
    if pool.twin is not None:
        return _with(pool, pool.twin, settled(pool, pool.twin, pool.servers[pool.twin], out))
    if sorry is None:
        return pool
    wanted = sorry_settings(sorry, pool.sorry_alive) if pool.sorry_alive or sorry.inhibit else None
    if wanted == pool.sorry_placed:
        return pool
    move(pool, sorry, pool.sorry_placed, wanted, out)
    return pool._replace(sorry_placed=wanted)


def all_settled(pool: Pool, out: Effects) -> Pool:
    """The same for all servers that are alive, in their order."""
    servers = (
        settled(pool, index, server, out) if server.alive else server
        for index, server in enumerate(pool.servers)
    )
    return pool._replace(servers=tuple(servers))


def move(
    pool: Pool,
    server: RealServer | SorryServer,
    before: DestinationSettings | None,
    after: DestinationSettings | None,
    out: Effects,
) -> None:
    """Bring a server from what the kernel knows to what it shall know, in each service that has servers."""
    for service in pool.services:
        if service not in pool.fresh:
            _move_one(service, server, before, after, out)


def _move_one(
    service: Service,
    server: RealServer | SorryServer,
    before: DestinationSettings | None,
    after: DestinationSettings | None,
    out: Effects,
) -> None:
    old = None if before is None else destination(service, server.address, server.port, before.method)
    new = None if after is None else destination(service, server.address, server.port, after.method)
    if old is not None and old != new:
        out.append(DeleteDestination(service, old))
    if new is not None and after is not None:
        made = EditDestination if new == old else AddDestination
        out.append(made(service, new, after))


def _with(pool: Pool, index: int, server: ServerState) -> Pool:
    """The pool with another state of one server."""
    servers = list(pool.servers)
    live = pool.live + server.live_weight - servers[index].live_weight
    servers[index] = server
    return pool._replace(servers=tuple(servers), live=live)


def with_servers(pool: Pool, servers: Sequence[ServerState]) -> Pool:
    """The pool with other states of all servers."""
    return pool._replace(servers=tuple(servers), live=sum(server.live_weight for server in servers))


# -- who is told ---------------------------------------------------------------------


def tell_server(pool: Pool, server: ServerState, out: Effects) -> None:
    """The script and the line of the pipe about a server as it is now."""
    settings = server.settings
    command = settings.notify_up if server.alive else settings.notify_down
    if command is not None:
        out.append(RunNotify(pool.name, command))
    state = "UP" if server.alive else "DOWN"
    out.append(WriteFifo(pool.name, f"RS {server_name(pool.settings, settings)} {pool.name} {state}"))


def _tell(pool: Pool, body: str, out: Effects) -> None:
    """The script, the line of the pipe and the mail about the virtual server as it is now."""
    settings = pool.settings
    command = settings.quorum_up if pool.quorum_up else settings.quorum_down
    if command is not None:
        out.append(RunNotify(pool.name, command))
    state = "UP" if pool.quorum_up else "DOWN"
    out.append(WriteFifo(pool.name, f"VS {pool.name} {state}"))
    if settings.smtp_alert:
        out.append(SendAlert(f"Virtualserver {pool.name} - {state}", body))


def _sum_text(pool: Pool, what: str, threshold: int) -> str:
    """The body of a mail; keepalived always writes + and <= here."""
    settings = pool.settings
    return f"=> {what} {settings.quorum}+{settings.hysteresis}={threshold} <= {pool.live} <="


# -- the quorum ----------------------------------------------------------------------


def _judged(pool: Pool, out: Effects, *, first: bool = False) -> Pool:
    """The quorum is gained or lost if the weight alive says so.

    `first`: after a start or a reload, when a sorry server is put in although nothing was lost.
    """
    settings = pool.settings
    threshold = settings.quorum + (-settings.hysteresis if pool.quorum_up else settings.hysteresis)
    enough = pool.live > 0 and pool.live >= threshold
    if not pool.quorum_up:
        if enough:
            return _gained(pool, threshold, out, first)
        if not first or settings.sorry_server is None or pool.sorry_alive:
            return pool
    elif enough:
        return pool
    return _lost(pool, threshold, out, first)


def _gained(pool: Pool, threshold: int, out: Effects, first: bool) -> Pool:
    settings = pool.settings
    pool = pool._replace(quorum_up=True)
    out.append(
        WriteLog(
            f"Gained quorum {settings.quorum}+{settings.hysteresis}={threshold} <= {pool.live}"
            f" for VS {pool.name}"
        )
    )
    if pool.sorry_alive and settings.sorry_server is not None:
        verb = "Disabling" if settings.sorry_server.inhibit else "Removing"
        out.append(WriteLog(f"{verb} sorry server {sorry_name(settings)} from VS {pool.name}"))
        pool = sorry_settled(pool._replace(sorry_alive=False), out)
    if pool.withheld:
        pool = released(pool, out)
    _tell(pool, _sum_text(pool, "Starting with quorum up" if first else "Gained quorum", threshold), out)
    return pool


def _lost(pool: Pool, threshold: int, out: Effects, first: bool) -> Pool:
    settings = pool.settings
    what = "Starting with quorum down" if first else "Lost quorum"
    pool = pool._replace(quorum_up=False)
    out.append(
        WriteLog(
            f"{what} {settings.quorum}-{settings.hysteresis}={threshold} > {pool.live} for VS {pool.name}"
        )
    )
    if settings.sorry_server is not None and not pool.sorry_alive:
        verb = "Enabling" if settings.sorry_server.inhibit else "Adding"
        out.append(WriteLog(f"{verb} sorry server {sorry_name(settings)} to VS {pool.name}"))
        out.append(WriteLog(f"Removing alive servers from the pool for VS {pool.name}"))
        pool = all_settled(pool._replace(withheld=True, sorry_alive=True), out)
        pool = sorry_settled(pool, out)
    _tell(pool, _sum_text(pool, what, threshold), out)
    return pool


def released(pool: Pool, out: Effects) -> Pool:
    """Servers that are alive get back into the kernel."""
    out.append(WriteLog(f"Adding alive servers to the pool for VS {pool.name}"))
    return all_settled(pool._replace(withheld=False), out)


# -- what happens to it ----------------------------------------------------------------


def initialised(pool: Pool, out: Effects, *, shared: Collection[Service] = ()) -> Pool:
    """Everything that is to be in the kernel is put there: at the start, and in the second half of a reload.

    `shared`: services that other pools of the same group have put there already.
    """
    settings = service_settings(pool.settings)
    missing = pool.fresh if pool.present else pool.services
    out.extend(AddService(service, settings) for service in missing if service not in shared)
    pool = pool._replace(present=True)
    pool = with_servers(
        pool, [_server_begun(pool, index, server, out) for index, server in enumerate(pool.servers)]
    )
    return sorry_settled(_judged(_filled(pool, out), out, first=True), out)


def _server_begun(pool: Pool, index: int, server: ServerState, out: Effects) -> ServerState:
    if server.intended is not None:
        return _weighed(pool, index, server._replace(intended=None), server.intended, out)
    server = settled(pool, index, server._replace(alive=not server.failed), out)
    if server.alive and pool.init_notifies:
        tell_server(pool, server, out)
    return server


def _filled(pool: Pool, out: Effects) -> Pool:
    """Services that a reload added to the group get the servers that the others have."""
    placed = [(server.settings, server.placed) for server in pool.servers]
    sorry = pool.settings.sorry_server
    for addition in pool.additions:
        if addition.line is not None:
            out.append(WriteLog(addition.line))
        for service in addition.services:
            for server, known in placed:
                _move_one(service, server, None, known, out)
            if sorry is not None:
                _move_one(service, sorry, None, pool.sorry_placed, out)
    return pool._replace(fresh=(), additions=())


def verdict(pool: Pool, index: int, verdict: CheckerVerdict, out: Effects) -> Pool:
    """A check of the server has said something.

    The first check that fails takes the server down, the last one that recovers brings it up.  A check
    that says for the first time what was assumed changes nothing, but a failure, and anything that a
    check with alpha says, is told.
    """
    server = pool.servers[index]
    if verdict.up == verdict.was_up:
        if not verdict.had_run and (verdict.alpha or not verdict.up):
            tell_server(pool, server, out)
        return pool
    failed = max(server.failed - 1, 0) if verdict.up else server.failed + 1
    counts = server.failed <= 1 if verdict.up else server.failed == 0
    server = server._replace(failed=failed)
    if not counts or server.alive == verdict.up:
        return _with(pool, index, server)
    return _judged(_with(pool, index, turned_server(pool, index, server, verdict.up, out)), out)


def turned_server(pool: Pool, index: int, server: ServerState, alive: bool, out: Effects) -> ServerState:
    """The server comes or goes: the log, the kernel, those who are told."""
    name = server_name(pool.settings, server.settings)
    if server.settings.inhibit_on_failure:
        said = f"{'Enabling' if alive else 'Disabling'} service {name} of VS {pool.name}"
    elif alive:
        said = f"Adding service {name} to VS {pool.name}"
    else:
        said = f"Removing service {name} from VS {pool.name}"
    out.append(WriteLog(said))
    server = settled(pool, index, server._replace(alive=alive), out)
    tell_server(pool, server, out)
    return server


def weight_changed(pool: Pool, index: int, new_weight: int, out: Effects) -> Pool:
    """The server's weight is another one from now on; unlike the kernel's it may be negative or huge."""
    before = pool.servers[index]
    pool = _with(pool, index, _weighed(pool, index, before, new_weight, out))
    return _judged(pool, out) if real_weight(new_weight) != real_weight(before.weight) else pool


def _weighed(pool: Pool, index: int, server: ServerState, weight: int, out: Effects) -> ServerState:
    before, after = real_weight(server.weight), real_weight(weight)
    server = server._replace(weight=weight)
    if before == after:
        return server
    name = server_name(pool.settings, server.settings)
    out.append(
        WriteLog(
            f"Changing weight from {before} to {after} for {'' if server.alive else 'in'}active service"
            f" {name} of VS {pool.name}"
        )
    )
    return settled(pool, index, server, out)


# -- its end ---------------------------------------------------------------------------


def dissolved(pool: Pool, out: Effects, *, stopping: bool, shared: Collection[Service] = ()) -> Pool:
    """Everything is taken out of the kernel: at the end (`stopping`), or since a reload has it no more.

    `shared`: services that other pools of the same group still need.  With
    `lvs_flush_on_stop` the table is emptied by who calls this, and servers
    go with their services; keepalived tells nobody about them then.
    """
    if pool.flush_on_stop is None:
        pool = _emptied(pool, out, stopping)
    pool = _ended(pool, out, stopping)
    if not (stopping and pool.flush_on_stop is LvsFlush.ALL):
        if pool.flush_on_stop is not None:
            withdrawn(pool, [service for service in pool.services if service in shared], out)
        out.extend(DeleteService(service) for service in pool.services if service not in shared)
    servers = [server._replace(placed=None) for server in pool.servers]
    return with_servers(pool, servers)._replace(
        present=False, sorry_alive=False, withheld=False, sorry_placed=None
    )


def withdrawn(pool: Pool, services: Sequence[Service], out: Effects) -> None:
    """The pool's servers are taken out of these of its services; nobody is told."""
    part = pool._replace(services=tuple(services))
    for server in pool.servers:
        if server.placed is not None:
            move(part, server.settings, server.placed, None, out)
    if pool.settings.sorry_server is not None and pool.sorry_placed is not None:
        move(part, pool.settings.sorry_server, pool.sorry_placed, None, out)


def _emptied(pool: Pool, out: Effects, stopping: bool) -> Pool:
    if pool.settings.sorry_server is not None and pool.sorry_placed is not None:
        move(pool, pool.settings.sorry_server, pool.sorry_placed, None, out)
        pool = pool._replace(sorry_placed=None)
    servers = [removed_server(pool, index, out, stopping=stopping) for index in range(len(pool.servers))]
    return with_servers(pool, servers)


def removed_server(
    pool: Pool, index: int, out: Effects, *, stopping: bool = False, keep: bool = False
) -> ServerState:
    """The server goes for good; whoever follows is told if it was in the kernel and alive.

    `keep`: its place in the kernel is somebody else's from now on.
    """
    server = pool.servers[index]
    name = server_name(pool.settings, server.settings)
    there = is_present(pool, index)
    if there or stopping:
        inhibited = "(inhibited) " if server.settings.inhibit_on_failure and not server.alive else ""
        verb = "Shutting down" if stopping else "Removing"
        out.append(WriteLog(f"{verb} {inhibited}service {name} from VS {pool.name}"))
    if server.placed is not None and not keep:
        move(pool, server.settings, server.placed, None, out)
        server = server._replace(placed=None)
    if not there or not server.alive:
        return server
    server = server._replace(alive=False)
    if pool.settings.omega or not stopping:
        tell_server(pool, server, out)
        if server.settings.smtp_alert:
            body = "=> Shutting down <=" if stopping else "=> Removing <="
            out.append(SendAlert(f"Realserver {name} of virtual server {pool.name} - DOWN", body))
    return server


def _ended(pool: Pool, out: Effects, stopping: bool) -> Pool:
    """The end of the virtual server is told: when it is removed only if its servers' end is the quorum's."""
    settings = pool.settings
    threshold = settings.quorum - settings.hysteresis
    if not stopping and (not pool.quorum_up or 0 < pool.live >= threshold):
        return pool
    pool = pool._replace(quorum_up=False)
    if settings.omega or not stopping:
        _tell(pool, "=> Shutting down <=" if stopping else _sum_text(pool, "Lost quorum", threshold), out)
    return pool
