"""A virtual server that exists before and after a reload: what stays, what goes, what changes.

A reload has two halves, as in keepalived.  First everything old is gone through:
virtual servers that are gone are dissolved, those that stay are carried over
(`carried_over`).  Then all new ones are initialised in their order, which
puts in what is new, changes weights and judges the quorum.  Between
the halves nothing is judged: keepalived does that with a part of the servers known, and may
call a quorum lost that is not.

Whatever stands in the kernel and is wanted as it is stays untouched, with its
connections and counters: the place of a server that becomes the sorry server is handed on, and of
a range of addresses that grows or shrinks only the difference is touched.
"""

from collections.abc import Collection
from dataclasses import dataclass

from keepalived_py.base.names import Address
from keepalived_py.core.checks.names import entry_name, server_name, sorry_name
from keepalived_py.core.checks.pool import (
    Addition,
    Effects,
    Pool,
    ServerState,
    move,
    released,
    removed_server,
    server_identity,
    settled,
    sorry_settled,
    turned_server,
    with_servers,
    withdrawn,
)
from keepalived_py.core.checks.services import entries_of, service_settings, services_of_entry
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.ipvs import DeleteService, DestinationSettings, EditService, Service
from keepalived_py.model.virtual_server import AddressRange, GroupEntry

Key = tuple[Address, int]


@dataclass(frozen=True, slots=True)
class _Heirs:
    """Who of the new configuration may take over a place in the kernel."""

    servers: dict[Key, int]
    sorry: Key | None


def carried_over(old: Pool, new: Pool, out: Effects, *, shared: Collection[Service] = ()) -> Pool:
    """`new` (from `begun`, with what its migrated checks say) continues `old`.

    `shared`: services that other pools of the same group still need.
    """
    heirs = _Heirs(
        {server_identity(server.settings): index for index, server in enumerate(new.servers)},
        None if new.settings.sorry_server is None else server_identity(new.settings.sorry_server),
    )
    same_sorry = old.settings.sorry_server is not None and heirs.sorry == server_identity(
        old.settings.sorry_server
    )
    new = new._replace(
        present=old.present,
        quorum_up=old.quorum_up,
        withheld=old.withheld,
        sorry_alive=old.sorry_alive and same_sorry,
    )
    old, new = _services_compared(old, new, out, shared)
    new = _places_taken(old, new, heirs)
    new = _servers_compared(old, new, heirs, out)
    return _sorry_compared(old, new, heirs, same_sorry, out)


# -- the services ----------------------------------------------------------------------


def _services_compared(old: Pool, new: Pool, out: Effects, shared: Collection[Service]) -> tuple[Pool, Pool]:
    """Services of the group that are gone are taken out; those that stay are edited if need be."""
    before, after = set(old.services), set(new.services)
    _entries_said(old, new, out)
    if not before <= after:
        gone = [service for service in old.services if service not in after]
        # Who empties the table at the end need not take the servers out of what goes with them.
        flushes = old.flush_on_stop is not None
        withdrawn(old, [one for one in gone if one in shared or not flushes], out)
        out.extend(DeleteService(service) for service in gone if service not in shared)
        old = old._replace(services=tuple(service for service in old.services if service in after))
    settings = service_settings(new.settings)
    if settings != service_settings(old.settings):
        out.extend(EditService(service, settings) for service in new.services if service in before)
    fresh = tuple(service for service in new.services if service not in before)
    return old, new._replace(fresh=fresh, additions=_additions(old, new, fresh))


def _entries(pool: Pool) -> tuple[GroupEntry, ...]:
    return () if pool.group is None else entries_of(pool.group)


def _entries_said(old: Pool, new: Pool, out: Effects) -> None:
    stays = set(_entries(new))
    for entry in _entries(old):
        if entry not in stays:
            name = entry_name(old.settings, entry)
            if not isinstance(entry, AddressRange):
                name = str(entry.mark)
            out.append(WriteLog(f"VS [{name}] in group {old.settings.group} no longer exists"))


def _additions(old: Pool, new: Pool, fresh: tuple[Service, ...]) -> tuple[Addition, ...]:
    """Entry by entry, and at last what is new for another reason (another protocol)."""
    known, left = set(_entries(old)), dict.fromkeys(fresh)
    made: list[Addition] = []
    for entry in _entries(new):
        if entry not in known:
            line = f"VS [{entry_name(new.settings, entry)}] added into group {new.settings.group}"
            mine = tuple(service for service in services_of_entry(new.settings, entry) if service in left)
            made.append(Addition(line, mine))
            for service in mine:
                del left[service]
    return (*made, Addition(None, tuple(left))) if left else tuple(made)


# -- the servers -----------------------------------------------------------------------


def _places_taken(old: Pool, new: Pool, heirs: _Heirs) -> Pool:
    """What stands in the kernel belongs from now on to whoever has that address and port."""
    places: dict[Key, DestinationSettings] = {
        server_identity(server.settings): server.placed for server in old.servers if server.placed is not None
    }
    if old.settings.sorry_server is not None and old.sorry_placed is not None:
        places[server_identity(old.settings.sorry_server)] = old.sorry_placed
    servers = [server._replace(placed=places.get(server_identity(server.settings))) for server in new.servers]
    if new.twin is None and heirs.sorry is not None:
        new = new._replace(sorry_placed=places.get(heirs.sorry))
    return with_servers(new, servers)


def _servers_compared(old: Pool, new: Pool, heirs: _Heirs, out: Effects) -> Pool:
    servers = list(new.servers)
    for index, before in enumerate(old.servers):
        key = server_identity(before.settings)
        heir = heirs.servers.get(key)
        if heir is None:
            out.append(WriteLog(f"service {server_name(old.settings, before.settings)} no longer exist"))
            removed_server(old, index, out, keep=key == heirs.sorry)
        else:
            servers[heir] = _server_kept(new, heir, before, servers[heir], out)
    return with_servers(new, servers)


def _server_kept(
    new: Pool, index: int, before: ServerState, server: ServerState, out: Effects
) -> ServerState:
    """A server that stays; it comes or goes if its checks are not the same, and nothing has failed now."""
    server = server._replace(alive=before.alive, weight=before.weight, intended=server.weight)
    if server.alive == bool(server.failed):
        return turned_server(new, index, server, not server.alive, out)
    return settled(new, index, server, out)


def _sorry_compared(old: Pool, new: Pool, heirs: _Heirs, same: bool, out: Effects) -> Pool:
    before = old.settings.sorry_server
    if before is None:
        return new
    line = WriteLog(f"Removing sorry server {sorry_name(old.settings)} from VS {old.name}")
    now = new.settings.sorry_server
    if same and now is not None:
        if before.inhibit and not now.inhibit and not old.sorry_alive and old.twin is None:
            out.append(line)
        # One that is to stand by from now on is put in by `initialised`, at the end.
        return sorry_settled(new, out) if new.sorry_placed is not None or new.sorry_alive else new
    if old.sorry_alive or old.sorry_placed is not None:
        out.append(line)
    if old.sorry_placed is not None and server_identity(before) not in heirs.servers:
        move(old, before, old.sorry_placed, None, out)
    return released(new, out) if old.withheld and now is None else new
