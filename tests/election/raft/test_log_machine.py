"""What the log decides, and the form in which it travels."""

import json

import pytest

from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.library import Transport
from keepalived_py.election.raft.log_transport import BadPart, LogTransport, decode, encode
from keepalived_py.election.raft.views import Holding
from keepalived_py.wire.raft import LONGEST_LOG_PART


def test_only_the_messages_of_the_log_leave() -> None:
    for message in (
        {"type": "timeout_now", "term": 1},
        {
            "type": "append_entries",
            "term": 1,
            "transmission": "start",
            "data": b"",
            "commit_index": 1,
            "prevLogIdx": 1,
            "prevLogTerm": 0,
        },
        {"type": "surprise"},
    ):
        with pytest.raises(BadPart):
            encode(message)
    long = [(log_machine.pack(["pin", "x" * 3000, "a"]), number + 2, 1) for number in range(40)]
    made = encode(
        {
            "type": "append_entries",
            "term": 1,
            "commit_index": 1,
            "prevLogIdx": 1,
            "prevLogTerm": 0,
            "entries": long,
        }
    )
    assert len(made) <= LONGEST_LOG_PART
    back = decode(made)["entries"]
    assert back == long[: len(back)] and back


def test_states_go_through_json() -> None:
    state = log_machine.LogState()
    for command in (
        log_machine.members(["b", "a"]),
        log_machine.pin("VI_1", "b"),
        log_machine.drain("b"),
        log_machine.hold(Holding(LeaseName("VI_1"), MemberId("a"), 7, "best"), 12),
        log_machine.hold(Holding(LeaseName("VI_1"), MemberId("a"), 7, "best"), 13),
    ):
        changed = log_machine.apply(state, log_machine.unpack(log_machine.pack(command)) or [])
        assert changed is not None
        state = changed
    assert log_machine.from_json(json.loads(json.dumps(log_machine.to_json(state)))) == state
    assert [held.at for held in state.history] == [12] and state.revision == 1
    left = log_machine.apply(state, log_machine.members(["a"]))
    assert left is not None and left.revision == 2
    assert (left.orders.pinned, left.orders.drained) == ({}, frozenset())
    assert left.orders.tokens == {"VI_1": 7}
    wrongs: tuple[object, ...] = (
        None,
        [],
        {},
        {**log_machine.to_json(state), "tokens": {"x": -1}},
        {**log_machine.to_json(state), "history": [[1]]},
    )
    for wrong in wrongs:
        with pytest.raises(log_machine.BadCommand):
            log_machine.from_json(wrong)


def test_the_transport_is_the_librarys() -> None:
    assert issubclass(LogTransport, Transport)
