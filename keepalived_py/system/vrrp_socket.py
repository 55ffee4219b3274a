"""The raw sockets of adverts: for each endpoint one to hear and one to send.

Instances whose adverts come and go the same way share a pair, as in
keepalived's "sockpool".  What tells pairs apart is the `Endpoint`: interface,
family, protocol (VRRP, or AH around it), and the multicast group or, for unicast,
the own address.  The receiving socket is bound to that address, so a
multicast instance does not even hear unicast, and the other way round; it may
be bound before the address is there.

Over IPv4 the sending socket carries its own IP header and hears nothing (its
protocol is "raw").  Over IPv6 the kernel writes the header and the checksum;
source and hop limit go along as ancillary data.  Sending never waits: if the queue
is full the advert is lost, as on the wire, and the errno says so.

A flood of packets must not starve the timers: `drain` takes a bounded number,
and `hear_only` has the kernel drop adverts of foreign routers before they
cost a wake-up.  Joining a group and leaving it (by closing) wait for a lock of
the kernel that others may hold for long, so they are calls of their own.
"""

import ctypes
import errno
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Generic, NamedTuple, TypeVar

from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.system import libc

PROTOCOL_VRRP = 112
PROTOCOL_AH = 51
_INTERNETWORK_CONTROL = 0xC0
_FULL_HOP_LIMIT = 255
_CHECKSUM_OFFSET = 6
# Linux numbers that the socket module does not name.
_IP_FREEBIND = 15
_IP_MULTICAST_ALL = 49
_IPV6_MULTICAST_ALL = 29
_IPV6_FREEBIND = 78
_SO_TIMESTAMPNS = 35
_SO_ATTACH_FILTER = 26
# Longer than any advert: 255 addresses of IPv6 with all headers and a trailer.
_LONGEST_PACKET = 4400
_TIMESPEC = struct.Struct("@ll")
_STAMP = socket.CMSG_SPACE(_TIMESPEC.size)
_ANCILLARY = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4) + _STAMP
_SECOND_NS = 1_000_000_000
# How far a filter's jump reaches.
_MOST_FILTERED_VRIDS = 255
_AH_LENGTH = 24


class Endpoint(NamedTuple):
    """How the adverts of an instance come and go.

    `interface` "": whichever the routing table says, or `vrf` if that is not "".  `address` is
    the multicast group, or the own address of unicast.
    """

    interface: InterfaceName
    family: int
    protocol: int
    address: Address
    vrf: InterfaceName = InterfaceName("")

    @property
    def device(self) -> InterfaceName:
        """What the sockets are bound to; "": nothing."""
        return self.interface or self.vrf

    @property
    def multicast(self) -> bool:
        """Whether adverts go to a group."""
        return self.address.is_multicast


class Ipv6Packet(NamedTuple):
    """A received message with what the kernel says of its header.

    `source` is an address as text, `destination` one of 16 bytes (empty if the kernel did not
    say), `hop_limit` -1 if the kernel did not say.
    """

    message: bytes
    source: str
    destination: bytes
    hop_limit: int


Packet = TypeVar("Packet")


class VrrpSocket(ABC, Generic[Packet]):
    """A pair of open sockets.  `fileno` is the receiving one, to wait for.

    `heard_ns`: when the last packet that was received had come to the kernel, in nanoseconds of the
    wall clock; 0: not known.
    """

    def __init__(
        self, endpoint: Endpoint, index: int, receiver: socket.socket, sender: socket.socket
    ) -> None:
        self._endpoint = endpoint
        self._index = index
        self._receiver = receiver
        self._sender = sender
        self.heard_ns = 0
        self._own_buffer = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    def fileno(self) -> int:
        """The descriptor that becomes readable when an advert came."""
        return self._receiver.fileno()

    def sending_fileno(self) -> int:
        """The descriptor that adverts are sent through, for the log."""
        return self._sender.fileno()

    @abstractmethod
    def join(self) -> None:
        """Join the group, if there is one; may wait for others.  Raises OSError if the kernel refuses."""

    @abstractmethod
    def send(self, packet: bytes, source: Address, destination: Address, ttl: int | None) -> int:
        """Send a packet at once; 0, or the errno of the failure.

        `source` and `ttl` (None: as the kernel has it) are what the IPv6 header says.
        """

    @abstractmethod
    def receive(self) -> Packet | None:
        """The next packet, or None if there is none.

        A packet too long to be an advert is cut, and its length gives it away.
        An error that the kernel reports on the socket (the link went down) is
        taken off it, like a lost packet.
        """

    def drain(self, limit: int) -> Iterator[Packet]:
        """Up to `limit` packets that are there now; the rest keeps the socket readable."""
        for _ in range(limit):
            packet = self.receive()
            if packet is None:
                return
            yield packet

    def set_receive_buffer(self, size: int) -> None:
        """Have room for `size` bytes of waiting adverts (0: what the system gives)."""
        self._receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size or self._own_buffer)

    def hear_only(self, vrids: Collection[int] | None) -> None:
        """Have the kernel drop adverts of other VRIDs than `vrids` (None: of none).

        The caller must look at the VRID in any case: packets may have come before.
        Raises OSError if the kernel refuses.
        """
        _attach_filter(self._receiver, _vrid_filter(self._endpoint, vrids))

    def close(self) -> None:
        """Leave the group and close both sockets; may wait for others."""
        self._receiver.close()
        self._sender.close()


