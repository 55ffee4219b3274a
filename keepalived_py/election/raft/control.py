"""What an administrator may ask a member of a cluster, over its control socket.

Requests are checked here, word by word; the handler sees none that is not in
`REQUESTS`, and gets just the fields that stand there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keepalived_py.system import control_socket
from keepalived_py.system.control_socket import (
    LONGEST,
    MOST_CONNECTIONS,
    ControlError,
    Hints,
    NoAnswer,
    NotAllowed,
    NotRunning,
    Reply,
    ask,
    is_served,
    parse_object,
)

# What asks and answers here needs of the socket, too.
__all__ = (
    "FILE",
    "LONGEST",
    "MOST_CONNECTIONS",
    "REQUESTS",
    "ControlError",
    "ControlServer",
    "NoAnswer",
    "NotAllowed",
    "NotRunning",
    "Reply",
    "Request",
    "ask",
    "is_served",
    "parse_request",
)

FILE = "control"
_LONGEST_NAME = 255

# What may be asked for, and the fields that each needs.
REQUESTS: Mapping[str, tuple[str, ...]] = {
    "status": (),
    "transfer": ("lease", "to"),
    "unpin": ("lease",),
    "drain": ("member",),
    "undrain": ("member",),
    "history": (),
}
_HINTS = Hints(
    too_long="Choose a shorter run_directory",
    refused="Is run_directory right, and may this user write there?",
    served="the same member runs twice, or two have one run_directory",
)

Request = dict[str, str]


class ControlServer(control_socket.ControlServer[Request]):
    """Listens at `path` from the moment it is made; raises FatalStart if it cannot.

    `handle` gets a checked request and gives a reply, at once.
    """

    def __init__(self, path: str, handle: Callable[[Request], Reply]) -> None:
        super().__init__(path, parse_request, handle, _HINTS)


def parse_request(line: bytes) -> Request | str:
    """The request in `line`, or what is wrong with it."""
    found = parse_object(line)
    if isinstance(found, str):
        return found
    do = found.get("do")
    if not isinstance(do, str) or do not in REQUESTS:
        return f"unknown request; there are {', '.join(REQUESTS)}"
    request = {"do": do}
    for field in REQUESTS[do]:
        value = found.get(field)
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME:
            return f"{do} needs {field}, a name"
        request[field] = value
    return request
