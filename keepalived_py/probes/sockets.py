"""A socket for a check: bound to what the configuration says it shall come from."""

import os
import socket
from collections.abc import Callable

from keepalived_py.model.check_events import Target
from keepalived_py.model.checks import ConnectedCheck

_SO_MARK = 36
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class NotBound(OSError):
    """A socket could not be bound as the configuration wants; `line` is keepalived's complaint about it."""

    def __init__(self, error: OSError, line: str) -> None:
        super().__init__(error.errno, f"{line}: {os.strerror(error.errno or 0)}")
        self.line = f"{line}: {os.strerror(error.errno or 0)}"


def opened(
    check: ConnectedCheck, target: Target, kind: socket.SocketKind, protocol: int = 0
) -> socket.socket:
    """A non-blocking socket of the target's family, from `bindto`, `bind_port`, `bind_if`, with `fwmark`.

    Raises OSError (`NotBound` if the socket is there, but cannot be set as said); then nothing is left open.
    """
    family = _FAMILIES[target.address.version]
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        if check.mark:
            _set(f"Error setting fwmark {check.mark} to socket", lambda: _mark(made, check.mark))
        if check.source_interface is not None:
            device = check.source_interface
            _set(f"Checker can't bind to device {device}", lambda: _hold_to(made, device))
        if check.source_ip is not None or check.source_port:
            anywhere = "::" if family == socket.AF_INET6 else "0.0.0.0"
            source = (str(check.source_ip or anywhere), check.source_port or 0)
            _set("Checker bind failed", lambda: made.bind(source))
    except OSError:
        made.close()
        raise
    return made


def _mark(made: socket.socket, mark: int) -> None:
    made.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)


def _hold_to(made: socket.socket, device: str) -> None:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")


def _set(line: str, setting: Callable[[], None]) -> None:
    try:
        setting()
    except OSError as error:
        raise NotBound(error, line) from error


def destination(target: Target) -> tuple[str, int]:
    """The target as socket calls take it."""
    return str(target.address), target.port
