"""Messages between parent and child arrive whole, and nothing but the model can be sent."""

import os
import pickle
import socket
import struct
import threading
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.daemon.channel import (
    PIECE,
    ChannelBroken,
    Inbox,
    Kind,
    Message,
    encode,
    pair,
    send,
)
from keepalived_py.model.config import (
    AuthType,
    CheckScript,
    Command,
    Configuration,
    Instance,
    Notifies,
    SyncGroup,
    TrackedScript,
    VirtualAddress,
)

ETH0 = InterfaceName("eth0")
COMMAND = Command(("/bin/true", "x"), 0, 0)
FULL = Configuration(
    instances=(
        Instance(
            InstanceName("VI_1"),
            ETH0,
            5,
            auth_type=AuthType.PASS,
            auth_data=b"secret",
            source=IPv6Address("fe80::1"),
            addresses=(VirtualAddress(IPv4Address("10.0.0.1"), 24, ETH0),),
            track_scripts=(TrackedScript(ScriptName("s"), -5),),
            notifies=Notifies(master=COMMAND),
        ),
    ),
    groups=(SyncGroup(GroupName("g"), (InstanceName("VI_1"),)),),
    scripts=(CheckScript(ScriptName("s"), COMMAND, Micros(1), Micros(2)),),
)


def received(reader: socket.socket, inbox: Inbox) -> Message:
    """Wait for one message, read in pieces."""
    while True:
        piece = reader.recv(PIECE)
        assert piece
        for message in inbox.feed(piece):
            return message


def test_a_configuration_arrives_as_it_was() -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.settimeout(5)
        send(ours, Kind.RELOAD, FULL)
        send(theirs, Kind.READY)
        assert received(theirs, Inbox()) == Message(Kind.RELOAD, FULL)
        assert received(ours, Inbox()) == Message(Kind.READY)


def large(count: int) -> Configuration:
    """`count` instances and as many scripts, built anew each time."""
    return Configuration(
        instances=tuple(replace(FULL.instances[0], name=InstanceName(f"VI_{n}")) for n in range(count)),
        scripts=tuple(
            CheckScript(ScriptName(f"script-{n}"), COMMAND, Micros(n), Micros(n)) for n in range(count)
        ),
    )


def test_a_configuration_larger_than_any_socket_buffer() -> None:
    many = large(5_000)
    ours, theirs = pair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.settimeout(10)
        sender = threading.Thread(target=send, args=(ours, Kind.RELOAD, many))
        sender.start()
        got = received(theirs, Inbox())
        sender.join(10)
    assert got.configuration == many


def test_no_piece_of_a_large_configuration_is_much_work() -> None:
    stream, inbox = encode(Message(Kind.RELOAD, large(1_000))), Inbox()
    frames = []
    while stream:
        (length,) = struct.unpack_from("!I", stream)
        frames.append(length)
        assert len(inbox.feed(stream[: 4 + length])) == (len(stream) == 4 + length)
        stream = stream[4 + length :]
    assert len(frames) > 20
    assert max(frames) < 2 * PIECE


def test_what_did_not_change_stays_the_same_object() -> None:
    old, new = large(100), large(101)
    changed = replace(new.instances[7], base_priority=9)
    new = replace(new, instances=(*new.instances[:7], changed, *new.instances[8:]))
    inbox = Inbox(old)
    for _ in range(2):
        (message,) = inbox.feed(encode(Message(Kind.RELOAD, new)))
        got = message.configuration
        assert got is not None
        assert got == new
        same = [one is before for one, before in zip(got.instances, old.instances, strict=False)]
        assert same == [at != 7 for at in range(100)]
        assert got.globals is old.globals


@given(st.lists(st.integers(1, 400), max_size=40))
@settings(max_examples=50, deadline=None)
def test_messages_are_put_together_from_any_pieces(sizes: list[int]) -> None:
    sent = [Message(Kind.READY), Message(Kind.RELOAD, FULL), Message(Kind.STOP)]
    stream = b"".join(map(encode, sent))
    inbox, got, at = Inbox(), [], 0
    for size in [*sizes, len(stream)]:
        got += inbox.feed(stream[at : at + size])
        at += size
    assert got == sent


class Evil:
    """Unpickled without care, this would run a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"rubbish",
        pickle.dumps(("shout", None)),
        pickle.dumps(("ready", FULL)),
        pickle.dumps(("reload", None)),
        pickle.dumps(("reload", "text")),
        pickle.dumps(("reload", Evil())),
        pickle.dumps(("report", FULL)),
        pickle.dumps(("part", ("no such field", (1,)))),
        pickle.dumps(("part", None)),
        pickle.dumps(("reload", FULL))[:-10],
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ChannelBroken):
        Inbox().feed(struct.pack("!I", len(body)) + body)


def test_an_absurd_length_is_refused() -> None:
    with pytest.raises(ChannelBroken):
        Inbox().feed(b"\xff\xff\xff\xff")


def test_a_closed_peer_is_noticed() -> None:
    ours, theirs = pair()
    with ours:
        theirs.close()
        ours.settimeout(5)
        assert ours.recv(1) == b""
        with pytest.raises(ChannelBroken):
            send(ours, Kind.READY)
