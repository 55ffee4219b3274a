"""A socket for a check: bound to what the configuration says it shall come from."""

import socket

from keepalived_py.model.check_events import Target
from keepalived_py.model.checks import ConnectedCheck

_SO_MARK = 36
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def opened(
    check: ConnectedCheck, target: Target, kind: socket.SocketKind, protocol: int = 0
) -> socket.socket:
    """A non-blocking socket of the target's family, from `bindto`, `bind_port`, `bind_if`, with `fwmark`.

    Raises OSError; then nothing is left open.
    """
    family = _FAMILIES[target.address.version]
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        if check.source_interface is not None:
            made.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, check.source_interface.encode() + b"\0"
            )
        if check.mark:
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, check.mark)
        if check.source_ip is not None or check.source_port:
            anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
            made.bind((str(check.source_ip or anywhere), check.source_port or 0))
    except OSError:
        made.close()
        raise
    return made


def destination(target: Target) -> tuple[str, int]:
    """The target as socket calls take it."""
    return str(target.address), target.port
