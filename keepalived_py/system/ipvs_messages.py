"""Messages of the kernel's IPVS table (linux/ip_vs.h): values to bytes, bytes to values.

A request is a command with up to three nests of attributes: one says which
service is meant, one which destination (a real server), one which end of the
synchronisation.  A service is found by its family and either its mark or its
protocol, address and port; only adding and editing look at the rest.  Numbers
are in the machine's order, ports and netmasks in that of the network.  An
address takes sixteen bytes, whichever family it has, as keepalived sends it.

The attributes are written by `system.attributes`: pyroute2's classes for these
messages do not know the synchronisation and take forty times as long to read a
destination.  A dump is mostly counters, ten numbers of one size in a nest; they
are read in one go.

No value that a configuration can hold makes this fail: a weight that the kernel
would refuse is brought into its range, as keepalived does it.
"""

import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, assert_never

from keepalived_py.base.names import Address
from keepalived_py.model.globals import LvsTimeouts, SyncDaemon
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    Counters,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationEntry,
    DestinationSettings,
    EditDestination,
    EditService,
    FlushTable,
    IpvsChange,
    Service,
    ServiceSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    SyncRole,
)
from keepalived_py.model.virtual_server import (
    Forwarding,
    ForwardingMethod,
    Protocol,
    Scheduler,
    TunnelChecksum,
    TunnelType,
)
from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import Attributes, nest, number, split
from keepalived_py.system.rtnetlink import FAMILIES, Request

FAMILY_NAME = "IPVS"
_VERSION = 1
_GENERIC_HEADER = struct.Struct("=BBH")

# Commands.
_NEW_SERVICE, _SET_SERVICE, _DEL_SERVICE, _GET_SERVICE = 1, 2, 3, 4
_NEW_DEST, _SET_DEST, _DEL_DEST, _GET_DEST = 5, 6, 7, 8
_NEW_DAEMON, _DEL_DAEMON, _GET_DAEMON = 9, 10, 11
_SET_CONFIG, _GET_CONFIG = 12, 13
_GET_INFO, _ZERO, _FLUSH = 15, 16, 17

# Attributes of a command.
_SERVICE, _DEST, _DAEMON, _TIMEOUT_TCP, _TIMEOUT_TCP_FIN, _TIMEOUT_UDP = 1, 2, 3, 4, 5, 6
_INFO_VERSION, _INFO_SIZE = 1, 2

# Attributes of a service.
_SVC_AF, _SVC_PROTOCOL, _SVC_ADDR, _SVC_PORT, _SVC_FWMARK = 1, 2, 3, 4, 5
_SVC_SCHED_NAME, _SVC_FLAGS, _SVC_TIMEOUT, _SVC_NETMASK = 6, 7, 8, 9
_SVC_STATS, _SVC_PE_NAME, _SVC_STATS64 = 10, 11, 12

# Attributes of a destination.
_DEST_ADDR, _DEST_PORT, _DEST_FWD_METHOD, _DEST_WEIGHT = 1, 2, 3, 4
_DEST_U_THRESH, _DEST_L_THRESH = 5, 6
_DEST_ACTIVE, _DEST_INACTIVE, _DEST_PERSISTENT, _DEST_STATS = 7, 8, 9, 10
_DEST_ADDR_FAMILY, _DEST_STATS64 = 11, 12
_DEST_TUN_TYPE, _DEST_TUN_PORT, _DEST_TUN_FLAGS = 13, 14, 15

# Attributes of one end of the synchronisation.
_SYNC_STATE, _SYNC_INTERFACE, _SYNC_ID, _SYNC_MAXLEN = 1, 2, 3, 4
_SYNC_GROUP, _SYNC_GROUP6, _SYNC_PORT, _SYNC_TTL = 5, 6, 7, 8

_F_PERSISTENT, _F_ONE_PACKET, _F_1, _F_2, _F_3 = 0x01, 0x04, 0x08, 0x10, 0x20
_ALL_FLAGS = 0xFFFFFFFF
_WHOLE_IPV4, _WHOLE_IPV6 = 0xFFFFFFFF, 128
_MOST_WEIGHT = 2**31 - 1
_MOST_32 = 2**32 - 1

