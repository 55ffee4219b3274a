"""pyroute2's messages of links and addresses, without the rest of the library: they need a tenth of it."""

from typing import Any

from keepalived_py.system.lean_import import lean


def _import() -> tuple[Any, Any, Any]:
    from pyroute2.netlink import nla
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    return nla, ifaddrmsg, ifinfmsg


nla, ifaddrmsg, ifinfmsg = lean(_import)
