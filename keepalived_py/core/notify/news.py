"""Who entered which state, read from the lines that are written for the notify pipes.

Such a line is written for each state that an instance or group enters, when everything else
about it has been done and told (`core.notify.scripts`).  So whatever follows the states of
instances without having a part in the election can read these lines, and is as late as keepalived
is with its mails and its synchronisation of connections.
"""

import re
from typing import NamedTuple

INSTANCE = "INSTANCE"
GROUP = "GROUP"
_LINE = re.compile(r'(INSTANCE|GROUP) "(.*)" (\w+) -?\d+')
_STATES = frozenset({"MASTER", "BACKUP", "FAULT", "STOP", "DELETED"})


class News(NamedTuple):
    """`kind` is INSTANCE or GROUP; `state` is MASTER, BACKUP, FAULT, STOP or DELETED."""

    kind: str
    name: str
    state: str


def news_of(line: str) -> News | None:
    """What a line of the pipes says; None if it is not about a state (but a priority, for one)."""
    found = _LINE.fullmatch(line)
    if found is None or found[3] not in _STATES:
        return None
    return News(found[1], found[2], found[3])
