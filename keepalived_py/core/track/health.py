"""What an instance's tracked objects make of it: faults, waiting checks, weights.

A tracked object with weight 0 that is bad is a fault; one with another weight
changes the effective priority.  Objects of a sync group count for each of its
members (`core.track.tracks`).

`reverse` means two things, as in keepalived.  Without a weight it swaps good
and bad.  With a weight it turns the sign: 20 is added while the object is good,
`20 reverse` is taken off while it is good; -20 is taken off while it is bad,
`-20 reverse` added while it is bad.
"""

from collections.abc import Iterator

from keepalived_py.core.track.fault import Fault
from keepalived_py.core.track.file import FAULT_POINTS, points
from keepalived_py.core.track.interface import Interfaces, is_up, link_faults
from keepalived_py.core.track.objects import Objects, changed_for
from keepalived_py.core.track.script import kind
from keepalived_py.core.track.tracks import Tracks, tracks_of
from keepalived_py.core.vrrp.priority import weight_now
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.core.vrrp.timing import OWNER
from keepalived_py.model.config import Instance

__all__ = ["Fault", "Tracks", "changed_for", "faults", "tracks_of", "waiting", "weights"]


def faults(state: InstanceState, tracks: Tracks, objects: Objects, interfaces: Interfaces) -> Iterator[Fault]:
    """All reasons of the instance itself to be in FAULT."""
    name = state.settings.name
    yield from link_faults(state.settings, interfaces, state.source)
    for link in tracks.interfaces:
        if not link.weight and is_up(interfaces, link.name) is link.reverse:
            how = "up" if link.reverse else "down"
            yield Fault(
                f"interface {link.name}", f"({name}): entering FAULT state (interface {link.name} {how})"
            )
    yield from _file_faults(name, tracks, objects)
    yield from _process_faults(name, tracks, objects)
    for tracked in tracks.scripts:
        run = objects.scripts.get(tracked.name)
        if not tracked.weight and run is not None and run.good is not None and run.good is tracked.reverse:
            what = f"{kind(run.check)} {tracked.name}"
            yield Fault(what, f"({name}): entering FAULT state due to {what}")
    for session in tracks.bfds:
        known = objects.bfds.get(session.name)
        if not session.weight and known is not None and known.up is session.reverse:
            yield Fault(f"bfd {session.name}", "")


def _file_faults(name: str, tracks: Tracks, objects: Objects) -> Iterator[Fault]:
    for tracked in tracks.files:
        known = objects.files.get(tracked.name)
        if known is not None and points(tracked, known.value) == FAULT_POINTS:
            status = known.value * tracked.weight * (-1 if tracked.reverse else 1) or FAULT_POINTS
            text = f"({name}): entering FAULT state (tracked file {tracked.name} has status {status})"
            yield Fault(f"file {tracked.name}", text)


def _process_faults(name: str, tracks: Tracks, objects: Objects) -> Iterator[Fault]:
    for tracked in tracks.processes:
        known = objects.processes.get(tracked.name)
        if (
            not tracked.weight
            and known is not None
            and known.good is not None
            and known.good is tracked.reverse
        ):
            text = f"({name}) entering FAULT state (tracked process {tracked.name} quorum not achieved)"
            yield Fault(f"process {tracked.name}", text)


def waiting(tracks: Tracks, objects: Objects) -> frozenset[str]:
    """The checks with weight 0 that have no result yet, and the processes that were not counted."""
    found: list[str] = [
        tracked.name
        for tracked in tracks.scripts
        if not tracked.weight and (run := objects.scripts.get(tracked.name)) is not None and run.good is None
    ]
    found += [
        tracked.name
        for tracked in tracks.processes
        if not tracked.weight
        and (known := objects.processes.get(tracked.name)) is not None
        and known.good is None
    ]
    return frozenset(found)


def weights(settings: Instance, tracks: Tracks, objects: Objects, interfaces: Interfaces) -> list[int]:
    """What every weighted object adds to the priority now."""
    if settings.base_priority == OWNER:
        return []
    found = [
        weight_now(tracked.weight, tracked.reverse, run.good)
        for tracked in tracks.scripts
        if tracked.weight and (run := objects.scripts.get(tracked.name)) is not None
    ]
    found += [
        weight_now(link.weight, link.reverse, is_up(interfaces, link.name))
        for link in tracks.interfaces
        if link.weight
    ]
    found += [
        added
        for tracked in tracks.files
        if tracked.weight
        and (file := objects.files.get(tracked.name)) is not None
        and (added := points(tracked, file.value)) != FAULT_POINTS
    ]
    found += [
        weight_now(tracked.weight, tracked.reverse, process.good)
        for tracked in tracks.processes
        if tracked.weight and (process := objects.processes.get(tracked.name)) is not None
    ]
    found += [
        weight_now(tracked.weight, tracked.reverse, session.up)
        for tracked in tracks.bfds
        if tracked.weight and (session := objects.bfds.get(tracked.name)) is not None
    ]
    return found
