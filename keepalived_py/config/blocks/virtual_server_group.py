"""`virtual_server_group`: addresses, ranges, subnets and firewall marks that share real servers."""

from __future__ import annotations

import re
from typing import Any

from keepalived_py.base.names import Address
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.server_address import bare_address, server_address
from keepalived_py.config.blocks.values import UNSIGNED, bad_number, integer, quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import BLOCK_BRACE, Block, Keyword, Run
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.report import Diagnostic
from keepalived_py.model.virtual_server import AddressRange, FirewallMark, GroupEntry, ServerGroup

FAMILIES = {"inet": 4, "inet6": 6}
_C_UNSIGNED = re.compile(r"[ \t\v\f\r\n]*([+-]?)([0-9]+)")
_C_HEXADECIMAL = re.compile(r"[ \t\v\f\r\n]*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)")
_NO_RANGE = 0xFFFFFFFF

Group = Draft[ServerGroup]


def opened(run: Run, target: Written, at: Directive) -> Group | None:
    """A new group; the first of a name is the one that virtual servers find."""
    if len(at.words) > 2 or (at.body is None and not run.at_end):
        _lost(run, at)
        return None
    return Draft(ServerGroup, at, name=at.words[1], entries=[])


def _lost(run: Run, at: Directive) -> None:
    """Something else than a `{` follows the name: keepalived loses track of the line, and stops."""
    run.diagnostics.append(
        Diagnostic(
            "server-group-brace",
            "*** Configuration line starting `***MISSING ***` is missing a parameter at word position 1",
            origin=at.word_origin(2) if len(at.words) > 2 else None,
            expected="a { right behind the name of the group",
            notes=(f"{at.raw} in {at.line_origin.file}, line {at.line_origin.line}",),
            stops=True,
        )
    )
    run.stopped = True


def closed(run: Run, target: Group, at: Directive) -> None:
    """Keep the group, unless it has nothing in it or nobody could tell the family of its marks."""
    marks = [one for one in target.entries if isinstance(one, FirewallMark)]
    end = closing(at)
    if not target.entries:
        run.error(
            f"virtual server group {target.name} has no entries - removing", end, code="empty-server-group"
        )
    elif families(target) == {4, 6} and any(mark.family is None for mark in marks):
        run.error(
            f"virtual server group {target.name} cannot have IPv4, IPv6 and fwmark without family - removing",
            end,
            code="mixed-server-group",
            expected="fwmark <INT> inet or fwmark <INT> inet6",
        )
    else:
        run.written.server_groups.setdefault(target.name, target)


def families(group: Group) -> set[int]:
    """The address families that the entries name."""
    found: set[int] = set()
    for entry in group.entries:
        family = entry.family if isinstance(entry, FirewallMark) else entry.first.version
        if family is not None:
            found.add(family)
    return found


def _entry(run: Run, target: Group, at: Directive) -> None:
    read = _mark if at.keyword == "fwmark" else _range
    entry = read(run, target, at)
    if entry is not None:
        target.add("entries", entry, at)


def _mark(run: Run, target: Group, at: Directive) -> GroupEntry | None:
    if len(at.words) < 2:
        run.missing_parameter(at, "fwmark", 2)
        return None
    word = at.words[1]
    mark = integer(run, at, word, 0, UNSIGNED)
    if mark is None:
        run.error(f"({target.name}): fwmark '{word}' must be in [0, {UNSIGNED}] - ignoring", at, word=1)
        return None
    if len(at.words) == 2:
        return FirewallMark(mark)
    if at.words[2] not in FAMILIES:
        run.error(
            f"({target.name}): fwmark '{mark}' family {at.words[2]} unknown - ignoring",
            at,
            word=2,
            code="unknown-family",
            expected="inet or inet6",
        )
        return None
    return FirewallMark(mark, FAMILIES[at.words[2]])


def _range(run: Run, target: Group, at: Directive) -> GroupEntry | None:
    text = at.words[0]
    found = server_address(run, at, 0)
    if found is None:
        if text == BLOCK_BRACE:
            text = "{"
        port = at.words[1] if len(at.words) > 1 and at.words[1].lstrip("0") else ""
        what = f"{text} {'/port' if port else ''}{'/' if port else ''}{port}"
        run.error(
            f"Invalid virtual server group IP address {what} - skipping",
            at,
            word=0,
            code="invalid-address",
            expected="ADDRESS[/MASK | -LAST] [PORT] or fwmark NUMBER [inet|inet6]",
        )
        return None
    first, port_number = found
    last = _last(run, at, text, first)
    return None if last is None else AddressRange(first, last, port_number)


