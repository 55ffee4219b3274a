"""`virtual_ipaddress`, `virtual_ipaddress_excluded` and `static_ipaddress`: one address on each line.

An entry that is refused is left out; the rest of the block is still used.
Texts and the order of the checks are those of keepalived 2.2.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from keepalived_py.config.blocks import lists
from keepalived_py.config.blocks.kernel_names import named_number
from keepalived_py.config.blocks.line_options import (
    TRACK_GROUP,
    Dropped,
    Line,
    address_with_length,
    append,
    known_interface,
    mark,
    option,
    plain_address,
    read_words,
    table_of,
)
from keepalived_py.config.blocks.values import quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.network import VirtualAddress

MAX_LABEL = 15
FOREVER = 0xFFFFFFFF
LONGEST_WITH_BROADCAST = 30
DEFAULT_INTERFACE = "eth0"

AddressDraft = Draft[VirtualAddress]


class _AddressLine(Line[VirtualAddress]):
    """One line being read; `broadcast` holds the word behind `brd` until the prefix is known."""

    def __init__(self, run: Run, at: Directive, draft: AddressDraft) -> None:
        super().__init__(run, at, draft)
        self.broadcast = ""
        self.position = 1

    @property
    def shown(self) -> str:
        """The address as it was written."""
        return self.words[0]

    @property
    def is_v6(self) -> bool:
        return bool(self.draft.address.version == 6)

    def argument(self) -> str:
        """The next word; here a missing one only costs the address."""
        self.position += 1
        if self.position < len(self.words):
            return self.words[self.position]
        keyword = self.words[-1]
        self.drop(f"No {keyword} parameter specified for {self.shown}", "missing-value")


def read_address(run: Run, at: Directive, static: bool = False) -> AddressDraft | None:
    """One entry; None if it has to be left out."""
    found = address_with_length(run, at, at.words[0], 0)
    if found is None:
        return None
    draft: AddressDraft = Draft(VirtualAddress, at, address=found.address, prefix_length=found.length)
    if len(at.words) > 1 or static:
        line = _AddressLine(run, at, draft)
        try:
            read_words(line, _STATIC_OPTIONS if static else _OPTIONS, _unknown)
            _broadcast(line)
            if static and draft.interface is None:
                _default_interface(line)
        except Dropped:
            return None
        if line.is_v6:
            _only_ipv4(line)
    if draft.prefix_length == 128 and not draft.written("preferred_lifetime_s"):
        draft.preferred_lifetime_s = 0
    return draft


def _unknown(line: Line[Any]) -> None:
    word = line.word()
    line.error(f"Unknown configuration entry '{word}' for ip address - ignoring", "unknown-option")


def _broadcast(line: _AddressLine) -> None:
    """The broadcast address, once everything that it depends on was read."""
    word, draft = line.broadcast, line.draft
    if not word:
        return
    if draft.peer is not None:
        line.error("Cannot specify broadcast and peer addresses - ignoring broadcast address")
        draft.broadcast = None
    elif word in ("+", "-"):
        length = draft.prefix_length
        if length > LONGEST_WITH_BROADCAST:
            line.error(f"Address prefix length {length} too long for broadcast")
            return
        host_bits = 0xFFFFFFFF >> length
        own = int(draft.address)
        draft.broadcast = IPv4Address(own | host_bits if word == "+" else own & ~host_bits)


def _default_interface(line: _AddressLine) -> None:
    name = line.run.written.globals.default_interface or DEFAULT_INTERFACE
    if not known_interface(line.run, line.at, name):
        line.run.error(
            f"Static address {line.shown} requires either an interface or default interface must exist",
            line.at,
            code="unknown-interface",
            error_class=ErrorClass.FATAL,
        )
        raise Dropped
    line.draft.interface = name


def _only_ipv4(line: _AddressLine) -> None:
    """Take back what IPv6 addresses do not have."""
    draft = line.draft
    if draft.scope:
        line.error(f"Cannot specify scope for IPv6 addresses ({line.shown}) - ignoring scope")
        draft.scope = 0
    if draft.label is not None:
        line.error(f"Cannot specify label for IPv6 addresses ({line.shown}) - ignoring label")
        draft.label = None


def _dev(run: Run, line: _AddressLine, at: Directive) -> None:
    name = line.argument()
    if line.draft.interface is not None:
        line.drop(f"Cannot specify ipaddress device more than once for {line.shown}", "duplicate")
    if not known_interface(run, at, name):
        line.drop(
            f"WARNING - interface {name} for ip address {line.shown} doesn't exist", "unknown-interface"
        )
    line.draft.interface = name


def _scope(run: Run, line: _AddressLine, at: Directive) -> None:
    word = line.argument()
    number = named_number(run.host, "rt_scopes", word)
    if number is None:
        line.error(
            f"Invalid scope '{word}' specified for {line.shown} - ignoring",
            "unknown-name",
            "global, site, link, host, nowhere or a number from 0 to 255",
        )
    else:
        line.draft.scope = number


def _brd(run: Run, line: _AddressLine, at: Directive) -> None:
    keyword = line.word()
    word = line.argument()
    if line.is_v6:
        line.position -= 1
        line.drop(
            f"VRRP is trying to assign a broadcast {keyword} to the IPv6 address {line.shown} !!?? "
            "WTF... skipping VIP...",
            "mixed-families",
        )
    if word not in ("+", "-"):
        try:
            line.draft.broadcast = IPv4Address(word)
        except ValueError:
            line.drop(
                f"VRRP is trying to assign invalid broadcast {word}. skipping VIP...",
                "invalid-address",
                "an IPv4 address, + or -",
            )
        line.broadcast = line.broadcast or word
    else:
        line.broadcast = word


def _label(run: Run, line: _AddressLine, at: Directive) -> None:
    word = line.argument()
    if len(word.encode()) > MAX_LABEL:
        line.drop(
            f"Address label {word} is longer than maximum length {MAX_LABEL} - removing address",
            "too-long",
            f"at most {MAX_LABEL} characters",
        )
    line.draft.label = word


def _peer(run: Run, line: _AddressLine, at: Directive) -> None:
    word = line.argument()
    draft = line.draft
    if draft.peer is not None:
        line.error(f"Peer {word} - another peer has already been specified", "duplicate")
        line.position -= 1  # keepalived reads the second peer's address as a keyword
        return
    found = plain_address(run, at, word, line.position)
    if found is None:
        line.error(f"Invalid peer address {word}", "invalid-address")
    elif found.version != draft.address.version:
        line.error(f"Peer address {word} does not match address family", "mixed-families")
    else:
        if draft.prefix_length != found.max_prefixlen:
            line.error("Cannot specify address prefix when specifying peer address - ignoring")
        draft.peer = found
        draft.prefix_length = draft.peer_prefix_length = found.max_prefixlen


def _preferred(run: Run, line: _AddressLine, at: Directive) -> None:
    word = line.argument()
    value = FOREVER if word == "forever" else line.number()
    if value is None:
        line.error(f"preferred_lft {word} is invalid")
    else:
        line.draft.preferred_lifetime_s = None if value == FOREVER else value


_COMMON: list[Keyword[Any]] = [
    option("dev", _dev, "<IF>", "interface that gets the address", default="the instance's interface"),
    option(
        "scope", _scope, "site|link|host|nowhere|global|<INT 0..255>", "scope (IPv4 only)", default="global"
    ),
    option("brd", _brd, "<IPV4>|+|-", "broadcast address; + sets, - clears all host bits"),
    option("broadcast", _brd, "<IPV4>|+|-", "the same as brd", alias="brd"),
    option("label", _label, "<STRING>", "label of the address, at most 15 characters (IPv4 only)"),
    option("peer", _peer, "<IPADDR>", "the other end of a point-to-point link; no prefix length then"),
    mark("home", "home", "mobile IPv6 home address"),
    mark("-nodad", "detects_duplicates", "let the kernel detect duplicates of the IPv6 address"),
    mark("mngtmpaddr", "mngtmpaddr", "the kernel derives temporary IPv6 addresses from it"),
    mark("noprefixroute", "noprefixroute", "the kernel adds no route for the prefix"),
    mark("autojoin", "autojoin", "the kernel joins the multicast group that the address is"),
    mark("no_track", "tracked", "ignore that others remove the address", False),
    option(
        "preferred_lft",
        _preferred,
        "<INT 0..4294967295>|forever",
        "how long the address is preferred as a source; 0 avoids it",
        default="0 for an IPv6 address without prefix, else forever",
        unit="s",
    ),
]
_OPTIONS = table_of([*_COMMON, mark("use_vmac", "use_vmac", "put the address on a VMAC interface")])
_STATIC_OPTIONS = table_of([*_COMMON, TRACK_GROUP])


# Writing it back -------------------------------------------------------------


def show_address(record: VirtualAddress) -> str:
    """The line that gives `record`."""
    return " ".join(_words(record))


def _words(one: VirtualAddress) -> Iterator[str]:
    longest = one.address.max_prefixlen
    yield str(one.address) if one.prefix_length == longest else f"{one.address}/{one.prefix_length}"
    if one.interface is not None:
        yield f"dev {quoted(one.interface)}"
    if one.scope:
        yield f"scope {one.scope}"
    for name, value in (("brd", one.broadcast), ("label", one.label), ("peer", one.peer)):
        if value is not None:
            yield f"{name} {quoted(str(value))}"
    for name, said in (
        ("home", one.home),
        ("-nodad", one.detects_duplicates),
        ("mngtmpaddr", one.mngtmpaddr),
        ("noprefixroute", one.noprefixroute),
        ("autojoin", one.autojoin),
        ("no_track", not one.tracked),
        ("use_vmac", one.use_vmac),
    ):
        if said:
            yield name
    preferred = one.preferred_lifetime_s
    if preferred != (0 if one.prefix_length == 128 else None):
        yield f"preferred_lft {'forever' if preferred is None else preferred}"
    if one.track_group is not None:
        yield f"track_group {quoted(one.track_group)}"


# The blocks ------------------------------------------------------------------


def _entry(run: Run, target: Any, at: Directive) -> None:
    found = read_address(run, at)
    if found is None:
        return
    family = found.address.version
    if target.family is None:
        target.family = family
    elif target.family != family:
        run.error(
            f"({target.name}): address family must match VRRP instance [{at.words[0]}] - ignoring",
            at,
            word=0,
            code="mixed-families",
            expected=f"an IPv{target.family} address; others go into virtual_ipaddress_excluded",
        )
        return
    append(target, "addresses", found)


def _excluded_entry(run: Run, target: Any, at: Directive) -> None:
    found = read_address(run, at)
    if found is not None:
        append(target, "excluded_addresses", found)


def _static_entry(run: Run, target: Written, at: Directive) -> None:
    found = read_address(run, at, static=True)
    if found is not None:
        target.static_addresses.append(found)


static_opened = lists.opened

_HELP = "<IPADDR>[/<LEN>] [options]: one address; without a length /32 or /128"
ADDRESSES: Block[Any] = Block(
    "virtual_ipaddress",
    _OPTIONS,
    entry=_entry,
    record=VirtualAddress,
    show_entry=show_address,
    entry_help=_HELP,
)
EXCLUDED: Block[Any] = Block(
    "virtual_ipaddress_excluded",
    _OPTIONS,
    entry=_excluded_entry,
    record=VirtualAddress,
    show_entry=show_address,
    entry_help=_HELP,
)
STATIC: Block[Any] = Block(
    "static_ipaddress",
    _STATIC_OPTIONS,
    entry=_static_entry,
    record=VirtualAddress,
    show_entry=show_address,
    entry_help=_HELP,
)
