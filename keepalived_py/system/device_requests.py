"""The rtnetlink requests that make virtual devices: built, sent and answered one at a time.

Making or removing a device takes the kernel milliseconds, and it works inside
send(2); so whoever calls this does so in a thread of its own.  Every request
ends in an errno (0: done), never in an exception.

Numbers are those of linux/if_link.h, linux/rtnetlink.h, linux/if_addr.h and
linux/ip.h.
"""

import errno
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from sys import byteorder

from keepalived_py.base.names import Address
from keepalived_py.model.interfaces import DeviceKind

# IPV4_DEVCONF_*
RP_FILTER, ARP_FILTER, ARP_IGNORE, PROMOTE_SECONDARIES, ACCEPT_LOCAL = 8, 13, 19, 20, 23

ANSWER_LIMIT_S = 5

_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _EXCLUSIVE, _CREATE, _DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
_ADDRESS, _IFNAME, _LINK, _MASTER, _LINK_INFO, _AF_SPEC, _GROUP, _EXT_MASK, _LINK_NETNS = (
    1, 3, 5, 10, 18, 26, 27, 29, 37,
)  # fmt: skip
_INFO_KIND, _INFO_DATA = 1, 2
_MACVLAN_MODE, _IPVLAN_MODE, _IPVLAN_FLAGS = 1, 1, 2
_INET_CONF, _ADDR_GEN_MODE, _ADDR_GEN_NONE = 1, 8, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHE_INFO = 1, 2, 6
_NO_DAD = 0x02
_UP = 0x1
_SKIP_STATISTICS = 1 << 3
_FOR_EVER = 0xFFFFFFFF
_SCOPE_LINK = 253
_LARGEST = 1 << 17

_MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}
# An ipvlan in layer 2 mode is told by its flags.
_IPVLAN_LAYER_2 = 0
_IPVLAN_KINDS = {"bridge": 0, "private": 1, "vepa": 2}


@dataclass(frozen=True, slots=True)
class FoundLink:
    """A link as the kernel describes it.  `base_index` 0: none in this namespace; `mode` "": of no use."""

    name: str
    index: int
    up: bool
    mac: bytes
    base_index: int
    master_index: int
    group: int
    kind: str
    mode: str


