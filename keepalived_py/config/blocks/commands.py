"""Command lines: split by the lexical rule for commands, with an open quote reported."""

from keepalived_py.config.command_words import split_command, split_quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass


def read_command_line(run: Run, at: Directive) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`(argv, rest)`: the argument list and the words behind it; an empty argv is no command."""
    argv, rest = split_command(at.raw)
    if not argv and len(at.words) > 1:
        faulty = at.raw if split_quoted(at.raw) is None else at.words[1]
        if split_quoted(faulty) is None:
            run.error(
                f"String '{faulty}': missing terminating {_open_quote(faulty)}",
                at,
                code="unmatched-quote",
                error_class=ErrorClass.UNMATCHED_QUOTE,
            )
    return argv, rest


def _open_quote(text: str) -> str:
    """The quote that has no partner in `text`."""
    quote = ""
    for char in text:
        if not quote and char in "'\"":
            quote = char
        elif char == quote:
            quote = ""
    return quote
