"""Which user a script runs as.

The rules of keepalived 2.2.7: a named user must exist; without one it is
`script_user`, else the user keepalived_script, else (only without
enable_script_security) our own.
"""

from collections.abc import Sequence

from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run
from keepalived_py.config.written import Written

DEFAULT_USER = "keepalived_script"


def find_user(run: Run, at: Directive, words: Sequence[str]) -> tuple[int, int] | None:
    """The uid and gid for `USER [[:]GROUP]`; None if one does not exist (logged)."""
    user = run.host.user(words[0])
    if user is None:
        run.log(f"Script user '{words[0]}' does not exist", at, code="unknown-user")
        return None
    if len(words) < 2:
        return user.uid, user.gid
    group = run.host.group_id(words[1].removeprefix(":"))
    if group is None:
        run.log(f"Script group '{words[1]}' does not exist", at, code="unknown-group")
        return None
    return user.uid, group


def default_user(run: Run, at: Directive, written: Written) -> tuple[int, int] | None:
    """The user of a script that names none; None if there is none that may be used."""
    if written.globals.script_user is not None:
        return written.globals.script_user
    if written.default_user is not None:
        return written.default_user
    found = run.host.user(DEFAULT_USER)
    if found is not None:
        written.default_user = (found.uid, found.gid)
    elif written.globals.script_security:
        run.error(f"Unable to set default user {DEFAULT_USER} for script", at, code="unknown-user")
        return None
    else:
        run.log(f"Script user '{DEFAULT_USER}' does not exist", at, code="unknown-user")
        own = run.host.own_user()
        written.default_user = (own.uid, own.gid)
    return written.default_user
