"""The words of a route, in the order of iproute2's manual.

Each has a reader, called with its word as the line's current one.  Words,
texts and the order of the checks are those of keepalived 2.2.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks.kernel_names import BLANKS, named_number, realms, strtoul
from keepalived_py.config.blocks.line_options import (
    FAMILIES,
    TRACK_GROUP,
    Line,
    family_word,
    option,
    table_of,
)
from keepalived_py.config.blocks.route_encap import (
    ENCAPSULATIONS,
    HOP_OPTIONS,
    NO_INTERFACE,
    read_encap,
    read_next_hops,
)
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.host import OCTET
from keepalived_py.config.schema import Keyword, Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.network import NextHop, Placement, RouteType

Option = Callable[[Run, Line[Any], Directive], None]

MIXED = "Cannot mix IPv4 and IPv6 addresses for route"
TYPES = {
    "unicast": RouteType.UNICAST,
    "local": RouteType.LOCAL,
    "broadcast": RouteType.BROADCAST,
    "brd": RouteType.BROADCAST,
    "multicast": RouteType.MULTICAST,
    "throw": RouteType.THROW,
    "unreachable": RouteType.UNREACHABLE,
    "prohibit": RouteType.PROHIBIT,
    "blackhole": RouteType.BLACKHOLE,
    "nat": RouteType.NAT,
    "anycast": RouteType.ANYCAST,
    "xresolve": RouteType.XRESOLVE,
}
PREFERENCES = {"low": 3, "medium": 0, "high": 1}  # RFC 4191
LONGEST_MS, SHORTEST_MS = 120_000, 200
TIME_UNITS = ("s", "sec", "secs")


def route_type(word: str) -> int | None:
    """The type called `word`, or its number; None if it is neither."""
    if word in TYPES:
        return TYPES[word]
    value, rest, _ = strtoul(word, 0)
    return None if rest or value > OCTET or word.startswith("-") else value


# Where to, and over what -----------------------------------------------------


def read_destination(run: Run, line: Line[Any], at: Directive) -> None:
    """`[to] [TYPE] PREFIX`: what every word is that is no option."""
    word = line.word()
    if word == "to":
        line.position += 1
    kind = route_type(word)
    if kind is not None:
        line.draft.type = kind
        line.position += 1
    line.destination = shown = line.word()
    found = line.prefix()
    if found is None:
        line.drop(f"unknown route keyword {shown}", "unknown-option")
    line.agree(found[0], f"{MIXED} ({shown})")
    line.draft.destination = found[1]


def _src(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = line.address()
    if found is None:
        line.drop(f"invalid route src address {word}", "invalid-address")
    line.agree(found.version, MIXED)
    line.draft.preferred_source = found


def _as(run: Run, line: Line[Any], at: Directive) -> None:
    if line.argument() == "to":
        line.position += 1
    line.error('"as to" for MPLS only - ignoring', "not-supported")


def _via(run: Run, line: Line[Any], at: Directive) -> None:
    if line.word() == "gw":
        line.error('"gw" for routes is deprecated. Please use "via"', "deprecated", "via")
    word = line.argument()
    if word in FAMILIES:
        family = FAMILIES[word]
        word = line.argument()
        line.agree(family, MIXED)
    found = line.address()
    if found is None:
        line.drop(f"invalid route via address {line.word()}", "invalid-address")
    line.agree(found.version, MIXED)
    line.draft.gateway = found


def _from(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = line.prefix()
    if found is None:
        line.drop(f"invalid route from address {word}", "invalid-address")
    if found[0] != 6:
        line.drop(f"route from address only supported with IPv6 ({word})", "mixed-families")
    line.agree(6, MIXED)
    line.draft.source = found[1]


def _or(run: Run, line: Line[Any], at: Directive) -> None:
    line.error('"or" for routes is deprecated. Please use "nexthop"', "deprecated", "nexthop")
    draft = line.draft
    if draft.next_hops:
        line.error('"or" route already specified - ignoring subsequent', "duplicate")
        line.position += 1
        return
    draft.add("next_hops", Draft(NextHop, at, gateway=draft.gateway))
    draft.gateway = None
    word = line.argument()
    found = line.address()
    if found is None:
        line.drop(f'Invalid "or" address {word}', "invalid-address")
    draft.add("next_hops", Draft(NextHop, at, gateway=found))


def _next_hop(run: Run, line: Line[Any], at: Directive) -> None:
    if line.draft.next_hops:
        line.error('Cannot specify nexthops with "or" route')
        line.ended = True
    else:
        read_next_hops(line)


def _dev(run: Run, line: Line[Any], at: Directive) -> None:
    line.draft.interface = line.interface(NO_INTERFACE)


def _vrf(run: Run, line: Line[Any], at: Directive) -> None:
    name = line.argument()
    if not run.host.interface_exists(name):
        line.drop(f"VRF {name} not found for route", "unknown-interface")
    if not run.host.interface_is_vrf(name):
        line.drop(f"Route specified VRF {name} is not a VRF", "unknown-interface")
    line.draft.vrf = name


def _table(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = named_number(run.host, "rt_tables", word)
    if found is None:
        line.drop(f"Routing table {word} not found for route", "unknown-name")
    line.draft.table = found
    line.draft.vrf = None


# Values ----------------------------------------------------------------------


def _named(attribute: str, table: str, message: str) -> Option:
    """A number of 0..255, or a name of iproute2's `table`."""

    def read(run: Run, line: Line[Any], at: Directive) -> None:
        word = line.argument()
        found = named_number(run.host, table, word)
        if found is None:
            line.drop(message.format(word), "unknown-name", f"a number from 0 to 255 or a name of {table}")
        setattr(line.draft, attribute, found)

    return read


