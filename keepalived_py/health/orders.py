"""What an administrator may ask of the running checkers: `keepalived-py rs` at the other end.

`list` tells of real servers, their checks and connections; `drain`, `enable` and
`weight` give an order about one of them (`core.checks.orders`).  Requests come one JSON
object per line over the control socket and are checked here word by word.

A list of many servers is told page by page, each small enough to be made without any
check being late; the asker says where it goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from keepalived_py.base.names import Address
from keepalived_py.core.checks import services
from keepalived_py.core.checks.names import server_name
from keepalived_py.core.checks.orders import Key, Order, Orders, key_at, order_at
from keepalived_py.core.checks.pool import Pool
from keepalived_py.core.checks.view import View
from keepalived_py.health.spelling import find_servers, find_virtuals, the_one
from keepalived_py.model.globals import Globals
from keepalived_py.model.ipvs import DestinationEntry, Table
from keepalived_py.status.checks_snapshot import JSON, server_json, virtual_json
from keepalived_py.system.control_socket import Reply, parse_object

RUN_ROOT = "/run/keepalived-py/checkers"
STATE_ROOT = "/var/lib/keepalived-py/checkers"
CONTROL_FILE = "rs.control"
ORDERS_FILE = "orders.json"
MOST_WEIGHT = 65535
_LONGEST_NAME = 255
_PAGE_BYTES = 48 * 1024
_PAGE_SERVERS = 200

# What may be asked for, and whether it is an order about one server.
REQUESTS = {"list": False, "drain": True, "enable": True, "weight": True}


class Places(NamedTuple):
    """Where the files of one daemon are: those of its run, and those that outlive it."""

    run_directory: str
    state_directory: str


def places(general: Globals, namespace: str | None) -> Places:
    """Daemons of other namespaces and instances have other directories."""
    words = [word.replace("/", "_") for word in (namespace, general.instance) if word]
    own = ("_".join(words),) if words else ()
    return Places(os.path.join(RUN_ROOT, *own), os.path.join(STATE_ROOT, *own))


# -- requests ------------------------------------------------------------------------


class Request(NamedTuple):
    """One request.  `begin`: where a list goes on, counted in virtual servers and servers of it."""

    do: str
    virtual: str = ""
    server: str = ""
    weight: int = 0
    persistent: bool = False
    begin: tuple[int, int] = (0, 0)


def parse_request(line: bytes) -> Request | str:
    """The request in `line`, or what is wrong with it."""
    found = parse_object(line)
    if isinstance(found, str):
        return found
    do = found.get("do")
    if not isinstance(do, str) or do not in REQUESTS:
        return f"unknown request; there are {', '.join(REQUESTS)}"
    virtual, server = found.get("virtual", ""), found.get("server", "")
    for field, value in (("virtual", virtual), ("server", server)):
        if not isinstance(value, str) or len(value) > _LONGEST_NAME or (REQUESTS[do] and not value.strip()):
            return f"{do} needs {field}, a name"
    begin = found.get("begin", [0, 0])
    if not isinstance(begin, list) or len(begin) != 2 or not all(_is_count(one) for one in begin):
        return "begin is a pair of numbers"
    weight = found.get("weight", 0)
    if do == "weight" and not (_is_count(found.get("weight")) and weight <= MOST_WEIGHT):
        return f"weight needs weight, a number from 0 to {MOST_WEIGHT}"
    persistent = found.get("persist", False)
    if not isinstance(persistent, bool):
        return "persist is true or false"
    return Request(do, virtual, server, weight if do == "weight" else 0, persistent, (begin[0], begin[1]))


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


# -- orders ----------------------------------------------------------------------------


class Ordered(NamedTuple):
    """An order that was understood: the servers of all orders, and which one this is about."""

    orders: Orders
    virtual: int
    server: int


def ordered(request: Request, view: View) -> Ordered | str:
    """What the order `request` leads to, or why it cannot be followed."""
    pools = view.pools
    virtual = the_one(
        request.virtual,
        find_virtuals(request.virtual, pools),
        lambda at: pools[at].name,
        "virtual server",
        len(pools),
    )
    if isinstance(virtual, str):
        return virtual
    pool = pools[virtual]
    servers = pool.servers
    server = the_one(
        request.server,
        find_servers(request.server, pool),
        lambda at: server_name(pool.settings, servers[at].settings),
        "real server",
        len(servers),
        f" of {pool.name}",
    )
    if isinstance(server, str):
        return server
    order = None
    if request.do != "enable":
        order = Order(request.weight, request.do == "drain", request.persistent)
    return Ordered(view.orders.given(key_at(pool, server), order), virtual, server)


def confirmed(before: View, after: View, virtual: int, server: int) -> Reply:
    """What is told to whoever gave the order, when it has been carried out."""
    pool = after.pools[virtual]
    lost = before.pools[virtual].quorum_up and not pool.quorum_up
    gained = pool.quorum_up and not before.pools[virtual].quorum_up
    return {
        "ok": True,
        "virtual": virtual_json(pool),
        "server": server_json(after, virtual, server),
        "was": before.pools[virtual].servers[server].weight,
        "quorum": "lost" if lost else "gained" if gained else "",
    }


# -- the list --------------------------------------------------------------------------


def listed(request: Request, view: View, table: Table | None) -> Reply:
    """One page of the list; `next` is where the following one begins, None after the last.

    `table` is the kernel's, None if it could not be read.
    """
    pools = view.pools
    chosen: Sequence[int] = range(len(pools))
    if request.virtual.strip():
        chosen = find_virtuals(request.virtual, pools)
        if not chosen:
            wrong = the_one(request.virtual, (), lambda at: pools[at].name, "virtual server", len(pools))
            return {"ok": False, "error": wrong}
    parts: dict[int, dict[str, Any]] = {}
    size = count = 0
    for virtual, server in _places_from(request, pools, chosen):
        if virtual not in parts:
            parts[virtual] = {**virtual_json(pools[virtual]), "at": virtual, "servers": []}
            size += len(json.dumps(parts[virtual]))
        if server is None:
            continue
        line = {**server_json(view, virtual, server), **_connections(pools[virtual], server, table)}
        size += len(json.dumps(line))
        if count and (size > _PAGE_BYTES or count >= _PAGE_SERVERS):
            return {"ok": True, "virtual_servers": list(parts.values()), "next": [virtual, server]}
        parts[virtual]["servers"].append(line)
        count += 1
    if not count and request.server.strip():
        return {"ok": False, "error": f"No real server is called {request.server}"}
    return {"ok": True, "virtual_servers": list(parts.values()), "next": None}


def _places_from(
    request: Request, pools: Sequence[Pool], chosen: Sequence[int]
) -> Iterator[tuple[int, int | None]]:
    """What is to be told from `begin` on; None for a virtual server that has no real servers."""
    first, first_server = request.begin
    for virtual in chosen:
        if virtual < first:
            continue
        begin = first_server if virtual == first else 0
        pool = pools[virtual]
        if request.server.strip():
            found: Sequence[int] = find_servers(request.server, pool)
        else:
            found = range(len(pool.servers))
            if not found:
                yield virtual, None
        yield from ((virtual, server) for server in found if server >= begin)


def _connections(pool: Pool, index: int, table: Table | None) -> dict[str, JSON]:
    """How many connections the kernel has to a server, in all services of its virtual server."""
    if table is None:
        return {}
    entries = list(_entries(pool, index, table))
    return {
        "active": sum(entry.active for entry in entries),
        "inactive": sum(entry.inactive for entry in entries),
    }


def _entries(pool: Pool, index: int, table: Table) -> Iterator[DestinationEntry]:
    server = pool.servers[index].settings
    for service in pool.services:
        entry = table.get(service)
        if entry is not None:
            address: Address = server.address
            found = services.destination(service, address, server.port, server.method)
            if found in entry.destinations:
                yield entry.destinations[found]


# -- orders in a file --------------------------------------------------------------------


def orders_json(orders: Orders, life: str = "") -> str:
    """Orders as the text of a file: those that outlive the daemon, or all that stand in this `life` of it."""
    kept = [
        {
            "virtual": virtual,
            "server": server,
            "drained": order.drained,
            "weight": order.weight,
            "persistent": order.persistent,
        }
        for (virtual, server), order in sorted(orders.by_server.items())
        if order.persistent or life
    ]
    return json.dumps({"life": life, "orders": kept} if life else {"orders": kept}, indent=1) + "\n"


def orders_from_json(text: str, life: str = "") -> Orders | str:
    """The orders in the text of a file, or what is wrong with it (such as another `life` of the daemon)."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as fault:
        return f"no JSON: {fault}"
    lines = found.get("orders") if isinstance(found, dict) else None
    if not isinstance(lines, list) or found.get("life", "") != life:
        return "it has no list of orders"
    made: dict[Key, Order] = {}
    for line in lines:
        both = _order_from(line)
        if both is None:
            return f"{line!r:.80} is no order"
        made[both[0]] = both[1]
    return Orders(made)


