"""nf_tables over netlink: messages, expressions, and a channel for batches.

A batch is a transaction: either all of its messages hold or none.  Each message
is a netlink header, four bytes of nfnetlink and a list of attributes; numbers in
attributes are big endian, except the data that the kernel compares packets and
registers with (linux/netfilter/nf_tables.h).

pyroute2 has classes for these messages, but they need 12 ms, in which nothing else
runs, to encode 255 addresses; the few lines here need a tenth of a millisecond.

The kernel answers inside sendto(2): it waits there for its own grace periods, and
for whoever holds the tables' lock.  So `Channel.commit` belongs into a thread.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from enum import IntEnum, IntFlag
from functools import cache
from typing import NamedTuple

from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import attribute, nest, split
from keepalived_py.system.attributes import number_32_of_network as _number
from keepalived_py.system.attributes import text_attribute as _text
from keepalived_py.system.rtnetlink import ACKNOWLEDGE, APPEND, CREATE

# The families of tables (linux/netfilter.h); INET sees packets of both IPV4 and IPV6.
INET = 1
IPV4 = 2
ARP = 3
IPV6 = 10

# linux/netlink.h, linux/netfilter/nfnetlink.h.
_NETFILTER = 12
_SUBSYSTEM = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_FAMILY = struct.Struct("=BBH")
_ANSWER_BYTES = 64 * 1024
_ENOUGH_BUFFER = 1024 * 1024


class Kind(IntEnum):
    """What a message does (enum nf_tables_msg_types)."""

    NEW_TABLE = 0
    GET_TABLE = 1
    DELETE_TABLE = 2
    NEW_CHAIN = 3
    NEW_RULE = 6
    NEW_SET = 9
    NEW_ELEMENTS = 12
    GET_ELEMENTS = 13
    DELETE_ELEMENTS = 14


class Hook(IntEnum):
    """Where a base chain sees packets (enum nf_inet_hooks)."""

    BEFORE_ROUTING = 0
    INPUT = 1
    OUTPUT = 3
    AFTER_ROUTING = 4


class ArpHook(IntEnum):
    """Where a base chain sees packets of ARP (linux/netfilter_arp.h)."""

    INPUT = 0
    OUTPUT = 1


class TableFlag(IntFlag):
    """OWNED: nobody but the socket that made the table may change it, and it goes when that is closed,
    unless it is PERSISTENT as well (from Linux 6.9 on).
    """

    OWNED = 2
    PERSISTENT = 4


class Meta(IntEnum):
    """What is known of a packet beside its bytes (enum nft_meta_keys)."""

    INPUT_INDEX = 4
    OUTPUT_INDEX = 5
    INPUT_NAME = 6
    OUTPUT_NAME = 7
    FAMILY = 15
    PROTOCOL = 16
    OUTPUT_KIND = 27


class Verdict(IntEnum):
    """What becomes of a packet."""

    DROP = 0
    ACCEPT = 1
    GOTO = -4 & 0xFFFFFFFF


class KeyType(IntEnum):
    """The types of set keys, which the kernel keeps for nft(8) alone (its datatype.h)."""

    IPV4_ADDRESS = 7
    IPV6_ADDRESS = 8
    MARK = 19
    INTERFACE_INDEX = 20
    ICMPV6_TYPE = 29
    INTERFACE_NAME = 41


_KEY_BYTES = {
    KeyType.IPV4_ADDRESS: 4,
    KeyType.IPV6_ADDRESS: 16,
    KeyType.MARK: 4,
    KeyType.INTERFACE_INDEX: 4,
    KeyType.ICMPV6_TYPE: 1,
    KeyType.INTERFACE_NAME: 16,
}
_BITS_PER_TYPE = 6
_SET_CONSTANT, _SET_MAP, _SET_TIMEOUT = 0x2, 0x8, 0x10
_INVERTED = 1
_HOST_ORDER, _NETWORK_ORDER = 1, 2

# Registers of 16 bytes; 0 holds the verdict.
FIRST, SECOND = 1, 2
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2


class Message(NamedTuple):
    """One message of a batch, without its sequence number."""

    kind: Kind
    family: int
    flags: int
    payload: bytes


class SetType(NamedTuple):
    """What a set's keys are; several types are concatenated.  With `data` it is a map to it.

    `expires`: its elements may have a time after which they are not there any more.
    """

    key: tuple[KeyType, ...]
    data: KeyType | None = None
    constant: bool = False
    expires: bool = False


# Expressions -----------------------------------------------------------------


def _expression(name: str, *attributes: bytes) -> bytes:
    return nest(1, _text(1, name), nest(2, *attributes))


def payload(base: int, offset: int, length: int, register: int = FIRST) -> bytes:
    """Load `length` bytes of a header into a register."""
    return _expression(
        "payload", _number(1, register), _number(2, base), _number(3, offset), _number(4, length)
    )


def meta(key: Meta, register: int) -> bytes:
    """Load a fact about the packet into a register."""
    return _expression("meta", _number(2, key), _number(1, register))


def equals(data: bytes, register: int = FIRST) -> bytes:
    """Go on only if the register holds `data`."""
    return _expression("cmp", _number(1, register), _number(2, 0), nest(3, attribute(1, data)))


def masked(mask: bytes, register: int = FIRST) -> bytes:
    """Keep the bits of `mask` of the register."""
    nothing = bytes(len(mask))
    return _expression(
        "bitwise",
        _number(1, register),
        _number(2, register),
        _number(3, len(mask)),
        nest(4, attribute(1, mask)),
        nest(5, attribute(1, nothing)),
    )


def member(name: str, register: int = FIRST) -> bytes:
    """Go on only if the register (and those after it) hold an element of the set."""
    return _expression("lookup", _number(2, register), _text(1, name))


def not_member(name: str, register: int = FIRST) -> bytes:
    """Go on only if the register (and those after it) hold no element of the set."""
    return _expression("lookup", _number(2, register), _text(1, name), _number(5, _INVERTED))


def mapped(name: str, register: int) -> bytes:
    """Replace the register by what the map says of it; go on only if it says something."""
    return _expression("lookup", _number(2, register), _number(3, register), _text(1, name))


def duplicate(address: int, device: int) -> bytes:
    """Send a copy of the packet: registers of where to, and out of which interface."""
    return _expression("dup", _number(1, address), _number(2, device))


def counter() -> bytes:
    """Count packets and bytes that come this far."""
    return _expression("counter")


def verdict(what: Verdict, chain: str | None = None) -> bytes:
    """The end of a rule; GOTO names the chain."""
    target = () if chain is None else (_text(2, chain),)
    return _expression("immediate", _number(1, 0), nest(2, nest(2, _number(1, what), *target)))


# Messages --------------------------------------------------------------------


def new_table(family: int, table: str, flags: int = 0) -> Message:
    """Make a table unless it is there; `flags` are of `TableFlag`, and older kernels refuse them."""
    return Message(Kind.NEW_TABLE, family, CREATE, _text(1, table) + (_number(2, flags) if flags else b""))


def delete_table(family: int, table: str) -> Message:
    """Remove a table and all that is in it (ENOENT if there is none)."""
    return Message(Kind.DELETE_TABLE, family, 0, _text(1, table))


def new_chain(family: int, table: str, chain: str) -> Message:
    """Make a chain that others go to."""
    return Message(Kind.NEW_CHAIN, family, CREATE, _text(1, table) + _text(3, chain))


def new_base_chain(family: int, table: str, chain: str, hook: Hook | ArpHook, priority: int) -> Message:
    """Make a filter chain that sees the packets of `hook` and accepts what no rule decides about."""
    where = nest(4, _number(1, hook), _number(2, priority & 0xFFFFFFFF))
    head = _text(1, table) + _text(3, chain) + where
    return Message(Kind.NEW_CHAIN, family, CREATE, head + _number(5, Verdict.ACCEPT) + _text(7, "filter"))


def new_rule(family: int, table: str, chain: str, *expressions: bytes) -> Message:
    """Append a rule to a chain."""
    body = _text(1, table) + _text(2, chain) + nest(4, *expressions)
    return Message(Kind.NEW_RULE, family, CREATE | APPEND, body)


def new_set(family: int, table: str, name: str, type_: SetType, number: int) -> Message:
    """Make a set or map.  `number` tells it from others made in the same batch."""
    key = 0
    for one in type_.key:
        key = key << _BITS_PER_TYPE | one
    flags = (_SET_MAP if type_.data is not None else 0) | (_SET_CONSTANT if type_.constant else 0)
    flags |= _SET_TIMEOUT if type_.expires else 0
    attributes = [_text(1, table), _text(2, name)]
    if flags:
        attributes.append(_number(3, flags))
    attributes += [_number(4, key), _number(5, sum(_KEY_BYTES[one] for one in type_.key))]
    if type_.data is not None:
        attributes += [_number(6, type_.data), _number(7, _KEY_BYTES[type_.data])]
    attributes += [_number(10, number), attribute(13, _byte_orders(type_))]
    return Message(Kind.NEW_SET, family, CREATE, b"".join(attributes))


def _byte_orders(type_: SetType) -> bytes:
    """What nft(8) needs to print the elements: attributes of one byte each for kind and length."""
    address = type_.key in ((KeyType.IPV4_ADDRESS,), (KeyType.IPV6_ADDRESS,))
    orders = struct.pack("=BBI", 0, 4, _NETWORK_ORDER if address else _HOST_ORDER)
    return orders if type_.data is None else orders + struct.pack("=BBI", 1, 4, _HOST_ORDER)


Element = tuple[bytes, bytes | None]

_TIME = struct.Struct(">Q")
# No element's key and no length looks like this.
_TIME_GAP = b"\xa5time?\x5a\xa5"
# What stands between the two times of an element: the head of the second.
_LEFT = attribute(5, bytes(_TIME.size))[: -_TIME.size]


@cache
def _element_head(length: int) -> bytes:
    """All of an element of a set that comes before its key: hundreds of them have the same."""
    return nest(1, nest(1, attribute(1, bytes(length))))[: -(length + -length % 4)]


def _element(key: bytes, data: bytes | None) -> bytes:
    if data is None:
        return _element_head(len(key)) + key + bytes(-len(key) % 4)
    return nest(1, nest(1, attribute(1, key)), nest(2, attribute(1, data)))


def elements(kind: Kind, family: int, table: str, name: str, which: Sequence[Element]) -> Message:
    """Add or delete elements: keys, and in a map what they are mapped to."""
    each = (_element(key, data) for key, data in which)
    flags = CREATE if kind is Kind.NEW_ELEMENTS else 0
    return Message(kind, family, flags, _text(1, table) + _text(2, name) + nest(3, *each))


class Passing(NamedTuple):
    """Elements that end by themselves, written but for their time: `pieces` stand before and after each."""

    family: int
    head: bytes
    pieces: tuple[bytes, ...]

    def lasting(self, time_ms: int) -> Message:
        """Add them, or have those that are there last `time_ms` (at least 1) from now on.

        Linux before 6.12 leaves what is there as it is: remove it in the same batch.
        """
        time = _TIME.pack(time_ms)
        # Said twice, as the time of a new element and as what is left of an old one.
        listed = nest(3, (time + _LEFT + time).join(self.pieces))
        return Message(Kind.NEW_ELEMENTS, self.family, CREATE, self.head + listed)


def passing(family: int, table: str, name: str, keys: Sequence[bytes]) -> Passing:
    """The elements `keys` of a set whose elements expire."""
    pieces = b"".join(
        nest(1, nest(1, attribute(1, key)), attribute(4, _TIME_GAP), attribute(5, _TIME_GAP)) for key in keys
    ).split(_TIME_GAP + _LEFT + _TIME_GAP)
    return Passing(family, _text(1, table) + _text(2, name), tuple(pieces))


# The channel -----------------------------------------------------------------


class Table(NamedTuple):
    """A table that is there; `flags` are of `TableFlag`."""

    family: int
    name: str
    flags: int


class Channel:
    """A netlink socket to the packet filter of the network namespace it was made in.

    Raises OSError when made if the kernel has no netfilter.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETFILTER)
        self._socket.bind((0, 0))
        # A batch of some hundred addresses is one datagram.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ENOUGH_BUFFER)
        self._sequence = 0

    def commit(self, messages: Sequence[Message]) -> int:
        """Carry out all messages or none; 0, or the errno of the first refusal."""
        batch = [self._edge(_BATCH_BEGIN)]
        last = len(messages) - 1
        for position, message in enumerate(messages):
            # The last one's acknowledgement says that the kernel looked at all of them.
            batch.append(self._pack(message, ACKNOWLEDGE if position == last else 0))
        awaited = self._sequence
        batch.append(self._edge(_BATCH_END))
        return self._exchange(b"".join(batch), awaited)

    def has_table(self, family: int, table: str) -> bool:
        """Whether there is a table of that name (False also if we may not know)."""
        question = Message(Kind.GET_TABLE, family, 0, _text(1, table))
        return self._exchange(self._pack(question, ACKNOWLEDGE), self._sequence) == 0

    def tables(self) -> list[Table]:
        """All tables there are; raises OSError."""
        return [
            Table(answer.payload[0], named.rstrip(b"\0").decode(errors="replace"), _big(flags))
            for answer in self._dump(Message(Kind.GET_TABLE, 0, 0, b""))
            for found in (split(answer.payload, _FAMILY.size),)
            for named, flags in ((found.get(1, b""), found.get(2, b"")),)
        ]

    def keys(self, family: int, table: str, name: str) -> list[bytes]:
        """The keys of a set's elements; raises OSError, ENOENT if there is no such set."""
        question = Message(Kind.GET_ELEMENTS, family, 0, _text(1, table) + _text(2, name))
        found = []
        for answer in self._dump(question):
            listed = split(answer.payload, _FAMILY.size).get(3, b"")
            found += [split(split(one)[1])[1] for one in _each(listed)]
        return found

    def _dump(self, question: Message) -> list[rtnetlink.Message]:
        self._socket.sendto(self._pack(question, rtnetlink.DUMP), (0, 0))
        found: list[rtnetlink.Message] = []
        while True:
            for answer in rtnetlink.messages(self._socket.recv(_ANSWER_BYTES)):
                error = rtnetlink.error_of(answer)
                if error:
                    raise OSError(error, os.strerror(error))
                if error == 0 or answer.kind == rtnetlink.DONE:
                    return found
                found.append(answer)

    def close(self) -> None:
        """Close the socket; the tables stay."""
        self._socket.close()

    def _edge(self, kind: int) -> bytes:
        self._sequence += 1
        body = struct.pack(">BBH", 0, 0, _SUBSYSTEM)
        return rtnetlink.framed(kind, 0, body, self._sequence)

    def _pack(self, message: Message, more_flags: int) -> bytes:
        self._sequence += 1
        body = _FAMILY.pack(message.family, 0, 0) + message.payload
        kind = _SUBSYSTEM << 8 | message.kind
        return rtnetlink.framed(kind, message.flags | more_flags, body, self._sequence)

    def _exchange(self, data: bytes, awaited: int) -> int:
        try:
            self._socket.sendto(data, (0, 0))
            # The kernel has answered before sendto returns.
            answers = dict(self._answers())
        except OSError as error:
            return error.errno or errno.EIO
        refused = [number for number in answers.values() if number]
        return refused[0] if refused else 0 if awaited in answers else errno.EIO

    def _answers(self) -> Iterator[tuple[int, int]]:
        """Sequence number and errno of each acknowledgement that has come."""
        while True:
            try:
                data = self._socket.recv(_ANSWER_BYTES)
            except BlockingIOError:
                return
            for answer in rtnetlink.messages(data):
                error = rtnetlink.error_of(answer)
                if error is not None:
                    yield answer.sequence, error


def index(number: int) -> bytes:
    """An interface index as the kernel holds it in a register."""
    return struct.pack("=I", number)


def name(text: str) -> bytes:
    """An interface name as the kernel holds it in a register."""
    return os.fsencode(text).ljust(16, b"\0")


def _big(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _each(listed: bytes) -> Iterator[bytes]:
    """The attributes of a list, which all are of the same kind."""
    offset = 0
    while offset + 4 <= len(listed):
        length = int.from_bytes(listed[offset : offset + 2], sys.byteorder)
        if length < 4:
            return
        yield listed[offset + 4 : offset + length]
        offset += (length + 3) & ~3