def _count(attribute: str, message: str, high: int = 0xFFFFFFFF, lock: str = "") -> Option:
    """A whole number; behind `lock`, path discovery must leave it alone."""

    def read(run: Run, line: Line[Any], at: Directive) -> None:
        _lockable(line, lock)
        word = line.word()
        value = line.number(high)
        if value is None:
            line.drop(message.format(word))
        setattr(line.draft, attribute, value)

    return read


def _lockable(line: Line[Any], lock: str) -> None:
    """Go to the argument, over `lock` if that stands before it."""
    if line.argument() == "lock" and lock:
        line.draft.locked = line.draft.locked | {lock}
        line.position += 1
        line.word()


def _switch(attribute: str, name: str) -> Option:
    def read(run: Run, line: Line[Any], at: Directive) -> None:
        word = line.argument()
        value = line.number(1)
        if value is None:
            line.drop(f"Invalid {name} value {word} specified for route")
        setattr(line.draft, attribute, bool(value))

    return read


def _time(name: str, units_per_ms: int, message: str) -> Option:
    """A time in seconds or milliseconds, or without unit in the kernel's own steps."""

    def read(run: Run, line: Line[Any], at: Directive) -> None:
        _lockable(line, name)
        word = line.word()
        value = _steps(run, line, word, units_per_ms)
        if value is None:
            line.drop(message.format(word), expected="a number with s, ms or no unit")
        setattr(line.draft, f"{name}_us", Micros(value * 1000 // units_per_ms))

    return read


def _steps(run: Run, line: Line[Any], word: str, units_per_ms: int) -> int | None:
    """The kernel's number for the time `word`, kept within 0.2 s and 120 s."""
    text, places, has_unit = word.lstrip(BLANKS), 0, False
    start = min((text.find(one) for one in "sS" if one in text), default=-1)
    if start >= 0:
        if text[start:].lower() not in TIME_UNITS:
            return None
        has_unit, places = True, 3
        if text[:start].endswith(("m", "M")):
            start, places = start - 1, 0
        if start == 0:
            return None
        text = text[:start]
    if "e" in text.lower():
        run.log(f"rtt value exponential form {word} no longer supported", line.at)
        return None
    value = _decimal(run, line, text, LONGEST_MS * units_per_ms, places)
    if value is None:
        return None
    value *= units_per_ms if has_unit else 1
    return min(max(value, SHORTEST_MS * units_per_ms), LONGEST_MS * units_per_ms)


def _decimal(run: Run, line: Line[Any], text: str, high: int, places: int) -> int | None:
    """A number with up to `places` decimals, times 10 to that power; more are reported and rounded."""
    whole, _, decimals = text.partition(".")
    extra = 0
    if text.startswith("-"):
        return _bad_number(run, line, f"negative number '{text}'")
    if len(decimals) > places:
        _bad_number(run, line, f"number '{text}' has too many decimal places")
        extra = int(decimals[places] >= "5")
    value, rest, too_large = strtoul(whole + decimals[:places].ljust(places, "0"), 10)
    value += extra
    if rest:
        return _bad_number(run, line, f"invalid number '{text}'")
    if too_large:
        return _bad_number(run, line, f"number '{text}' outside unsigned decimal range")
    if value > high:
        low, top = (_shifted(one, places) for one in (0, high))
        return _bad_number(run, line, f"number '{text}' outside range [{low}, {top}]")
    return value


def _bad_number(run: Run, line: Line[Any], message: str) -> int | None:
    """Report it; always None."""
    at, word = line.at, line.position
    run.error(message, at, word=word, code="invalid-number", error_class=ErrorClass.INVALID_NUMBER)
    return None


def _shifted(value: int, places: int) -> str:
    """A bound as keepalived prints it: with a point even where no decimals follow."""
    unit = 10**places
    return f"{value // unit}." + (str(value % unit).zfill(places) if places else "")


def _realms(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = realms(run.host, word)
    if found is None:
        line.drop(f"Invalid realms {word} for route", "unknown-name")
    line.agree(4, "realms are only valid for IPv4")
    line.draft.realms = found


def _only_v6(line: Line[Any], name: str) -> None:
    """Go to the argument of a word that only IPv6 routes have."""
    line.position += 1
    if line.family == 4:
        line.drop(f"{name} is only valid for IPv6", "mixed-families")
    line.family = 6
    line.word()


def _expires(run: Run, line: Line[Any], at: Directive) -> None:
    _only_v6(line, "expires")
    value = line.number()
    if value is None:
        line.drop(f"Invalid expires time {line.word()} specified for route")
    line.draft.expires_s = value


def _pref(run: Run, line: Line[Any], at: Directive) -> None:
    _only_v6(line, "pref")
    word = line.word()
    value = PREFERENCES[word] if word in PREFERENCES else line.number(OCTET)
    if value is None:
        line.drop(f"Invalid pref value {word} specified for route", expected="low, medium or high")
    line.draft.router_preference = value


def _features(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    if word == "ecn":
        line.draft.ecn = True
    else:
        line.error(f"feature {word} not supported", expected="ecn")


def _congctl(run: Run, line: Line[Any], at: Directive) -> None:
    _lockable(line, "congctl")
    line.draft.congestion_control = line.word()


def _ttl_propagate(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    if word not in ("enabled", "disabled"):
        line.error(f"ttl-propagate value {word} not recognised", expected="enabled or disabled")
    line.draft.ttl_propagate = word == "enabled"


def _store(attribute: str, value: object) -> Option:
    def read(run: Run, line: Line[Any], at: Directive) -> None:
        setattr(line.draft, attribute, value)

    return read


# The table -------------------------------------------------------------------

NUMBER = "<INT 0..4294967295>"
LOCKABLE = f"[lock] {NUMBER}"
TIME = "[lock] <DEC>[s|sec|secs|ms|msec|msecs]"
PREFIX = "<PREFIX>"


def _whole(
    name: str,
    attribute: str,
    message: str,
    help: str,
    *,
    lock: bool = False,
    unit: str = "",
    default: str = "",
) -> Keyword[Any]:
    reader = _count(attribute, message, lock=name if lock else "")
    return option(name, reader, LOCKABLE if lock else NUMBER, help, unit=unit, default=default)


_DESTINATION = [
    option("to", read_destination, PREFIX, "where the route leads; the word may be left out"),
    option("default", read_destination, "", "every destination, also behind from"),
    option("any", read_destination, "", "the same as default", alias="default"),
    option("all", read_destination, "", "the same as default", alias="default"),
    option("default6", read_destination, "", "every IPv6 destination; ::/0 is better", alias="::/0"),
    *(
        option(
            name,
            read_destination,
            PREFIX,
            f"type of the route: {kind.name.lower()}",
            default="unicast",
            alias="broadcast" if name == "brd" else "",
        )
        for name, kind in TYPES.items()
    ),
    option("<TYPE NUM>", read_destination, PREFIX, "type of the route as the kernel's number 0..255"),
    family_word("inet", "route"),
    family_word("inet6", "route"),
]
_WAY = [
    option("src", _src, "<IPADDR>", "source address that the machine's own packets prefer"),
    option("as", _as, "[to] <ADDR>", "only for MPLS; ignored", meaningless="keepalived ignores it too"),
    option("via", _via, "[inet|inet6] <IPADDR>", "gateway"),
    option("gw", _via, "[inet|inet6] <IPADDR>", "the deprecated name of via", alias="via"),
    option("from", _from, "<IPV6 PREFIX>", "only for packets from there (IPv6 only)"),
    option("dev", _dev, "<IF>", "interface"),
    option("oif", _dev, "<IF>", "the same as dev", alias="dev"),
    option("vrf", _vrf, "<IF>", "VRF device whose table gets the route"),
    option(
        "onlink",
        _store("onlink", True),
        "",
        "the gateway is reached directly, whatever the addresses say",
        default="off",
    ),
    option(
        "encap",
        read_encap,
        "ip|ip6|mpls|ila ...",
        "encapsulation of packets that take the route",
        options=tuple(ENCAPSULATIONS.values()),
    ),
    option("or", _or, "<IPADDR>", "a second gateway; deprecated, use nexthop", alias="nexthop"),
    option(
        "nexthop",
        _next_hop,
        "via <ADDR> [dev <IF>] [weight <INT>] ...",
        "one of several ways, with its share; the last option, may be repeated",
        options=tuple(HOP_OPTIONS.values()),
    ),
]
_PLACE = [
    option(
        "tos",
        _named("tos", "rt_dsfield", "TOS value {} is invalid"),
        "<NAME>|<INT 0..255>",
        "type of service of the packets that take the route",
        default="0",
    ),
    option(
        "dsfield",
        _named("tos", "rt_dsfield", "TOS value {} is invalid"),
        "<NAME>|<INT 0..255>",
        "the same as tos",
        default="0",
        alias="tos",
    ),
    option("table", _table, f"<NAME>|{NUMBER}", "routing table that gets the route", default="main"),
    option(
        "protocol",
        _named("protocol", "rt_protos", "Protocol {} not found or invalid for route"),
        "<NAME>|<INT 0..255>",
        "who put the route in; another one than keepalived needs no_track",
        default="18",
    ),
    option(
        "scope",
        _named("scope", "rt_scopes", "Scope {} not found or invalid for route"),
        "<NAME>|<INT 0..255>",
        "scope of the destination",
        default="global",
    ),
    _whole(
        "metric",
        "metric",
        "Invalid metric {} specified for route",
        "the lower, the better",
        default="chosen by the kernel",
    ),
    option(
        "priority",
        _count("metric", "Invalid metric {} specified for route"),
        NUMBER,
        "the same as metric",
        default="chosen by the kernel",
        alias="metric",
    ),
    option(
        "preference",
        _count("metric", "Invalid metric {} specified for route"),
        NUMBER,
        "the same as metric",
        default="chosen by the kernel",
        alias="metric",
    ),
    option("realms", _realms, "[<SRC>/]<DST>", "routing realms (IPv4 only)"),
    option("expires", _expires, NUMBER, "how long the route lives (IPv6 only)", unit="s"),
    option("pref", _pref, "low|medium|high|<INT 0..255>", "router preference (IPv6 only)", default="medium"),
]
_METRICS = [
    _whole("mtu", "mtu", "Invalid MTU {} specified for route", "largest packet", lock=True, unit="bytes"),
    option(
        "hoplimit",
        _count("hop_limit", "Invalid hoplimit {} specified for route", OCTET),
        "<INT 0..255>",
        "hop limit of packets",
    ),
    _whole(
        "advmss",
        "advertised_mss",
        "Invalid advmss {} specified for route",
        "segment size that TCP announces",
        lock=True,
        unit="bytes",
    ),
    option(
        "rtt",
        _time("rtt", 8, "Invalid rtt {} for route"),
        TIME,
        "first guess of the round trip time",
        unit="1/8 ms without a suffix",
    ),
    option(
        "rttvar",
        _time("rttvar", 4, "Invalid rttvar {} for route"),
        TIME,
        "first guess of how the round trip time varies",
        unit="1/4 ms without a suffix",
    ),
    option(
        "rto_min",
        _time("rto_min", 1, "Invalid rto_min value {} specified for route"),
        TIME,
        "shortest wait of TCP before it sends again",
        unit="ms without a suffix",
    ),
    _whole(
        "reordering",
        "reordering",
        "Invalid reordering value {} specified for route",
        "how far packets may overtake each other",
        lock=True,
    ),
    _whole(
        "window",
        "window",
        "Invalid window value {} specified for route",
        "largest window of TCP",
        unit="bytes",
    ),
    _whole(
        "cwnd",
        "congestion_window",
        "Invalid cwnd value {} specified for route",
        "congestion window",
        lock=True,
    ),
    _whole(
        "ssthresh",
        "slow_start_threshold",
        "Invalid ssthresh value {} specified for route",
        "slow start threshold",
        lock=True,
    ),
    _whole(
        "initcwnd",
        "initial_congestion_window",
        "Invalid initcwnd value {} specified for route",
        "congestion window of new connections",
    ),
    _whole(
        "initrwnd",
        "initial_receive_window",
        "Invalid initrwnd value {} specified for route",
        "receive window of new connections",
    ),
    option("features", _features, "ecn", "explicit congestion notification"),
    option("quickack", _switch("quick_ack", "quickack"), "<INT 0..1>", "acknowledge without delay"),
    option("congctl", _congctl, "[lock] <NAME>", "congestion control algorithm"),
    option("ttl-propagate", _ttl_propagate, "enabled|disabled", "hand the TTL on between IP and MPLS"),
    option(
        "fastopen_no_cookie",
        _switch("fastopen_no_cookie", "fastopen_no_cookie"),
        "<INT 0..1>",
        "TCP fast open without cookie",
    ),
]
_HANDLING = [
    option("add", _store("placement", Placement.ADD), "", "fails if there is such a route already"),
    option(
        "prepend", _store("placement", Placement.PREPEND), "", "goes before like routes", default="prepend"
    ),
    option("append", _store("placement", Placement.APPEND), "", "goes after like routes"),
    option("no_track", _store("tracked", False), "", "ignore that others remove the route", default="off"),
]
OPTIONS = table_of([*_DESTINATION, *_WAY, *_PLACE, *_METRICS, *_HANDLING])
STATIC_OPTIONS = table_of([*OPTIONS.values(), TRACK_GROUP])
