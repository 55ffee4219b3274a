"""`virtual_rules` and `static_rules`: one policy rule on each line, in iproute2's words.

A rule that is refused is left out; the rest of the block is still used.  Words,
texts and the order of the checks are those of keepalived 2.2.7.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from keepalived_py.config.blocks import lists
from keepalived_py.config.blocks.kernel_names import (
    BLANKS,
    LARGEST,
    UNSIGNED,
    named_number,
    realms,
    strtoul,
)
from keepalived_py.config.blocks.line_options import (
    ANYTHING,
    TRACK_GROUP,
    Dropped,
    Line,
    append,
    family_word,
    mark,
    option,
    read_words,
    table_of,
)
from keepalived_py.config.blocks.route_options import route_type
from keepalived_py.config.blocks.values import quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.host import OCTET, Host
from keepalived_py.config.schema import Block, Run
from keepalived_py.config.written import Written
from keepalived_py.model.network import (
    PROTOCOL_KEEPALIVED,
    Range,
    RouteType,
    Rule,
    RuleAction,
)

Option = Callable[[Run, Line[Any], Directive], None]
RuleDraft = Draft[Rule]

FIRST_PRIORITY = 16384
LARGEST_SIGNED = 0x7FFFFFFF
LARGEST_PROTOCOL = 127  # keepalived compares with the largest signed octet
NO_INTERFACE = "WARNING - interface {word} for rule doesn't exist"
ONE_ACTION = "Cannot specify more than one of table/nop/goto/blackhole/prohibit/unreachable"
MIXED = "rule specification has mixed IPv4 and IPv6"
REFUSALS = {
    RouteType.BLACKHOLE: RuleAction.BLACKHOLE,
    RouteType.UNREACHABLE: RuleAction.UNREACHABLE,
    RouteType.PROHIBIT: RuleAction.PROHIBIT,
}
_RANGE = re.compile(r"[ \t\v\f\r\n]*([+-]?[0-9]+)-[ \t\v\f\r\n]*([+-]?[0-9]+)")


def read_rule(run: Run, at: Directive, static: bool = False) -> RuleDraft | None:
    """One entry; None if it has to be left out."""
    draft: RuleDraft = Draft(Rule, at)
    line: Line[Rule] = Line(run, at, draft)
    try:
        read_words(line, STATIC_OPTIONS if static else OPTIONS, _action)
        line.position = 0
        _check(line)
    except Dropped:
        return None
    _settle(line)
    return draft


def _check(line: Line[Any]) -> None:
    """What makes a rule unusable once all of it was read."""
    draft = line.draft
    action = draft.action
    if action is RuleAction.GOTO:
        if draft.priority is None:
            line.drop(f"Invalid rule - goto target {draft.target} specified without preference")
        if draft.priority >= draft.target:
            line.drop(f"Invalid rule - preference {draft.priority} >= goto target {draft.target}")
    if action is None:
        line.drop(
            "No action specified for rule - ignoring", "missing-value", "table, goto, nop, blackhole, ..."
        )
    of_table = ("realms", "suppressed_prefix_length", "suppressed_group")
    if action is not RuleAction.TABLE and any(map(draft.written, of_table)):
        line.drop("suppressor/realm specified for non table action - skipping")


def _settle(line: Line[Any]) -> None:
    """Fill in what was not said."""
    draft = line.draft
    if draft.tracked:
        if draft.protocol not in (None, PROTOCOL_KEEPALIVED):
            line.error(
                "Rule cannot be tracked if protocol is not "
                f"RTPROT_KEEPALIVED({PROTOCOL_KEEPALIVED}), resetting protocol",
                "not-tracked",
                "no_track, or no protocol",
            )
        draft.protocol = PROTOCOL_KEEPALIVED
    if draft.track_group is not None and draft.input_interface is None:
        line.error("Static rule cannot have track_group if dev/iif not specified", "not-tracked", "dev")
        draft.track_group = None
    draft.family = line.family or 4
    for name in ("source", "destination"):
        if getattr(draft, name) is ANYTHING[4]:
            setattr(draft, name, ANYTHING[draft.family])
    if draft.priority is None:
        used = line.run.written.rules_without_priority
        draft.priority = FIRST_PRIORITY - used.get(draft.family, 0)
        used[draft.family] = used.get(draft.family, 0) + 1
        line.error(
            f"Rule has no preference specified - setting to {draft.priority}. "
            "This is probably not what you want.",
            "missing-value",
            "preference NUMBER",
        )


# What it does ----------------------------------------------------------------


def _action(line: Line[Any]) -> None:
    """`[type] ACTION`: what every word is that is no option."""
    word = line.word()
    if word == "type":
        word = line.argument()
    target = None
    if word == "goto":
        line.argument()
        target = line.number()
        if target is None:
            line.drop("Invalid target goto specified")
        action = RuleAction.GOTO
    elif word == "nop":
        action = RuleAction.NOP
    else:
        action = _refusal(line, word)
    if line.draft.action is not None:
        line.drop(f"{ONE_ACTION}/l3mdev for rule", "duplicate")
    line.draft.action = action
    line.draft.target = target


def _refusal(line: Line[Any], word: str) -> RuleAction:
    kind = route_type(word)
    if kind is None:
        line.drop(f"Unknown rule option {word}", "unknown-option")
    if kind not in REFUSALS:
        line.drop(f"Invalid rule action {word}", expected="blackhole, unreachable or prohibit")
    return REFUSALS[RouteType(kind)]


def _act(run: Run, line: Line[Any], at: Directive) -> None:
    _action(line)


def _table(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = named_number(run.host, "rt_tables", word)
    if found is None:
        line.drop(f"Routing table {word} not found for rule", "unknown-name")
    if found == 0:
        line.drop("Table 0 is not valid")
    if line.draft.action is not None:
        line.drop(f"{ONE_ACTION} for rule", "duplicate")
    line.draft.table = found
    line.draft.action = RuleAction.TABLE


def _l3mdev(run: Run, line: Line[Any], at: Directive) -> None:
    if line.draft.action is not None:
        line.drop("Cannot specify l3mdev with other action", "duplicate")
    line.draft.action = RuleAction.TABLE


# What it matches -------------------------------------------------------------


def _prefix(attribute: str, keyword: str) -> Option:
    def read(run: Run, line: Line[Any], at: Directive) -> None:
        word = line.argument()
        found = line.prefix()
        if found is None:
            line.drop(f"Invalid rule {keyword} address {word}", "invalid-address")
        line.agree(found[0], MIXED)
        setattr(line.draft, attribute, found[1])

    return read


def _interface(attribute: str) -> Option:
    def read(run: Run, line: Line[Any], at: Directive) -> None:
        setattr(line.draft, attribute, line.interface(NO_INTERFACE))

    return read


def _number(attribute: str, message: str, high: int = UNSIGNED, *, base: int = 10, bits: int = 32) -> Option:
    def read(run: Run, line: Line[Any], at: Directive) -> None:
        word = line.word()
        line.argument()
        value = line.number(high, base=base, bits=bits)
        if value is None:
            line.drop(message.format(word))
        setattr(line.draft, attribute, value)

    return read


def _tos(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = named_number(run.host, "rt_dsfield", word)
    if found is None:
        line.drop(f"TOS value {word} is invalid", "unknown-name")
    line.draft.tos = found


def _fwmark(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument().lstrip(BLANKS)
    value, rest, _ = strtoul(word, 0)
    mask: int | None = None
    fault = word.startswith("-") or value > UNSIGNED
    if rest.startswith("/"):
        fault = fault or rest[1:2] == "-" or (rest[1:2] in BLANKS and rest[1:] != "")
        mask, rest, _ = strtoul(rest[1:], 0)
        fault = fault or mask > UNSIGNED
    if fault or rest:
        line.drop(f"Invalid rule fwmark {word} specified", expected="NUMBER or NUMBER/MASK")
    line.draft.fwmark, line.draft.fwmask = value, mask


def _realms(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = realms(run.host, word)
    if found is None:
        line.drop(f"invalid realms {word} for rule", "unknown-name")
    line.agree(4, "realms is only valid for IPv4")
    line.draft.realms = found


def _group(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    found = named_number(run.host, "group", word)
    if found is None:
        line.drop(f"suppress_group {word} is invalid", "unknown-name")
    line.draft.suppressed_group = found


def _range(word: str, bits: int) -> Range | None:
    """`FIRST-LAST` as C's scanf reads it: what stands behind is passed over."""
    found = _RANGE.match(word)
    if found is None:
        return None
    largest = (1 << bits) - 1
    return Range(int(found[1]) & largest, int(found[2]) & largest)


