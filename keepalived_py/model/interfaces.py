"""What is configured for network interfaces themselves, and the certificates of SSL checks."""

from __future__ import annotations

from enum import Enum

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.base.record import Record


class DeviceKind(Enum):
    """What kind of virtual interface a device is."""

    MACVLAN = "macvlan"
    IPVLAN = "ipvlan"


class Device(Record):
    """A virtual interface that we make for an instance, or for an address of it, and remove at stop.

    `mac` is the virtual MAC address of a macvlan (IPvlans share that of `base`).  `mode` is the
    ip-link(8) word of the device's mode: "private" for a macvlan, one of `IpvlanMode` for an ipvlan.
    `address` and `prefix_length`: what an ipvlan carries itself, and the link-local source that an
    IPv6 macvlan sends from (None: that of `base`).  `for_address`: it was made for one virtual
    address and not for the instance.  `other_family`: it may carry addresses of the other family too.
    `notify`: the kernel is made to announce `base` again (`netlink_notify_msg`).  `group`: the link
    group, by name or number; None: that of `base`.
    """

    name: InterfaceName
    base: InterfaceName
    kind: DeviceKind
    instance: InstanceName
    family: int
    mode: str
    mac: bytes | None = None
    address: Address | None = None
    prefix_length: int | None = None
    transmits_by_base: bool = False
    for_address: bool = False
    other_family: bool = False
    notify: bool = False
    group: str | None = None


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
