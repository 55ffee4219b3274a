"""The raw sockets of one interface and one multicast group: one to hear, one to send.

Instances on the same interface and group share the pair, as in keepalived.
The receiving socket is bound to the group, so that it hears adverts sent to
the group and no others, and to the interface.  The sending socket carries its
own IP header, hears nothing (its protocol is "raw"), and never waits: if its
queue is full the advert is lost, as on the wire, and the errno says so.

A flood of packets must not starve the timers: `drain` takes a bounded number,
and `hear_only` has the kernel drop adverts of foreign routers before they
cost a wake-up.
"""

import ctypes
import socket
import struct
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address

PROTOCOL_VRRP = 112
_TOS_INTERNETWORK_CONTROL = 0xC0
# Linux numbers that the socket module does not name.
_IP_MULTICAST_ALL = 49
_SO_ATTACH_FILTER = 26
# Longer than any advert: 255 addresses with all headers.
_LONGEST_PACKET = 2048
# Longest filter: the VRID is looked up in a chain of comparisons.
_MOST_FILTERED_VRIDS = 32


def open_pair(interface_index: int, group: IPv4Address) -> "VrrpSocket":
    """Open both sockets; raises OSError (EPERM without CAP_NET_RAW, ENODEV if the interface left)."""
    name = socket.if_indextoname(interface_index).encode() + b"\0"
    receiver = _open_receiver(name, interface_index, group)
    try:
        sender = _open_sender(name, interface_index)
    except OSError:
        receiver.close()
        raise
    return VrrpSocket(receiver, sender)


def _membership(group: IPv4Address, interface_index: int) -> bytes:
    """struct ip_mreqn."""
    return struct.pack("=4s4si", group.packed, bytes(4), interface_index)


def _open_receiver(name: bytes, interface_index: int, group: IPv4Address) -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, PROTOCOL_VRRP)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        # Without this a raw socket also hears groups that others on this machine joined.
        receiver.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        receiver.bind((str(group), 0))
        membership = _membership(group, interface_index)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    except OSError:
        receiver.close()
        raise
    return receiver


def _open_sender(name: bytes, interface_index: int) -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
    try:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        any_group = _membership(IPv4Address(0), interface_index)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, any_group)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        # The header has its own TOS; this one sets the queueing priority inside the kernel.
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _TOS_INTERNETWORK_CONTROL)
    except OSError:
        sender.close()
        raise
    return sender


class VrrpSocket:
    """A pair of open sockets.  `fileno` is the receiving one, to wait for."""

    __slots__ = ("_buffer", "_receiver", "_sender", "_view")

    def __init__(self, receiver: socket.socket, sender: socket.socket) -> None:
        self._receiver = receiver
        self._sender = sender
        self._buffer = bytearray(_LONGEST_PACKET)
        self._view = memoryview(self._buffer)

    def fileno(self) -> int:
        """The descriptor that becomes readable when an advert came."""
        return self._receiver.fileno()

    def sending_fileno(self) -> int:
        """The descriptor that adverts are sent through, for the log."""
        return self._sender.fileno()

    def send(self, packet: bytes, destination: IPv4Address) -> int:
        """Send a packet (IP header on) at once; 0, or the errno of the failure."""
        # MSG_DONTROUTE: a group is always on the link, whatever the routing table says.
        flags = socket.MSG_DONTROUTE if destination.is_multicast else 0
        try:
            self._sender.sendto(packet, flags, (str(destination), 0))
        except OSError as error:
            return error.errno or 0
        return 0

    def receive(self) -> bytes | None:
        """The next packet (IP header on), or None if there is none.

        A packet too long to be an advert is cut, and its length gives it away.
        An error that the kernel reports on the socket (the link went down) is
        taken off it, like a lost packet.
        """
        try:
            length = self._receiver.recv_into(self._buffer)
        except OSError:
            return None
        return bytes(self._view[:length])

    def drain(self, limit: int) -> Iterator[bytes]:
        """Up to `limit` packets that are there now; the rest keeps the socket readable."""
        for _ in range(limit):
            packet = self.receive()
            if packet is None:
                return
            yield packet

    def hear_only(self, vrids: Collection[int]) -> None:
        """Have the kernel drop adverts of other VRIDs.  Not for `log_unknown_vrids`.

        With very many VRIDs all packets pass: the caller must look at the
        VRID in any case.  Raises OSError if the kernel refuses.
        """
        program = _vrid_filter(vrids)
        buffer = ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: the kernel copies the program during the call.
        descriptor = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
        self._receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)

    def close(self) -> None:
        """Leave the group and close both sockets."""
        self._receiver.close()
        self._sender.close()


# Classic BPF (linux/filter.h): operation, jump if true, jump if false, operand.
_LOAD_IP_HEADER_LENGTH = 0xB1
_LOAD_BYTE_AFTER_HEADER = 0x50
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_WHOLE_PACKET = 0xFFFFFFFF
_VRID_OFFSET = 1


def _vrid_filter(vrids: Collection[int]) -> bytes:
    """A program that passes a packet if the second byte after its IP header is one of `vrids`."""
    if len(vrids) > _MOST_FILTERED_VRIDS:
        return _instruction(_RETURN, 0, 0, _WHOLE_PACKET)
    ordered = sorted(vrids)
    program = [
        _instruction(_LOAD_IP_HEADER_LENGTH, 0, 0, 0),
        _instruction(_LOAD_BYTE_AFTER_HEADER, 0, 0, _VRID_OFFSET),
    ]
    for position, vrid in enumerate(ordered):
        # A match jumps over the comparisons that are left and over "drop".
        program.append(_instruction(_JUMP_IF_EQUAL, len(ordered) - position, 0, vrid))
    program.append(_instruction(_RETURN, 0, 0, 0))
    program.append(_instruction(_RETURN, 0, 0, _WHOLE_PACKET))
    return b"".join(program)


def _instruction(operation: int, if_true: int, if_false: int, operand: int) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, operand)
