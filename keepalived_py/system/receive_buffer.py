"""How much a socket holds that nobody has read yet (socket(7): SO_RCVBUF and SO_RCVBUFFORCE)."""

import socket

# Python has no name for it (asm-generic/socket.h).
_SO_RCVBUFFORCE = 33
_MOST = 2**31 - 1


def resize(opened: socket.socket, size: int, force: bool) -> int:
    """Let the socket hold `size` bytes of messages; 0, or the errno of the kernel's refusal.

    The kernel doubles it for its own needs.  Without `force` it stops at the
    system's limit (net.core.rmem_max), and says nothing of it; `force` takes
    CAP_NET_ADMIN (EPERM).
    """
    option = _SO_RCVBUFFORCE if force else socket.SO_RCVBUF
    try:
        opened.setsockopt(socket.SOL_SOCKET, option, min(size, _MOST))
    except OSError as error:
        return error.errno or 1
    return 0