class Ipv4Socket(VrrpSocket[bytes]):
    """Packets are whole, from the IP header on."""

    def join(self) -> None:
        """See `VrrpSocket`."""
        group = self._endpoint.address
        if group.is_multicast:
            membership = _ip_mreqn(group, self._index)
            self._receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)

    def send(self, packet: bytes, source: Address, destination: Address, ttl: int | None) -> int:
        """See `VrrpSocket`; the packet's own header counts."""
        try:
            self._sender.sendto(packet, *_way(destination))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def send_many(self, packets: Sequence[tuple[bytes, Address]]) -> list[int]:
        """As `send`, in one call, for packets with their destinations: groups all of them or none."""
        messages = [(packet, _socket_address(destination)) for packet, destination in packets]
        return libc.send_many(self._sender.fileno(), messages, _way(packets[0][1])[0])

    def receive(self) -> bytes | None:
        """See `VrrpSocket`."""
        try:
            packet, ancillary, _, _ = self._receiver.recvmsg(_LONGEST_PACKET, _STAMP)
        except OSError:
            return None
        self.heard_ns = _stamp(ancillary[0][2]) if ancillary else 0
        return packet


@lru_cache(maxsize=1024)
def _way(destination: Address) -> tuple[int, tuple[str, int]]:
    """Flags and address of sendto(2): a group is always on the link, whatever the routing table says."""
    return socket.MSG_DONTROUTE if destination.is_multicast else 0, (str(destination), 0)


@lru_cache(maxsize=1024)
def _socket_address(destination: Address) -> bytes:
    """A `struct sockaddr_in` (ip(7)); a raw socket has no ports."""
    return struct.pack("=HH4s8x", socket.AF_INET, 0, destination.packed)


class Ipv6Socket(VrrpSocket[Ipv6Packet]):
    """Packets are the message alone; the kernel drops those with a wrong checksum."""

    def join(self) -> None:
        """See `VrrpSocket`."""
        group = self._endpoint.address
        if group.is_multicast:
            membership = group.packed + struct.pack("=I", self._index)
            self._receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)

    def send(self, packet: bytes, source: Address, destination: Address, ttl: int | None) -> int:
        """See `VrrpSocket`."""
        index = self._index if self._endpoint.interface else 0
        told = struct.pack("=16sI", source.packed, index)
        ancillary = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, told)]
        multicast = destination.is_multicast
        if ttl is not None and not multicast:
            ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("=i", ttl)))
        scope = index if multicast or destination.is_link_local else 0
        flags = socket.MSG_DONTROUTE if multicast else 0
        try:
            self._sender.sendmsg([packet], ancillary, flags, (str(destination), 0, 0, scope))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def receive(self) -> Ipv6Packet | None:
        """See `VrrpSocket`."""
        try:
            message, ancillary, _, source = self._receiver.recvmsg(_LONGEST_PACKET, _ANCILLARY)
        except OSError:
            return None
        destination, hop_limit = b"", -1
        self.heard_ns = 0
        for _, kind, data in ancillary:
            if kind == socket.IPV6_PKTINFO:
                destination = data[:16]
            elif kind == socket.IPV6_HOPLIMIT:
                (hop_limit,) = struct.unpack("=i", data[:4])
            elif kind == _SO_TIMESTAMPNS:
                self.heard_ns = _stamp(data)
        return Ipv6Packet(message, source[0], destination, hop_limit)


def _stamp(data: bytes) -> int:
    seconds, nanoseconds = _TIMESPEC.unpack_from(data)
    return int(seconds * _SECOND_NS + nanoseconds)


# -- opening --------------------------------------------------------------------


def open_pair(endpoint: Endpoint, index: int) -> "Ipv4Socket | Ipv6Socket":
    """Open both sockets; `index` is that of the endpoint's device (0 without one).

    Raises OSError: EPERM without CAP_NET_RAW, ENODEV or ENXIO if the device left, EAFNOSUPPORT.
    No group is joined yet.
    """
    name = socket.if_indextoname(index).encode() + b"\0" if endpoint.device else b""
    receiver = _open(
        endpoint, endpoint.protocol, lambda opened: _set_up_receiver(opened, endpoint, name, index)
    )
    protocol = socket.IPPROTO_RAW if endpoint.family == 4 else endpoint.protocol
    try:
        sender = _open(endpoint, protocol, lambda opened: _set_up_sender(opened, endpoint, name, index))
    except OSError:
        receiver.close()
        raise
    kind = Ipv4Socket if endpoint.family == 4 else Ipv6Socket
    return kind(endpoint, index, receiver, sender)


