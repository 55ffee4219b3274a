"""Which user a script runs as, and whether it may run at all.

The rules of keepalived 2.2.7: a named user must exist; without one it is
`script_user`, else the user keepalived_script, else (only without
enable_script_security) our own.  A script that would run as root is insecure
if anyone but root could change it or a directory on the way to it.
"""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from keepalived_py.config.blocks.written import Written
from keepalived_py.config.document import Directive
from keepalived_py.config.host import FileStatus, Host
from keepalived_py.config.schema import Run

DEFAULT_USER = "keepalived_script"
VIOLATION = "SECURITY VIOLATION - scripts are being executed but script_security not enabled."


class Access(Enum):
    """What may be done with a script file."""

    USABLE = "usable"
    NOT_FOUND = "not found"
    NOT_EXECUTABLE = "not executable"
    INSECURE = "insecure"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of the checks; `path` is the file that would be run."""

    access: Access
    path: str


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


def check(host: Host, program: str, uid: int, gid: int) -> Verdict:
    """Look the program up (bare names in PATH) and judge it for this user."""
    path = _locate(host, program)
    found = host.status(path) if path else None
    if found is None or not path or not stat.S_ISREG(found.mode):
        return Verdict(Access.NOT_FOUND, program)
    if not _executable(found, uid, gid):
        return Verdict(Access.NOT_EXECUTABLE, path)
    runs_as_root = uid == 0 or gid == 0
    set_id = (found.mode & stat.S_ISUID and found.uid == 0) or (found.mode & stat.S_ISGID and found.gid == 0)
    if (runs_as_root or set_id) and _insecure(host, path):
        return Verdict(Access.INSECURE, path)
    return Verdict(Access.USABLE, path)


def _locate(host: Host, program: str) -> str:
    """The file to run: its directory with links resolved, its own name kept."""
    if "/" in program:
        folder, _, name = program.rpartition("/")
        return f"{host.real_path(folder or '/').rstrip('/')}/{name}"
    for folder in host.search_path():
        candidate = f"{folder or '.'}/{program}"
        found = host.status(candidate)
        if found is not None and stat.S_ISREG(found.mode):
            return f"{host.real_path(folder or '.').rstrip('/')}/{program}"
    return ""


def _executable(found: FileStatus, uid: int, gid: int) -> bool:
    if uid == 0:
        return bool(found.mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
    if found.uid == uid:
        return bool(found.mode & stat.S_IXUSR)
    if found.gid == gid:
        return bool(found.mode & stat.S_IXGRP)
    return bool(found.mode & stat.S_IXOTH)


def _insecure(host: Host, path: str) -> bool:
    """Whether anyone but root could change the file or a directory above it."""
    parts = host.real_path(path).split("/")[1:]
    places = ["/"] + ["/" + "/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(_changeable(host.status(place)) for place in places)


def _changeable(found: FileStatus | None) -> bool:
    if found is None:
        return False
    if found.uid != 0:
        return True
    sticky = stat.S_ISDIR(found.mode) and found.mode & stat.S_ISVTX
    by_group = found.mode & stat.S_IWGRP and found.gid != 0
    return not sticky and bool(by_group or found.mode & stat.S_IWOTH)