_PROTOCOLS = {Protocol.TCP: 6, Protocol.UDP: 17, Protocol.SCTP: 132}
_FORWARDINGS = {Forwarding.NAT: 0, Forwarding.TUNNEL: 2, Forwarding.DIRECT: 3}
_FORWARDING_MASK = 0x7
_TUNNELS = {TunnelType.IPIP: 0, TunnelType.GUE: 1, TunnelType.GRE: 2}
_CHECKSUMS = {TunnelChecksum.NONE: 0, TunnelChecksum.FULL: 1, TunnelChecksum.REMOTE: 2}
_PROTOCOL_OF = {value: key for key, value in _PROTOCOLS.items()}
_FORWARDING_OF = {value: key for key, value in _FORWARDINGS.items()}
_TUNNEL_OF = {value: key for key, value in _TUNNELS.items()}
_CHECKSUM_OF = {value: key for key, value in _CHECKSUMS.items()}
_SCHEDULER_OF = {scheduler.value: scheduler for scheduler in Scheduler}
_VERSION_OF_FAMILY = {value: key for key, value in FAMILIES.items()}

# Ten numbers of eight bytes, each behind the head of its attribute.  Where the processor wants them at
# multiples of eight, each has an empty attribute before it, but for a first that stands there anyhow.
_COUNTERS_64 = {
    layout.size: layout
    for layout in (struct.Struct("=" + words) for words in (10 * "4xQ", "4xQ" + 9 * "8xQ", 10 * "8xQ"))
}
_FLAGS_AND_MASK = struct.Struct("=II")
# Whole attributes, heads and padding included: of these there may be ten thousand at a time.
_DESTINATION = struct.Struct("=HHH2x HH16s HH2s2x")
_TWO_NUMBERS = struct.Struct("=HHI HHI")


class Information(NamedTuple):
    """The kernel's IPVS: its version ("1.2.1") and how many slots its table of connections has."""

    version: str
    connection_slots: int


class ReadService(NamedTuple):
    """A service of a dump, before its destinations are known."""

    service: Service
    settings: ServiceSettings
    counters: Counters


# -- requests ---------------------------------------------------------------------------


def request(family: int, change: IpvsChange) -> Request:
    """The request for a change; `family`: the kernel's number for IPVS messages."""
    command, payload = _written(change)
    return _request(family, command, payload)


def _written(change: IpvsChange) -> tuple[int, bytes]:
    match change:
        case AddService(service, settings):
            return _NEW_SERVICE, _full_service(service, settings)
        case EditService(service, settings):
            return _SET_SERVICE, _full_service(service, settings)
        case DeleteService(service):
            return _DEL_SERVICE, _service(service)
        case AddDestination(service, destination, server):
            return _NEW_DEST, _service(service) + _full_destination(destination, server)
        case EditDestination(service, destination, server):
            return _SET_DEST, _service(service) + _full_destination(destination, server)
        case DeleteDestination(service, destination):
            return _DEL_DEST, _service(service) + nest(_DEST, _identity_of(destination))
        case FlushTable():
            return _FLUSH, b""
        case SetTimeouts(timeouts):
            return _SET_CONFIG, _timeouts(timeouts)
        case StartSync(role, sync_id, sync):
            return _NEW_DAEMON, _nested(_DAEMON, _start_of_sync(role, sync_id, sync))
        case StopSync(role, sync_id, _):
            return _DEL_DAEMON, _nested(_DAEMON, _sync(role, sync_id, None))
        case _:
            assert_never(change)


def get_services(family: int) -> Request:
    """Asks for all services (`read_service`)."""
    return _request(family, _GET_SERVICE, b"", rtnetlink.DUMP)


def get_destinations(family: int, service: Service) -> Request:
    """Asks for all destinations of a service (`read_destination`)."""
    return _request(family, _GET_DEST, _service(service), rtnetlink.DUMP)


def get_sync(family: int) -> Request:
    """Asks for the ends of the synchronisation that run here (`read_sync`)."""
    return _request(family, _GET_DAEMON, b"", rtnetlink.DUMP)


def get_timeouts(family: int) -> Request:
    """Asks for the time-outs (`read_timeouts`)."""
    return _request(family, _GET_CONFIG, b"")


def get_information(family: int) -> Request:
    """Asks for the version (`read_information`)."""
    return _request(family, _GET_INFO, b"")


def zero(family: int, service: Service | None) -> Request:
    """Sets the counters of a service and its destinations, or all counters, to zero."""
    return _request(family, _ZERO, b"" if service is None else _service(service))


