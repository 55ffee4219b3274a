"""Frames to the neighbours: one packet socket for all interfaces.

Its protocol is 0, so it hears nothing and costs nothing while idle.
"""

import socket


class NeighbourSocket:
    """Sends whole Ethernet frames.  Raises OSError (EPERM) when made without CAP_NET_RAW."""

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)

    def send(self, interface_index: int, frame: bytes) -> int:
        """Send `frame` out of the interface at once; 0, or the errno of the failure."""
        try:
            name = socket.if_indextoname(interface_index)
            self._socket.sendto(frame, (name, int.from_bytes(frame[12:14], "big")))
        except OSError as error:
            return error.errno or 0
        return 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
