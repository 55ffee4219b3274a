"""Command lines: split by the lexical rule for commands, with an open quote reported."""

from __future__ import annotations

from keepalived_py.config.blocks import script_users
from keepalived_py.config.command_words import missing_quote, split_command, split_quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.scripts import Command


def read_command_line(run: Run, at: Directive) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`(argv, rest)`: the argument list and the words behind it; an empty argv is no command."""
    argv, rest = split_command(at.raw)
    if not argv or "\\" in at.raw:
        # keepalived 2.2.7 removes escapes twice: in the line, and again in its second word.
        texts = (at.raw, *(split_quoted(at.raw) or ())[1:2])
        faulty = next((text for text in texts if missing_quote(text)), None)
        if faulty is not None:
            run.error(
                f"String '{faulty}': missing terminating {missing_quote(faulty)}",
                at,
                code="unmatched-quote",
                error_class=ErrorClass.UNMATCHED_QUOTE,
            )
            return (), rest
        argv = argv or (split_quoted(texts[-1]) or () if len(texts) > 1 else ())
    return argv, rest


def read_program(run: Run, at: Directive, kind: str) -> Command | None:
    """The command of a line `KEYWORD CMD [USER [GROUP]]`; None (logged) if it cannot be used.

    Large files have the same line many times; one that was fine is not read again.
    """
    known: Command | None = run.programs.get(at.raw)
    if known is None:
        said = len(run.diagnostics)
        known = _read_program(run, at, kind)
        if known is not None and len(run.diagnostics) == said:
            run.programs[at.raw] = known
    return known


def _read_program(run: Run, at: Directive, kind: str) -> Command | None:
    argv, rest = read_command_line(run, at)
    if not argv:
        run.log("Unable to parse notify script", at)
        return None
    owner = script_users.owner(run, at, rest)
    if owner is None:
        what = "Invalid user/group" if rest else "Failed to set default user"
        run.log(f"{what} for {kind} script {argv[0]} - ignoring", at)
        return None
    return Command(argv, owner.uid, owner.gid, owner.user, owner.group)