def _order_from(line: object) -> tuple[Key, Order] | None:
    if not isinstance(line, dict):
        return None
    virtual, server = line.get("virtual"), line.get("server")
    drained, weight = line.get("drained", False), line.get("weight", 0)
    persistent = line.get("persistent", True)
    if not (isinstance(virtual, str) and isinstance(server, str)):
        return None
    if not (isinstance(drained, bool) and isinstance(persistent, bool)):
        return None
    if not (_is_count(weight) and weight <= MOST_WEIGHT):
        return None
    return (virtual, server), Order(weight, drained, persistent)


def unknown(orders: Orders, pools: Sequence[Pool]) -> list[str]:
    """Lines about the orders whose servers do not exist (they stand, in case these come back)."""
    if not orders.by_server:
        return []
    known = {key_at(pool, at) for pool in pools for at in range(len(pool.servers))}
    return [
        f"An order stands for the real server {server} of {virtual}, which is not configured: ignored"
        for virtual, server in sorted(orders.by_server.keys() - known)
    ]


def in_words(orders: Orders, pool: Pool, index: int) -> str:
    """The order that stands for a server, for log lines; "" if there is none."""
    order = order_at(orders, pool, index)
    if order is None:
        return ""
    return "drained" if order.drained else f"weight {order.weight}"
