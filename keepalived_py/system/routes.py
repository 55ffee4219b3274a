"""Routes as rtnetlink has them (linux/rtnetlink.h), written as keepalived writes them.

Three things are keepalived's own.  A route that is neither `add` nor `append`
is sent with neither flag, which puts it before its like.  A removal carries
all that an addition does, but any scope matches, and any type if none was
named.  And the metrics' locks are sent only beside a metric.

The kernel tells of a route in its own words: metric 1024 where an IPv6 route
had none, an interface where only a gateway was named.  `identity` is what
remains the same, and by it a lost route is recognised.
"""

import struct
from typing import NamedTuple

from keepalived_py.base.names import Address
from keepalived_py.model.network import (
    PROTOCOL_KEEPALIVED,
    Encapsulation,
    IlaEncapsulation,
    IpEncapsulation,
    MplsEncapsulation,
    NextHop,
    Placement,
    Route,
    RouteType,
)
from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import Attributes, address, number, split

DESTINATION, SOURCE, INTERFACE, GATEWAY, PRIORITY, PREFERRED_SOURCE = 1, 2, 4, 5, 6, 7
METRICS, MULTIPATH, FLOW, TABLE, VIA, PREFERENCE = 8, 9, 11, 15, 18, 20
ENCAPSULATION_TYPE, ENCAPSULATION, EXPIRES, TTL_PROPAGATE = 21, 22, 23, 26

_SCOPE_NOWHERE = 255
_ONLINK = 4
_FEATURE_ECN = 1
_DEFAULT_METRIC_IPV6 = 1024
_PLACEMENT_FLAGS = {
    Placement.ADD: rtnetlink.EXCLUSIVE,
    Placement.PREPEND: 0,
    Placement.APPEND: rtnetlink.APPEND,
}
# Metrics (RTAX_*).
_LOCK, _MTU, _WINDOW, _RTT, _RTTVAR, _SLOW_START, _CONGESTION_WINDOW, _MSS, _REORDERING = range(1, 10)
_HOP_LIMIT, _INITIAL_WINDOW, _FEATURES, _RTO_MIN, _INITIAL_RECEIVE, _QUICK_ACK, _ALGORITHM = range(10, 17)
_FASTOPEN_NO_COOKIE = 17
_LOCKABLE = {
    "mtu": _MTU,
    "advmss": _MSS,
    "rtt": _RTT,
    "rttvar": _RTTVAR,
    "reordering": _REORDERING,
    "cwnd": _CONGESTION_WINDOW,
    "ssthresh": _SLOW_START,
    "rto_min": _RTO_MIN,
    "congctl": _ALGORITHM,
}
# Encapsulation (linux/lwtunnel.h).  Tunnels over IPv4 and IPv6 have their TTL and TOS numbers swapped.
_MPLS, _IP, _ILA, _IP6 = 1, 2, 3, 4
_TUNNEL_ID, _TUNNEL_DESTINATION, _TUNNEL_SOURCE, _TUNNEL_TTL, _TUNNEL_TOS, _TUNNEL_FLAGS = range(1, 7)
_MPLS_DESTINATION = 1
_ILA_LOCATOR = 1

_HEADER = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=HBBI")
_FAMILY = struct.Struct("=H")
_LABEL = struct.Struct(">I")
_BOTTOM_OF_STACK = 0x100

# Of keepalived's own routes only, if the kernel can choose: a full table has a million others.
DUMP = rtnetlink.dump(rtnetlink.GET_ROUTE, _HEADER.pack(0, 0, 0, 0, 0, PROTOCOL_KEEPALIVED, 0, 0, 0))


class RouteIdentity(NamedTuple):
    """What the kernel and we call a route by."""

    family: int
    destination: bytes
    prefix_length: int
    table: int
    metric: int
    tos: int
    protocol: int


def addition(one: Route) -> rtnetlink.Request:
    """The request that puts `one` into its table."""
    flags = rtnetlink.CREATE | _PLACEMENT_FLAGS[one.placement]
    kind = RouteType.UNICAST if one.type is None else one.type
    return rtnetlink.request(rtnetlink.NEW_ROUTE, flags, _written(one, scope=0, kind=kind))


def removal(one: Route) -> rtnetlink.Request:
    """The request that takes `one` out of its table."""
    written = _written(one, scope=_SCOPE_NOWHERE, kind=one.type or 0)
    return rtnetlink.request(rtnetlink.DELETE_ROUTE, 0, written)


def _written(one: Route, scope: int, kind: int) -> Attributes:
    written = Attributes(
        _HEADER.pack(
            rtnetlink.FAMILIES[one.family],
            one.destination.length,
            one.source.length if one.source else 0,
            one.tos or 0,
            one.table if one.table < 256 else 0,
            PROTOCOL_KEEPALIVED if one.protocol is None else one.protocol,
            scope if one.scope is None else one.scope,
            kind,
            _ONLINK if one.onlink else 0,
        )
    )
    if one.table >= 256:
        written.number_32(TABLE, one.table)
    written.address(DESTINATION, one.destination.address)
    written.address(SOURCE, one.source.address if one.source else None)
    written.address(PREFERRED_SOURCE, one.preferred_source)
    _write_gateway(written, one.gateway, one.family)
    _write_encapsulation(written, one.encapsulation)
    written.interface(INTERFACE, one.interface)
    written.number_32(PRIORITY, one.metric)
    written.realms(FLOW, one.realms)
    written.number_32(EXPIRES, one.expires_s)
    written.number_8(PREFERENCE, one.router_preference)
    written.number_8(TTL_PROPAGATE, _digit(one.ttl_propagate))
    metrics = _metrics(one)
    if metrics.data:
        written.nested(METRICS, metrics)
    if one.next_hops:
        written.nested(MULTIPATH, _next_hops(one))
    return written


