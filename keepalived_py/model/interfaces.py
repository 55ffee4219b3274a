"""What is configured for network interfaces themselves, and the certificates of SSL checks."""

from __future__ import annotations

from enum import Enum

from keepalived_py.base.clock import Micros
from keepalived_py.base.record import Record


class GarpGroup(Record):
    """`garp_group`: the least time between announcements on its interfaces.

    With `shared` the interfaces of the group wait for each other.  None: not limited.
    """

    garp_interval_us: Micros | None = None
    gna_interval_us: Micros | None = None
    interfaces: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


class LinkPolling(Enum):
    """How the link of an interface is asked for."""

    MII = "MII"
    ETHTOOL = "ETHTOOL"
    IOCTL = "IOCTL"


class LinkbeatInterface(Record):
    """An interface whose link is polled; `method` None: the first one that works."""

    interface: str
    method: LinkPolling | None = None


class InterfaceDelay(Record):
    """How long an interface must be down or up before it counts."""

    interface: str
    down_us: Micros
    up_us: Micros = Micros(0)


class SslSettings(Record, secret=("password",)):
    """What checks over TLS show: file names, and the password of the key."""

    password: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
