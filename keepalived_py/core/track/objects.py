"""All tracked objects of a node as one sub-fold: scripts, files, processes, BFD sessions.

Only objects that some instance tracks exist here.  Their deadlines (a script's
next run, the delay of a process's quorum) are part of their states; the
earliest is kept beside them, so that asking for it costs nothing.

What files and processes are like is known to the shell before the node takes
its first step: it hands over those events with `begin`, as keepalived reads
files and processes before it decides how an instance starts.  A file of which
nothing was heard counts as 0.  A process that was not counted yet makes an
instance that begins wait for the first count (`health.waiting`).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar, assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, ScriptName
from keepalived_py.core.track import bfd, process, script
from keepalived_py.core.track.bfd import BfdState
from keepalived_py.core.track.file import FAULT_POINTS, FileState, points
from keepalived_py.core.track.process import ProcessState
from keepalived_py.core.track.script import ScriptState
from keepalived_py.core.track.tracks import AllTracks
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Effect, WriteLog
from keepalived_py.model.events import BfdChanged, FileRead, ProcessesCounted, ScriptFinished

ObjectEvent = ScriptFinished | FileRead | ProcessesCounted | BfdChanged
Reading = FileRead | ProcessesCounted
K = TypeVar("K", bound=str)
S = TypeVar("S")


class Objects(NamedTuple):
    """Every tracked object by its name.  `due` is the earliest deadline of all."""

    tracks: AllTracks
    scripts: Mapping[ScriptName, ScriptState]
    files: Mapping[str, FileState]
    processes: Mapping[str, ProcessState]
    bfds: Mapping[str, BfdState]
    due: Micros | None = None


NOTHING_TRACKED = Objects({}, {}, {}, {}, {})


def begin(
    configuration: Configuration,
    tracks: AllTracks,
    now: Micros,
    out: list[Effect],
    found: Iterable[Reading] = (),
) -> Objects:
    """The first state: every check runs at once.  `found`: what files and processes are like already."""
    objects = replaced(NOTHING_TRACKED, configuration, tracks, now, out)
    unsaid: list[Effect] = []
    for event in found:
        objects = on_event(objects, event, now, unsaid)
    return objects


def replaced(
    objects: Objects, configuration: Configuration, tracks: AllTracks, now: Micros, out: list[Effect]
) -> Objects:
    """After a reload: what is still tracked keeps its verdict, what is new begins, the rest is forgotten."""
    used = _used(tracks)
    scripts = {
        check.name: script.adapted(known, check, now, out)
        if (known := objects.scripts.get(check.name))
        else script.started(check, now, out)
        for check in (*configuration.scripts, *configuration.checks)
        if check.name in used.scripts
    }
    files = {
        each.name: objects.files.get(each.name, FileState(each))._replace(file=each)
        for each in configuration.track_files
        if each.name in used.files
    }
    processes = {
        each.name: process.adapted(counted, each, out)
        if (counted := objects.processes.get(each.name))
        else ProcessState(each)
        for each in configuration.track_processes
        if each.name in used.processes
    }
    # Sessions run whether anybody tracks them or not, and say only what changes: all are followed.
    sessions = (*used.bfds, *(each.name for each in configuration.bfd_instances))
    bfds = {name: objects.bfds.get(name, BfdState(name)) for name in sessions}
    return _with_due(Objects(tracks, scripts, files, processes, bfds))


class _Used(NamedTuple):
    scripts: frozenset[str]
    files: frozenset[str]
    processes: frozenset[str]
    bfds: tuple[str, ...]


def _used(tracks: AllTracks) -> _Used:
    every = list(tracks.values())
    return _Used(
        frozenset(tracked.name for each in every for tracked in each.scripts),
        frozenset(tracked.name for each in every for tracked in each.files),
        frozenset(tracked.name for each in every for tracked in each.processes),
        tuple(dict.fromkeys(tracked.name for each in every for tracked in each.bfds)),
    )


def _with_due(objects: Objects) -> Objects:
    times = [state.next_at for state in objects.scripts.values()]
    times += [state.change_at for state in objects.processes.values() if state.change_at is not None]
    return objects._replace(due=min(times, default=None))


def next_deadline(objects: Objects) -> Micros | None:
    """When `on_tick` is wanted; None: never."""
    return objects.due


def on_tick(objects: Objects, now: Micros, out: list[Effect]) -> Objects:
    """Run the checks that are due, and let delayed verdicts count."""
    if objects.due is None or objects.due > now:
        return objects
    scripts = {
        name: script.launch(state, now, out) if state.next_at <= now else state
        for name, state in objects.scripts.items()
    }
    processes = {
        name: process.due(state, out) if state.change_at is not None and state.change_at <= now else state
        for name, state in objects.processes.items()
    }
    return _with_due(objects._replace(scripts=scripts, processes=processes))


def on_event(objects: Objects, event: ObjectEvent, now: Micros, out: list[Effect]) -> Objects:
    """What `event` makes of its object; of an object that nobody tracks nothing."""
    match event:
        case ScriptFinished():
            return _script(objects, event, now, out)
        case FileRead():
            return _file(objects, event, out)
        case ProcessesCounted():
            counted = objects.processes.get(event.name)
            if counted is None:
                return objects
            new = process.counted(counted, event.count, now, out)
            return _with_due(objects._replace(processes={**objects.processes, event.name: new}))
        case BfdChanged():
            session = objects.bfds.get(event.name)
            if session is None:
                return objects
            watchers = [
                name
                for name, tracks in objects.tracks.items()
                if any(tracked.name == event.name for tracked in tracks.bfds)
            ]
            changed = bfd.changed(session, event, watchers, out)
            return objects._replace(bfds={**objects.bfds, event.name: changed})
        case _:
            assert_never(event)


def _script(objects: Objects, event: ScriptFinished, now: Micros, out: list[Effect]) -> Objects:
    state = objects.scripts.get(event.name)
    if state is None:
        return objects
    new = script.finished(state, event, now, out)
    objects = objects._replace(scripts={**objects.scripts, event.name: new})
    return objects if new.next_at == state.next_at else _with_due(objects)


def _file(objects: Objects, event: FileRead, out: list[Effect]) -> Objects:
    state = objects.files.get(event.name)
    value = event.value or 0
    if state is None or value == state.value:
        return objects
    for instance, tracks in objects.tracks.items():
        for tracked in tracks.files:
            if tracked.name == event.name:
                before, after = points(tracked, state.value), points(tracked, value)
                _say_fault(instance, event.name, before, after, out)
    return objects._replace(files={**objects.files, event.name: state._replace(value=value)})


def _say_fault(instance: InstanceName, name: str, before: int, after: int, out: list[Effect]) -> None:
    if before == after or FAULT_POINTS not in (before, after):
        return
    how = "now" if after == FAULT_POINTS else "leaving"
    out.append(WriteLog(f"({instance}): tracked file {name} {how} FAULT state", detail=True))


def changed_for(before: Objects, after: Objects) -> list[InstanceName]:
    """The instances for which some verdict is another one now; in the order of the configuration.

    Both must be of one configuration: after a reload every instance is to be judged anew.
    """
    if before is after:
        return []
    scripts = _moved(before.scripts, after.scripts, lambda state: state.good)
    files = _moved(before.files, after.files, lambda state: state.value)
    processes = _moved(before.processes, after.processes, lambda state: state.good)
    bfds = _moved(before.bfds, after.bfds, lambda state: state.up)
    if not (scripts or files or processes or bfds):
        return []
    return [
        name
        for name, tracks in after.tracks.items()
        if any(tracked.name in scripts for tracked in tracks.scripts)
        or any(tracked.name in files for tracked in tracks.files)
        or any(tracked.name in processes for tracked in tracks.processes)
        or any(tracked.name in bfds for tracked in tracks.bfds)
    ]


def _moved(before: Mapping[K, S], after: Mapping[K, S], verdict: Callable[[S], object]) -> frozenset[str]:
    if before is after:
        return frozenset()
    return frozenset(
        name
        for name, state in after.items()
        if state is not (old := before.get(name)) and (old is None or verdict(old) != verdict(state))
    )
