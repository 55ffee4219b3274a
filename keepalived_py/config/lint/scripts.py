"""Lints on scripts: which part of a path keeps one from running, and how it is run.

keepalived disables such a script and says so in one line of its log, without
the place in the file and without the reason.  Here both are named.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence

from keepalived_py.base.clock import SECOND
from keepalived_py.base.record import Record
from keepalived_py.config.blocks.script_users import DEFAULT_USER
from keepalived_py.config.command_words import split_command
from keepalived_py.config.document import Directive, Statement, directive_of
from keepalived_py.config.host import FileStatus, Host
from keepalived_py.config.lint.advice import Advice, Lint, Subject
from keepalived_py.config.lint.places import inside, nearest
from keepalived_py.config.script_security import Access, check
from keepalived_py.diagnostics.report import Severity
from keepalived_py.model.tracking import CheckScript

COMMANDS = frozenset(
    (
        *("script", "misc_path", "quorum_up", "quorum_down", "notify_up", "notify_down"),
        *("notify", "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_deleted"),
        *("notify_master_rx_lower_pri", "notify_fifo_script"),
        *("vrrp_notify_fifo_script", "lvs_notify_fifo_script"),
    )
)
OF_CHECKER = frozenset(("misc_path", "quorum_up", "quorum_down", "notify_up", "notify_down"))
FILE_TEST = "<"  # `script "<FILE"` only looks whether the file can be opened
SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "zsh", "env", "sudo", "su", "ssh"))
SHELL_WORDS = frozenset(
    ("|", "||", "&&", ";", "&", ">", ">>", "<", "2>&1", "&>", "2>/dev/null", ">/dev/null")
)
SLOW_TO_FAIL_US = 60 * SECOND
GROUP_WRITES, OTHERS_WRITE = 0o020, 0o002


class Run(Record):
    """A command line of the configuration and the user it would run as."""

    at: Directive
    argv: tuple[str, ...]
    uid: int
    gid: int


def runs(subject: Subject) -> Iterator[Run]:
    """All command lines whose user exists."""
    default = _default_user(subject)
    for block in subject.places.everything():
        yield from _of_block(block, subject.host, default)


def _of_block(block: Directive, host: Host, default: tuple[int, int] | None) -> Iterator[Run]:
    own: Sequence[str] = ()
    for statement in _interesting(block.body or ()):
        if statement.body is not None:
            yield from _of_block(statement, host, default)
        if statement.keyword not in COMMANDS:
            continue
        argv, rest = split_command(statement.raw)
        user = inside(block, "user")
        own = rest or (user.words[1:] if user is not None else ())
        ids = _ids(host, own) if own else default
        if argv and not argv[0].startswith(FILE_TEST) and ids is not None:
            yield Run(statement, argv, *ids)


def _interesting(body: Sequence[Statement]) -> Iterator[Directive]:
    """Statements that open blocks or run commands; others are not even taken apart."""
    for one in body:
        if isinstance(one, Directive) or (one[0].split(None, 1) or ("",))[0] in COMMANDS:
            yield directive_of(one)


def _default_user(subject: Subject) -> tuple[int, int] | None:
    common = inside(subject.places.block("global_defs"), "script_user")
    if common is not None and len(common.words) > 1:
        return _ids(subject.host, common.words[1:])
    found = subject.host.user(DEFAULT_USER) or subject.host.own_user()
    return found.uid, found.gid


def _ids(host: Host, words: Sequence[str]) -> tuple[int, int] | None:
    user = host.user(words[0])
    if user is None:
        return None
    group = host.group_id(words[1].removeprefix(":")) if len(words) > 1 else user.gid
    return None if group is None else (user.uid, group)


# Access -----------------------------------------------------------------------


def _missing(subject: Subject) -> Iterator[Advice]:
    for run in runs(subject):
        program = run.argv[0]
        if check(subject.host, program, run.uid, run.gid).access in (Access.NOT_FOUND, Access.NO_FILE):
            reason = _not_there(subject.host, program, run.uid, run.gid)
            yield Advice(
                f"{run.at.keyword} cannot run {program}: {reason}",
                run.at.word_origin(1),
            )


def _not_there(host: Host, program: str, uid: int, gid: int) -> str:
    if "/" not in program:
        return f"no folder of PATH has it ({':'.join(host.search_path())})"
    for path in _components(program):
        found = host.status(path)
        if found is None:
            return f"{path} does not exist"
        if path != program and not stat.S_ISDIR(found.mode) and not stat.S_ISREG(found.mode):
            return f"{path} is no folder"
        if path != program and not _may(found, uid, gid, 1):
            return f"uid {uid} may not enter {_described(path, found)}"
    return "it is no regular file"


def _not_executable(subject: Subject) -> Iterator[Advice]:
    for run in runs(subject):
        verdict = check(subject.host, run.argv[0], run.uid, run.gid)
        if verdict.access is not Access.NOT_EXECUTABLE:
            continue
        found = subject.host.status(verdict.path)
        shown = _described(verdict.path, found) if found is not None else verdict.path
        yield Advice(
            f"{run.at.keyword}: uid {run.uid}, gid {run.gid} may not execute {shown}",
            run.at.word_origin(1),
            expected=f"chmod +x {verdict.path}",
        )


def _insecure(subject: Subject) -> Iterator[Advice]:
    for run in runs(subject):
        verdict = check(subject.host, run.argv[0], run.uid, run.gid)
        if verdict.access is not Access.INSECURE:
            continue
        real = subject.host.real_path(verdict.path)
        reasons = [reason for path in _components(real) for reason in _weakness(subject.host, path)]
        link = () if real == verdict.path else (f"{verdict.path} leads to {real}",)
        yield Advice(
            f"{run.at.keyword} runs {run.argv[0]} as root, but others than root could change it: "
            + "; ".join(text for text, _ in reasons),
            run.at.word_origin(1),
            link,
            expected=" && ".join(fix for _, fix in reasons),
        )


def _weakness(host: Host, path: str) -> Iterator[tuple[str, str]]:
    """Why somebody else may change what stands at `path`, and the command that ends it."""
    found = host.status(path)
    if found is None:
        return
    if found.uid != 0:
        yield f"{_described(path, found)} does not belong to root", f"chown root {path}"
        return
    if stat.S_ISDIR(found.mode) and found.mode & stat.S_ISVTX:
        return
    if found.mode & OTHERS_WRITE:
        yield f"everybody may write to {_described(path, found)}", f"chmod o-w {path}"
    elif found.mode & GROUP_WRITES and found.gid != 0:
        yield f"group {found.gid} may write to {_described(path, found)}", f"chmod g-w {path}"


def _components(path: str) -> list[str]:
    """`/`, `/a`, `/a/b` of `/a/b`."""
    parts = [part for part in path.split("/") if part]
    return ["/"] + ["/" + "/".join(parts[: end + 1]) for end in range(len(parts))]


def _described(path: str, found: FileStatus) -> str:
    return f"{path} (mode {stat.S_IMODE(found.mode):04o}, uid {found.uid}, gid {found.gid})"


def _may(found: FileStatus, uid: int, gid: int, bit: int) -> bool:
    if uid == 0:
        return True
    shift = 6 if found.uid == uid else 3 if found.gid == gid else 0
    return bool(found.mode >> shift & bit)


# How it is run ----------------------------------------------------------------


def _shell(subject: Subject) -> Iterator[Advice]:
    for run in runs(subject):
        if run.argv[0].rpartition("/")[2] in SHELLS:
            continue
        found = [word for word in run.argv[1:] if word in SHELL_WORDS or word.startswith(("$(", "`"))]
        if found:
            yield Advice(
                f"{run.at.keyword} uses no shell: {run.argv[0]} gets '{found[0]}' as an argument",
                run.at.word_origin(1),
                expected="a script of your own, or /bin/sh -c '...'",
            )


def _repeated(subject: Subject) -> Iterator[tuple[str, CheckScript]]:
    """Scripts and checks of servers, each with the keyword of its block."""
    yield from (("vrrp_script", one) for one in subject.configuration.scripts)
    yield from (("vrrp_check", one) for one in subject.configuration.checks)


def _timeout(subject: Subject) -> Iterator[Advice]:
    for keyword, one in _repeated(subject):
        if one.timeout_us > one.interval_us:
            yield Advice(
                f"{keyword} {one.name} may run for {one.timeout_us / SECOND:g} s but is due every "
                f"{one.interval_us / SECOND:g} s: while one run hangs, the next ones are left out",
                nearest(subject.places.block(keyword, one.name), "timeout", "interval"),
                expected="a timeout not longer than the interval",
            )


def _slow(subject: Subject) -> Iterator[Advice]:
    for keyword, one in _repeated(subject):
        longest = one.interval_us * one.fall
        if longest > SLOW_TO_FAIL_US:
            yield Advice(
                f"{keyword} {one.name}: {one.fall} failures {one.interval_us / SECOND:g} s apart, "
                f"so a fault counts only after up to {longest / SECOND:g} s",
                nearest(subject.places.block(keyword, one.name), "fall", "interval"),
            )


LINTS = (
    Lint(
        "script-not-found",
        Severity.WARNING,
        "a script that is not there: what part of its path is missing",
        _missing,
    ),
    Lint("script-not-executable", Severity.WARNING, "a script its user may not execute", _not_executable),
    Lint("insecure-script", Severity.WARNING, "a script that others than root could change", _insecure),
    Lint("script-shell-syntax", Severity.WARNING, "shell syntax in a command that no shell reads", _shell),
    Lint(
        "script-timeout", Severity.HINT, "a script or check with a timeout longer than its interval", _timeout
    ),
    Lint(
        "script-slow", Severity.HINT, "a script or check whose failure counts after more than a minute", _slow
    ),
)
