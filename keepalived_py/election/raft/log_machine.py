"""What the log decides: commands in, what the cluster remembers out.

A command is a list of JSON values, its word first; every member applies the same
commands in the same order and comes to the same state, so nothing here looks at a
clock or at the configuration.  All commands may come twice (whoever gets no answer
asks again): the second time changes nothing.  A member that is older than the one
that gave the command may meet a word it does not know: it passes over it and says so.

In the library's own form a command is one byte for its kind, then its text.  The
library would put pickles there; here it is JSON, and nothing in this program ever
unpickles.  Of the kinds there are two: what a new leader begins with, and ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.base.record import replace
from keepalived_py.election.raft.views import Holding
from keepalived_py.model.raft import Orders

MOST_HISTORY = 200
LONGEST_COMMAND = 4096
LARGEST_NUMBER = 1 << 60
_LONGEST_NAME = 255
_LONGEST_REASON = 400
_MOST_NAMES = 1000
_OURS, _BEGIN = b"\0", b"\1"

Command = list[Any]


class BadCommand(ValueError):
    """These values are no command, or no state."""


class Held(NamedTuple):
    """One line of the history.  `at`: UTC in seconds, by the clock of the member that wrote it."""

    at: int
    lease: LeaseName
    member: MemberId
    token: int
    reason: str


class LogState(NamedTuple):
    """What was decided up to now.  `revision` counts the lists of members, of which `members` is the last."""

    orders: Orders = Orders()
    members: tuple[MemberId, ...] = ()
    revision: int = 0
    history: tuple[Held, ...] = ()


# -- commands ----------------------------------------------------------------------------


def hold(entry: Holding, at: int) -> Command:
    """A lease was granted."""
    return ["hold", entry.lease, entry.member, entry.token, entry.reason[:_LONGEST_REASON], at]


def pin(lease: str, member: str) -> Command:
    """The member comes before all others for the lease."""
    return ["pin", lease, member]


def unpin(lease: str) -> Command:
    """Nobody does any more."""
    return ["unpin", lease]


def drain(member: str) -> Command:
    """The member shall hold nothing."""
    return ["drain", member]


def undrain(member: str) -> Command:
    """It may again."""
    return ["undrain", member]


def members(ids: Iterable[str]) -> Command:
    """These are the members of the cluster."""
    return ["members", sorted(ids)]


def apply(state: LogState, command: Command) -> LogState | None:
    """The state after a command; None: it is not known here, or its values are none of ours."""
    word = command[0]
    if word not in _APPLIED:
        return None
    check, change = _APPLIED[word]
    values = command[1:]
    if len(values) != len(check) or not all(good(value) for good, value in zip(check, values, strict=True)):
        return None
    return change(state, *values)


def _held(state: LogState, lease: str, member: str, token: int, reason: str, at: int) -> LogState:
    name, entry = LeaseName(lease), Held(at, LeaseName(lease), MemberId(member), token, reason)
    if any(each[1:4] == entry[1:4] for each in state.history):
        return state
    tokens = {**state.orders.tokens, name: max(token, state.orders.tokens.get(name, 0))}
    if len(tokens) > _MOST_NAMES:
        del tokens[next(iter(tokens))]
    history = (*state.history, entry)[-MOST_HISTORY:]
    return state._replace(orders=replace(state.orders, tokens=tokens), history=history)


def _pin(state: LogState, lease: str, member: str) -> LogState:
    pinned = {**state.orders.pinned, LeaseName(lease): MemberId(member)}
    if len(pinned) > _MOST_NAMES:
        return state
    return state._replace(orders=replace(state.orders, pinned=pinned))


def _unpin(state: LogState, lease: str) -> LogState:
    pinned = {name: member for name, member in state.orders.pinned.items() if name != lease}
    return state._replace(orders=replace(state.orders, pinned=pinned))


def _drain(state: LogState, member: str) -> LogState:
    drained = state.orders.drained | {MemberId(member)}
    if len(drained) > _MOST_NAMES:
        return state
    return state._replace(orders=replace(state.orders, drained=drained))


def _undrain(state: LogState, member: str) -> LogState:
    return state._replace(orders=replace(state.orders, drained=state.orders.drained - {member}))


def _members(state: LogState, ids: list[str]) -> LogState:
    """Orders for those that have left go with them."""
    now = tuple(MemberId(each) for each in ids)
    if now == state.members:
        return state
    orders = replace(
        state.orders,
        pinned={lease: member for lease, member in state.orders.pinned.items() if member in now},
        drained=state.orders.drained & frozenset(now),
    )
    return state._replace(orders=orders, members=now, revision=state.revision + 1)


def is_name(value: object) -> bool:
    """Whether it is a name of a member or a lease."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def is_number(value: object) -> bool:
    """Whether it is a whole number from 0 that JSON readers agree on."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER


def _is_reason(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_REASON


def _is_names(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_NAMES and all(map(is_name, value))


_APPLIED: Mapping[str, tuple[tuple[Callable[[object], bool], ...], Callable[..., LogState]]] = {
    "hold": ((is_name, is_name, is_number, _is_reason, is_number), _held),
    "pin": ((is_name, is_name), _pin),
    "unpin": ((is_name,), _unpin),
    "drain": ((is_name,), _drain),
    "undrain": ((is_name,), _undrain),
    "members": ((_is_names,), _members),
}


# -- the library's form of an entry ------------------------------------------------------


def pack(command: Command | None) -> bytes:
    """The library's form of a command; None: what a leader begins with.  Raises BadCommand."""
    if command is None:
        return _BEGIN
    if not isinstance(command, list) or not command or not isinstance(command[0], str):
        raise BadCommand("a command is a list that begins with a word")
    try:
        made = _OURS + json.dumps(command, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as fault:
        raise BadCommand(str(fault)) from fault
    if len(made) > LONGEST_COMMAND:
        raise BadCommand(f"a command of {len(made)} bytes is too long")
    return made


def unpack(made: bytes) -> Command | None:
    """Back from the library's form.  Raises BadCommand for anything but what `pack` makes."""
    if made == _BEGIN:
        return None
    if made[:1] != _OURS or len(made) > LONGEST_COMMAND:
        raise BadCommand("an entry of a kind that is not used here")
    try:
        command = json.loads(made[1:])
    except (ValueError, RecursionError) as fault:
        raise BadCommand(str(fault)) from fault
    if not isinstance(command, list) or not command or not isinstance(command[0], str):
        raise BadCommand("a command is a list that begins with a word")
    return command


# -- the state as JSON ---------------------------------------------------------------------


def to_json(state: LogState) -> dict[str, Any]:
    """The state for the journal and for members that are far behind."""
    return {
        "pinned": dict(state.orders.pinned),
        "drained": sorted(state.orders.drained),
        "tokens": dict(state.orders.tokens),
        "members": list(state.members),
        "revision": state.revision,
        "history": [list(each) for each in state.history],
    }


def orders_to_json(orders: Orders) -> dict[str, Any]:
    """Only what the electing process wants to know."""
    return {"pinned": dict(orders.pinned), "drained": sorted(orders.drained), "tokens": dict(orders.tokens)}


def orders_from_json(value: Mapping[str, Any]) -> Orders:
    """Back from `orders_to_json`."""
    return Orders(
        pinned={LeaseName(lease): MemberId(member) for lease, member in value["pinned"].items()},
        drained=frozenset(MemberId(each) for each in value["drained"]),
        tokens={LeaseName(lease): token for lease, token in value["tokens"].items()},
    )


def from_json(value: object) -> LogState:
    """The state that `value` is.  Raises BadCommand."""
    if not isinstance(value, dict):
        raise BadCommand("a state is an object")
    pinned, tokens = value.get("pinned"), value.get("tokens")
    good = (
        _is_table(pinned, is_name)
        and _is_table(tokens, is_number)
        and _is_names(value.get("drained"))
        and _is_names(value.get("members"))
        and is_number(value.get("revision"))
        and isinstance(value.get("history"), list)
    )
    if not good:
        raise BadCommand("a field of the state is missing, or wrong")
    history = tuple(_held_from_json(each) for each in value["history"][-MOST_HISTORY:])
    ids = tuple(MemberId(each) for each in value["members"])
    return LogState(orders_from_json(value), ids, value["revision"], history)


def _held_from_json(value: object) -> Held:
    check = (is_number, is_name, is_name, is_number, _is_reason)
    if not isinstance(value, list) or len(value) != len(check):
        raise BadCommand("a line of the history is wrong")
    if not all(good(each) for good, each in zip(check, value, strict=True)):
        raise BadCommand("a line of the history is wrong")
    return Held(*value)


def _is_table(value: object, good: Callable[[object], bool]) -> bool:
    if not isinstance(value, dict) or len(value) > _MOST_NAMES:
        return False
    return all(is_name(key) and good(each) for key, each in value.items())