def _last(run: Run, at: Directive, text: str, first: Address) -> Address | None:
    """The last address of the entry; None (reported) if its mask or range is wrong."""
    if "/" in text:
        return _subnet_end(run, at, text, first)
    _, dash, end = text.partition("-")
    if not dash:
        return first
    if (":" if first.version == 6 else ".") in end:
        return _range_end(run, at, text, end, first)
    return _counted_end(run, at, text, end, first)


def _skip(run: Run, at: Directive, message: str) -> None:
    run.error(f"{message} - skipping", at, word=0, code="invalid-range")


def _subnet_end(run: Run, at: Directive, text: str, first: Address) -> Address | None:
    bits = first.max_prefixlen
    digits = text.partition("/")[2]
    found = _C_UNSIGNED.fullmatch(digits)
    mask = 0 if found is None or found[1] == "-" else int(found[2]) & _NO_RANGE
    if not 0 < mask <= bits:
        _skip(run, at, f"Invalid netmask - {text}")
        return None
    hosts = (1 << (bits - mask)) - 1
    if int(first) & hosts:
        _skip(run, at, f"Address mask bits not empty - {text}")
        return None
    return type(first)(int(first) | hosts)


def _range_end(run: Run, at: Directive, text: str, end: str, first: Address) -> Address | None:
    last = bare_address(end)
    if last is None:
        _skip(run, at, f"Invalid range end {text}")
    elif last.version != first.version:
        _skip(run, at, f"Range address families do not match {text}")
    elif int(first) > int(last):
        _skip(run, at, f"Address range end is less than address range start - {text}")
    else:
        return last
    return None


def _counted_end(run: Run, at: Directive, text: str, end: str, first: Address) -> Address | None:
    """The end given as the last byte (decimal) or the last 16 bits (hexadecimal) of the address."""
    hexadecimal = first.version == 6
    found = (_C_HEXADECIMAL if hexadecimal else _C_UNSIGNED).match(end)
    rest = end if found is None else end[found.end() :]
    value = 0 if found is None else int(found[2], 16 if hexadecimal else 10)
    if rest:
        bad_number(run, at, f"Virtual server group range '{text}' has extra characters at end '{rest}'")
        return None
    limit = 0xFFFF if hexadecimal else 0xFF
    if value > limit or (found is not None and found[1] == "-" and value):
        bad_number(run, at, f"Virtual server group range '{text}' end '{end}' too large")
        return None
    if int(first) & limit >= value:
        _skip(run, at, f"Address range end is not greater than address range start - {text}")
        return None
    return type(first)(int(first) & ~limit | value)


# Writing it back ---------------------------------------------------------------


def show_entry(entry: GroupEntry) -> str:
    """The line of one entry."""
    if isinstance(entry, FirewallMark):
        family = "" if entry.family is None else " inet" if entry.family == 4 else " inet6"
        return f"fwmark {entry.mark}{family}"
    addresses = str(entry.first) if entry.first == entry.last else f"{entry.first}-{entry.last}"
    return f"{addresses} {entry.port}" if entry.port else addresses


def _show_header(group: ServerGroup) -> str:
    return quoted(group.name)


FWMARK: Keyword[Any] = Keyword(
    "fwmark",
    None,
    f"<INT 0..{UNSIGNED}> [inet|inet6]",
    help="packets with this firewall mark",
    options=(
        Keyword("inet", None, help="the mark is put on IPv4 packets"),
        Keyword("inet6", None, help="the mark is put on IPv6 packets"),
    ),
)

BLOCK: Block[Group] = Block(
    "virtual_server_group",
    {"fwmark": FWMARK},
    entry=_entry,
    record=ServerGroup,
    show_header=_show_header,
    show_entry=show_entry,
    entry_help=(
        "<ADDR>|<ADDR>-<LAST>|<ADDR>-<ADDR>|<ADDR>/<LEN> [<PORT>]: an address, a range of addresses "
        "(LAST is the last byte in decimal, or the last 16 bits in hexadecimal) or a subnet"
    ),
)
