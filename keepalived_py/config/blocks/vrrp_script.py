"""`vrrp_script`: a command whose exit status an instance may track."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import ScriptName
from keepalived_py.config.blocks import script_users, values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.commands import read_command_line
from keepalived_py.config.blocks.decimals import fixed_point
from keepalived_py.config.blocks.values import TIMER_SECONDS, integer
from keepalived_py.config.blocks.weights import REVERSE, WHOLE_RECORD, show_weight, weight_schema
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.scripts import Command
from keepalived_py.model.tracking import CheckScript

LARGEST = 2**31 - 1
LARGEST_WEIGHT = 253
MICROSECONDS = 1_000_000
MILLISECOND = 1_000
FRACTIONS_SINCE = "2.3.2"
SCRIPT = "vrrp_script"
LATER = "\0"  # parts a name from a number: no name that is written holds it

Script = Draft[CheckScript]


def _script(run: Run, target: Script, at: Directive) -> None:
    argv, _ = read_command_line(run, at)
    if argv:
        target.argv = argv
        target.given["command"] = at


def _kind(target: Script) -> str:
    """Which of the two blocks is read, in the words of messages: "vrrp script" or "vrrp check"."""
    return target.header.keyword.replace("_", " ")


def _whole(run: Run, target: Script) -> bool:
    """Whether periods are whole seconds: scripts, to versions before 2.3.2."""
    return run.compat < FRACTIONS_SINCE and target.header.keyword == SCRIPT


def _seconds(run: Run, target: Script, at: Directive) -> int | None:
    """A period in microseconds, with up to three decimals unless it must be whole seconds."""
    if _whole(run, target):
        whole = integer(run, at, at.words[1], 0, TIMER_SECONDS)
        return None if whole is None else whole * MICROSECONDS
    value = fixed_point(run, at, at.words[1], 0, TIMER_SECONDS * 1000, 3, lenient=True)
    return None if value is None else value * MILLISECOND


def _interval(run: Run, target: Script, at: Directive) -> object:
    word, value = at.words[1], _seconds(run, target, at)
    title = f"({target.name}): {_kind(target)} interval"
    if value is None:
        least = "1" if _whole(run, target) else "0.001"
        run.error(f"{title} '{word}' must be between {least} and {TIMER_SECONDS} - ignoring", at, word=1)
        return FAILED
    return _not_zero(run, at, title, value)


def _timeout(run: Run, target: Script, at: Directive) -> object:
    value = _seconds(run, target, at)
    title = f"({target.name}): {_kind(target)} timeout"
    if value is None:
        run.error(f"{title} '{at.words[1]}' invalid - ignoring", at, word=1)
        return FAILED
    return _not_zero(run, at, title, value)


def _not_zero(run: Run, at: Directive, title: str, value: int) -> Micros:
    if value == 0:
        run.error(f"{title} must be greater than 0, setting to 1", at, word=1)
        return Micros(MICROSECONDS)
    return Micros(value)


def _weight(run: Run, target: Script, at: Directive) -> None:
    word = at.words[1]
    value = integer(run, at, word, -LARGEST_WEIGHT, LARGEST_WEIGHT)
    if value is None:
        title = target.header.keyword
        run.error(f"{title} {target.name} weight {word} must be in [-253, 253]", at, word=1)
    else:
        target.weight = value
        target.given["weight"] = at
    if len(at.words) > 2:
        if at.words[2] == "reverse":
            target.reverse = True
        else:
            run.error(
                f"{target.header.keyword} {target.name} unknown weight option {at.words[2]}",
                at,
                word=2,
                expected="reverse",
            )


def _user(run: Run, target: Script, at: Directive) -> None:
    words = at.words[1:3]
    found = script_users.find_user(run, at, words)
    target.removed = found is None
    if found is None:
        run.error(f"Unable to set uid/gid for script {_shown(target.argv)}", at, word=1, code="unknown-user")
        return
    target.user, target.names = found, words
    target.given["user"] = at


def _shown(argv: tuple[str, ...]) -> str:
    """A command as keepalived speaks of it: each word in quotes, but not a redirection."""
    return " ".join(
        word if not i and word.startswith(("<", ">")) else f"'{word}'" for i, word in enumerate(argv)
    )


def command_text(argv: Iterable[str]) -> str:
    """The command in quotes, such that reading it gives `argv`: it is split twice, with escapes undone."""
    return '"' + " ".join(_inner_word(word) for word in argv) + '"'


def _inner_word(word: str) -> str:
    if re.fullmatch(r"[\w%+,./:=@^<>?*&|;()\[\]~-]+", word, re.ASCII):
        return word
    escaped = "".join(
        char if re.match(r"[\w%+,./:=^<>?*&|;()\[\] -]", char, re.ASCII) else _escape(char) for char in word
    )
    return f"'{escaped}'"


def _escape(char: str) -> str:
    """Octal, byte by byte: no sign is left that either split, a comment or a brace could take."""
    code = ord(char)
    return f"\\{code:03o}" if code < 0x80 else char


def _show_command(command: Command) -> Iterable[str]:
    return (command_text(command.argv),)


def _show_user(command: Command) -> Iterable[str]:
    names = [values.quoted(name) for name in (command.user, command.group) if name]
    return (" ".join(names),) if names else ()


_INTERVAL: Keyword[Any] = values.converted(
    "interval",
    "interval_us",
    _interval,
    "<DEC 0..4294>",
    default="1",
    unit="s",
    show=values.show_seconds,
    schema={"type": "number", "exclusiveMinimum": 0, "maximum": TIMER_SECONDS},
    help="time from one start to the next; fractions of a script since keepalived 2.3.2",
)
_TIMEOUT: Keyword[Any] = values.converted(
    "timeout",
    "timeout_us",
    _timeout,
    "<DEC 0..4294>",
    default="interval",
    unit="s",
    show=values.show_seconds,
    schema={"type": "number", "exclusiveMinimum": 0, "maximum": TIMER_SECONDS},
    help="run time after which it is stopped and has failed; fractions of a script since keepalived 2.3.2",
)
_WEIGHT: Keyword[Any] = values.custom(
    "weight",
    _weight,
    "<INT -253..253> [reverse]",
    default="0",
    attribute=WHOLE_RECORD,
    show=show_weight(0),
    schema=weight_schema(LARGEST_WEIGHT),
    options=(REVERSE,),
    help="change of priority: a positive one while it is good, a negative one while it is not; "
    "0 makes a failure a fault",
)
_INIT_FAIL: Keyword[Any] = values.flag(
    "init_fail", "init_failed", help="counts as failed until it has been good often enough"
)


def _rise_and_fall(kind: str) -> list[Keyword[Any]]:
    return [
        values.number(
            "rise",
            "rise",
            1,
            LARGEST,
            f"({{name}}): vrrp {kind} rise value '{{word}}' invalid, defaulting to 1",
            default="1",
            help="successes in a row before it counts as good",
        ),
        values.number(
            "fall",
            "fall",
            1,
            LARGEST,
            f"({{name}}): vrrp {kind} fall value '{{word}}' invalid, defaulting to 1",
            default="1",
            help="failures in a row before it counts as bad",
        ),
    ]


def schedule(kind: str) -> list[Keyword[Any]]:
    """How often it runs and what its results do, the same for a "script" and a "check"."""
    return [_INTERVAL, _TIMEOUT, _WEIGHT, *_rise_and_fall(kind), _INIT_FAIL]


BLOCK: Block[Script] = block(
    SCRIPT,
    [
        values.custom(
            "script",
            _script,
            "<CMD>",
            required=False,
            attribute="command",
            show=_show_command,
            schema={"type": "string"},
            help="the command to run, in quotes if it has arguments; </path tests that a file exists",
        ),
        _INTERVAL,
        _TIMEOUT,
        _WEIGHT,
        *_rise_and_fall("script"),
        values.custom(
            "user",
            _user,
            "<USER> [[:]<GROUP>]",
            default="script_user",
            attribute="command",
            show=_show_user,
            schema={"type": "string"},
            help="the user and group it runs as",
        ),
        _INIT_FAIL,
    ],
    record=CheckScript,
    show_header=lambda record: values.quoted(record.name),
)


def opened(run: Run, target: Written, at: Directive) -> Script:
    """The draft of the script; its `command` is put together at the end."""
    return Draft(
        CheckScript,
        at,
        name=ScriptName(at.words[1]),
        argv=(),
        user=None,
        names=(),
        removed=False,
        interval_us=Micros(MICROSECONDS),
    )


def closed(run: Run, script: Script, at: Directive) -> None:
    """Keep the script if it has a command and a user that exists.

    A second one of the same name is checked all the same, but nobody finds it by its name.
    """
    end = closing(at)
    if not script.argv:
        run.error(f"No script set for vrrp_script {script.name} - removing", end, code="missing-script")
        return
    if script.removed:
        return
    written = run.written
    user = script.user or script_users.default_user(run, end, written)
    if user is None:
        message = f"Unable to set default user for vrrp script {script.name} - removing"
        run.error(message, end, code="unknown-user")
        return
    script.command = Command(script.argv, *user, *script.names)
    if not script.written("timeout_us"):
        script.timeout_us = script.interval_us
    scripts = written.scripts
    name = script.name if script.name not in scripts else f"{script.name}{LATER}{len(scripts)}"
    scripts[name] = script
