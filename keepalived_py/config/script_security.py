"""Whether a script may run at all.

The rules of keepalived 2.2.7: a script that would run as root is insecure if
anyone but root could change it or a directory on the way to it.  Whatever is
found and would be run counts as a script, and scripts without
enable_script_security are a violation of their own.
"""

from __future__ import annotations

import stat
from enum import Enum

from keepalived_py.base.record import Record, replace
from keepalived_py.config.host import FileStatus, Host
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.scripts import Command

VIOLATION = "SECURITY VIOLATION - scripts are being executed but script_security not enabled."


class Access(Enum):
    """What may be done with a script file."""

    USABLE = "usable"
    FILE_TEST = "only looks whether a file can be opened"
    NOT_FOUND = "not found"
    NOT_EXECUTABLE = "not executable"
    INSECURE = "insecure"
    NO_FILE = "not a file"


class Verdict(Record):
    """The outcome of the checks; `path` is the file that would be run."""

    access: Access
    path: str


class Judged(Record):
    """What becomes of a command: itself with its full path, or None if it may not run.

    `runs`: it counts as a script that is executed; `insecure`: others could change it.
    """

    command: Command | None
    access: Access
    runs: bool = False
    insecure: bool = False


def judge(run: Run, command: Command) -> Judged:
    """Check `command`; what is wrong with it is logged, as keepalived does.

    Thousands of instances may have the same one: if there was nothing to say, it is said once.
    """
    key = (command.argv, command.uid, command.gid, command.user, command.group)
    known = run.judged.get(key)
    if known is None:
        said = len(run.diagnostics)
        known = _judged(run, command)
        if len(run.diagnostics) == said:
            run.judged[key] = known
    return known


def _judged(run: Run, command: Command) -> Judged:
    program, uid, gid = command.argv[0], command.uid, command.gid
    verdict = check(run.host, program, uid, gid)
    access = verdict.access
    found = replace(command, argv=(verdict.path, *command.argv[1:]))
    if access is Access.NOT_FOUND:
        run.log(
            f"Script {program} cannot be accessed - No such file or directory"
            if "/" in program
            else f"Cannot find script {program} in path - disabling",
            code="script-not-found",
        )
        return Judged(None, access)
    if "/" not in program:
        path = verdict.path
        run.log(
            f"WARNING - script `{program}` resolved by path search to `{path}`. Please specify full path."
        )
    if access is Access.NOT_EXECUTABLE:
        run.log(
            f"WARNING - script '{verdict.path}' is not executable for uid:gid {uid}:{gid} - disabling.",
            code="script-not-executable",
        )
        return Judged(None, access, runs=True)
    if access is Access.NO_FILE:
        run.log(f"Wrong file type found in script path '{verdict.path}'.", code="insecure-script")
        return Judged(None, access, runs=True)
    if access is Access.INSECURE:
        strict = bool(run.written.globals.script_security)
        run.log(
            f"Unsafe permissions found for script '{verdict.path}'{' - disabling' if strict else ''}.",
            code="insecure-script",
        )
        return Judged(None if strict else found, access, runs=True, insecure=True)
    return Judged(found, access, runs=access is Access.USABLE)


def report_violation(run: Run, *, insecure: bool) -> None:
    """Scripts are executed although enable_script_security is missing: `-t` ends with 6."""
    more = " There are insecure scripts." if insecure else ""
    run.error(VIOLATION + more, code="script-security", error_class=ErrorClass.SCRIPT_SECURITY)


def check(host: Host, program: str, uid: int, gid: int) -> Verdict:
    """Look the program up (bare names in PATH) and judge it for this user."""
    if program[:1] == "<" and program[1:].lstrip(" \t")[:1] == "/":
        return Verdict(Access.FILE_TEST, program)
    path = _locate(host, program, uid, gid)
    found = host.status(path) if path and _reachable(host, path, uid, gid) else None
    if found is None:
        return Verdict(Access.NOT_FOUND, program)
    if not _executable(found, uid, gid):
        return Verdict(Access.NOT_EXECUTABLE, path)
    runs_as_root = uid == 0 or gid == 0
    if runs_as_root or _gives_root(found):
        if not stat.S_ISREG(found.mode):
            return Verdict(Access.NO_FILE, path)
        if _insecure(host, path):
            return Verdict(Access.INSECURE, path)
    return Verdict(Access.USABLE, path)


def _locate(host: Host, program: str, uid: int, gid: int) -> str:
    """The file to run: all links resolved, but its own name kept where that leads to the same file."""
    if "/" in program:
        return _resolved(host, program)
    for folder in host.search_path():
        candidate = f"{folder or '.'}/{program}"
        found = host.status(candidate)
        if found is not None and stat.S_ISREG(found.mode) and _executable(found, uid, gid):
            return _resolved(host, candidate)
    return ""


def _resolved(host: Host, path: str) -> str:
    real = host.real_path(path)
    folder, _, name = real.rpartition("/")
    own_name = path.rpartition("/")[2]
    if own_name == name:
        return real
    kept = f"{folder}/{own_name}"
    return kept if host.real_path(kept) == real else real


def _reachable(host: Host, path: str, uid: int, gid: int) -> bool:
    """Whether the user may search every directory on the way."""
    if uid == 0:
        return True
    parts = path.split("/")[1:-1]
    places = ["/"] + ["/" + "/".join(parts[: i + 1]) for i in range(len(parts))]
    statuses = [host.status(place) for place in places]
    return all(found is None or _executable(found, uid, gid) for found in statuses)


def _executable(found: FileStatus, uid: int, gid: int) -> bool:
    if uid == 0:
        return bool(found.mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
    if found.uid == uid:
        return bool(found.mode & stat.S_IXUSR)
    if found.gid == gid:
        return bool(found.mode & stat.S_IXGRP)
    return bool(found.mode & stat.S_IXOTH)


def _gives_root(found: FileStatus) -> bool:
    """Whether the file runs as root whoever starts it."""
    by_user = stat.S_ISUID | stat.S_IXUSR
    by_group = stat.S_ISGID | stat.S_IXGRP
    return (found.uid == 0 and found.mode & by_user == by_user) or (
        found.gid == 0 and found.mode & by_group == by_group
    )


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
