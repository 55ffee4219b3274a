"""The virtual servers as others may see them: for lists, orders and snapshots.

Nothing is copied to make a view: pools are values, and the checks of a server are
put together when somebody asks for them.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.orders import Orders
from keepalived_py.core.checks.pool import Pool
from keepalived_py.model import checks
from keepalived_py.model.checks import Check

_KINDS: dict[type[Check], str] = {
    checks.TcpCheck: "TCP_CHECK",
    checks.HttpGet: "HTTP_GET",
    checks.SslGet: "SSL_GET",
    checks.SmtpCheck: "SMTP_CHECK",
    checks.DnsCheck: "DNS_CHECK",
    checks.UdpCheck: "UDP_CHECK",
    checks.PingCheck: "PING_CHECK",
    checks.MiscCheck: "MISC_CHECK",
    checks.FileCheck: "FILE_CHECK",
    checks.BfdCheck: "BFD_CHECK",
}


class View(NamedTuple):
    """All virtual servers.  `now` is monotonic.

    `checks_of(virtual, server)` takes places in `pools` and in the servers of one; what is no more
    has no checks.
    """

    pools: tuple[Pool, ...]
    checks_of: Callable[[int, int], Iterable[Checking]]
    orders: Orders
    now: Micros


def kind_of(check: Check) -> str:
    """The keyword that the check was written with."""
    return _KINDS[type(check)]


def target_of(checking: Checking) -> str:
    """Whom or what a check asks, if that is not just its real server; else ""."""
    check = checking.check
    if isinstance(check, checks.FileCheck):
        return check.track_file
    if isinstance(check, checks.BfdCheck):
        return check.name
    if isinstance(check, checks.MiscCheck):
        return check.command.argv[0] if check.command.argv else ""
    if isinstance(check, checks.ConnectedCheck) and (check.connect_ip or check.connect_port):
        return f"[{checking.target.address}]:{checking.target.port}"
    return ""