def _users(run: Run, line: Line[Any], at: Directive) -> None:
    found = _range(line.argument(), 32)
    if found is None:
        line.drop("Invalid uidrange uidrange specified", expected="FIRST-LAST")
    line.draft.users = found


def _ports(attribute: str, keyword: str) -> Option:
    def read(run: Run, line: Line[Any], at: Directive) -> None:
        word = line.argument()
        found = _range(word, 16)
        if found is None:
            line.error(f"invalid {keyword} range {word}", expected="FIRST-LAST, also for a single port")
        else:
            setattr(line.draft, attribute, found)

    return read


def _protocol(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    value = line.number(OCTET)
    if value is None:
        line.error(f"Invalid protocol {word}")
    else:
        line.draft.protocol = value


def _ip_protocol(run: Run, line: Line[Any], at: Directive) -> None:
    word = line.argument()
    value = _ip_protocol_number(run.host, word.lstrip(BLANKS))
    if value is None:
        line.error(f"Invalid ipproto {word}", "unknown-name", "a name of /etc/protocols or a number")
    else:
        line.draft.ip_protocol = value


def _ip_protocol_number(host: Host, word: str) -> int | None:
    if not word or word.startswith("-"):
        return None
    value, rest, _ = strtoul(word, 10)
    if value > LARGEST_PROTOCOL:
        return None
    return host.kernel_name("protocols", word) if rest else value


# The table -------------------------------------------------------------------

NUMBER = "<INT 0..4294967295>"
ANY_PREFIX = "<PREFIX>|default|any|all"
_preference = _number("priority", "Invalid rule preference {} specified", base=0)
_prefix_length = _number(
    "suppressed_prefix_length", "Invalid suppress_prefixlength {} specified", LARGEST_SIGNED
)
OPTIONS = table_of(
    [
        family_word("inet", "rule"),
        family_word("inet6", "rule"),
        option("from", _prefix("source", "from"), ANY_PREFIX, "source of the packets", default="any"),
        option("to", _prefix("destination", "to"), ANY_PREFIX, "destination of the packets", default="any"),
        option("table", _table, f"<NAME>|{NUMBER}", "action: look up this routing table"),
        option("lookup", _table, f"<NAME>|{NUMBER}", "the same as table", alias="table"),
        mark("not", "inverted", "match the packets that the rest does not describe"),
        option(
            "preference",
            _preference,
            NUMBER,
            "priority of the rule, the lower ones first; also 0octal and 0xhex",
            default="16384 and downward, with an error",
        ),
        option(
            "order",
            _preference,
            NUMBER,
            "the same as preference",
            alias="preference",
            default="that of preference",
        ),
        option(
            "priority",
            _preference,
            NUMBER,
            "the same as preference",
            alias="preference",
            default="that of preference",
        ),
        option("tos", _tos, "<NAME>|<INT 0..255>", "type of service of the packets"),
        option("dsfield", _tos, "<NAME>|<INT 0..255>", "the same as tos", alias="tos"),
        option("fwmark", _fwmark, "<NUM>[/<MASK>]", "firewall mark of the packets; also 0octal and 0xhex"),
        option("realms", _realms, "[<SRC>/]<DST>", "routing realms (IPv4, with table only)"),
        option(
            "suppress_prefixlength",
            _prefix_length,
            "<INT 0..2147483647>",
            "do not use routes with a prefix this short (with table only)",
            default="-1",
        ),
        option(
            "sup_pl",
            _prefix_length,
            "<INT 0..2147483647>",
            "the same as suppress_prefixlength",
            default="-1",
            alias="suppress_prefixlength",
        ),
        option(
            "suppress_ifgroup",
            _group,
            "<NAME>|<INT 0..2147483647>",
            "do not use routes over interfaces of this group (with table only)",
        ),
        option(
            "sup_group",
            _group,
            "<NAME>|<INT 0..2147483647>",
            "the same as suppress_ifgroup",
            alias="suppress_ifgroup",
        ),
        option("dev", _interface("input_interface"), "<IF>", "the same as iif", alias="iif"),
        option("iif", _interface("input_interface"), "<IF>", "interface that the packets come in by"),
        option("oif", _interface("output_interface"), "<IF>", "interface that local packets are bound to"),
        option(
            "tunnel-id",
            _number("tunnel_id", "Invalid tunnel-id {} specified", LARGEST, bits=64),
            "<INT 0..18446744073709551615>",
            "key of the tunnel that the packets came through",
        ),
        option("uidrange", _users, "<START>-<END>", "users whose packets they are"),
        option("l3mdev", _l3mdev, "", "action: look up the table of the L3 master device"),
        option(
            "protocol",
            _protocol,
            "<INT 0..255>",
            "who put the rule in; another one than keepalived needs no_track",
            default="18",
        ),
        option("ipproto", _ip_protocol, "<NAME>|<INT 0..127>", "IP protocol of the packets"),
        option("sport", _ports("source_ports", "sport"), "<START>-<END>", "source ports; always a range"),
        option(
            "dport",
            _ports("destination_ports", "dport"),
            "<START>-<END>",
            "destination ports; always a range",
        ),
        mark("no_track", "tracked", "ignore that others remove the rule", False),
        option("type", _act, "<ACTION>", "introduces an action; may be left out"),
        option("goto", _act, NUMBER, "action: go on with the rule of this priority, a greater one"),
        option("nop", _act, "", "action: none"),
        option("blackhole", _act, "", "action: drop the packets silently"),
        option("unreachable", _act, "", "action: answer that the network is unreachable"),
        option("prohibit", _act, "", "action: answer that it is prohibited"),
    ]
)
STATIC_OPTIONS = table_of([*OPTIONS.values(), TRACK_GROUP])


# Writing it back -------------------------------------------------------------


def show_rule(record: Rule) -> str:
    """The line that gives `record`."""
    return " ".join([*_matches(record), *_does(record)])


def _matches(one: Rule) -> Iterator[str]:
    if one.family == 6 and one.source is None and one.destination is None:
        yield "inet6 inet6"  # keepalived passes over the word behind it
    if one.inverted:
        yield "not"
    ports = (("sport", one.source_ports), ("dport", one.destination_ports))
    for name, value in (
        ("from", one.source),
        ("to", one.destination),
        ("iif", one.input_interface),
        ("oif", one.output_interface),
        ("tos", one.tos),
        ("fwmark", _mark(one)),
        ("tunnel-id", one.tunnel_id),
        ("uidrange", one.users),
        ("ipproto", one.ip_protocol),
        *ports,
    ):
        if value is not None:
            yield f"{name} {quoted(str(value))}"


def _mark(one: Rule) -> str | None:
    if one.fwmark is None:
        return None
    return f"{one.fwmark:#x}" if one.fwmask is None else f"{one.fwmark:#x}/{one.fwmask:#x}"


def _does(one: Rule) -> Iterator[str]:
    yield f"preference {one.priority}"
    if one.action is RuleAction.TABLE:
        yield "l3mdev" if one.table is None else f"table {one.table}"
    else:
        yield one.action.value if one.target is None else f"goto {one.target}"
    for name, value in (
        ("realms", one.realms),
        ("suppress_prefixlength", one.suppressed_prefix_length),
        ("suppress_ifgroup", one.suppressed_group),
        ("protocol", None if one.tracked else one.protocol),
        ("track_group", one.track_group),
    ):
        if value is not None:
            yield f"{name} {quoted(str(value))}"
    if not one.tracked:
        yield "no_track"


# The blocks ------------------------------------------------------------------


def _entry(run: Run, target: Any, at: Directive) -> None:
    found = read_rule(run, at)
    if found is not None:
        append(target, "rules", found)


def _static_entry(run: Run, target: Written, at: Directive) -> None:
    found = read_rule(run, at, static=True)
    if found is not None:
        target.static_rules.append(found)


static_opened = lists.opened

_HELP = "[options] <ACTION>: one policy rule; its words may stand in any order"
BLOCK: Block[Any] = Block(
    "virtual_rules", OPTIONS, entry=_entry, record=Rule, show_entry=show_rule, entry_help=_HELP
)
STATIC: Block[Any] = Block(
    "static_rules", STATIC_OPTIONS, entry=_static_entry, record=Rule, show_entry=show_rule, entry_help=_HELP
)
