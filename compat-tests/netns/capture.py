"""What happened on the bridge and in the kernel, with times.

`Capture` hears every frame where it enters the bridge, once, with the kernel's
receive time (CLOCK_REALTIME, nanoseconds): the sender's own clock and load do
not matter.  `AddressWatch` hears a node's IPv4 address events from netlink;
those carry no kernel time, so the moment of reading is noted instead.
"""

import ctypes
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from space import Space, inside

_ETH_P_ALL = 3
_SOL_PACKET = 263
_IGNORE_OUTGOING = 23
_SO_TIMESTAMPNS = 35
_SO_ATTACH_FILTER = 26
_RTM_NEWADDR = 20
_RTM_DELADDR = 21
_RTMGRP_IPV4_IFADDR = 0x10
_IFA_LOCAL = 2
_libc = ctypes.CDLL(None, use_errno=True)

# Keep ARP, protocols 112 (VRRP) and 51 (AH) of IPv4, and of IPv6 protocol 112 and neighbour
# advertisements (ICMPv6 136); everything else is dropped in the kernel.
_FILTER = (
    (0x28, 0, 0, 12),
    (0x15, 10, 0, 0x0806),
    (0x15, 0, 3, 0x0800),
    (0x30, 0, 0, 23),
    (0x15, 7, 0, 112),
    (0x15, 6, 7, 51),
    (0x15, 0, 6, 0x86DD),
    (0x30, 0, 0, 20),
    (0x15, 3, 0, 112),
    (0x15, 0, 3, 58),
    (0x30, 0, 0, 54),
    (0x15, 0, 1, 136),
    (0x06, 0, 0, 2048),
    (0x06, 0, 0, 0),
)
_AH = 51


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: kernel time in ns since the epoch, number of the sending node, all bytes."""

    time_ns: int
    node: int
    raw: bytes

    @property
    def is_arp(self) -> bool:
        """Whether this is an ARP frame."""
        return self.raw[12:14] == b"\x08\x06"

    @property
    def is_ipv6(self) -> bool:
        """Whether this is an IPv6 packet."""
        return self.raw[12:14] == b"\x86\xdd"

    @property
    def is_neighbour_advert(self) -> bool:
        """Whether this is a neighbour advertisement; an advert is what is neither this nor ARP."""
        return self.is_ipv6 and self.raw[20] == 58

    @property
    def ip(self) -> bytes:
        """From the IP header on."""
        return self.raw[14:]

    @property
    def vrrp(self) -> bytes:
        """The VRRP message, whatever headers stand before it."""
        if self.is_ipv6:
            return self.ip[40:]
        message = self.ip[(self.ip[0] & 15) * 4 :]
        return message[24:] if self.ip[9] == _AH else message

    @property
    def source(self) -> str:
        """The address that an advert comes from."""
        family, address = (
            (socket.AF_INET6, self.ip[8:24]) if self.is_ipv6 else (socket.AF_INET, self.ip[12:16])
        )
        return socket.inet_ntop(family, address)

    @property
    def vrid(self) -> int:
        """The advert's virtual router id."""
        return self.vrrp[1]

    @property
    def priority(self) -> int:
        """The advert's priority; 0 = the master resigns."""
        return self.vrrp[2]

    @property
    def arp_target(self) -> str:
        """The address an ARP frame announces or asks for."""
        return socket.inet_ntoa(self.raw[38:42])


def _attach_filter(sock: socket.socket) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *word) for word in _FILTER))
    sock.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_FILTER), ctypes.addressof(code))
    )


def _bind_all_devices(sock: socket.socket) -> None:
    """bind(2) with index 0 (every device of the namespace), which Python's bind cannot say."""
    place = struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(_ETH_P_ALL), 0, 0, 0, 0, b"")
    if _libc.bind(sock.fileno(), place, len(place)) != 0:
        raise OSError(ctypes.get_errno(), "bind")


def _packet_socket(switch: str) -> socket.socket:
    with inside(switch):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    _attach_filter(sock)
    sock.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    _bind_all_devices(sock)
    sock.setblocking(False)
    return sock


class _Reader:
    """A thread that reads one socket until closed."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            if select.select([self._sock], [], [], 0.05)[0]:
                self._read()

    def _read(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Stop reading and give the socket back."""
        self._stop.set()
        self._thread.join(2)
        self._sock.close()


class Capture(_Reader):
    """Every advert and ARP frame since it was made, oldest first, in `frames`."""

    def __init__(self, space: Space) -> None:
        self.frames: list[Frame] = []
        super().__init__(_packet_socket(space.switch))

    def _read(self) -> None:
        raw, ancillary, _, where = self._sock.recvmsg(2048, 64)
        node = _port_number(where[0])
        if node:
            self.frames.append(Frame(_kernel_time(ancillary), node, raw))

    def adverts(self, node: int | None = None, since_ns: int = 0, vrid: int | None = None) -> list[Frame]:
        """Adverts of `node` (all when None) not older than `since_ns`."""

        def wanted(frame: Frame) -> bool:
            return not frame.is_arp and not frame.is_neighbour_advert and vrid in (None, frame.vrid)

        return self._pick(wanted, node, since_ns)

    def neighbour_adverts(self, node: int | None = None, since_ns: int = 0) -> list[Frame]:
        """Unsolicited neighbour advertisements (to all nodes)."""
        return self._pick(lambda f: f.is_neighbour_advert and f.raw[38:40] == b"\xff\x02", node, since_ns)

    def arps(self, node: int | None = None, since_ns: int = 0) -> list[Frame]:
        """Gratuitous ARP frames (target address = sender address)."""
        return self._pick(lambda f: f.is_arp and f.raw[28:32] == f.raw[38:42], node, since_ns)

    def _pick(self, wanted: Callable[[Frame], bool], node: int | None, since_ns: int) -> list[Frame]:
        return [
            frame
            for frame in list(self.frames)
            if frame.time_ns >= since_ns and node in (None, frame.node) and wanted(frame)
        ]


def _port_number(name: str) -> int:
    """Number of the node behind a bridge port; 0 for the bridge itself, where every frame is seen again."""
    found = re.fullmatch(r"p(\d+)", name)
    return int(found[1]) if found else 0


def _kernel_time(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            whole, rest = struct.unpack("qq", data[:16])
            return int(whole * 1_000_000_000 + rest)
    return time.time_ns()


@dataclass(frozen=True, slots=True)
class AddressEvent:
    """One address came or went: time of reading (ns since the epoch), True when it came, the address."""

    time_ns: int
    added: bool
    address: str


class AddressWatch(_Reader):
    """IPv4 address events of one node since it was made, in `events`."""

    def __init__(self, space: Space, node: int) -> None:
        self.events: list[AddressEvent] = []
        with inside(space.node(node)):
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind((0, _RTMGRP_IPV4_IFADDR))
        super().__init__(sock)

    def _read(self) -> None:
        data = self._sock.recv(65536)
        now = time.time_ns()
        while len(data) >= 16:
            length, kind = struct.unpack_from("IH", data)
            if kind in (_RTM_NEWADDR, _RTM_DELADDR):
                self.events.append(AddressEvent(now, kind == _RTM_NEWADDR, _local(data[24:length])))
            data = data[(length + 3) & ~3 :]


def _local(attributes: bytes) -> str:
    while len(attributes) >= 4:
        length, kind = struct.unpack_from("HH", attributes)
        if kind == _IFA_LOCAL:
            return socket.inet_ntoa(attributes[4:8])
        attributes = attributes[(length + 3) & ~3 :]
    return ""
