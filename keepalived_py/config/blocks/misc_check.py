"""`MISC_CHECK`: a program decides, by its exit status."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.config.blocks import script_users, values
from keepalived_py.config.blocks.check_common import CheckDraft, timing
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.commands import read_command_line
from keepalived_py.config.blocks.vrrp_script import command_text
from keepalived_py.config.command_words import missing_quote
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Run, block
from keepalived_py.model.checks import MiscCheck
from keepalived_py.model.scripts import Command

LONGEST_TIMEOUT = 4294
SECOND_US = 1_000_000


def _removed(check: Any) -> bool:
    """Whether its user does not exist: then nothing more is said about the program."""
    return "removed" in check.__dict__


def _path(run: Run, check: Any, at: Directive) -> None:
    """The command line; a line without one changes nothing."""
    if _removed(check):
        return
    argv, _ = read_command_line(run, at)
    check.unreadable = missing_quote(at.raw) != ""
    if argv:
        check.argv = argv
        check.given["command"] = at


def _timeout(run: Run, check: Any, at: Directive) -> None:
    if _removed(check):
        return
    word = values.need(run, at, 1)
    if word is None:
        return
    found = values.integer(run, at, word, 0, LONGEST_TIMEOUT)
    if found is None:
        run.error(f"Invalid misc_timeout value '{word}'", at, word=1)
        return
    check.timeout_us = found * SECOND_US
    check.given["timeout_us"] = at


def _user(run: Run, check: Any, at: Directive) -> None:
    if _removed(check):
        return
    if len(at.words) < 2:
        run.error(f"No user specified for misc checker script {_shown(check)}", at, code="missing-value")
        return
    names = at.words[1:3]
    found = script_users.find_user(run, at, names)
    if found is not None:
        check.user, check.names = found, tuple(name.removeprefix(":") for name in names)
        # The version whose verdict is wanted drops such a check here, and speaks no more of it.
        check.newer = names[-1].startswith(":") and run.compat < script_users.COLON_SINCE
        check.given["user"] = at
        return
    run.error(
        f"Failed to set uid/gid for misc checker script {_shown(check)} - removing",
        at,
        word=1,
        code="unknown-user",
        expected="a user, and behind it a group, that exist on this machine",
    )
    check.removed = True
    check.drop()


def _shown(check: Any) -> str:
    """The command as keepalived speaks of it: each word in quotes, but not a redirection."""
    return " ".join(
        word if not place and word.startswith(("<", ">")) else f"'{word}'"
        for place, word in enumerate(check.__dict__.get("argv", ()))
    )


def closed(run: Run, check: Any, at: Directive) -> None:
    """The end of the block: the command gets its user."""
    if _removed(check):
        return
    argv, end = check.__dict__.get("argv"), closing(at)
    if argv is None:
        if not (check.__dict__.get("unreadable") or check.__dict__.get("newer")):
            run.error(
                "No script path has been specified for MISC_CHECKER - skipping",
                end,
                code="missing-script",
                expected='misc_path "COMMAND ARGUMENTS" in the MISC_CHECK block',
            )
        check.drop()
        return
    user = check.__dict__.get("user") or script_users.default_user(run, end, run.written)
    if user is None:
        run.error(
            f"Unable to set default user for misc script {_shown(check)} - removing", end, code="unknown-user"
        )
        check.drop()
        return
    check.command = Command(argv, *user, *check.__dict__.get("names", ()))


def _show_command(command: Command) -> Iterable[str]:
    return (command_text(command.argv),)


def _show_user(command: Command) -> Iterable[str]:
    names = " ".join(values.quoted(name) for name in (command.user, command.group) if name)
    return (names,) if names else ()


BLOCK: Block[CheckDraft] = block(
    "MISC_CHECK",
    [
        values.custom(
            "misc_path",
            _path,
            "<CMD>",
            required=False,
            help="the program to run, in quotes if it has arguments",
            attribute="command",
            show=_show_command,
            schema={"type": "string"},
        ),
        values.custom(
            "misc_timeout",
            _timeout,
            f"<INT 0..{LONGEST_TIMEOUT}>",
            required=False,
            default="delay_loop",
            unit="s",
            help="how long it may run before it is stopped and has failed",
            attribute="timeout_us",
            show=lambda found: (values.seconds_text(found),),
            schema={"type": "integer", "minimum": 0, "maximum": LONGEST_TIMEOUT},
        ),
        values.flag(
            "misc_dynamic", "dynamic", help="an exit status from 2 to 255 sets the weight to it minus 2"
        ),
        values.custom(
            "user",
            _user,
            "<USER> [[:]<GROUP>]",
            required=False,
            default="script_user",
            help="the user and group it runs as",
            attribute="command",
            show=_show_user,
            schema={"type": "string"},
        ),
        *timing("0", "1"),
    ],
    record=MiscCheck,
    show_header=lambda check: "",
)