def _request(family: int, command: int, payload: bytes, flags: int = 0) -> Request:
    return Request(rtnetlink.framed(family, flags, _GENERIC_HEADER.pack(command, _VERSION, 0) + payload), ())


def _nested(kind: int, inner: Attributes) -> bytes:
    return nest(kind, bytes(inner.data))


def _sixteen(address: Address) -> bytes:
    return address.packed.ljust(16, b"\0")


def _of_network(port: int) -> bytes:
    return port.to_bytes(2, "big")


def _identity(service: Service) -> bytes:
    """What a service is found by."""
    written = Attributes()
    written.number_16(_SVC_AF, FAMILIES[service.family])
    if service.address is None or service.protocol is None:
        written.number_32(_SVC_FWMARK, service.mark)
    else:
        written.number_16(_SVC_PROTOCOL, _PROTOCOLS[service.protocol])
        written.add(_SVC_ADDR, _sixteen(service.address))
        written.add(_SVC_PORT, _of_network(service.port))
    return bytes(written.data)


@lru_cache(1024)
def _service(service: Service) -> bytes:
    return nest(_SERVICE, _identity(service))


def _full_service(service: Service, settings: ServiceSettings) -> bytes:
    """Netmask and engine belong to persistence; without it keepalived sends neither."""
    persistence_s = settings.persistence_s or 0
    written = Attributes(_identity(service))
    written.text(_SVC_SCHED_NAME, settings.scheduler.value)
    if persistence_s and settings.engine:
        written.text(_SVC_PE_NAME, settings.engine)
    written.add(_SVC_FLAGS, _FLAGS_AND_MASK.pack(_flags(settings), _ALL_FLAGS))
    written.number_32(_SVC_TIMEOUT, min(persistence_s, _MOST_32))
    written.number_32(_SVC_NETMASK, _netmask(service.family, settings))
    return _nested(_SERVICE, written)


def _flags(settings: ServiceSettings) -> int:
    return (
        (_F_PERSISTENT if settings.persistence_s else 0)
        | (_F_ONE_PACKET if settings.one_packet else 0)
        | (_F_1 if settings.flag_1 else 0)
        | (_F_2 if settings.flag_2 else 0)
        | (_F_3 if settings.flag_3 else 0)
    )


def _netmask(family: int, settings: ServiceSettings) -> int:
    """A prefix length for IPv6; for IPv4 the four bytes of the mask, read as a number of this machine."""
    granularity = settings.granularity if settings.persistence_s else None
    if isinstance(granularity, IPv4Address):
        return number(granularity.packed)
    if granularity is not None:
        return granularity
    return _WHOLE_IPV4 if family == 4 else _WHOLE_IPV6


def _identity_of(destination: Destination) -> bytes:
    """What a destination is found by."""
    address, port = destination
    return _DESTINATION.pack(
        *(6, _DEST_ADDR_FAMILY, FAMILIES[address.version]),
        *(20, _DEST_ADDR, address.packed),
        *(6, _DEST_PORT, _of_network(port)),
    )


def _full_destination(destination: Destination, settings: DestinationSettings) -> bytes:
    weight, method, upper, lower = settings
    forwarding = _FORWARDINGS[method.forwarding]
    kept = min(max(weight, 0), _MOST_WEIGHT)
    return nest(
        _DEST,
        _identity_of(destination),
        _TWO_NUMBERS.pack(8, _DEST_FWD_METHOD, forwarding, 8, _DEST_WEIGHT, kept),
        _tunnel(method) if method.forwarding is Forwarding.TUNNEL else b"",
        _TWO_NUMBERS.pack(8, _DEST_U_THRESH, upper, 8, _DEST_L_THRESH, lower),
    )


def _tunnel(method: ForwardingMethod) -> bytes:
    """Only GUE has a port, and IPIP has no checksums: kernels before 5.3 know no type but that."""
    written = Attributes()
    written.number_8(_DEST_TUN_TYPE, _TUNNELS[method.tunnel])
    if method.tunnel is TunnelType.GUE:
        written.add(_DEST_TUN_PORT, _of_network(method.port))
    if method.tunnel is not TunnelType.IPIP:
        written.number_16(_DEST_TUN_FLAGS, _CHECKSUMS[method.checksum])
    return bytes(written.data)


