"""Telling the service manager how we are (sd_notify(3)), without its library.

One datagram per message to the socket named by NOTIFY_SOCKET; an unset
variable, or a manager that does not listen, costs nothing and is no error.
"""

import os
import socket
import time


def ready(pid: int) -> bool:
    """Start or reload is complete; `pid` is the process to watch."""
    return _send(f"READY=1\nMAINPID={pid}")


def reloading() -> bool:
    """A reload begins (the manager compares its own clock with this one)."""
    return _send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> bool:
    """The daemon is on its way out."""
    return _send("STOPPING=1")


def status(text: str) -> bool:
    """One line for `systemctl status`."""
    return _send(f"STATUS={text}")


def _send(message: str) -> bool:
    """Whether the message went out."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto(message.encode(), address)
    except OSError:
        return False
    return True
