"""Messages of members: what is written is read again, and nothing else is let in."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, LeaseName, MemberId
from keepalived_py.model.raft import Answer, Heartbeat, LogPart, RaftMessage, Refusal, Standing
from keepalived_py.wire.raft import (
    LONGEST_BODY,
    LONGEST_LOG_PART,
    MOST_LEASES,
    MOST_MEMBERS,
    Malformed,
    decode,
    encode,
)

NAMES = st.text(
    st.characters(min_codepoint=0x20, blacklist_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20
)
LEASES = NAMES.map(LeaseName)
MEMBERS = NAMES.map(MemberId)
NUMBERS = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, 86_400_000_000).map(Micros)
STANDINGS = st.builds(
    Standing, st.integers(-(2**31) + 1, 2**31 - 1), st.booleans(), st.booleans(), st.booleans(), NUMBERS
)
HEARTBEATS = st.builds(
    Heartbeat,
    NUMBERS.map(Micros),
    TIMES,
    st.dictionaries(LEASES, STANDINGS, max_size=5),
    st.dictionaries(LEASES, NUMBERS, max_size=5),
    st.dictionaries(LEASES, st.none() | MEMBERS, max_size=5),
    st.frozensets(MEMBERS, max_size=7),
    NUMBERS,
    st.booleans(),
    st.dictionaries(LEASES, st.frozensets(NAMES.map(InstanceName), max_size=4), max_size=3),
)
ANSWERS = st.builds(
    Answer,
    NUMBERS.map(Micros),
    TIMES,
    st.lists(LEASES, max_size=5).map(tuple),
    st.dictionaries(LEASES, st.builds(Refusal, TIMES, NUMBERS), max_size=5),
)
MESSAGES = HEARTBEATS | ANSWERS | st.binary(max_size=200).map(LogPart)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
)

BEAT = Heartbeat(
    Micros(5),
    Micros(300_000),
    {LeaseName("VI_1"): Standing(100, True, False, True, 7)},
    {LeaseName("VI_1"): 7},
    {LeaseName("VI_2"): MemberId("b"), LeaseName("VI_3"): None},
    frozenset((MemberId("a"), MemberId("b"))),
    3,
    True,
    {LeaseName("G1"): frozenset((InstanceName("VI_4"), InstanceName("VI_5")))},
)
ANSWER = Answer(Micros(5), Micros(1), (LeaseName("x"),), {LeaseName("y"): Refusal(Micros(2), 3)})


def bad(data: bytes | str) -> None:
    with pytest.raises(Malformed):
        decode(data.encode() if isinstance(data, str) else data)


def changed(message: RaftMessage, **values: Any) -> str:
    return json.dumps({**json.loads(encode(message)), **values})


@given(MESSAGES)
def test_what_is_written_is_read_again(message: RaftMessage) -> None:
    assert decode(encode(message)) == message


def test_form_of_a_heartbeat() -> None:
    assert json.loads(encode(BEAT)) == {
        "type": "beat",
        "stamp": 5,
        "promise": 300000,
        "standings": {"VI_1": [100, True, False, True, 7]},
        "asks": {"VI_1": 7},
        "freed": {"VI_2": "b", "VI_3": None},
        "members": ["a", "b"],
        "revision": 3,
        "guarded": True,
        "covers": {"G1": ["VI_4", "VI_5"]},
    }


def test_names_that_are_not_utf8_survive() -> None:
    message = ANSWER._replace(granted=(LeaseName("caf\udce9"),))
    assert decode(encode(message)) == message


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with suppress(Malformed):
        decode(data)


@given(JSON)
def test_no_json_raises_anything_else(value: Any) -> None:
    bad(json.dumps(value))


@given(st.sampled_from((BEAT, ANSWER, LogPart(b"abc"))), JSON, st.data())
def test_no_value_anywhere_raises_anything_else(
    message: RaftMessage, value: Any, data: st.DataObject
) -> None:
    whole = json.loads(encode(message))
    whole[data.draw(st.sampled_from(sorted(whole)))] = value
    try:
        made = decode(json.dumps(whole).encode())
    except Malformed:
        return
    assert decode(encode(made)) == made


@given(st.sampled_from((BEAT, ANSWER, LogPart(b"abc"))), st.data())
def test_cut_messages_are_malformed(message: RaftMessage, data: st.DataObject) -> None:
    whole = encode(message)
    bad(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    "text",
    [
        changed(BEAT, stamp=True),
        changed(BEAT, stamp=-1),
        changed(BEAT, stamp=2**63),
        changed(BEAT, stamp=1.0),
        changed(BEAT, stamp=float("nan")),
        changed(BEAT, promise=86_400_000_001),
        changed(BEAT, revision=None),
        changed(BEAT, guarded=1),
        changed(BEAT, more=1),
        changed(BEAT, type="log"),
        changed(BEAT, type=["beat"]),
        changed(BEAT, members={"a": 1}),
        changed(BEAT, members=[str(each) for each in range(MOST_MEMBERS + 1)]),
        changed(BEAT, asks={str(each): 1 for each in range(MOST_LEASES + 1)}),
        changed(BEAT, asks={"": 1}),
        changed(BEAT, asks={"x" * 256: 1}),
        changed(BEAT, asks={"a\nb": 1}),
        changed(BEAT, asks={"\ud800": 1}),
        changed(BEAT, freed={"a": 1}),
        changed(BEAT, standings={"a": [1, True, True, True]}),
        changed(BEAT, standings={"a": [2**31, True, True, True, 0]}),
        changed(BEAT, standings={"a": [True, True, True, True, 0]}),
        changed(ANSWER, refused={"a": [1]}),
        changed(ANSWER, refused={"a": 1}),
        changed(ANSWER, granted="abc"),
        changed(LogPart(b"abc"), body="***="),
        changed(LogPart(b"abc"), body="é"),
        changed(LogPart(b"abc"), body=5),
        "[" * 30_000,
        '{"a":' * 9_000,
        "9" * 5_000,
        "[]",
        "\ufeff{}",
    ],
)
def test_bad_values(text: str) -> None:
    bad(text)


def test_lengths_are_bounded() -> None:
    longest = LogPart(bytes(LONGEST_LOG_PART))
    assert len(encode(longest)) <= LONGEST_BODY
    assert decode(encode(longest)) == longest
    bad(encode(LogPart(bytes(LONGEST_LOG_PART + 1))))
    bad(b" " * (LONGEST_BODY + 1))


def test_most_leases_fit_with_short_names() -> None:
    leases = [LeaseName(f"VI_{number}") for number in range(255)]
    beat = BEAT._replace(
        standings={lease: Standing(254, True, False, True, 2**40) for lease in leases},
        asks=dict.fromkeys(leases, 2**40),
        freed=dict.fromkeys(leases),
    )
    assert len(encode(beat)) < LONGEST_BODY / 2
    assert decode(encode(beat)) == beat
