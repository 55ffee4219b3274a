"""Virtual servers with their checks, as the shell of the checkers would show them."""

from collections.abc import Iterable
from ipaddress import ip_address

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.orders import Orders, order_at, ordered_weight
from keepalived_py.core.checks.pool import Pool
from keepalived_py.core.checks.view import View
from keepalived_py.model.check_events import CheckEffect, CheckResult, Target
from keepalived_py.model.checks import TcpCheck
from keepalived_py.model.globals import Globals
from keepalived_py.model.virtual_server import AddressRange, Protocol, RealServer, ServerGroup, VirtualServer

GROUP = ServerGroup("web", (AddressRange(ip_address("10.6.0.1"), ip_address("10.6.0.2"), 80),))


def real(address: str, port: int = 80, weight: int = 1) -> RealServer:
    """A real server with one check."""
    return RealServer(ip_address(address), port, weight, checks=(TcpCheck(),))


def at(
    address: str, *servers: RealServer, port: int = 80, protocol: Protocol = Protocol.TCP
) -> VirtualServer:
    """A virtual server by address."""
    return VirtualServer(address=ip_address(address), port=port, protocol=protocol, real_servers=servers)


def begun(*virtuals: VirtualServer) -> tuple[Pool, ...]:
    """Their pools, in the kernel."""
    made = []
    for virtual in virtuals:
        group = GROUP if virtual.group else None
        pool = pools.begun(virtual, group, 0, [0] * len(virtual.real_servers), Globals())
        made.append(pools.initialised(pool, []))
    return tuple(made)


def checking(result: CheckResult | None = None, at_us: int = 0, *, up: bool = True) -> Checking:
    """A TCP check that has had this result."""
    target = Target(ip_address("10.5.0.11"), 80)
    last_at = None if result is None else Micros(at_us)
    return Checking(1, TcpCheck(), target, "rs", "vs", is_up=up, last=result, last_at=last_at)


class Bench:
    """Pools that follow orders."""

    def __init__(self, *virtuals: VirtualServer, checks: Iterable[Checking] = ()) -> None:
        self.pools = begun(*virtuals)
        self.checks = tuple(checks)
        self.orders = Orders()
        self.out: list[CheckEffect] = []

    def view(self) -> View:
        return View(self.pools, lambda virtual, server: self.checks, self.orders, Micros(5_000_000))

    def carry_out(self, virtual: int, server: int) -> None:
        """Give the server the weight that orders say."""
        pool = self.pools[virtual]
        configured = pool.servers[server].settings.weight
        weight = ordered_weight(order_at(self.orders, pool, server), configured)
        pool = pools.weight_changed(pool, server, weight, self.out)
        self.pools = (*self.pools[:virtual], pool, *self.pools[virtual + 1 :])
