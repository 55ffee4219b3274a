"""The conversation about virtual devices with the kernel: one request at a time, and what it answers.

Making or removing a device takes the kernel milliseconds, and it works inside
send(2); so whoever calls this does so in a thread of its own.  Every request
ends in an errno (0: done), never in an exception.

What changes something is written by pyroute2 (`device_messages`), which is
imported with the first such request.  What only asks is read like all other
messages of the kernel: pyroute2 needs a quarter of a millisecond for a link, in
which no advert is sent, and a machine may have a thousand of them.

Numbers are those of linux/if_link.h, linux/rtnetlink.h and linux/if_addr.h.
"""

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from types import ModuleType

from keepalived_py.base.names import Address
from keepalived_py.model.interfaces import DeviceKind
from keepalived_py.system import rtnetlink
from keepalived_py.system.attributes import Attributes, address, number, split
from keepalived_py.system.links import IPVLAN_FLAGS, IPVLAN_LAYER_2
from keepalived_py.system.rtnetlink import Message, Request

ANSWER_LIMIT_S = 5

_ADDRESS, _IFNAME, _LINK, _MASTER, _LINK_INFO, _GROUP, _EXT_MASK, _LINK_NETNS = 1, 3, 5, 10, 18, 27, 29, 37
_INFO_KIND, _INFO_DATA = 1, 2
_MODE, _IPVLAN_FLAGS = 1, 2
_IFA_ADDRESS = 1
_UP = 0x1
_SKIP_STATISTICS = 1 << 3
_IPV6_ADDRESS_GROUP = 0x100
_NEWS_LIMIT_S = 0.1
_SCOPE_LINK = 253
_LARGEST = 1 << 17

_LINK_HEADER = struct.Struct("=BxHiII")
_ADDRESS_HEADER = struct.Struct("=BBBBI")

_MACVLAN_MODES = {1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}
_IPVLAN_MODES = {flags: mode for mode, flags in IPVLAN_FLAGS.items()}


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


def _told_address(told: Message) -> tuple[int, int, IPv6Address | None]:
    """The link, the scope and the address that a message is about."""
    _, _, _, scope, of_link = _ADDRESS_HEADER.unpack_from(told.payload)
    one = address(split(told.payload, _ADDRESS_HEADER.size).get(_IFA_ADDRESS))
    return of_link, scope, one if isinstance(one, IPv6Address) else None


