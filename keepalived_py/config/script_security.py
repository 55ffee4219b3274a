"""Whether a script may run at all.

The rule of keepalived 2.2.7: a script that would run as root is insecure if
anyone but root could change it or a directory on the way to it.
"""

import stat
from enum import Enum

from keepalived_py.base.record import Record
from keepalived_py.config.host import FileStatus, Host

VIOLATION = "SECURITY VIOLATION - scripts are being executed but script_security not enabled."


class Access(Enum):
    """What may be done with a script file."""

    USABLE = "usable"
    NOT_FOUND = "not found"
    NOT_EXECUTABLE = "not executable"
    INSECURE = "insecure"


class Verdict(Record):
    """The outcome of the checks; `path` is the file that would be run."""

    access: Access
    path: str


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