def _open(endpoint: Endpoint, protocol: int, set_up: Callable[[socket.socket], None]) -> socket.socket:
    family = socket.AF_INET if endpoint.family == 4 else socket.AF_INET6
    opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    try:
        set_up(opened)
    except OSError:
        opened.close()
        raise
    return opened


def _ip_mreqn(group: Address, index: int) -> bytes:
    return struct.pack("=4s4si", group.packed, bytes(4), index)


def _set_up_receiver(opened: socket.socket, endpoint: Endpoint, name: bytes, index: int) -> None:
    _bind_to_device(opened, name)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if endpoint.family == 4:
        # Without this a raw socket also hears groups that others on this machine joined.
        opened.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        opened.bind((str(endpoint.address), 0))
    else:
        _forget_other_groups(opened)
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        scope = index if endpoint.multicast or endpoint.address.is_link_local else 0
        opened.bind((str(endpoint.address), 0, 0, scope))
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, _CHECKSUM_OFFSET)


def _set_up_sender(opened: socket.socket, endpoint: Endpoint, name: bytes, index: int) -> None:
    _bind_to_device(opened, name)
    if endpoint.family == 4:
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        # The header has its own TOS; this one sets the queueing priority inside the kernel.
        opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _INTERNETWORK_CONTROL)
        if endpoint.multicast:
            any_group = _ip_mreqn(IPv4Address(0), index)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, any_group)
            opened.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        return
    # Raw IPv6 sockets that compute checksums hear their protocol; this one must not.
    _attach_filter(opened, _instruction(_RETURN, 0, 0, 0))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    _forget_other_groups(opened)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, _CHECKSUM_OFFSET)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INTERNETWORK_CONTROL)
    if endpoint.multicast:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _FULL_HOP_LIMIT)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)


def _bind_to_device(opened: socket.socket, name: bytes) -> None:
    if name:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)


def _forget_other_groups(opened: socket.socket) -> None:
    """As IP_MULTICAST_ALL; kernels before 4.20 cannot."""
    with suppress(OSError):
        opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)


# -- filters --------------------------------------------------------------------

# Classic BPF (linux/filter.h): operation, jump if true, jump if false, operand.
_LOAD_IP_HEADER_LENGTH = 0xB1
_LOAD_BYTE_AFTER_HEADER = 0x50
_LOAD_BYTE = 0x30
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_WHOLE_PACKET = 0xFFFFFFFF
_VRID_OFFSET = 1


def _attach_filter(opened: socket.socket, program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the kernel copies the program during the call.
    descriptor = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)


def _vrid_filter(endpoint: Endpoint, vrids: Collection[int] | None) -> bytes:
    """A program that passes a packet if the second byte of its message is one of `vrids`."""
    if vrids is None or len(vrids) > _MOST_FILTERED_VRIDS:
        return _instruction(_RETURN, 0, 0, _WHOLE_PACKET)
    ordered = sorted(vrids)
    program = _load_vrid(endpoint)
    for position, vrid in enumerate(ordered):
        # A match jumps over the comparisons that are left and over "drop".
        program.append(_instruction(_JUMP_IF_EQUAL, len(ordered) - position, 0, vrid))
    program.append(_instruction(_RETURN, 0, 0, 0))
    program.append(_instruction(_RETURN, 0, 0, _WHOLE_PACKET))
    return b"".join(program)


def _load_vrid(endpoint: Endpoint) -> list[bytes]:
    """Over IPv6 a raw socket sees the message alone; AH may have other things inside than adverts."""
    if endpoint.family == 6:
        return [_instruction(_LOAD_BYTE, 0, 0, _VRID_OFFSET)]
    program = [_instruction(_LOAD_IP_HEADER_LENGTH, 0, 0, 0)]
    if endpoint.protocol == PROTOCOL_VRRP:
        return [*program, _instruction(_LOAD_BYTE_AFTER_HEADER, 0, 0, _VRID_OFFSET)]
    return [
        *program,
        _instruction(_LOAD_BYTE_AFTER_HEADER, 0, 0, 0),
        _instruction(_JUMP_IF_EQUAL, 1, 0, PROTOCOL_VRRP),
        _instruction(_RETURN, 0, 0, 0),
        _instruction(_LOAD_BYTE_AFTER_HEADER, 0, 0, _AH_LENGTH + _VRID_OFFSET),
    ]


def _instruction(operation: int, if_true: int, if_false: int, operand: int) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, operand)
