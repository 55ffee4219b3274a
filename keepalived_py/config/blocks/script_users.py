"""Which user a script runs as.

The rules of keepalived 2.2.7: a named user must exist; without one it is
`script_user`, else the user keepalived_script, else (only without
enable_script_security) our own.  Once `script_user` named nobody, there is no
default any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run
from keepalived_py.config.written import Written
from keepalived_py.model.globals import Owner

DEFAULT_USER = "keepalived_script"
COLON_SINCE = "2.4.4"


def find_user(run: Run, at: Directive, words: Sequence[str]) -> tuple[int, int] | None:
    """The uid and gid for `USER [[:]GROUP]`; None if one does not exist (logged)."""
    found = find_owner(run, at, words)
    return None if found is None else (found.uid, found.gid)


def find_owner(run: Run, at: Directive, words: Sequence[str]) -> Owner | None:
    """As `find_user`, with the names that were written."""
    user = run.host.user(words[0])
    if user is None:
        run.log(f"Script user '{words[0]}' does not exist", at, code="unknown-user")
        return None
    if len(words) < 2:
        return Owner(user.uid, user.gid, words[0])
    name = words[1].removeprefix(":")
    newer = name != words[1] and run.compat < COLON_SINCE
    group = None if newer and run.strict else run.host.group_id(name)
    if group is None:
        note = f" (keepalived understands a colon before it since {COLON_SINCE})" if newer else ""
        run.log(f"Script group '{words[1]}' does not exist{note}", at, code="unknown-group")
        return None
    run.newer = run.newer or newer
    return Owner(user.uid, group, words[0], name)


def default_user(run: Run, at: Directive | None, written: Written) -> tuple[int, int] | None:
    """The user of a script that names none; None if there is none that may be used.

    `at` None: the file has ended inside the block that asks.
    """
    if written.default_user_failed:
        return None
    chosen: Owner | None = written.globals.script_user
    if chosen is not None:
        return chosen.uid, chosen.gid
    if written.default_user is not None:
        return written.default_user
    found = run.host.user(DEFAULT_USER)
    if found is not None:
        written.default_user = (found.uid, found.gid)
    elif written.globals.script_security:
        run.error(f"Unable to set default user {DEFAULT_USER} for script", at, code="unknown-user")
        written.default_user_failed = True
        return None
    else:
        run.log(f"Script user '{DEFAULT_USER}' does not exist", at, code="unknown-user")
        own = run.host.own_user()
        written.default_user = (own.uid, own.gid)
    return written.default_user


def owner(run: Run, at: Directive, words: Sequence[str]) -> Owner | None:
    """Who `[USER [GROUP]]` means: the named one, else the default; None if there is none."""
    if words:
        return find_owner(run, at, words[:2])
    found = default_user(run, at, run.written)
    return None if found is None else Owner(*found)


def show_owner(found: Owner | None) -> Iterable[str]:
    """`USER [GROUP]`; nothing for the default user."""
    return () if found is None else (names_of(found),)


def names_of(found: Owner) -> str:
    """The user and group as they were written; "" for the default user."""
    return " ".join(filter(None, (found.user, found.group)))
