"""What the syntax stage hands to the schemas: directives made of words.

The lexical layer (comments, includes, definitions, braces) is gone here; what
a keyword means is not yet known.

A file may have hundreds of thousands of lines and most are never spoken about,
so a directive keeps only its `Source` (shared by all lines of a file) and a
line number.  Columns are found again, in the physical line, when somebody asks
for an `Origin`.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from keepalived_py.base.record import Record
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic

_WORD = re.compile(r'"[^"]*"|[^\s"]+', re.ASCII)
_WORDS = re.compile(r'"([^"]*)"|([^\s"]+)', re.ASCII)


def split_words(text: str) -> tuple[str, ...]:
    """Words of an ordinary line: blanks part them, `"..."` is a word of its own without its quotes.

    From a quote without a partner on, the text is dropped (keepalived does so).
    """
    if '"' not in text and text.isascii():  # str.split would part at a no-break space
        return tuple(text.split())
    if text.count('"') % 2:
        text = text[: text.rindex('"')]
    return tuple(quoted if plain == "" else plain for quoted, plain in _WORDS.findall(text))


class Source:
    """One reading of one file: its name as written, its text, and who included it."""

    __slots__ = ("_lines", "cuts", "included_at", "included_from", "name", "text")

    def __init__(
        self, name: str, text: str, included_from: Source | None = None, included_at: int = 0
    ) -> None:
        self.name = name
        self.text = text
        self.included_from = included_from
        self.included_at = included_at
        self.cuts: list[int] = []  # lines that go on in the next one
        self._lines: list[str] | None = None

    def line_text(self, line: int) -> str:
        """The physical line (counting from 1), without its end; "" if there is none."""
        if self._lines is None:
            self._lines = self.text.split("\n")
        if 0 < line <= len(self._lines):
            return self._lines[line - 1].rstrip("\r")
        return ""

    def origin(self, line: int, statement: str = "", offset: int = 0) -> Origin:
        """The place of `statement` in a line; the whole line if it is not written there literally."""
        text = self.line_text(line)
        indent = len(text) - len(text.lstrip())
        start, end = indent, len(text.rstrip())
        if statement:
            found = text.find(statement, indent + offset)
            if found < 0:
                found = text.find(statement)
            if found >= 0:
                start, end = found, found + len(statement)
        unended = bisect_right(self.cuts, line) + (line == len(self._lines or ()) and text != "")
        return Origin(self.name, line, start + 1, max(end, start) + 1, text, self._parent(), unended)

    def _parent(self) -> Origin | None:
        if self.included_from is None:
            return None
        return self.included_from.origin(self.included_at)


class Directive:
    """One statement, with its block if it opened one.

    Most statements of a file stand alone on their line, open nothing and are
    never spoken about; those stay `Line`s, and `directive_of` makes them a
    Directive when somebody asks.

    `words` are split by the rule for ordinary lines (only double quotes; quotes
    removed).  `raw` is the statement's text after expansion and comment removal:
    command lines are split again from it.  `line_origin` spans the statement;
    `word_origin(i)` spans a word; both are computed only when somebody asks.
    `body` is None if no `{` followed.  `unclosed`: the block had no `}`.
    `ended_by`: what keepalived took for the end of the block where that is not its own `}`.
    A `{` without a statement in front has no words and a body; a `}` too many
    is a directive whose only word is `}`.
    """

    __slots__ = (
        "_close_line",
        "_line",
        "_offset",
        "_open_line",
        "_place",
        "body",
        "ended_by",
        "raw",
        "unclosed",
        "words",
    )

    def __init__(
        self,
        words: tuple[str, ...],
        raw: str,
        line_origin: Origin | Source,
        body: list[Statement] | None = None,
        unclosed: bool = False,
        line: int = 0,
        offset: int = 0,
    ) -> None:
        self.words = words
        self.raw = raw
        self._place = line_origin
        self.body = body
        self.unclosed = unclosed
        self._line = line
        self._offset = offset
        self._open_line: tuple[Source, int] | None = None
        self._close_line: tuple[Source, int] | None = None
        self.ended_by: Directive | None = None

    def __repr__(self) -> str:
        return f"Directive({self.words!r}, body={self.body!r})"

    @property
    def keyword(self) -> str:
        """The first word ("" for a block without a name)."""
        return self.words[0] if self.words else ""

    @property
    def line_origin(self) -> Origin:
        """Where the statement stands."""
        place = self._place
        if isinstance(place, Origin):
            return place
        return place.origin(self._line, self.raw, self._offset)

    def word_origin(self, index: int) -> Origin:
        """Where word `index` stands (quotes included); the whole statement if there is no such word."""
        whole = self.line_origin
        matches = list(_WORD.finditer(self.raw))
        literal = whole.text[whole.column - 1 : whole.end_column - 1] == self.raw
        if not literal or not 0 <= index < len(matches):
            return whole
        start, end = matches[index].span()
        return Origin(
            whole.file,
            whole.line,
            whole.column + start,
            whole.column + end,
            whole.text,
            whole.included_from,
            whole.unended,
        )

    def without_last_word(self) -> Directive:
        """The same statement, and block, one word shorter."""
        made = Directive(
            self.words[:-1], self.raw, self._place, self.body, self.unclosed, self._line, self._offset
        )
        made._open_line, made._close_line = self._open_line, self._close_line
        return made

    def opened_at(self, source: Source, line: int) -> None:
        """Remember where the `{` of the block stands, if not in the line of the statement."""
        if line != self._line or self._place is not source:
            self._open_line = (source, line)

    @property
    def open_origin(self) -> Origin:
        """The place of the block's `{`; the statement's own if they stand in one line."""
        if self._open_line is None:
            return self.line_origin
        source, line = self._open_line
        return source.origin(line, "{")

    def closed_at(self, source: Source, line: int) -> None:
        """Remember where the `}` of the block stands."""
        self._close_line = (source, line)

    @property
    def close_origin(self) -> Origin | None:
        """The place of the block's own `}`; None if it has none."""
        if self._close_line is None:
            return None
        source, line = self._close_line
        return source.origin(line, "}")


# A logical line: its text without comment and outer blanks, the file it is of, its number there.
Line = tuple[str, Source, int]
Statement = Line | Directive


def directive_of(statement: Statement) -> Directive:
    """The statement as a `Directive`."""
    if isinstance(statement, Directive):
        return statement
    text, source, line = statement
    return Directive(split_words(text), text, source, None, False, line)


class Document(Record):
    """A whole configuration, all its files together.

    `files` are the names read, in order, as written in the include statements.
    `fatal`: no main file could be read (a start ends with 6; `-t` with 0, or with 4 under `-e`).
    `include_failed`: an include check failed; keepalived ends with 6 at once.
    """

    directives: tuple[Statement, ...]
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[str, ...] = ()
    fatal: bool = False
    include_failed: bool = False