def _write_gateway(written: Attributes, gateway: Address | None, family: int) -> None:
    if gateway is None:
        return
    if gateway.version == family:
        written.address(GATEWAY, gateway)
    else:
        written.add(VIA, _FAMILY.pack(rtnetlink.FAMILIES[gateway.version]) + gateway.packed)


def _digit(said: bool | None) -> int | None:
    return None if said is None else int(said)


def _steps(duration_us: int | None, step_us: int) -> int | None:
    return None if duration_us is None else duration_us // step_us


def _metrics(one: Route) -> Attributes:
    written = Attributes()
    if one.congestion_control is not None:
        written.add(_ALGORITHM, one.congestion_control.encode())
    for kind, value in (
        (_RTT, _steps(one.rtt_us, 125)),
        (_RTTVAR, _steps(one.rttvar_us, 250)),
        (_RTO_MIN, _steps(one.rto_min_us, 1000)),
        (_FEATURES, _FEATURE_ECN if one.ecn else None),
        (_MTU, one.mtu),
        (_WINDOW, one.window),
        (_SLOW_START, one.slow_start_threshold),
        (_CONGESTION_WINDOW, one.congestion_window),
        (_MSS, one.advertised_mss),
        (_REORDERING, one.reordering),
        (_HOP_LIMIT, one.hop_limit),
        (_INITIAL_WINDOW, one.initial_congestion_window),
        (_INITIAL_RECEIVE, one.initial_receive_window),
        (_QUICK_ACK, _digit(one.quick_ack)),
        (_FASTOPEN_NO_COOKIE, _digit(one.fastopen_no_cookie)),
    ):
        written.number_32(kind, value)
    if written.data and one.locked:
        written.number_32(_LOCK, sum(1 << _LOCKABLE[name] for name in one.locked))
    return written


def _next_hops(one: Route) -> Attributes:
    written = Attributes()
    for hop in one.next_hops:
        inner = _next_hop(hop, one.family)
        start = len(written.data)
        flags = _ONLINK if hop.onlink else 0
        written.data += _NEXT_HOP.pack(_NEXT_HOP.size + len(inner.data), flags, hop.weight - 1, 0)
        if hop.interface is not None:
            written.indices.append((start + 4, hop.interface))
        written.data += inner.data
    return written


def _next_hop(hop: NextHop, family: int) -> Attributes:
    inner = Attributes()
    _write_gateway(inner, hop.gateway, family)
    inner.realms(FLOW, hop.realms)
    _write_encapsulation(inner, hop.encapsulation)
    return inner


def _write_encapsulation(written: Attributes, one: Encapsulation | None) -> None:
    if one is None:
        return
    inner = Attributes()
    match one:
        case MplsEncapsulation():
            kind = _MPLS
            inner.add(_MPLS_DESTINATION, _label_stack(one.labels))
        case IlaEncapsulation():
            kind = _ILA
            inner.number_64_of_network(_ILA_LOCATOR, one.locator)
        case IpEncapsulation():
            kind = _IP if one.version == 4 else _IP6
            _write_tunnel(inner, one)
    written.nested(ENCAPSULATION, inner)
    written.number_16(ENCAPSULATION_TYPE, kind)


def _label_stack(labels: tuple[int, ...]) -> bytes:
    entries = [label << 12 for label in labels]
    entries[-1] |= _BOTTOM_OF_STACK
    return b"".join(_LABEL.pack(entry) for entry in entries)


def _write_tunnel(inner: Attributes, one: IpEncapsulation) -> None:
    inner.number_64_of_network(_TUNNEL_ID, one.tunnel_id)
    inner.address(_TUNNEL_DESTINATION, one.destination)
    inner.address(_TUNNEL_SOURCE, one.source)
    inner.number_8(_TUNNEL_TOS, one.tos)
    inner.number_8(_TUNNEL_TTL, one.ttl)
    inner.number_16(_TUNNEL_FLAGS, one.flags)


# Recognising -----------------------------------------------------------------


def protocol_of(payload: bytes) -> int:
    """Who put the route of a message in: cheap to ask, for tables that others fill by the thousand."""
    return payload[5] if len(payload) >= _HEADER.size else 0


def identity(payload: bytes) -> RouteIdentity | None:
    """What the route of a message, ours or the kernel's, is called by; None if it is cut short."""
    if len(payload) < _HEADER.size:
        return None
    family, length, _, tos, table, protocol, _, _, _ = _HEADER.unpack_from(payload)
    found = split(payload, _HEADER.size)
    metric = number(found.get(PRIORITY))
    if family == rtnetlink.FAMILIES[6] and not metric:
        metric = _DEFAULT_METRIC_IPV6
    destination = found.get(DESTINATION, b"") if length else b""
    return RouteIdentity(family, destination, length, number(found.get(TABLE), table), metric, tos, protocol)


def way(payload: bytes) -> tuple[int, Address | None]:
    """Index of the interface (0: none) and gateway of the route of a message."""
    found = split(payload, _HEADER.size)
    via = found.get(VIA, b"")[_FAMILY.size :]
    return number(found.get(INTERFACE)), address(found.get(GATEWAY) or via)
