"""Frames to the neighbours: one packet socket for all interfaces.

Its protocol is 0, so it hears nothing and costs nothing while idle.
"""

import errno
import socket

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
        try:
            name = socket.if_indextoname(interface_index)
            self._socket.sendto(frame, (name, _ethertype(frame)))
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _ethertype(frame: bytes) -> int:
    infiniband = frame.startswith(_INFINIBAND_GROUP)
    return int.from_bytes(frame[_ETHERTYPE_INFINIBAND if infiniband else _ETHERTYPE_ETHERNET], "big")
