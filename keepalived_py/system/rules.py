"""Policy rules as rtnetlink has them (linux/fib_rules.h), written as keepalived writes them.

The kernel tells of a rule with all its defaults filled in.  `identity` puts
them in on both sides, so that a message about a rule of ours is known by it.
"""

import struct

from keepalived_py.model.network import Range, Rule, RuleAction
from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import Attributes, number, split

DESTINATION, SOURCE, INPUT_INTERFACE, GOTO, PRIORITY = 1, 2, 3, 4, 6
MARK, FLOW, TUNNEL_ID, SUPPRESSED_GROUP, SUPPRESSED_PREFIX_LENGTH, TABLE, MARK_MASK = (
    10,
    11,
    12,
    13,
    14,
    15,
    16,
)
OUTPUT_INTERFACE, L3_MASTER, USERS, PROTOCOL, IP_PROTOCOL, SOURCE_PORTS, DESTINATION_PORTS = (
    17,
    19,
    20,
    21,
    22,
    23,
    24,
)
_ACTIONS = {
    RuleAction.TABLE: 1,
    RuleAction.GOTO: 2,
    RuleAction.NOP: 3,
    RuleAction.BLACKHOLE: 6,
    RuleAction.UNREACHABLE: 7,
    RuleAction.PROHIBIT: 8,
}
_INVERTED = 2
_WHOLE_MARK = 0xFFFFFFFF
_NOT_SUPPRESSED = 0xFFFFFFFF
# What is the same in our words and in the kernel's.
_KEPT = (INPUT_INTERFACE, GOTO, PRIORITY, FLOW, TUNNEL_ID, OUTPUT_INTERFACE, USERS, IP_PROTOCOL, SOURCE_PORTS,
         DESTINATION_PORTS)  # fmt: skip

_HEADER = struct.Struct("=BBBBBBBBI")
_USERS = struct.Struct("=II")
_PORTS = struct.Struct("=HH")

DUMP = rtnetlink.dump(rtnetlink.GET_RULE, bytes(_HEADER.size))

RuleIdentity = tuple[object, ...]


def addition(one: Rule) -> rtnetlink.Request:
    """The request that puts `one` into the list of rules."""
    return rtnetlink.request(rtnetlink.NEW_RULE, rtnetlink.CREATE | rtnetlink.EXCLUSIVE, _written(one))


def removal(one: Rule) -> rtnetlink.Request:
    """The request that takes `one` out of the list of rules."""
    return rtnetlink.request(rtnetlink.DELETE_RULE, 0, _written(one))


def _written(one: Rule) -> Attributes:
    by_device = one.action is RuleAction.TABLE and one.table is None
    table = one.table or 0
    written = Attributes(
        _HEADER.pack(
            rtnetlink.FAMILIES[one.family],
            one.destination.length if one.destination else 0,
            one.source.length if one.source else 0,
            one.tos or 0,
            table if table < 256 else 0,
            0,
            0,
            _ACTIONS[one.action],
            _INVERTED if one.inverted else 0,
        )
    )
    if table >= 256:
        written.number_32(TABLE, table)
    written.address(SOURCE, one.source.address if one.source else None)
    written.address(DESTINATION, one.destination.address if one.destination else None)
    written.number_32(PRIORITY, one.priority)
    written.number_32(MARK, one.fwmark)
    written.number_32(MARK_MASK, one.fwmask)
    written.realms(FLOW, one.realms)
    written.number_32(SUPPRESSED_PREFIX_LENGTH, one.suppressed_prefix_length)
    written.number_32(SUPPRESSED_GROUP, one.suppressed_group)
    written.text(INPUT_INTERFACE, one.input_interface)
    written.text(OUTPUT_INTERFACE, one.output_interface)
    written.number_64_of_network(TUNNEL_ID, one.tunnel_id or None)
    _write_range(written, USERS, _USERS, one.users)
    written.number_8(L3_MASTER, 1 if by_device else None)
    written.number_8(PROTOCOL, one.protocol)
    written.number_8(IP_PROTOCOL, one.ip_protocol)
    _write_range(written, SOURCE_PORTS, _PORTS, one.source_ports)
    _write_range(written, DESTINATION_PORTS, _PORTS, one.destination_ports)
    written.number_32(GOTO, one.target)
    return written


def _write_range(written: Attributes, kind: int, form: struct.Struct, one: Range | None) -> None:
    if one is not None:
        written.add(kind, form.pack(one.first, one.last))


def identity(payload: bytes) -> RuleIdentity | None:
    """What the rule of a message, ours or the kernel's, is; None if it is cut short."""
    if len(payload) < _HEADER.size:
        return None
    family, to_length, from_length, tos, table, _, _, action, flags = _HEADER.unpack_from(payload)
    found = split(payload, _HEADER.size)
    mark = number(found.get(MARK))
    return (
        family,
        (to_length, found.get(DESTINATION)) if to_length else None,
        (from_length, found.get(SOURCE)) if from_length else None,
        tos,
        number(found.get(TABLE), table),
        action,
        bool(flags & _INVERTED),
        mark,
        number(found.get(MARK_MASK), _WHOLE_MARK if mark else 0),
        number(found.get(SUPPRESSED_PREFIX_LENGTH), _NOT_SUPPRESSED),
        number(found.get(SUPPRESSED_GROUP), _NOT_SUPPRESSED),
        number(found.get(L3_MASTER)),
        number(found.get(PROTOCOL)),
        *(found.get(kind) for kind in _KEPT),
    )
