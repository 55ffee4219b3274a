"""Tracking objects and BFD sessions, from drafts to the model.

keepalived checks nothing more about them once the file is read: access to the
scripts is judged with that of all other scripts.
"""

from __future__ import annotations

from keepalived_py.config.schema import Run
from keepalived_py.config.written import Written
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.tracking import TrackFile, TrackProcess


def finish(run: Run) -> None:
    """Drop the BFD sessions that BFD refused: until here others could refer to their names."""
    sessions = run.written.bfd_instances
    for name in [name for name, one in sessions.items() if one.dropped]:
        del sessions[name]


def build_files(written: Written) -> tuple[TrackFile, ...]:
    """The files, in the order of the configuration."""
    return tuple(one.build() for one in written.track_files.values())


def build_processes(written: Written) -> tuple[TrackProcess, ...]:
    """The processes, in the order of the configuration."""
    return tuple(one.build() for one in written.track_processes.values())


def build_sessions(written: Written) -> tuple[BfdInstance, ...]:
    """The BFD sessions, in the order of the configuration; after `finish`."""
    return tuple(one.build() for one in written.bfd_instances.values())