def _await_news(listening: socket.socket, index: int, new: IPv6Address) -> None:
    """Wait until the kernel tells of `new` on a link; it does not while the link is down."""
    end = time.monotonic() + _NEWS_LIMIT_S
    while (left := end - time.monotonic()) > 0:
        listening.settimeout(left)
        try:
            data = listening.recv(_LARGEST)
        except OSError:
            return
        for told in rtnetlink.messages(data):
            if told.kind == rtnetlink.NEW_ADDRESS:
                of_link, _, one = _told_address(told)
                if of_link == index and one == new:
                    return


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
        return self._change(_write().add(name, kind, mode, base_index, mac, group, master))

    def alter(self, index: int, kind: DeviceKind, mode: str, mac: bytes, master: int) -> int:
        """Give a device another mode and MAC address."""
        return self._change(_write().alter(kind, mode, mac, master), index)

    def delete(self, index: int) -> int:
        """Remove a device."""
        return self._change(_write().delete(), index)

    def delete_group(self, group: int) -> int:
        """Remove all devices of a link group at once; EPERM for group 0, which has everything else."""
        return self._change(_write().delete_group(group))

    def set_up(self, index: int) -> int:
        """As `ip link set up`."""
        return self._change(_write().set_up(), index)

    def set_group(self, index: int, group: int) -> int:
        """Set the link group; to the one it has: the kernel announces the link again."""
        return self._change(_write().set_number("IFLA_GROUP", group), index)

    def set_master(self, index: int, master: int) -> int:
        """Put the link below a VRF device; 0 takes it out."""
        return self._change(_write().set_number("IFLA_MASTER", master), index)

    def set_ipv4(self, index: int, parameters: Mapping[str, int]) -> int:
        """Set IPv4 parameters of a link; works where /proc/sys cannot be written.

        Their names are those of the files below /proc/sys/net/ipv4/conf: rp_filter, arp_filter,
        arp_ignore, promote_secondaries and accept_local.
        """
        return self._change(_write().set_ipv4(tuple(parameters.items())), index)

    def generate_no_address(self, index: int) -> int:
        """Have the kernel make no IPv6 address for the link by itself (addrgenmode none)."""
        return self._change(_write().generate_no_address(), index)

    def link(self, name: str = "", index: int = 0) -> FoundLink | None:
        """The link called `name`, or the one with `index`."""
        question = Attributes(_LINK_HEADER.pack(0, 0, index, 0, 0))
        if name:
            question.add(_IFNAME, os.fsencode(name) + b"\0")
        question.number_32(_EXT_MASK, _SKIP_STATISTICS)
        return next(iter(self._links(rtnetlink.request(rtnetlink.GET_LINK, 0, question))), None)

    def links(self) -> list[FoundLink]:
        """All links."""
        question = Attributes(bytes(_LINK_HEADER.size))
        question.number_32(_EXT_MASK, _SKIP_STATISTICS)
        return self._links(rtnetlink.request(rtnetlink.GET_LINK, rtnetlink.DUMP, question))

    def _links(self, question: Request) -> list[FoundLink]:
        answers = self._ask(question)
        return [_found_link(one.payload) for one in answers if one.kind == rtnetlink.NEW_LINK]

    # -- addresses ----------------------------------------------------------------

    def add_address(self, index: int, address: Address, length: int, *, deprecated: bool = False) -> int:
        """Put an address on a link; `deprecated`: never chosen as a source by itself."""
        return self._change(_write().add_address(address, length, deprecated), index)

    def delete_address(self, index: int, address: Address, length: int) -> int:
        """Take an address off a link."""
        return self._change(_write().delete_address(address, length), index)

    def replace_address(self, index: int, old: IPv6Address, new: IPv6Address, length: int) -> int:
        """Put `new` on a link, deprecated, and take `old` off when everybody has been told of `new`.

        The kernel tells of a new IPv6 address a moment after it was added, of a removal at once: who hears
        of the removal first would take the link for one without an address.  The errno is that of adding.
        """
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC) as told:
            told.bind((0, _IPV6_ADDRESS_GROUP))
            error = self.add_address(index, new, length, deprecated=True)
            if error not in (0, errno.EEXIST):
                return error
            if not error:
                _await_news(told, index, new)
        self.delete_address(index, old, length)
        return 0

    def link_local(self, index: int) -> list[IPv6Address]:
        """The link-local addresses of a link, in the kernel's order."""
        header = _ADDRESS_HEADER.pack(socket.AF_INET6, 0, 0, 0, 0)
        answers = self._ask(rtnetlink.dump(rtnetlink.GET_ADDRESS, header))
        told = [_told_address(one) for one in answers if one.kind == rtnetlink.NEW_ADDRESS]
        return [one for of_link, scope, one in told if scope == _SCOPE_LINK and of_link == index and one]

    # -- the conversation -----------------------------------------------------------

    def _change(self, request: Request, index: int = 0) -> int:
        """0 or the errno of a request about the link `index`."""
        error: int | None = None
        try:
            for answer in self._conversation(request, index):
                error = rtnetlink.error_of(answer)
        except OSError as problem:
            return problem.errno or errno.ETIMEDOUT
        return errno.ETIMEDOUT if error is None else error

    def _ask(self, question: Request) -> list[Message]:
        """The messages of the answer; those that came before the kernel said no more."""
        found: list[Message] = []
        try:
            for answer in self._conversation(question):
                found.append(answer)
        except OSError:
            pass
        return found

    def _conversation(self, request: Request, index: int = 0) -> Iterator[Message]:
        """Every message of the answer, with the one that ends it; raises OSError (no errno: none came)."""
        self._sequence += 1
        indices = {name: index for _, name in request.indices}
        self._socket.send(rtnetlink.numbered(request, self._sequence, indices, last=True))
        while True:
            for answer in rtnetlink.messages(self._socket.recv(_LARGEST)):
                if answer.sequence != self._sequence:
                    continue
                yield answer
                if answer.kind in (rtnetlink.ERROR, rtnetlink.DONE):
                    return


def _write() -> ModuleType:
    from keepalived_py.system import device_messages  # paid only by who changes a device

    return device_messages


def _found_link(payload: bytes) -> FoundLink:
    _, _, index, flags, _ = _LINK_HEADER.unpack_from(payload)
    found = split(payload, _LINK_HEADER.size)
    info = split(found.get(_LINK_INFO, b""))
    kind = info.get(_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace")
    # A device whose interface lies in another namespace has an index of that one.
    here = _LINK_NETNS not in found
    return FoundLink(
        name=os.fsdecode(found.get(_IFNAME, b"").rstrip(b"\0")),
        index=index,
        up=bool(flags & _UP),
        mac=found.get(_ADDRESS, b""),
        base_index=number(found.get(_LINK)) if here else 0,
        master_index=number(found.get(_MASTER)),
        group=number(found.get(_GROUP)),
        kind=kind,
        mode=_mode(kind, split(info.get(_INFO_DATA, b""))),
    )


def _mode(kind: str, data: Mapping[int, bytes]) -> str:
    if kind == DeviceKind.MACVLAN.value:
        return _MACVLAN_MODES.get(number(data.get(_MODE)), "")
    if kind == DeviceKind.IPVLAN.value and number(data.get(_MODE)) == IPVLAN_LAYER_2:
        return _IPVLAN_MODES.get(number(data.get(_IPVLAN_FLAGS)), "")
    return ""