class DeviceRequests:
    """A blocking rtnetlink socket.  Raises OSError only when it is made."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, 0))
        self._socket.settimeout(ANSWER_LIMIT_S)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    # -- links ------------------------------------------------------------------

    def add(
        self,
        name: str,
        kind: DeviceKind,
        mode: str,
        base_index: int,
        *,
        mac: bytes | None,
        group: int,
        master: int,
    ) -> int:
        """Make a device on the interface `base_index`; it is not up yet."""
        attributes = _number(_LINK, base_index) + _text(_IFNAME, name) + _link_info(kind, mode)
        attributes += _number(_GROUP, group)
        attributes += _attribute(_ADDRESS, mac) if mac is not None else b""
        attributes += _number(_MASTER, master) if master else b""
        return self._change(_NEW_LINK, _CREATE | _EXCLUSIVE, _link_header() + attributes)

    def alter(self, index: int, kind: DeviceKind, mode: str, mac: bytes, master: int) -> int:
        """Give a device another mode and MAC address."""
        attributes = _link_info(kind, mode) + _attribute(_ADDRESS, mac) + _number(_MASTER, master)
        return self._change(_NEW_LINK, 0, _link_header(index) + attributes)

    def delete(self, index: int) -> int:
        """Remove a device."""
        return self._change(_DELETE_LINK, 0, _link_header(index))

    def delete_group(self, group: int) -> int:
        """Remove all devices of a link group at once; EPERM for group 0, which has everything else."""
        return self._change(_DELETE_LINK, 0, _link_header() + _number(_GROUP, group))

    def set_up(self, index: int) -> int:
        """As `ip link set up`."""
        return self._change(_NEW_LINK, 0, _link_header(index, flags=_UP, change=_UP))

    def set_group(self, index: int, group: int) -> int:
        """Set the link group; to the one it has: the kernel announces the link again."""
        return self._change(_NEW_LINK, 0, _link_header(index) + _number(_GROUP, group))

    def set_master(self, index: int, master: int) -> int:
        """Put the link below a VRF device; 0 takes it out."""
        return self._change(_NEW_LINK, 0, _link_header(index) + _number(_MASTER, master))

    def set_ipv4(self, index: int, parameters: Mapping[int, int]) -> int:
        """Set IPv4 parameters (IPV4_DEVCONF_*) of a link; works where /proc/sys cannot be written."""
        values = b"".join(_number(number, value) for number, value in parameters.items())
        inet = _attribute(socket.AF_INET, _attribute(_INET_CONF, values))
        return self._change(_NEW_LINK, 0, _link_header(index) + _attribute(_AF_SPEC, inet))

    def generate_no_address(self, index: int) -> int:
        """Have the kernel make no IPv6 address for the link by itself (addrgenmode none)."""
        inet6 = _attribute(socket.AF_INET6, _attribute(_ADDR_GEN_MODE, bytes((_ADDR_GEN_NONE,))))
        return self._change(_NEW_LINK, 0, _link_header(index) + _attribute(_AF_SPEC, inet6))

    def link(self, name: str = "", index: int = 0) -> FoundLink | None:
        """The link called `name`, or the one with `index`."""
        which = _text(_IFNAME, name) if name else b""
        request = _link_header(index) + which + _number(_EXT_MASK, _SKIP_STATISTICS)
        for kind, body in self._ask(_GET_LINK, _ACKNOWLEDGE, request):
            if kind == _NEW_LINK:
                return _found_link(body)
        return None

    def links(self) -> list[FoundLink]:
        """All links."""
        request = _link_header() + _number(_EXT_MASK, _SKIP_STATISTICS)
        answers = self._ask(_GET_LINK, _DUMP, request)
        return [_found_link(body) for kind, body in answers if kind == _NEW_LINK]

    # -- addresses ----------------------------------------------------------------

    def add_address(self, index: int, address: Address, length: int, *, deprecated: bool = False) -> int:
        """Put an address on a link; `deprecated`: never chosen as a source by itself."""
        body = _address_body(index, address, length)
        if deprecated:
            body += _attribute(_IFA_CACHE_INFO, struct.pack("=IIII", 0, _FOR_EVER, 0, 0))
        return self._change(_NEW_ADDRESS, _CREATE | _EXCLUSIVE, body)

    def delete_address(self, index: int, address: Address, length: int) -> int:
        """Take an address off a link."""
        return self._change(_DELETE_ADDRESS, 0, _address_body(index, address, length))

    def link_local(self, index: int) -> list[IPv6Address]:
        """The link-local addresses of a link, in the kernel's order."""
        header = struct.pack("=BBBBI", socket.AF_INET6, 0, 0, 0, 0)
        found = []
        for kind, body in self._ask(_GET_ADDRESS, _DUMP, header):
            if kind == _NEW_ADDRESS and body[3] == _SCOPE_LINK and _index_at(body, 4) == index:
                raw = dict(_attributes(body[8:])).get(_IFA_ADDRESS, b"")
                if len(raw) == 16:
                    found.append(IPv6Address(raw))
        return found

    # -- the conversation -----------------------------------------------------------

    def _change(self, kind: int, flags: int, body: bytes) -> int:
        for answer, payload in self._ask(kind, flags | _ACKNOWLEDGE, body):
            if answer == _ERROR:
                return -int.from_bytes(payload[:4], byteorder, signed=True)
        return errno.ETIMEDOUT

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """The messages of the answer; ends early when the kernel says no more."""
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, flags | _REQUEST, self._sequence, 0)
        try:
            self._socket.send(header + body)
        except OSError as error:
            yield _ERROR, struct.pack("=i", -(error.errno or errno.EIO))
            return
        while True:
            try:
                data = self._socket.recv(_LARGEST)
            except OSError:
                return
            for answer, sequence, payload in _messages(data):
                if sequence != self._sequence:
                    continue
                yield answer, payload
                if answer in (_ERROR, _DONE):
                    return


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and body of each netlink message."""
    at = 0
    while at + 16 <= len(data):
        length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
        if length < 16:
            return
        yield kind, sequence, data[at + 16 : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type (without its flag bits) and value of each attribute."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode("utf-8", "surrogateescape") + b"\0")


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, flags, change)


def _link_info(kind: DeviceKind, mode: str) -> bytes:
    if kind is DeviceKind.MACVLAN:
        data = _number(_MACVLAN_MODE, _MACVLAN_MODES[mode])
    else:
        data = _attribute(_IPVLAN_MODE, struct.pack("=H", _IPVLAN_LAYER_2))
        data += _attribute(_IPVLAN_FLAGS, struct.pack("=H", _IPVLAN_KINDS[mode]))
    kind_name = _attribute(_INFO_KIND, kind.value.encode())
    return _attribute(_LINK_INFO, kind_name + _attribute(_INFO_DATA, data))


def _address_body(index: int, address: Address, length: int) -> bytes:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    flags = 0 if isinstance(address, IPv4Address) else _NO_DAD
    scope = _SCOPE_LINK if address.is_link_local and isinstance(address, IPv6Address) else 0
    header = struct.pack("=BBBBI", family, length, flags, scope, index)
    local = _attribute(_IFA_LOCAL, address.packed) if isinstance(address, IPv4Address) else b""
    return header + local + _attribute(_IFA_ADDRESS, address.packed)


def _index_at(body: bytes, offset: int) -> int:
    (index,) = struct.unpack_from("=I", body, offset)
    return int(index)


def _found_link(body: bytes) -> FoundLink:
    index, flags = struct.unpack_from("=iI", body, 4)
    attributes = dict(_attributes(body[16:]))
    info = dict(_attributes(attributes.get(_LINK_INFO, b"")))
    kind = info.get(_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace")
    # A device whose interface lies in another namespace has an index of that one.
    here = _LINK_NETNS not in attributes
    return FoundLink(
        name=attributes.get(_IFNAME, b"").rstrip(b"\0").decode("utf-8", "surrogateescape"),
        index=index,
        up=bool(flags & _UP),
        mac=attributes.get(_ADDRESS, b""),
        base_index=_value(attributes.get(_LINK)) if here else 0,
        master_index=_value(attributes.get(_MASTER)),
        group=_value(attributes.get(_GROUP)),
        kind=kind,
        mode=_mode(kind, dict(_attributes(info.get(_INFO_DATA, b"")))),
    )


def _value(raw: bytes | None) -> int:
    return int.from_bytes(raw, byteorder) if raw else 0


def _mode(kind: str, data: Mapping[int, bytes]) -> str:
    if kind == DeviceKind.MACVLAN.value:
        number, names = _value(data.get(_MACVLAN_MODE)), _MACVLAN_MODES
    elif kind == DeviceKind.IPVLAN.value and _value(data.get(_IPVLAN_MODE)) == _IPVLAN_LAYER_2:
        number, names = _value(data.get(_IPVLAN_FLAGS)), _IPVLAN_KINDS
    else:
        return ""
    return next((name for name, value in names.items() if value == number), "")
