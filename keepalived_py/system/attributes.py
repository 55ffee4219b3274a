"""The attributes of netlink messages: what follows the fixed header of each.

An attribute is a length, a kind and its bytes, padded to four.  Numbers are in
the machine's byte order, unless a kind says otherwise.  An interface is written
by its name and gets its index only when the message is sent: `Attributes`
remembers where, so that a message can be kept for longer than the interface.

pyroute2 has classes for these messages too; they take fifty microseconds to
write an address and know neither tunnels over IP nor ILA in a route.
"""

import struct
import sys
from ipaddress import IPv4Address, IPv6Address

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.model.network import Realms

_HEAD = struct.Struct("=HH")
_NUMBER_16 = struct.Struct("=H")
_NUMBER_32 = struct.Struct("=I")
_NUMBER_32_OF_NETWORK = struct.Struct(">I")
_NUMBER_64_OF_NETWORK = struct.Struct(">Q")
# Two bits of the kind say that there are attributes inside, or network byte order.
_KIND = 0x3FFF
_NESTED = 0x8000

Indices = tuple[tuple[int, InterfaceName], ...]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of any bytes."""
    return _HEAD.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nest(kind: int, *inner: bytes) -> bytes:
    """Attributes within one that says so in its kind, as newer parts of the kernel want it."""
    return attribute(kind | _NESTED, b"".join(inner))


def text_attribute(kind: int, value: str) -> bytes:
    """A text with its closing zero."""
    return attribute(kind, value.encode() + b"\0")


def number_32_of_network(kind: int, value: int) -> bytes:
    """Four bytes in network order."""
    return attribute(kind, _NUMBER_32_OF_NETWORK.pack(value))


class Attributes:
    """A message being written: `data`, and where in it the index of which interface belongs."""

    __slots__ = ("data", "indices")

    def __init__(self, start: bytes = b"") -> None:
        self.data = bytearray(start)
        self.indices: list[tuple[int, InterfaceName]] = []

    def add(self, kind: int, value: bytes) -> None:
        """An attribute of any bytes."""
        self.data += attribute(kind, value)

    def number_8(self, kind: int, value: int | None) -> None:
        """One byte; nothing if it is None."""
        if value is not None:
            self.add(kind, bytes((value,)))

    def number_16(self, kind: int, value: int | None) -> None:
        """Two bytes; nothing if it is None."""
        if value is not None:
            self.add(kind, _NUMBER_16.pack(value))

    def number_32(self, kind: int, value: int | None) -> None:
        """Four bytes; nothing if it is None."""
        if value is not None:
            self.add(kind, _NUMBER_32.pack(value))

    def number_64_of_network(self, kind: int, value: int | None) -> None:
        """Eight bytes in network order; nothing if it is None."""
        if value is not None:
            self.add(kind, _NUMBER_64_OF_NETWORK.pack(value))

    def address(self, kind: int, value: Address | None) -> None:
        """An address; nothing if it is None."""
        if value is not None:
            self.add(kind, value.packed)

    def realms(self, kind: int, value: Realms | None) -> None:
        """Routing realms; nothing if there are none."""
        if value is not None:
            self.number_32(kind, value.source << 16 | value.destination or None)

    def text(self, kind: int, value: str | None) -> None:
        """A text with its closing zero; nothing if it is None."""
        if value is not None:
            self.data += text_attribute(kind, value)

    def interface(self, kind: int, name: InterfaceName | None) -> None:
        """The index of an interface, to be filled in; nothing if it is None."""
        if name is not None:
            self.indices.append((len(self.data) + 4, name))
            self.add(kind, bytes(4))

    def nested(self, kind: int, inner: "Attributes") -> None:
        """Attributes within one."""
        self.append_indices(inner, len(self.data) + 4)
        self.add(kind, bytes(inner.data))

    def append_indices(self, inner: "Attributes", offset: int) -> None:
        """`inner` stands at `offset` of this one: take over where it wants indices."""
        self.indices += ((offset + place, name) for place, name in inner.indices)


def split(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes of a message from `offset` on, by kind; ends at the first that is cut short."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _HEAD.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            break
        found[kind & _KIND] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def number(value: bytes | None, default: int = 0) -> int:
    """The number an attribute holds, in the machine's order; `default` if there is none."""
    if value is None or len(value) not in (1, 2, 4, 8):
        return default
    return int.from_bytes(value, sys.byteorder)


def address(value: bytes | None) -> Address | None:
    """The address an attribute holds; None if it is none of either family."""
    if value is None:
        return None
    if len(value) == 4:
        return IPv4Address(value)
    return IPv6Address(value) if len(value) == 16 else None
