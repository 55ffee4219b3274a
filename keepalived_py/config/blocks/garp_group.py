"""`garp_group`: the least time between announcements on some interfaces."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block, entries
from keepalived_py.config.written import Written
from keepalived_py.model.interfaces import GarpGroup

LONGEST_US = 2_147_483_647
SECOND = 1_000_000


def _interval(name: str, attribute: str, what: str) -> Keyword[Any]:
    def convert(run: Run, target: Any, at: Directive) -> object:
        word = at.words[1]
        value = values.decimal(run, at, word, 0, LONGEST_US)
        if value is None:
            run.error(f"garp_group {name} '{word}' invalid", at, word=1)
            return FAILED
        if value >= SECOND:
            run.log(f"The {name} is very large - {word} seconds", at, code="large-value")
        return value

    return values.converted(
        name,
        attribute,
        convert,
        f"<DEC 0..{values.seconds_text(LONGEST_US)}>",
        unit="s",
        help=f"least time between {what}",
        show=values.show_seconds,
        schema=values.seconds_schema(0, LONGEST_US),
    )


def _usable(run: Run, at: Directive, name: str) -> bool:
    """Whether the interface exists and is in no group yet."""
    complaint = f"WARNING - interface {name} specified for garp_group doesn't exist"
    exists = run.host.interface_exists(name)
    if not exists and not run.written.globals.dynamic_interfaces:
        run.written.missing_interface = True
        run.error(complaint, at, code="unknown-interface")
        return False
    return True


def _taken(run: Run, name: str) -> bool:
    return any(name in group.interfaces or name in group.shared for group in run.written.garp_groups)


def _virtual(run: Run, at: Directive, name: str) -> bool:
    """A VMAC or IPVLAN interface goes with the one below it."""
    ordinary = all(run.host.interface_is_other_than(name, kind) for kind in ("macvlan", "ipvlan"))
    if ordinary or not run.host.interface_exists(name):
        return False
    run.error(f"Cannot specify garp_delay on a vmac ({name}) - ignoring", at)
    return True


def _interface(run: Run, target: Draft[GarpGroup], at: Directive) -> None:
    name = at.words[1]
    if not _usable(run, at, name):
        return
    if _taken(run, name):
        run.error(f"garp_group already specified for {name} - ignoring", at, word=1, code="duplicate")
    elif not _virtual(run, at, name):
        target.add("interfaces", name, at)


def _shared_opened(run: Run, target: Draft[GarpGroup], at: Directive) -> Draft[GarpGroup]:
    values.list_block(run, at)
    target.names = []
    return target


def _shared_entry(run: Run, target: Draft[GarpGroup], at: Directive) -> None:
    target.names.extend(at.words)


def _shared_closed(run: Run, target: Draft[GarpGroup], at: Directive) -> None:
    """keepalived looks at the names at the end; where it speaks of one, it names the second of them."""
    end = closing(at) or at
    names = target.names
    if not names:
        run.error("Warning - empty garp_group interfaces block", closing(at))
        return
    groups = run.written.garp_groups
    target.number = 1 + sum(1 for one in groups if one is not target and one.__dict__.get("number"))
    for name in names:
        if not _usable(run, end, name):
            continue
        if _taken(run, name):
            if len(names) < 2:
                run.missing_parameter(Directive(tuple(names), names[0], end.line_origin), names[0], 2)
                return
            run.error(f"garp_group already specified for {names[1]} - ignoring", end, code="duplicate")
        elif not _virtual(run, end, name):
            target.add("shared", name, at)


def _show_interfaces(found: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(values.quoted, found))


SHARED: Block[Any] = entries(
    "garp_group/interfaces",
    _shared_entry,
    show_entry=values.quoted,
    entry_help="<IF> ...: an interface, or several",
)

BLOCK: Block[Any] = block(
    "garp_group",
    [
        _interval("garp_interval", "garp_interval_us", "gratuitous ARPs"),
        _interval("gna_interval", "gna_interval_us", "unsolicited neighbour advertisements"),
        values.custom(
            "interface",
            _interface,
            "<IF>",
            help="an interface with these intervals of its own",
            attribute="interfaces",
            show=_show_interfaces,
            schema={"type": "array", "items": {"type": "string"}},
        ),
        Keyword(
            "interfaces",
            arguments="{ <IF> ... }",
            help="interfaces that wait for each other",
            block=SHARED,
            open=_shared_opened,
            close=_shared_closed,
            attribute="shared",
            schema={"type": "array", "items": {"type": "string"}},
        ),
    ],
    record=GarpGroup,
)


def opened(run: Run, written: Written, at: Directive) -> Draft[GarpGroup]:
    """A new group, which counts for its interfaces from here on."""
    group = Draft(GarpGroup, at)
    written.garp_groups.append(group)
    return group


def closed(run: Run, group: Draft[GarpGroup], at: Directive) -> None:
    """A group without an interval is dropped."""
    if group.garp_interval_us is None and group.gna_interval_us is None:
        number = group.__dict__.get("number", 0)
        message = f"garp group {number} does not have any delay set - removing"
        run.error(message, closing(at), expected="garp_interval or gna_interval")
        run.written.garp_groups.remove(group)
