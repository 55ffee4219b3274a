"""Messages between parent and child arrive whole, and nothing but the model can be sent."""

import os
import pickle
import threading
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.daemon.channel import (
    ChannelBroken,
    Inbox,
    Kind,
    Message,
    decode,
    encode,
    pair,
    receive,
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


def test_a_configuration_arrives_as_it_was() -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.settimeout(5)
        send(ours, Kind.RELOAD, FULL)
        send(theirs, Kind.READY)
        assert receive(theirs) == Message(Kind.RELOAD, FULL)
        assert receive(ours) == Message(Kind.READY)


def test_a_configuration_larger_than_any_socket_buffer() -> None:
    many = Configuration(
        instances=FULL.instances * 20_000,
        scripts=tuple(
            CheckScript(ScriptName(f"script-{n}"), COMMAND, Micros(n), Micros(n)) for n in range(20_000)
        ),
    )
    ours, theirs = pair()
    with ours, theirs:
        ours.settimeout(10)
        theirs.settimeout(10)
        sender = threading.Thread(target=send, args=(ours, Kind.RELOAD, many))
        sender.start()
        got = receive(theirs)
        sender.join(10)
    assert got.configuration == many


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
        encode(Message(Kind.RELOAD, FULL))[4:-10],
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(ChannelBroken):
        decode(body)


def test_an_absurd_length_is_refused() -> None:
    with pytest.raises(ChannelBroken):
        Inbox().feed(b"\xff\xff\xff\xff")


def test_a_closed_peer_is_noticed_by_both_directions() -> None:
    ours, theirs = pair()
    with ours:
        theirs.close()
        ours.settimeout(5)
        with pytest.raises(ChannelBroken):
            receive(ours)
        with pytest.raises(ChannelBroken):
            send(ours, Kind.READY)
