"""The UDP sockets of BFD (RFC 5881 section 4, RFC 5883 section 5).

All sessions hear through one socket for each family and port; each session
sends through one of its own, from a port between 49152 and 65535 that stays
the same for its whole life.  Over IPv4 as over IPv6 the kernel says with each packet
where it was sent to and with which TTL it came.  Nothing here ever waits: what
the kernel does not take at once is lost, as on the wire.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

from keepalived_py.base.names import Address
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import MULTIHOP_PORT, SINGLE_HOP_PORT, Origin

FIRST_PORT = 49152
LAST_PORT = 65535
# Longer than any control packet with authentication: what is cut is too long in any case.
_LONGEST = 512
_ANCILLARY = 128
_TC_PRIO_CONTROL = 7
# Linux numbers that the socket module does not name.
_IP_PKTINFO = 8
_IP_RECVTTL = 12
_TTL = struct.Struct("=i")


class Listener:
    """One socket that hears control packets of one family."""

    __slots__ = ("_family", "_multihop", "_socket")

    def __init__(self, family: int, multihop: bool) -> None:
        """`family` 4 or 6.  Raises OSError if the port is taken or the family is off."""
        self._family = family
        self._multihop = multihop
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        self._socket = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._open()
        except OSError:
            self._socket.close()
            raise

    def _open(self) -> None:
        if self._family == 4:
            for option in (_IP_RECVTTL, _IP_PKTINFO):
                self._socket.setsockopt(socket.IPPROTO_IP, option, 1)
        else:
            for option in (socket.IPV6_V6ONLY, socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVPKTINFO):
                self._socket.setsockopt(socket.IPPROTO_IPV6, option, 1)
        self._socket.bind(("", MULTIHOP_PORT if self._multihop else SINGLE_HOP_PORT))

    def fileno(self) -> int:
        """The descriptor that becomes readable when a packet came."""
        return self._socket.fileno()

    def drain(self, limit: int) -> Iterator[tuple[bytes, Origin]]:
        """Up to `limit` packets that are there now; the rest keeps the socket readable."""
        for _ in range(limit):
            try:
                raw, ancillary, _, sender = self._socket.recvmsg(_LONGEST, _ANCILLARY)
            except OSError:  # nothing there, or an error that belongs to a lost packet
                return
            yield raw, self._origin(ancillary, sender)

    def _origin(self, ancillary: list[tuple[int, int, bytes]], sender: tuple[str, int]) -> Origin:
        destination: Address | None = None
        ttl: int | None = None
        for level, kind, data in ancillary:
            if level == socket.IPPROTO_IP:
                if kind == socket.IP_TTL:
                    (ttl,) = _TTL.unpack_from(data)
                elif kind == _IP_PKTINFO:
                    destination = IPv4Address(data[8:12])
            elif level == socket.IPPROTO_IPV6:
                if kind == socket.IPV6_HOPLIMIT:
                    (ttl,) = _TTL.unpack_from(data)
                elif kind == socket.IPV6_PKTINFO:
                    destination = IPv6Address(data[:16])
        address, port = sender[:2]
        source = IPv4Address(address) if self._family == 4 else IPv6Address(address.partition("%")[0])
        return Origin(source, port, destination, ttl, self._multihop)

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class Sender:
    """Where the packets of one session go out."""

    __slots__ = ("_destination", "_socket")

    def __init__(self, settings: BfdInstance, first_port: int) -> None:
        """Bound to the first free port from `first_port` on.  Raises OSError, as for an address not there."""
        port = MULTIHOP_PORT if settings.multihop else SINGLE_HOP_PORT
        self._destination = (str(settings.neighbour), port)
        family = socket.AF_INET if settings.neighbour.version == 4 else socket.AF_INET6
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self.set_ttl(settings.ttl)
            self._bind("" if settings.source is None else str(settings.source), first_port)
        except OSError:
            self._socket.close()
            raise
        # Our own queues let it pass first; without the right to ask for that it goes like any other.
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _TC_PRIO_CONTROL)

    def _bind(self, source: str, first_port: int) -> None:
        ports = LAST_PORT - FIRST_PORT + 1
        for offset in range(ports):
            try:
                self._socket.bind((source, FIRST_PORT + (first_port - FIRST_PORT + offset) % ports))
                return
            except OSError as refused:
                if refused.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, "Address already in use")

    @property
    def port(self) -> int:
        """The port it sends from."""
        port: int = self._socket.getsockname()[1]
        return port

    def set_ttl(self, ttl: int) -> None:
        """The TTL or hop limit of packets to come.  Raises OSError."""
        if self._socket.family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)

    def send(self, packet: bytes) -> str | None:
        """Send a packet; None, or the kernel's words why not."""
        try:
            self._socket.sendto(packet, self._destination)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()
