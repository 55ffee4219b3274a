"""Tracked BFD sessions: good while they are Up (`track_bfd`).

A session begins Down, so an instance that tracks one without a weight begins
in FAULT and leaves it when the session is Up for the first time.
"""

from typing import NamedTuple

from keepalived_py.base.names import InstanceName
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.events import BfdChanged


class BfdState(NamedTuple):
    """One session."""

    name: str
    up: bool = False


def changed(state: BfdState, event: BfdChanged, watchers: list[InstanceName], out: list[Effect]) -> BfdState:
    """The session came up or went down; every instance that tracks it says so."""
    word = "UP" if event.up else "DOWN"
    if state.up is event.up:
        return state
    for instance in watchers:
        text = f"VRRP_Instance({instance}) Tracked BFD instance {event.name} is {word}"
        out.append(WriteLog(text))
    return state._replace(up=event.up)