def _timeouts(timeouts: LvsTimeouts) -> bytes:
    written = Attributes()
    written.number_32(_TIMEOUT_TCP, timeouts.tcp)
    written.number_32(_TIMEOUT_TCP_FIN, timeouts.tcpfin)
    written.number_32(_TIMEOUT_UDP, timeouts.udp)
    return bytes(written.data)


def _sync(role: SyncRole, sync_id: int, interface: str | None) -> Attributes:
    written = Attributes()
    written.number_32(_SYNC_STATE, role.value)
    written.text(_SYNC_INTERFACE, interface)
    written.number_32(_SYNC_ID, sync_id)
    return written


def _start_of_sync(role: SyncRole, sync_id: int, sync: SyncDaemon) -> Attributes:
    """0 is what the kernel has, as not saying it."""
    written = _sync(role, sync_id, sync.interface)
    written.number_16(_SYNC_MAXLEN, sync.maxlen or None)
    written.number_16(_SYNC_PORT, sync.port or None)
    written.number_8(_SYNC_TTL, sync.ttl or None)
    if sync.group is not None:
        written.add(_SYNC_GROUP if sync.group.version == 4 else _SYNC_GROUP6, sync.group.packed)
    return written


# -- answers ----------------------------------------------------------------------------


def _attributes(payload: bytes, kind: int) -> dict[int, bytes]:
    """The attributes within a nest of an answer; none if it has no such nest."""
    return split(split(payload, _GENERIC_HEADER.size).get(kind, b""))


def read_service(payload: bytes) -> ReadService | None:
    """A service of a dump; None if it is one that cannot be said here (a scheduler of somebody's own)."""
    found = _attributes(payload, _SERVICE)
    service = _read_identity(found)
    scheduler = _SCHEDULER_OF.get(_text(found.get(_SVC_SCHED_NAME)))
    if service is None or scheduler is None:
        return None
    return ReadService(
        service,
        _read_settings(service.family, scheduler, found),
        _counters(found.get(_SVC_STATS64), found.get(_SVC_STATS)),
    )


def _read_identity(found: dict[int, bytes]) -> Service | None:
    family = _VERSION_OF_FAMILY.get(number(found.get(_SVC_AF)))
    if family is None:
        return None
    mark = number(found.get(_SVC_FWMARK))
    if mark:
        return Service(family, mark=mark)
    protocol = _PROTOCOL_OF.get(number(found.get(_SVC_PROTOCOL)))
    address = _address(family, found.get(_SVC_ADDR, b""))
    if protocol is None or address is None:
        return None
    return Service(family, protocol, address, _port(found.get(_SVC_PORT)))


def _read_settings(family: int, scheduler: Scheduler, found: dict[int, bytes]) -> ServiceSettings:
    flags = number(found.get(_SVC_FLAGS, b"")[:4])
    persistent = bool(flags & _F_PERSISTENT)
    return ServiceSettings(
        scheduler=scheduler,
        one_packet=bool(flags & _F_ONE_PACKET),
        flag_1=bool(flags & _F_1),
        flag_2=bool(flags & _F_2),
        flag_3=bool(flags & _F_3),
        persistence_s=number(found.get(_SVC_TIMEOUT)) if persistent else None,
        granularity=_granularity(family, found.get(_SVC_NETMASK, b"")) if persistent else None,
        engine=_text(found.get(_SVC_PE_NAME)) or None,
    )


def _granularity(family: int, netmask: bytes) -> IPv4Address | int | None:
    """None: whole addresses, which is what the kernel has if nobody says otherwise."""
    if len(netmask) != 4:
        return None
    if family == 4:
        return None if number(netmask) == _WHOLE_IPV4 else IPv4Address(netmask)
    return None if number(netmask) == _WHOLE_IPV6 else number(netmask)


