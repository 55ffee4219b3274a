"""`virtual_ipaddress` and `virtual_ipaddress_excluded`: one address per line, with iproute2's words.

An entry that is refused is left out; the rest of the block is still used.
Texts and the order of the checks are those of keepalived 2.2.7.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run
from keepalived_py.config.written import Written, WrittenAddress, WrittenInstance

MAX_LABEL = 15
FOREVER = 0xFFFFFFFF


class _Entry:
    """One line being read: the words still to come and what was found so far."""

    def __init__(self, run: Run, written: Written, at: Directive, found: WrittenAddress) -> None:
        self.run = run
        self.written = written
        self.at = at
        self.found = found
        self.position = 1
        self.had_prefix = "/" in at.words[0]

    def argument(self, keyword: str) -> str | None:
        """The word behind `keyword`; None after stopping, as keepalived does."""
        self.position += 1
        if self.position >= len(self.at.words):
            self.run.missing_parameter(self.at, keyword, self.position + 1)
            return None
        return self.at.words[self.position]

    @property
    def shown(self) -> str:
        return self.at.words[0]

    @property
    def is_v6(self) -> bool:
        return isinstance(self.found.address, IPv6Address)


def read_address(run: Run, written: Written, at: Directive) -> WrittenAddress | None:
    """One entry as a value; None if it has to be left out."""
    parsed = _prefix(run, at, at.words[0])
    if parsed is None:
        return None
    found, length = parsed
    entry = _Entry(run, written, at, WrittenAddress(found, length, at))
    if entry.is_v6 and length == 128:
        entry.found.preferred_lifetime_s = 0
    while entry.position < len(at.words):
        option = _OPTIONS.get(at.words[entry.position])
        if option is None:
            word = at.words[entry.position]
            run.error(f"Unknown configuration entry '{word}' for ip address - ignoring", at)
        elif not option(entry):
            return None
        entry.position += 1
    if entry.found.peer is not None and entry.had_prefix:
        run.error("Cannot specify address prefix when specifying peer address - ignoring", at)
        entry.found.prefix_length = entry.found.address.max_prefixlen
    return entry.found


def _prefix(run: Run, at: Directive, word: str) -> tuple[IPv4Address | IPv6Address, int] | None:
    """`ADDRESS[/LENGTH]`; a wrong length is reported and the full one used."""
    text, slash, length_text = word.partition("/")
    found = values.address(text)
    if found is None:
        run.error(f"VRRP parsed invalid IP {word}. skipping IP...", at, code="invalid-address")
        return None
    longest = found.max_prefixlen
    if not slash:
        return found, longest
    length = values.integer(run, at, length_text, 0, longest)
    if length is None:
        run.error(f"Invalid address prefix len {length_text} for address {word} - using {longest}", at)
        return found, longest
    return found, length


def _dev(entry: _Entry) -> bool:
    at, run = entry.at, entry.run
    entry.position += 1
    if entry.position >= len(at.words):
        run.error(f"No dev parameter specified for {entry.shown}", at)
        return False
    name = at.words[entry.position]
    if entry.found.interface is not None:
        run.error(f"Cannot specify ipaddress device more than once for {entry.shown}", at)
        return False
    if not run.host.interface_exists(name):
        missing_interface(run, entry.written, at, name, f"ip address {entry.shown}")
    entry.found.interface = name
    return True


def missing_interface(run: Run, written: Written, at: Directive, name: str, what: str) -> None:
    """Report an interface that is not there; with dynamic_interfaces it may come later."""
    if written.globals.dynamic_interfaces:
        run.log(
            f"Configuration specifies interface {name} which doesn't currently exist - will use if created",
            at,
        )
        return
    run.error(f"WARNING - interface {name} for {what} doesn't exist", at, code="unknown-interface")
    written.missing_interface = True


def _scope(entry: _Entry) -> bool:
    word = entry.argument("scope")
    if word is None:
        return False
    number = entry.run.host.scope(word)
    if entry.is_v6:
        entry.run.error(f"Cannot specify scope for IPv6 addresses ({entry.shown}) - ignoring scope", entry.at)
    elif number is None:
        entry.run.error(f"Invalid scope '{word}' specified for {entry.shown} - ignoring", entry.at)
    else:
        entry.found.scope = number
    return True


def _broadcast(entry: _Entry) -> bool:
    keyword = entry.at.words[entry.position]
    word = entry.argument(keyword)
    if word is None:
        return False
    own = entry.found.address
    if not isinstance(own, IPv4Address):
        entry.run.error(
            f"VRRP is trying to assign a broadcast {keyword} to the IPv6 address {entry.shown} !!?? "
            "WTF... skipping VIP...",
            entry.at,
        )
        return False
    host_bits = (1 << (32 - entry.found.prefix_length)) - 1
    if word == "+":
        entry.found.broadcast = IPv4Address(int(own) | host_bits)
        return True
    if word == "-":
        entry.found.broadcast = IPv4Address(int(own) & ~host_bits)
        return True
    found = values.address(word)
    if not isinstance(found, IPv4Address):
        entry.run.error(f"VRRP is trying to assign invalid broadcast {word}. skipping VIP...", entry.at)
        return False
    entry.found.broadcast = found
    return True


def _label(entry: _Entry) -> bool:
    word = entry.argument("label")
    if word is None:
        return False
    if entry.is_v6:
        entry.run.error(f"Cannot specify label for IPv6 addresses ({entry.shown}) - ignoring label", entry.at)
        return True
    if len(word) > MAX_LABEL:
        entry.run.error(
            f"Address label {word} is longer than maximum length {MAX_LABEL} - removing address", entry.at
        )
        return False
    entry.found.label = word
    return True


def _peer(entry: _Entry) -> bool:
    word = entry.argument("peer")
    if word is None:
        return False
    parsed = _prefix(entry.run, entry.at, word)
    if parsed is None:
        entry.run.error(f"Invalid peer address {word}", entry.at)
    elif parsed[0].version != entry.found.address.version:
        entry.run.error(f"Peer address {word} does not match address family", entry.at)
    else:
        entry.found.peer, entry.found.peer_prefix_length = parsed
    return True


def _preferred(entry: _Entry) -> bool:
    word = entry.argument("preferred_lft")
    if word is None:
        return False
    if word == "forever":
        entry.found.preferred_lifetime_s = None
        return True
    value = values.integer(entry.run, entry.at, word, 0, FOREVER)
    if value is None:
        entry.run.error(f"preferred_lft {word} is invalid", entry.at)
    else:
        entry.found.preferred_lifetime_s = None if value == FOREVER else value
    return True


def _mark(attribute: str, value: bool = True) -> Callable[[_Entry], bool]:
    def option(entry: _Entry) -> bool:
        setattr(entry.found, attribute, value)
        return True

    return option


def _without_effect(entry: _Entry) -> bool:
    word = entry.at.words[entry.position]
    origin = entry.at.line_origin
    entry.run.without_effect.append(f"virtual_ipaddress: {word} ({origin.file}: line {origin.line})")
    return True


def _nothing(entry: _Entry) -> bool:
    """`-nodad`: our addresses never wait for duplicate address detection anyway."""
    return True


_OPTIONS: dict[str, Callable[[_Entry], bool]] = {
    "dev": _dev,
    "scope": _scope,
    "brd": _broadcast,
    "broadcast": _broadcast,
    "label": _label,
    "peer": _peer,
    "home": _mark("home"),
    "mngtmpaddr": _mark("mngtmpaddr"),
    "noprefixroute": _mark("noprefixroute"),
    "no_track": _mark("tracked", False),
    "preferred_lft": _preferred,
    "-nodad": _nothing,
    "autojoin": _without_effect,
    "use_vmac": _without_effect,
}


def keywords(written: Written) -> list[Keyword[WrittenInstance]]:
    """Both address blocks of a `vrrp_instance`."""

    def entry(run: Run, target: WrittenInstance, at: Directive) -> None:
        found = read_address(run, written, at)
        if found is None:
            return
        if target.family is None:
            target.family = found.address.version
        elif target.family != found.address.version:
            run.error(
                f"({target.name}): address family must match VRRP instance [{at.words[0]}] - ignoring", at
            )
            return
        target.addresses.append(found)

    def excluded(run: Run, target: WrittenInstance, at: Directive) -> None:
        found = read_address(run, written, at)
        if found is not None:
            target.excluded_addresses.append(found)

    first: Block[Any] = Block("virtual_ipaddress", entry=entry)
    other: Block[Any] = Block("virtual_ipaddress_excluded", entry=excluded)
    return [
        Keyword("virtual_ipaddress", arguments="{ <entry> ... }", help="advertised addresses", block=first),
        Keyword("virtual_ipaddress_excluded", arguments="{ <entry> ... }", help="others", block=other),
    ]


def static_keyword(written: Written) -> Keyword[Written]:
    """`static_ipaddress { <entry> ... }`: read and checked; not put on an interface yet."""

    def opened(run: Run, target: Written, at: Directive) -> Written:
        run.no_effect("", at)
        return target

    def entry(run: Run, target: Written, at: Directive) -> None:
        if "track_group" not in at.words:
            read_address(run, written, at)

    block: Block[Any] = Block("static_ipaddress", entry=entry)
    return Keyword("static_ipaddress", arguments="{ <entry> ... }", block=block, open=opened)
