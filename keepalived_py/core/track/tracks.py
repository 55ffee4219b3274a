"""What each instance tracks: its own objects and those of its sync group.

keepalived hands the objects of a group to every member.  An object that the
member tracks itself as well keeps the member's entry if that one has no weight
(it is a fault, whatever the group says), else the group's entry counts.  What
the weights of a member are worth in a group (`sync_group_tracking_weight`) was
decided when the configuration was read.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from keepalived_py.base.names import InstanceName
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.tracking import (
    TrackedBfd,
    TrackedFile,
    TrackedInterface,
    TrackedProcess,
    TrackedScript,
)


class Tracks(NamedTuple):
    """Everything that one instance tracks, its group's objects included.

    Among `scripts` are checks of servers: what counts is the same.
    """

    scripts: tuple[TrackedScript, ...] = ()
    interfaces: tuple[TrackedInterface, ...] = ()
    files: tuple[TrackedFile, ...] = ()
    processes: tuple[TrackedProcess, ...] = ()
    bfds: tuple[TrackedBfd, ...] = ()


AllTracks = Mapping[InstanceName, Tracks]


class _Tracked(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> int: ...


T = TypeVar("T", bound=_Tracked)


def tracks_of(configuration: Configuration) -> dict[InstanceName, Tracks]:
    """What each instance tracks."""
    return {instance.name: _tracks(configuration, instance) for instance in configuration.instances}


def _tracks(configuration: Configuration, instance: Instance) -> Tracks:
    tracks = _listed(instance)
    for group in configuration.groups:
        if instance.name in group.members:
            tracks = Tracks(
                _joined(tracks.scripts, (*group.track_scripts, *group.track_checks)),
                _joined(tracks.interfaces, group.track_interfaces),
                _joined(tracks.files, group.track_files),
                _joined(tracks.processes, group.track_processes),
                _joined(tracks.bfds, group.track_bfds),
            )
    return tracks


def _listed(instance: Instance) -> Tracks:
    return Tracks(
        (*instance.track_scripts, *instance.track_checks),
        instance.track_interfaces,
        instance.track_files,
        instance.track_processes,
        instance.track_bfds,
    )


def _joined(own: Sequence[T], group: Sequence[T]) -> tuple[T, ...]:
    theirs = {tracked.name: tracked for tracked in group}
    kept = tuple(theirs.get(tracked.name, tracked) if tracked.weight else tracked for tracked in own)
    names = {tracked.name for tracked in own}
    return kept + tuple(tracked for tracked in group if tracked.name not in names)