def read_destination(payload: bytes, service_family: int) -> tuple[Destination, DestinationEntry] | None:
    """A destination of a dump; old kernels do not say its family, it is then that of its service."""
    found = _attributes(payload, _DEST)
    family = found.get(_DEST_ADDR_FAMILY)
    version = service_family if family is None else _VERSION_OF_FAMILY.get(number(family))
    address = None if version is None else _address(version, found.get(_DEST_ADDR, b""))
    if address is None:
        return None
    return Destination(address, _port(found.get(_DEST_PORT))), DestinationEntry(
        settings=DestinationSettings(
            weight=number(found.get(_DEST_WEIGHT)),
            method=_method(found),
            upper_threshold=number(found.get(_DEST_U_THRESH)),
            lower_threshold=number(found.get(_DEST_L_THRESH)),
        ),
        active=number(found.get(_DEST_ACTIVE)),
        inactive=number(found.get(_DEST_INACTIVE)),
        persistent=number(found.get(_DEST_PERSISTENT)),
        counters=_counters(found.get(_DEST_STATS64), found.get(_DEST_STATS)),
    )


def _method(found: dict[int, bytes]) -> ForwardingMethod:
    """The kernel's own kinds, for this machine itself and for no server at all, change no packet: DIRECT."""
    return _method_of(
        number(found.get(_DEST_FWD_METHOD)) & _FORWARDING_MASK,
        number(found.get(_DEST_TUN_TYPE)),
        _port(found.get(_DEST_TUN_PORT)),
        number(found.get(_DEST_TUN_FLAGS)),
    )


@lru_cache(256)
def _method_of(forwarding: int, tunnel: int, port: int, flags: int) -> ForwardingMethod:
    found = _FORWARDING_OF.get(forwarding, Forwarding.DIRECT)
    if found is not Forwarding.TUNNEL:
        return ForwardingMethod(forwarding=found)
    kind = _TUNNEL_OF.get(tunnel, TunnelType.IPIP)
    return ForwardingMethod(
        forwarding=found,
        tunnel=kind,
        port=port if kind is TunnelType.GUE else 0,
        checksum=_CHECKSUM_OF.get(flags, TunnelChecksum.NONE),
    )


def _address(version: int, value: bytes) -> Address | None:
    """The kernel writes sixteen bytes for either family."""
    if version == 4:
        return IPv4Address(value[:4]) if len(value) >= 4 else None
    return IPv6Address(value) if len(value) == 16 else None


def _port(value: bytes | None) -> int:
    return 0 if value is None else int.from_bytes(value, "big")


def _text(value: bytes | None) -> str:
    return "" if value is None else value.rstrip(b"\0").decode("ascii", "replace")


def _counters(wide: bytes | None, narrow: bytes | None) -> Counters:
    """Those of eight bytes; kernels before 4.1 have four for most of them."""
    layout = None if wide is None else _COUNTERS_64.get(len(wide))
    if wide is not None and layout is not None:
        return Counters._make(layout.unpack(wide))
    found = split(wide if wide is not None else narrow or b"")
    return Counters._make(number(found.get(kind)) for kind in range(1, 11))


def read_timeouts(payload: bytes) -> LvsTimeouts:
    """The time-outs that are in force, in seconds."""
    found = split(payload, _GENERIC_HEADER.size)
    return LvsTimeouts(
        tcp=number(found.get(_TIMEOUT_TCP)),
        tcpfin=number(found.get(_TIMEOUT_TCP_FIN)),
        udp=number(found.get(_TIMEOUT_UDP)),
    )


def read_sync(payload: bytes) -> StartSync | None:
    """One end of the synchronisation, as it would be started; None if it runs not."""
    found = _attributes(payload, _DAEMON)
    state = number(found.get(_SYNC_STATE))
    if state not in (SyncRole.MASTER.value, SyncRole.BACKUP.value):
        return None
    group, group6 = found.get(_SYNC_GROUP), found.get(_SYNC_GROUP6)
    settings = SyncDaemon(
        interface=_text(found.get(_SYNC_INTERFACE)),
        sync_id=number(found.get(_SYNC_ID)),
        maxlen=number(found.get(_SYNC_MAXLEN)) or None,
        port=number(found.get(_SYNC_PORT)) or None,
        ttl=number(found.get(_SYNC_TTL)) or None,
        group=_address(4, group) if group is not None else _address(6, group6 or b""),
    )
    return StartSync(SyncRole(state), number(found.get(_SYNC_ID)), settings)


def read_information(payload: bytes) -> Information:
    """Version and size of the kernel's IPVS."""
    found = split(payload, _GENERIC_HEADER.size)
    code = number(found.get(_INFO_VERSION))
    version = f"{code >> 16 & 0xFF}.{code >> 8 & 0xFF}.{code & 0xFF}"
    return Information(version, number(found.get(_INFO_SIZE)))
