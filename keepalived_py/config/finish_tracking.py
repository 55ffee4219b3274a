"""What is left to do with tracking objects and BFD sessions once the file is read.

keepalived checks nothing more about them then: access to the scripts is judged
with that of all other scripts.  Checks of servers, which it does not have, share
their names with scripts.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Run


def finish(run: Run) -> None:
    """Drop the BFD sessions that BFD refused: until here others could refer to their names."""
    sessions = run.written.bfd_instances
    for name in [name for name, one in sessions.items() if one.dropped]:
        del sessions[name]


def checks(run: Run) -> None:
    """Drop the checks that have the name of a script, and name those that nobody tracks."""
    written = run.written
    owners: tuple[Draft[Any], ...] = (*written.instances.values(), *written.groups.values())
    for name in [name for name in written.checks if name in written.scripts]:
        check = written.checks.pop(name)
        run.error(
            f"vrrp_check {name}: a vrrp_script has that name, too - removing",
            check.header,
            word=1,
            code="duplicate",
            expected="a name of its own",
            extension=True,
        )
        for one in owners:
            one.track_checks = [track for track in one.track_checks if track.name != name]
    tracked = {track.name for one in owners for track in one.track_checks}
    for name, check in written.checks.items():
        if name not in tracked:
            run.log(f"Warning - check {name} is not used", check.header, code="unused-check")
