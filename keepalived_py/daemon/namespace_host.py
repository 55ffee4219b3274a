"""Questions about interfaces, asked in the network namespace this process has entered.

/sys shows the interfaces of the namespace it was mounted in, not of the one
that a process enters later; the kernel's interface calls follow the process.
"""

import socket
import struct
from fcntl import ioctl

from keepalived_py.config.host import IFF_LOOPBACK, RealHost

_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_NAME_BYTES = 16
_REQUEST_BYTES = 40


class NamespaceHost(RealHost):
    """`RealHost` with its interface questions answered by system calls."""

    def interface_exists(self, name: str) -> bool:
        try:
            socket.if_nametoindex(name)
        except (OSError, ValueError):
            return False
        return True

    def interface_is_loopback(self, name: str) -> bool:
        answer = _ask(name, _SIOCGIFFLAGS)
        return answer is not None and bool(struct.unpack_from("=H", answer, _NAME_BYTES)[0] & IFF_LOOPBACK)

    def interface_mtu(self, name: str) -> int:
        answer = _ask(name, _SIOCGIFMTU)
        return 0 if answer is None else int(struct.unpack_from("=i", answer, _NAME_BYTES)[0])


def _ask(name: str, request: int) -> bytes | None:
    """The kernel's answer to an interface request (struct ifreq of netdevice(7)); None if it has none."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) >= _NAME_BYTES:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return ioctl(any_socket, request, raw.ljust(_REQUEST_BYTES, b"\0"))
        except OSError:
            return None
