"""Messages of rtnetlink(7): their frame, their numbers, and requests ready to be sent.

A message is a header of sixteen bytes (length, kind, flags, sequence number,
port) and a payload.  Requests are built once and kept; what changes from one
sending to the next, the sequence number and the indices of the interfaces they
name, is written into a copy.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from keepalived_py.base.names import InterfaceName
from keepalived_py.system.attributes import Attributes, Indices

# linux/netlink.h and linux/rtnetlink.h.
NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_RULE, DELETE_RULE, GET_RULE = 32, 33, 34
NEW_NETCONF = 80
ERROR, DONE = 2, 3

REQUEST, ACKNOWLEDGE = 0x1, 0x4
DUMP_INTERRUPTED = 0x10
DUMP = 0x300
EXCLUSIVE, CREATE, APPEND = 0x200, 0x400, 0x800

GROUP_LINK, GROUP_IPV4_ADDRESS, GROUP_IPV6_ADDRESS = 1, 5, 9
GROUP_IPV4_ROUTE, GROUP_IPV4_RULE, GROUP_IPV6_ROUTE, GROUP_IPV6_RULE = 7, 8, 11, 19
GROUP_IPV6_NETCONF = 25

# linux/socket.h; the numbers of the protocol, not of this machine's library.
FAMILIES = {4: 2, 6: 10}

HEADER_LENGTH = 16
_HEADER = struct.Struct("=IHHII")
_SEQUENCE_AND_FLAGS = struct.Struct("=HI")
_FLAGS_AT = 6
_INDEX = struct.Struct("=I")
_CODE = struct.Struct("=i")


class Request(NamedTuple):
    """A request without sequence number; `indices` says where the index of which interface belongs."""

    data: bytes
    indices: Indices

    @property
    def payload(self) -> bytes:
        """What follows the header."""
        return self.data[HEADER_LENGTH:]


class Message(NamedTuple):
    """A message from the kernel.  `port`: of the socket whose request it answers or reports; 0: no one's."""

    kind: int
    flags: int
    sequence: int
    port: int
    payload: bytes


def framed(kind: int, flags: int, payload: bytes, sequence: int = 0) -> bytes:
    """`payload` behind the header of a request; that of other families of netlink is the same."""
    return _HEADER.pack(HEADER_LENGTH + len(payload), kind, REQUEST | flags, sequence, 0) + payload


def request(kind: int, flags: int, written: Attributes) -> Request:
    """A request whose payload was written as `written`."""
    indices = tuple((HEADER_LENGTH + place, name) for place, name in written.indices)
    return Request(framed(kind, flags, bytes(written.data)), indices)


def numbered(one: Request, sequence: int, indices: dict[InterfaceName, int], last: bool) -> bytearray:
    """`one` ready to be sent.  The kernel answers the `last` of a series; of others only what failed."""
    data = bytearray(one.data)
    flags = _SEQUENCE_AND_FLAGS.unpack_from(data, _FLAGS_AT)[0]
    _SEQUENCE_AND_FLAGS.pack_into(data, _FLAGS_AT, flags | ACKNOWLEDGE if last else flags, sequence)
    for place, name in one.indices:
        _INDEX.pack_into(data, place, indices[name])
    return data


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram; ends at the first that is cut short."""
    offset = 0
    while offset + HEADER_LENGTH <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
        if length < HEADER_LENGTH or offset + length > len(data):
            return
        yield Message(kind, flags, sequence, port, data[offset + HEADER_LENGTH : offset + length])
        offset += (length + 3) & ~3


def error_of(answer: Message) -> int | None:
    """The errno of an acknowledgement, 0 for success; None if it is none or cut short."""
    if answer.kind not in (ERROR, DONE) or len(answer.payload) < 4:
        return None
    code: int = _CODE.unpack_from(answer.payload)[0]
    return -code


def dump(kind: int, header: bytes) -> Request:
    """The request for everything there is of a kind; `header` is the kind's fixed part."""
    return request(kind, DUMP, Attributes(header))
