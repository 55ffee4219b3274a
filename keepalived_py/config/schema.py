"""What a keyword is: the one table that everything about the language is read from.

A `Block` holds `Keyword`s.  Each keyword is declared once, with everything that
anybody asks about it: the walk (`convert`, `read`, `open`), the dump (`show`),
the manual page, completion, `explain` and the JSON schema (`arguments`,
`default`, `unit`, `help`, `since`, `schema`).

Nothing raises for what stands in a file: a mistake becomes a `Diagnostic` in
`Run` and reading goes on, except after a missing required argument, where
keepalived stops at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from keepalived_py.base.record import Record
from keepalived_py.config.document import Directive
from keepalived_py.config.host import Host
from keepalived_py.config.written import Written
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity

T = TypeVar("T")

BLOCK_BRACE = "{"
FAILED: Final = object()  # what a converter returns when the statement has no usable value
LEAVES: Final = object()  # what an opener returns that refuses its block and thereby ends the one around it
BASELINE = "2.2.7"  # whose verdicts `-t` gives
NEWEST = "2.4.4"  # whose keywords a running daemon knows
MOST_EXPLAINED = 500  # a file with more mistakes is not a configuration that somebody mistyped
CASCADING = frozenset({ErrorClass.UNKNOWN_KEYWORD, ErrorClass.UNEXPECTED_BRACE, ErrorClass.MISSING_BRACE})


class Run:
    """What one reading collects, and what it may ask: the machine, and what was written so far.

    `compat` is the version of keepalived whose verdicts are wanted; keywords
    that are newer are understood all the same, unless `strict`.  `stopped`: a
    required argument was missing.  `cause`: the mistake whose consequences are
    being read.  `uneven`: the two stacks were of different height once.
    `newer`: something was understood that `compat` reads otherwise; the `verdict` is
    then that of another run, which reads as `compat` does.
    `quoted_braces`: a brace stands in quotes, which keepalived takes for one all the same.
    `at_end`: the file ends behind the statement being read.
    `process`: which one of keepalived's reads ("" for all in one).
    """

    def __init__(
        self,
        host: Host,
        written: Written | None = None,
        compat: str = BASELINE,
        *,
        strict: bool = False,
        process: str = "",
    ) -> None:
        self.host = host
        self.compat = compat
        self.strict = strict
        self.process = process
        self.uneven = False
        self.quoted_braces = False
        self.at_end = False
        self.newer = False
        self.verdict: Run | None = None
        self.diagnostics: list[Diagnostic] = []
        self.stopped = False
        self.cause: Diagnostic | None = None
        self.known: dict[int, tuple[dict[str, tuple[str, Any]], dict[str, Keyword[Any]], Block[Any]]] = {}
        self.programs: dict[str, Any] = {}  # by the text of their lines, commands that are well written
        self.judged: dict[Any, Any] = {}  # by command, what was found out about its program
        self._written = written

    @property
    def written(self) -> Written:
        """The drafts of everything read so far."""
        assert self._written is not None
        return self._written

    def error(
        self,
        message: str,
        at: Directive | None = None,
        *,
        word: int | None = None,
        code: str = "invalid-value",
        error_class: ErrorClass | None = ErrorClass.GENERAL,
        severity: Severity = Severity.ERROR,
        suggestion: str = "",
        expected: str = "",
        notes: tuple[str, ...] = (),
        about: Directive | None = None,
        extension: bool = False,
    ) -> Diagnostic:
        """Record a mistake that keepalived prints at `-t`.

        `at` None: it names no line; `about` is what a person should look at then.
        `word`: the word of the statement that is wrong.
        """
        cause = self.cause if error_class in CASCADING else None
        made = Diagnostic(
            code,
            message,
            severity,
            _origin(at, word),
            error_class,
            expected,
            suggestion,
            notes,
            cause=cause,
            about=_origin(about),
            extension=extension,
        )
        self.diagnostics.append(made)
        return made

    def log(self, message: str, at: Directive | None = None, *, code: str = "note") -> None:
        """Record a line that keepalived only logs; it never changes the exit code."""
        self.diagnostics.append(
            Diagnostic(code, message, Severity.WARNING, _origin(at), None, logged_only=True)
        )

    def missing_parameter(self, at: Directive, keyword: str, position: int) -> None:
        """A required word is not there: keepalived stops at once with exit 2."""
        message = (
            f"*** Configuration line starting `{at.keyword}` is missing a parameter "
            f"after keyword `{keyword}` at word position {position}"
        )
        self.diagnostics.append(
            Diagnostic(
                "missing-parameter", message, Severity.ERROR, at.line_origin, ErrorClass.GENERAL, stops=True
            )
        )
        self.stopped = True


def _origin(at: Directive | None, word: int | None = None) -> Origin | None:
    if at is None:
        return None
    return at.line_origin if word is None else at.word_origin(word)


Reader = Callable[[Run, T, Directive], None]
Converter = Callable[[Run, T, Directive], Any]
Opener = Callable[[Run, T, Directive], Any]
Show = Callable[[Any], Iterable[str]]


class Keyword(Record, Generic[T]):
    """One keyword of one block.

    A plain keyword has `convert`: the statement's value, which the walk stores
    in `attribute` of the draft (and remembers by the text, if `pure`: it
    depends on the words alone), or FAILED after a complaint.  One that does
    more than store a value has `read` instead.

    A keyword with `block` (or "module:NAME" of one, imported when it is first
    used) opens a context: `open` makes the draft its content is stored in,
    None refuses the whole block (its content is then skipped unread), and
    `close` runs at its `}`.

    Without a first argument: `required` stops as keepalived does (exit 2),
    `missing` is its message where it goes on.

    `show` gives, for the value of `attribute` in the model, the words behind
    the keyword for each line that writes it; none if it need not be written.
    `schema` is the JSON Schema of the value.

    `since` is the version of keepalived that brought it, `removed` the one
    that took it away (it is unknown, but we can tell why); `deprecation` is
    keepalived's complaint about its use; `alias` names the keyword that means
    the same and is written instead; `meaningless` says why it does nothing here.
    `options` describe the words that may stand behind it on its line.
    `inherited`: what it has when it is not written depends on other blocks.
    `secret`: its value must not be shown to everybody.
    `extension`: keepalived itself has no such keyword, in no version.
    """

    name: str
    read: Reader[T] | None = None
    arguments: str = ""
    default: str = ""
    unit: str = ""
    help: str = ""
    since: str = ""
    required: bool = False
    block: Block[Any] | str | None = None
    open: Opener[T] | None = None
    close: Reader[Any] | None = None
    convert: Converter[T] | None = None
    attribute: str = ""
    pure: bool = True
    missing: str = ""
    show: Show | None = None
    schema: dict[str, Any] | None = None
    removed: str = ""
    deprecation: str = ""
    alias: str = ""
    meaningless: str = ""
    options: tuple[Keyword[Any], ...] = ()
    inherited: bool = False
    secret: bool = False
    extension: bool = False

    def inner(self) -> Block[Any]:
        """The block it opens."""
        if isinstance(self.block, str):
            found: Block[Any] = imported(self.block)
            return found
        assert self.block is not None
        return self.block


class Block(Record, Generic[T]):
    """A named set of keywords, or (with `entry`) a list with one entry per line.

    `record` is the class of the model it describes; `show_header` the words
    behind the block's keyword for a record, `show_entry` the line of one entry
    of a list; `entry_help` describes such an entry.  `listed` gives the entries of a record;
    without it they are in its `entries`.
    """

    name: str
    keywords: Mapping[str, Keyword[T]] = MappingProxyType({})
    entry: Reader[T] | None = None
    record: type[Record] | None = None
    show_header: Callable[[Any], str] | None = None
    show_entry: Callable[[Any], str] | None = None
    entry_help: str = ""
    listed: Callable[[Any], Iterable[Any]] | None = None

    def entries_of(self, record: Any) -> Iterable[Any]:
        """The entries of a list that is written for `record`."""
        found: Iterable[Any] = record.entries if self.listed is None else self.listed(record)
        return found


@cache
def imported(path: str) -> Any:
    """What "module:NAME" names, imported when first asked for; None if the module has no such name."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name, None)


def block(name: str, keywords: Sequence[Keyword[T]], **more: Any) -> Block[T]:
    """A block out of its keywords; raises ValueError if one is declared twice."""
    table = {keyword.name: keyword for keyword in keywords}
    if len(table) != len(keywords):
        raise ValueError(f"a keyword of {name} is declared twice")
    return Block(name, table, **more)


def entries(name: str, entry: Reader[Any], **more: Any) -> Block[Any]:
    """A block that is a list: one entry on each line."""
    return Block(name, entry=entry, **more)
