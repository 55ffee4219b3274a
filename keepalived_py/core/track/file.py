"""Tracked files: a number that others write into a file moves the priority (`track_file`).

The number times the weight is added, at most 253; -254 and less is a fault.
With weight 0 every number but 0 is a fault (`reverse`: 0 is).  A file that is
missing or has no number in it counts as 0, as in keepalived.
"""

from typing import NamedTuple

from keepalived_py.model.tracking import TrackedFile, TrackFile

FAULT_POINTS = -254
MOST_POINTS = 253


class FileState(NamedTuple):
    """One file and the number in it."""

    file: TrackFile
    value: int = 0


def points(tracked: TrackedFile, value: int) -> int:
    """What the number adds to the priority; `FAULT_POINTS`: it is a fault."""
    if not tracked.weight:
        return FAULT_POINTS if (value != 0) is not tracked.reverse else 0
    factor = -tracked.weight if tracked.reverse else tracked.weight
    return max(FAULT_POINTS, min(MOST_POINTS, value * factor))
