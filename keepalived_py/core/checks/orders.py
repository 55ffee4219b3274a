"""Orders of an administrator about real servers: which weight they are to have, whatever is configured.

A drained server has weight 0, so that connections end and none begins, and no
check changes that.  Another order takes the place of the configured weight: what
checks add to that they add to this.  There is one order for a server, the last.

A virtual server is known by the name that log lines give it (a mark of IPv6 says so
too, as a mark of IPv4 may have the same number), a real server by its own; so orders can
be written down, and found again after a reload or a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from keepalived_py.core.checks.names import server_name
from keepalived_py.core.checks.pool import Pool
from keepalived_py.model.virtual_server import RealServer, VirtualServer

Key = tuple[str, str]


class Order(NamedTuple):
    """One order.  `persistent`: over reloads and restarts, until there is another."""

    weight: int = 0
    drained: bool = False
    persistent: bool = False


class Orders(NamedTuple):
    """All orders that stand, by virtual and real server."""

    by_server: Mapping[Key, Order] = {}

    def given(self, key: Key, order: Order | None) -> Orders:
        """With this order for that server; None: with none."""
        others = {other: kept for other, kept in self.by_server.items() if other != key}
        return Orders(others if order is None else {**others, key: order})

    def reloaded(self) -> Orders:
        """What a reload leaves of them."""
        return Orders({key: order for key, order in self.by_server.items() if order.persistent})


def key_of(name: str, virtual: VirtualServer, server: RealServer) -> Key:
    """How orders call a real server; `name` is its virtual server's (`names.virtual_name`)."""
    family = " inet6" if virtual.mark is not None and virtual.group is None and virtual.family == 6 else ""
    return name + family, server_name(virtual, server)


def key_at(pool: Pool, index: int) -> Key:
    """How orders call the real server at `index`."""
    return key_of(pool.name, pool.settings, pool.servers[index].settings)


def order_at(orders: Orders, pool: Pool, index: int) -> Order | None:
    """The order that stands for the real server at `index`."""
    return orders.by_server.get(key_at(pool, index)) if orders.by_server else None


def ordered_weight(order: Order | None, configured: int, added: int = 0) -> int:
    """The weight that a real server is to have, if `order` stands and its checks add `added`.  Unclamped."""
    if order is None:
        return configured + added
    return 0 if order.drained else order.weight + added
