"""What is left to do with tracking objects and BFD sessions once the file is read.

keepalived checks nothing more about them then: access to the scripts is judged
with that of all other scripts.
"""

from __future__ import annotations

from keepalived_py.config.schema import Run


def finish(run: Run) -> None:
    """Drop the BFD sessions that BFD refused: until here others could refer to their names."""
    sessions = run.written.bfd_instances
    for name in [name for name, one in sessions.items() if one.dropped]:
        del sessions[name]
