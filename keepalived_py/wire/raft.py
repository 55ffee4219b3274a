"""What members of a cluster tell each other, as JSON.

One message is one JSON object of ASCII text.  Its keys are exactly those of its
type, and every value is checked for type and bounds before anything is made of
it: what `decode` returns is as small and as regular as what `encode` was given,
whoever wrote the bytes.  Who may have written them is another matter
(`election.raft.session`).

A heartbeat is an object of this form; a standing is priority, able, eager,
holding and token:

    {"type": "beat", "stamp": 1, "promise": 300000, "standings": {"VI_1": [100, true, false, false, 0]},
     "asks": {"VI_1": 7}, "freed": {"VI_2": null}, "members": ["a", "b"], "revision": 0, "guarded": true,
     "covers": {"G1": ["VI_1", "VI_2"]}}
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.model.raft import Answer, Heartbeat, LogPart, RaftMessage, Refusal, Standing

# What fits into a frame (60 KiB) beside the frame's own words.
LONGEST_BODY = 61_000
# The longest body of a `LogPart`: in base64 it is a third longer.
LONGEST_LOG_PART = 45_000
MOST_LEASES = 1_024
MOST_MEMBERS = 64
_GREATEST = 2**63 - 1
_LONGEST_WAIT_US = 86_400_000_000
_GREATEST_PRIORITY = 2**31 - 1
# One line that every log can write; bytes that are not UTF-8 come as U+DC80 to U+DCFF from a configuration.
_NAME = re.compile("[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udc7f\udd00-\udfff]{1,255}")
_BEAT_KEYS = frozenset(
    ("type", "stamp", "promise", "standings", "asks", "freed", "members", "revision", "guarded", "covers")
)
_ANSWER_KEYS = frozenset(("type", "stamp", "promise", "granted", "refused"))
_LOG_KEYS = frozenset(("type", "body"))
_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False)

T = TypeVar("T")


class Malformed(ValueError):
    """These bytes are no message; the text says what is wrong with them."""


def encode(message: RaftMessage) -> bytes:
    """`message` as bytes, of which there may be more than `LONGEST_BODY`."""
    match message:
        case Heartbeat():
            value = _of_heartbeat(message)
        case Answer():
            refused = {lease: [each.wait_us, each.token] for lease, each in message.refused.items()}
            value = {
                "type": "answer",
                "stamp": message.stamp,
                "promise": message.promise_us,
                "granted": message.granted,
                "refused": refused,
            }
        case LogPart():
            value = {"type": "log", "body": b64encode(message.body).decode("ascii")}
        case _:
            assert_never(message)
    return _ENCODER.encode(value).encode("ascii")


def _of_heartbeat(beat: Heartbeat) -> dict[str, Any]:
    return {
        "type": "beat",
        "stamp": beat.stamp,
        "promise": beat.promise_us,
        "standings": beat.standings,  # a named tuple is written as a list
        "asks": beat.asks,
        "freed": beat.freed,
        "members": sorted(beat.members),
        "revision": beat.revision,
        "guarded": beat.guarded,
        "covers": {lease: sorted(instances) for lease, instances in beat.covers.items()},
    }


def decode(data: bytes) -> RaftMessage:
    """The message that `data` stands for.  Raises Malformed, and nothing else."""
    if len(data) > LONGEST_BODY:
        raise Malformed("too long")
    try:
        value = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if type(value) is not dict:
        raise Malformed("not an object")
    keys, kind = value.keys(), value.get("type")
    if kind == "beat" and keys == _BEAT_KEYS:
        return _heartbeat(value)
    if kind == "answer" and keys == _ANSWER_KEYS:
        return _answer(value)
    if kind == "log" and keys == _LOG_KEYS:
        return _log_part(value["body"])
    raise Malformed("unknown type or keys")


def _heartbeat(value: dict[str, Any]) -> Heartbeat:
    return Heartbeat(
        stamp=Micros(_number(value["stamp"], _GREATEST)),
        promise_us=Micros(_number(value["promise"], _LONGEST_WAIT_US)),
        standings=_by_lease(value["standings"], _standing),
        asks=_by_lease(value["asks"], _token),
        freed=_by_lease(value["freed"], _successor),
        members=frozenset(MemberId(_name(each)) for each in _list(value["members"], MOST_MEMBERS)),
        revision=_number(value["revision"], _GREATEST),
        guarded=_flag(value["guarded"]),
        covers=_by_lease(value["covers"], _instances),
    )


def _answer(value: dict[str, Any]) -> Answer:
    return Answer(
        stamp=Micros(_number(value["stamp"], _GREATEST)),
        promise_us=Micros(_number(value["promise"], _LONGEST_WAIT_US)),
        granted=tuple(LeaseName(_name(each)) for each in _list(value["granted"], MOST_LEASES)),
        refused=_by_lease(value["refused"], _refusal),
    )


def _log_part(value: Any) -> LogPart:
    try:
        body = b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("body is not base64") from None
    if len(body) > LONGEST_LOG_PART:
        raise Malformed("body is too long")
    return LogPart(body)


def _by_lease(value: Any, parse: Callable[[Any], T]) -> Mapping[LeaseName, T]:
    if type(value) is not dict or len(value) > MOST_LEASES:
        raise Malformed("not an object, or with too many leases")
    return {LeaseName(_name(lease)): parse(each) for lease, each in value.items()}


def _standing(value: Any) -> Standing:
    if type(value) is not list or len(value) != 5:
        raise Malformed("a standing is five values")
    priority, able, eager, holding, token = value
    if type(priority) is not int or not -_GREATEST_PRIORITY <= priority <= _GREATEST_PRIORITY:
        raise Malformed("not a priority")
    return Standing(priority, _flag(able), _flag(eager), _flag(holding), _token(token))


def _refusal(value: Any) -> Refusal:
    if type(value) is not list or len(value) != 2:
        raise Malformed("a refusal is two values")
    return Refusal(Micros(_number(value[0], _LONGEST_WAIT_US)), _token(value[1]))


def _successor(value: Any) -> MemberId | None:
    return None if value is None else MemberId(_name(value))


def _instances(value: Any) -> frozenset[InstanceName]:
    return frozenset(InstanceName(_name(each)) for each in _list(value, MOST_LEASES))


def _token(value: Any) -> int:
    return _number(value, _GREATEST)


def _number(value: Any, greatest: int) -> int:
    if type(value) is not int or not 0 <= value <= greatest:
        raise Malformed("a number is missing or out of bounds")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Malformed("neither true nor false")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Malformed("not a string")
    return value


def _name(value: Any) -> str:
    text = _text(value)
    if not _is_name(text):
        raise Malformed("a name is empty, too long or not printable")
    return text


@lru_cache(maxsize=4 * MOST_LEASES)
def _is_name(text: str) -> bool:
    """The same names come in every heartbeat."""
    return _NAME.fullmatch(text) is not None


def _list(value: Any, most: int) -> list[Any]:
    if type(value) is not list or len(value) > most:
        raise Malformed("not a list, or too long")
    return value
