"""`virtual_routes` and `static_routes`: one route on each line, in iproute2's words.

A route that is refused is left out; the rest of the block is still used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_py.config.blocks import lists
from keepalived_py.config.blocks.line_options import ANYTHING, Dropped, Line, append, read_words
from keepalived_py.config.blocks.route_encap import hop_words, show_encapsulation
from keepalived_py.config.blocks.route_options import OPTIONS, STATIC_OPTIONS, TYPES, read_destination
from keepalived_py.config.blocks.values import quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Run
from keepalived_py.config.written import Written
from keepalived_py.model.network import (
    PROTOCOL_KEEPALIVED,
    TABLE_MAIN,
    Placement,
    Prefix,
    Route,
)

RouteDraft = Draft[Route]


def read_route(run: Run, at: Directive, static: bool = False) -> RouteDraft | None:
    """One entry; None if it has to be left out."""
    draft: RouteDraft = Draft(Route, at)
    line = Line(run, at, draft)
    try:
        read_words(line, STATIC_OPTIONS if static else OPTIONS, _destination)
        if line.position < len(line.words):
            line.drop(f"Route has trailing nonsense - {line.word()}", "unknown-option")
        if not draft.written("destination"):
            line.drop("Route must have a destination", "missing-value")
    except Dropped:
        return None
    _tracking(line)
    if draft.destination is ANYTHING[4]:
        draft.destination = ANYTHING[line.family or 4]
    return draft


def _destination(line: Line[Any]) -> None:
    read_destination(line.run, line, line.at)


def _tracking(line: Line[Any]) -> None:
    """A route can only be watched if it is keepalived's own and its interface is known."""
    draft = line.draft
    line.position = 0
    if draft.tracked:
        if draft.protocol not in (None, PROTOCOL_KEEPALIVED):
            line.error(
                "Route cannot be tracked if protocol is not "
                f"RTPROT_KEEPALIVED({PROTOCOL_KEEPALIVED}), resetting protocol",
                "not-tracked",
                "no_track, or no protocol",
            )
        draft.protocol = PROTOCOL_KEEPALIVED
        if draft.interface is None:
            line.error(
                f"Warning - cannot track route {line.destination} with no interface specified, not tracking",
                "not-tracked",
                "dev, or no_track",
            )
            draft.tracked = False
    if draft.track_group is not None and draft.interface is None:
        line.error("Static route cannot have track group if no oif specified", "not-tracked", "dev")
        draft.track_group = None


# Writing it back -------------------------------------------------------------


def show_route(record: Route) -> str:
    """The line that gives `record`."""
    hops: Iterator[str] = iter(())
    old: Iterator[str] = iter(())
    if any(hop.gateway is not None and hop.gateway.version != record.family for hop in record.next_hops):
        old = _old_pair(record)
    else:
        hops = (word for hop in record.next_hops for word in hop_words(hop))
    words = (_destination_words(record), old, _way(record), _place(record), _metrics(record))
    return " ".join(word for part in (*words, _handling(record), hops) for word in part)


def _old_pair(one: Route) -> Iterator[str]:
    """The two gateways of `or`, which keepalived takes from different families too."""
    first, second = one.next_hops
    yield from _pairs(("via", first.gateway), ("or", second.gateway))


def show_destination(found: Prefix) -> str:
    """A route's destination, with IPv4's default by its name."""
    return "default" if found == ANYTHING[4] else str(found)


def _type_word(number: int) -> str:
    return next((word for word, kind in TYPES.items() if kind == number), str(number))


def _pairs(*pairs: tuple[str, object]) -> Iterator[str]:
    for name, value in pairs:
        if value is not None:
            yield f"{name} {quoted(str(value))}"


def _destination_words(one: Route) -> Iterator[str]:
    if one.type is not None:
        yield _type_word(one.type)
    yield show_destination(one.destination)


def _way(one: Route) -> Iterator[str]:
    yield from _pairs(
        ("from", one.source), ("src", one.preferred_source), ("via", one.gateway), ("dev", one.interface)
    )
    if one.onlink:
        yield "onlink"
    if one.encapsulation is not None:
        yield show_encapsulation(one.encapsulation)


def _place(one: Route) -> Iterator[str]:
    table = None if one.table == TABLE_MAIN else one.table
    protocol = None if one.tracked else one.protocol
    yield from _pairs(
        ("table", table),
        ("vrf", one.vrf),
        ("protocol", protocol),
        ("scope", one.scope),
        ("tos", one.tos),
        ("metric", one.metric),
        ("realms", one.realms),
        ("expires", one.expires_s),
        ("pref", one.router_preference),
    )


def _metrics(one: Route) -> Iterator[str]:
    plain = (
        ("mtu", one.mtu),
        ("hoplimit", one.hop_limit),
        ("advmss", one.advertised_mss),
        ("rtt", _time(one.rtt_us, 125)),
        ("rttvar", _time(one.rttvar_us, 250)),
        ("rto_min", _time(one.rto_min_us, 1000)),
        ("reordering", one.reordering),
        ("window", one.window),
        ("cwnd", one.congestion_window),
        ("ssthresh", one.slow_start_threshold),
        ("initcwnd", one.initial_congestion_window),
        ("initrwnd", one.initial_receive_window),
        ("features", "ecn" if one.ecn else None),
        ("quickack", _digit(one.quick_ack)),
        ("congctl", one.congestion_control),
        ("ttl-propagate", {True: "enabled", False: "disabled", None: None}[one.ttl_propagate]),
        ("fastopen_no_cookie", _digit(one.fastopen_no_cookie)),
    )
    for name, value in plain:
        if value is not None:
            lock = "lock " if name in one.locked else ""
            yield f"{name} {lock}{quoted(str(value))}"


def _time(value_us: int | None, step_us: int) -> str | None:
    """In milliseconds if it is a whole number of them, else in the kernel's steps."""
    if value_us is None:
        return None
    return f"{value_us // 1000}ms" if value_us % 1000 == 0 else str(value_us // step_us)


def _digit(said: bool | None) -> int | None:
    return None if said is None else int(said)


def _handling(one: Route) -> Iterator[str]:
    if one.placement is not Placement.PREPEND:
        yield one.placement.value
    if not one.tracked:
        yield "no_track"
    if one.track_group is not None:
        yield f"track_group {quoted(one.track_group)}"


# The blocks ------------------------------------------------------------------


def _entry(run: Run, target: Any, at: Directive) -> None:
    found = read_route(run, at)
    if found is not None:
        append(target, "routes", found)


def _static_entry(run: Run, target: Written, at: Directive) -> None:
    found = read_route(run, at, static=True)
    if found is not None:
        target.static_routes.append(found)


static_opened = lists.opened

_HELP = "[to] [<TYPE>] <PREFIX>|default [options]: one route; its words may stand in any order"
BLOCK: Block[Any] = Block(
    "virtual_routes", OPTIONS, entry=_entry, record=Route, show_entry=show_route, entry_help=_HELP
)
STATIC: Block[Any] = Block(
    "static_routes",
    STATIC_OPTIONS,
    entry=_static_entry,
    record=Route,
    show_entry=show_route,
    entry_help=_HELP,
)
