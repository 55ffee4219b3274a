"""Frames to the neighbours: one packet socket for all interfaces.

Its protocol is 0, so it hears nothing and costs nothing while idle.  An interface is
named by its index, as the kernel knows it: Python's own way over the name takes four
more system calls for each frame, and a new master sends hundreds.
"""

import socket
import struct
from collections.abc import Sequence
from functools import lru_cache

from keepalived_py.system import libc

# How a frame to a group of Infiniband begins; the first byte of an Ethernet group is odd.
_INFINIBAND_GROUP = b"\0\xff\xff\xff"
_ETHERTYPE_ETHERNET = slice(12, 14)
_ETHERTYPE_INFINIBAND = slice(20, 22)


class NeighbourSocket:
    """Sends whole frames (Ethernet, Infiniband).  Raises OSError (EPERM) when made without CAP_NET_RAW."""

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)

    def send(self, interface_index: int, frame: bytes) -> int:
        """Send `frame` out of the interface at once; 0, or the errno of the failure."""
        return libc.send_to(self._socket.fileno(), frame, _place(interface_index, _ethertype(frame)))

    def send_many(self, frames: Sequence[tuple[int, bytes]]) -> list[int]:
        """As `send`, for frames with their interfaces, in one call; for each 0 or its errno."""
        messages = [(frame, _place(index, _ethertype(frame))) for index, frame in frames]
        return libc.send_many(self._socket.fileno(), messages)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@lru_cache(maxsize=256)
def _place(interface_index: int, ethertype: int) -> bytes:
    """A `struct sockaddr_ll` (packet(7)); without a hardware address, which stands in the frame."""
    return struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(ethertype), interface_index, 0, 0, 0, b"")


def _ethertype(frame: bytes) -> int:
    infiniband = frame.startswith(_INFINIBAND_GROUP)
    return int.from_bytes(frame[_ETHERTYPE_INFINIBAND if infiniband else _ETHERTYPE_ETHERNET], "big")
