"""Logical lines to the grammar's tokens.

A line is cut before and after each brace outside double quotes, so a name and
its `{` may stand on different lines.  The parser's price is per token, so the
scanner hands over as few as possible: a run of statements is one token, and a
block that has no more than two levels of blocks inside is part of the run it
stands in.  Only when a block turns out to be deeper do its braces become tokens.

keepalived has no opinion about where a brace that is missing belongs, so
nothing is repaired here: the brackets nest as they stand.  Which brace was
meant is worked out afterwards, in `braces`, and only where the count is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keepalived_py.config.braces import PIECES, blame
from keepalived_py.config.document import Directive, Line, Source, Statement, directive_of, split_words
from keepalived_py.config.expand import open_quote
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

Piece = list[Statement] | Directive | None

# How many levels of blocks are gathered before the parser is told of the outermost one.
GATHERED_LEVELS = 3

# Nobody writes so many; reading on would only cost time.
MOST_NESTED = 1000
MOST_EXTRA = 1000


class _Open:
    """A block whose `}` has not come: its header and the statements of the block around it, so far.

    `fed`: the parser knows of it; what it holds is a run of its own.
    """

    __slots__ = ("fed", "header", "outer")

    def __init__(self, header: Directive, outer: list[Statement]) -> None:
        self.header = header
        self.outer = outer
        self.fed = False


class Scanner:
    """The state of one scan; tokens go to `feed` as kind and piece.

    Of the open blocks, the innermost ones (`_gathered` in number) are not fed yet.
    """

    def __init__(self, feed: Callable[[str, Piece], None]) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.missing = 0
        self._feed = feed
        self._into: list[Statement] = []
        self._open: list[_Open] = []
        self._gathered = 0
        self._extra = 0
        self._given_up = False

    def scan(self, lines: Sequence[Line]) -> None:
        """Feed the tokens of `lines`; the last ones close what is still open."""
        add = self._into.append
        for item in lines:
            text = item[0]
            if text == "}":
                self._closed(item[1], item[2], 0)
            elif "{" not in text and "}" not in text and '"' not in text:
                add(item)
                continue
            else:
                self._cut(*item)
            if self._given_up:
                break
            add = self._into.append
        while self._open:
            self.missing += 1
            self._open[-1].header.unclosed = True
            self._leave()
        self._flush()
        if (self.missing or self._extra) and not self._given_up:
            self.diagnostics.extend(blame(lines))
        self._sum_up()

    def _cut(self, text: str, source: Source, line: int) -> None:
        if text[-1] == "{" and '"' not in text and text.count("{") == 1 and "}" not in text:
            piece = text[:-1].rstrip(" \t\r\f\v\n")
            if piece:
                self._enter(Directive(split_words(piece), piece, source, None, False, line))
            else:
                self._opened(source, line, len(text) - 1)
            return
        if text.count('"') % 2 or ("\\" in text and open_quote(text)):
            self._unmatched(text, source, line)
        for match in PIECES.finditer(text):
            if self._given_up:
                return
            piece = match.group().strip(" \t\r\f\v\n")
            if piece == "{":
                self._opened(source, line, match.start())
            elif piece == "}":
                self._closed(source, line, match.start())
            elif piece:
                directive = Directive(split_words(piece), piece, source, None, False, line, match.start())
                self._into.append(directive)

    def _opened(self, source: Source, line: int, offset: int) -> None:
        """A `{`: the statement before it becomes the header of a block."""
        last = self._into[-1] if self._into else None
        if isinstance(last, tuple) or (last is not None and last.body is None and last.keyword != "}"):
            header = directive_of(self._into.pop())
            header.opened_at(source, line)
            self._enter(header)
            return
        stray = Directive((), "{", source, None, False, line, offset)
        self._extra += 1
        if self._extra > MOST_EXTRA:
            self._give_up(f"More than {MOST_EXTRA} braces too many", stray.line_origin)
            return
        self._enter(stray)

    def _enter(self, header: Directive) -> None:
        if self._gathered == GATHERED_LEVELS:
            outermost = self._open[-self._gathered]
            if outermost.outer:
                self._feed("RUN", outermost.outer)
            self._feed("OPEN" if outermost.header.words else "LB", outermost.header)
            outermost.fed = True
        else:
            self._gathered += 1
        self._open.append(_Open(header, self._into))
        self._into = []
        if len(self._open) > MOST_NESTED:
            self._give_up(f"Blocks are nested more than {MOST_NESTED} deep", header.line_origin)

    def _leave(self) -> None:
        """The innermost block is complete."""
        block = self._open.pop()
        if block.fed:
            self._flush()
            self._feed("CLOSE", None)
            return
        self._gathered -= 1
        block.header.body = self._into
        block.outer.append(block.header)
        self._into = block.outer

    def _closed(self, source: Source, line: int, offset: int) -> None:
        if self._open:
            self._open[-1].header.closed_at(source, line)
            self._leave()
            return
        stray = Directive(("}",), "}", source, None, False, line, offset)
        self._extra += 1
        if self._extra > MOST_EXTRA:
            self._give_up(f"More than {MOST_EXTRA} braces too many", stray.line_origin)
            return
        self.diagnostics.append(
            Diagnostic(
                "extra-brace",
                "Extra '}' found",
                origin=stray.line_origin,
                error_class=ErrorClass.UNEXPECTED_BRACE,
            )
        )
        self._flush()
        self._feed("CLOSE", stray)

    def _give_up(self, why: str, origin: Origin) -> None:
        self._given_up = True
        message = f"{why} - the rest of the file is not read"
        self.diagnostics.append(Diagnostic("too-many-braces", message, origin=origin))

    def _sum_up(self) -> None:
        if self.missing:
            message = f"There are {self.missing} missing '}}'s or extra '{{'s"
            self.diagnostics.append(
                Diagnostic("missing-brace", message, error_class=ErrorClass.MISSING_BRACE)
            )

    def _unmatched(self, text: str, source: Source, line: int) -> None:
        """keepalived speaks twice: when it removes comments and when it splits words."""
        origin = source.origin(line, text[text.rindex('"') :])
        said = [("unmatched-quote", f"Unmatched quote: '{PIECES.findall(text)[-1].strip()}'")]
        if open_quote(text):
            said.insert(0, ("unterminated-quote", f"Unterminated quote '{text}'"))
        for code, message in said:
            self.diagnostics.append(
                Diagnostic(code, message, origin=origin, error_class=ErrorClass.UNMATCHED_QUOTE)
            )

    def _flush(self) -> None:
        if self._into:
            self._feed("RUN", self._into)
            self._into = []
