"""What stands in the packet filter's table: chains, rules and sets, name by name as keepalived has them.

Each part is made when it is first needed; a table without virtual MAC devices has
no rules for them, and one without addresses not even an input chain.  The order of
the messages is keepalived's too, because nft(8) lists sets and chains in the order
in which they were made.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from keepalived_py.model import globals as settings
from keepalived_py.system import nftables as nft
from keepalived_py.system.nftables import IPV4, IPV6, Kind, Message, Meta, SetType, Verdict

DEFAULT_TABLE = "keepalived"

VIPS = "vips"
BY_INDEX = "vips_link_local"
BY_NAME = "vips_link_local_name"
_DISCOVERY = "neighbor-discovery"
_REPORTS = "mld-report"
PARENTS = "parent_link_local"
MAP, SET = "vmac_map", "vmac_set"

_SOLICIT_NEIGHBOUR, _ADVERTISE_NEIGHBOUR, _SOLICIT_ROUTER = 135, 136, 133
_LISTENER_REPORT, _LISTENER_REPORT_2 = 131, 143
_IGMP, _ICMPV6 = 2, 58
_LINK_LOCAL = ipaddress.IPv6Network("fe80::/10")
_MACVLAN = b"macvlan".ljust(16, b"\0")


class Element(NamedTuple):
    """An element, and the set it belongs to."""

    family: int
    set_name: str
    key: bytes
    data: bytes | None = None


class _Header(NamedTuple):
    """Where addresses stand in the header of a family."""

    family: int
    source: int
    destination: int
    length: int


_HEADERS = {IPV4: _Header(IPV4, 12, 16, 4), IPV6: _Header(IPV6, 8, 24, 16)}


class Rules:
    """The messages that make the table's parts; each is made once, when first needed."""

    def __init__(self, wanted: settings.Firewall) -> None:
        self.table = wanted.table or DEFAULT_TABLE
        self._wanted = wanted
        self._there: set[tuple[int, str]] = set()
        self._sets = 0

    def mark(self) -> frozenset[tuple[int, str]]:
        """What has been made so far, for `undo`."""
        return frozenset(self._there)

    def undo(self, mark: frozenset[tuple[int, str]]) -> None:
        """What was made since `mark` has not come about."""
        self._there = set(mark)

    @property
    def families(self) -> list[int]:
        """The families whose table has been made."""
        return [family for family in (IPV4, IPV6) if (family, "table") in self._there]

    def needed_by(self, elements: Iterable[Element]) -> Iterator[Message]:
        """What is missing for these elements to be put in."""
        for element in elements:
            yield from self._set_for(element.family, element.set_name)

    def _first(self, family: int, part: str) -> bool:
        missing = (family, part) not in self._there
        self._there.add((family, part))
        return missing

    def _set_for(self, family: int, name: str) -> Iterator[Message]:
        if name in (VIPS, BY_INDEX, BY_NAME):
            yield from self._addresses(family)
            if name != VIPS and self._first(family, name):
                yield from self._link_local(name)
        elif self._first(family, "devices"):
            yield from self._table(family)
            yield from self._devices(family)

    def _table(self, family: int) -> Iterator[Message]:
        if self._first(family, "table"):
            yield nft.new_table(family, self.table)
            yield self._base_chain(family, "out", nft.Hook.OUTPUT)

    def _addresses(self, family: int) -> Iterator[Message]:
        if not self._first(family, VIPS):
            return
        yield from self._table(family)
        yield self._base_chain(family, "in", nft.Hook.INPUT)
        if family == IPV6:
            yield nft.new_chain(family, self.table, "in_link_local")
            yield nft.new_chain(family, self.table, "out_link_local")
        key = nft.KeyType.IPV4_ADDRESS if family == IPV4 else nft.KeyType.IPV6_ADDRESS
        yield self._set(family, VIPS, SetType((key,)))
        if family == IPV6:
            yield from self._types(_DISCOVERY, _SOLICIT_NEIGHBOUR, _ADVERTISE_NEIGHBOUR)
            for chain in ("in", "out"):
                yield self._accept_discovery(chain)
                yield self._to_link_local(chain)
        for chain in ("in", "out"):
            yield self._rule(family, chain, _load_address(family, chain), nft.member(VIPS), *self._drop())

    def _accept_discovery(self, chain: str) -> Message:
        # The header after the fixed one, not the last protocol: what hides behind extensions is dropped.
        tests = [nft.payload(nft.NETWORK_HEADER, 6, 1), nft.equals(bytes((_ICMPV6,)))]
        tests += [nft.payload(nft.TRANSPORT_HEADER, 0, 1), nft.member(_DISCOVERY)]
        return self._rule(IPV6, chain, *tests, *self._count(), nft.verdict(Verdict.ACCEPT))

    def _to_link_local(self, chain: str) -> Message:
        prefix = [nft.masked(_LINK_LOCAL.netmask.packed), nft.equals(_LINK_LOCAL.network_address.packed)]
        end = nft.verdict(Verdict.GOTO, f"{chain}_link_local")
        return self._rule(IPV6, chain, _load_address(IPV6, chain), *prefix, *self._count(), end)

    def _link_local(self, name: str) -> Iterator[Message]:
        by_name = name == BY_NAME
        interface = nft.KeyType.INTERFACE_NAME if by_name else nft.KeyType.INTERFACE_INDEX
        yield self._set(IPV6, name, SetType((nft.KeyType.IPV6_ADDRESS, interface)))
        inward = Meta.INPUT_NAME if by_name else Meta.INPUT_INDEX
        outward = Meta.OUTPUT_NAME if by_name else Meta.OUTPUT_INDEX
        for chain, what in (("in", inward), ("out", outward)):
            tests = [_load_address(IPV6, chain), nft.meta(what, nft.SECOND), nft.member(name)]
            yield self._rule(IPV6, f"{chain}_link_local", *tests, *self._drop())

    def _devices(self, family: int) -> Iterator[Message]:
        number = nft.KeyType.INTERFACE_INDEX
        yield self._set(family, MAP, SetType((number,), number))
        if family == IPV4:
            tests = [nft.payload(nft.NETWORK_HEADER, 9, 1), nft.equals(bytes((_IGMP,)))]
            yield self._copied_to_base(IPV4, tests)
            return
        yield self._set(family, SET, SetType((number,)))
        yield from self._types(_REPORTS, _LISTENER_REPORT_2, _LISTENER_REPORT)
        yield self._copied_to_base(IPV6, [*_load_icmpv6_type(), nft.member(_REPORTS)])
        solicit = [*_load_icmpv6_type(), nft.equals(bytes((_SOLICIT_ROUTER,))), *_on_macvlan()]
        leaves = [nft.meta(Meta.OUTPUT_INDEX, nft.SECOND), nft.member(SET, nft.SECOND)]
        yield self._rule(IPV6, "out", *solicit, *leaves, *self._drop())
        yield from self._parents()

    def _copied_to_base(self, family: int, tests: list[bytes]) -> Message:
        header = _HEADERS[family]
        where_to = nft.payload(nft.NETWORK_HEADER, header.destination, header.length)
        device = [nft.meta(Meta.OUTPUT_INDEX, nft.SECOND), nft.mapped(MAP, nft.SECOND)]
        copy = nft.duplicate(nft.FIRST, nft.SECOND)
        return self._rule(family, "out", *tests, where_to, *_on_macvlan(), *device, copy, *self._drop())

    def _parents(self) -> Iterator[Message]:
        by_index = self._wanted.ifindex
        interface = nft.KeyType.INTERFACE_INDEX if by_index else nft.KeyType.INTERFACE_NAME
        yield self._set(IPV6, PARENTS, SetType((nft.KeyType.IPV6_ADDRESS, interface)))
        advert = [*_load_icmpv6_type(), nft.equals(bytes((_ADVERTISE_NEIGHBOUR,))), *_on_macvlan()]
        device = nft.meta(Meta.OUTPUT_INDEX if by_index else Meta.OUTPUT_NAME, nft.SECOND)
        tests = [*advert, _load_address(IPV6, "out"), device, nft.member(PARENTS)]
        yield self._rule(IPV6, "out", *tests, *self._drop())

    def _types(self, name: str, *numbers: int) -> Iterator[Message]:
        yield self._set(IPV6, name, SetType((nft.KeyType.ICMPV6_TYPE,), constant=True))
        members = [(bytes((number,)), None) for number in numbers]
        yield nft.elements(Kind.NEW_ELEMENTS, IPV6, self.table, name, members)

    def _base_chain(self, family: int, chain: str, hook: nft.Hook) -> Message:
        return nft.new_base_chain(family, self.table, chain, hook, self._wanted.priority)

    def _set(self, family: int, name: str, type_: SetType) -> Message:
        self._sets += 1
        return nft.new_set(family, self.table, name, type_, self._sets)

    def _rule(self, family: int, chain: str, *expressions: bytes) -> Message:
        return nft.new_rule(family, self.table, chain, *expressions)

    def _count(self) -> list[bytes]:
        return [nft.counter()] if self._wanted.counters else []

    def _drop(self) -> list[bytes]:
        return [*self._count(), nft.verdict(Verdict.DROP)]


def _load_address(family: int, chain: str) -> bytes:
    """What comes in is looked at by its destination, what goes out by its source."""
    header = _HEADERS[family]
    offset = header.destination if chain == "in" else header.source
    return nft.payload(nft.NETWORK_HEADER, offset, header.length)


def _load_icmpv6_type() -> list[bytes]:
    protocol = [nft.meta(Meta.PROTOCOL, nft.FIRST), nft.equals(bytes((_ICMPV6,)))]
    return [*protocol, nft.payload(nft.TRANSPORT_HEADER, 0, 1)]


def _on_macvlan() -> list[bytes]:
    return [nft.meta(Meta.OUTPUT_KIND, nft.SECOND), nft.equals(_MACVLAN, nft.SECOND)]
