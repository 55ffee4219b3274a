"""Logical lines to the grammar's tokens.

A line is cut before and after each brace outside double quotes, so a name and
its `{` may stand on different lines.  The parser's price is per token, so the
scanner hands over as few as possible: a run of statements is one token, and an
innermost block (one without blocks inside) is folded into the run it stands in.

Where a `}` was forgotten, only the keyword that follows can tell: a word that
keepalived knows at top level alone, opening a block inside a block, means that
the blocks open there were never closed (if `}` are lacking at all).
"""

import re
from collections.abc import Iterator, Sequence

from keepalived_py.base.record import Struct, fresh
from keepalived_py.config.document import Directive, Line, Source, Statement, directive_of, split_words
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

Piece = list[Statement] | Directive | None

# Block keywords that keepalived accepts at top level and nowhere else.
TOP_ONLY = frozenset(
    {
        "bfd_instance",
        "global_defs",
        "static_ipaddress",
        "static_routes",
        "static_rules",
        "virtual_server",
        "virtual_server_group",
        "vrrp_instance",
        "vrrp_script",
        "vrrp_sync_group",
        "vrrp_track_process",
    }
)

_PIECES = re.compile(r'[{}]|(?:[^{}"]|"[^"]*"|"[^"]*$)+')


class Scanner(Struct):
    """The state of one scan: the run being gathered and the blocks that are open."""

    diagnostics: list[Diagnostic] = fresh(list)
    missing: int = 0
    _run: list[Statement] = fresh(list)
    _leaf: Directive | None = None
    _open: list[Directive] = fresh(list)
    _lines: Sequence[Line] = ()
    _excess: int | None = None

    def tokens(self, lines: Sequence[Line]) -> Iterator[tuple[str, Piece]]:
        """The tokens of `lines`, each with its directives; the last ones close what is still open."""
        self._lines = lines
        add = self._run.append
        for item in lines:
            text = item[0]
            if text == "}":
                yield from self._closed(item[1], item[2], 0)
            elif "{" not in text and "}" not in text and '"' not in text:
                add(item)
                continue
            else:
                yield from self._cut(*item)
            add = (self._run if self._leaf is None else self._body(self._leaf)).append
        while self._leaf is not None or self._open:
            yield from self._close_missing()
        yield from self._flush()
        self._sum_up()

    def _cut(self, text: str, source: Source, line: int) -> Iterator[tuple[str, Piece]]:
        if text[-1] == "{" and '"' not in text and text.count("{") == 1 and "}" not in text:
            piece = text[:-1].rstrip(" \t\r\f\v\n")
            if piece:
                directive = Directive(split_words(piece), piece, source, None, False, line)
                (self._run if self._leaf is None else self._body(self._leaf)).append(directive)
            yield from self._opened(source, line, len(text) - 1)
            return
        if text.count('"') % 2:
            self._unmatched(text, source, line)
        for match in _PIECES.finditer(text):
            piece = match.group().strip(" \t\r\f\v\n")
            if piece == "{":
                yield from self._opened(source, line, match.start())
            elif piece == "}":
                yield from self._closed(source, line, match.start())
            elif piece:
                directive = Directive(split_words(piece), piece, source, None, False, line, match.start())
                (self._run if self._leaf is None else self._body(self._leaf)).append(directive)

    def _opened(self, source: Source, line: int, offset: int) -> Iterator[tuple[str, Piece]]:
        """A `{`: the statement before it becomes the header of a block."""
        statements = self._run if self._leaf is None else self._body(self._leaf)
        last = statements[-1] if statements else None
        if isinstance(last, tuple) or (last is not None and last.body is None and last.keyword != "}"):
            header = directive_of(statements.pop())
        else:
            header = Directive((), "{", source, None, False, line, offset)
        if header.keyword in TOP_ONLY:
            while (self._leaf is not None or self._open) and self._lacks_closes():
                yield from self._close_missing()
        if self._leaf is not None:
            yield from self._flush_leaf(self._leaf)
        header.body = []
        self._leaf = header

    def _lacks_closes(self) -> bool:
        """Whether the whole text has more `{` than `}`: balanced nesting is meant, however odd."""
        if self._excess is None:
            braces = [text for text, _, _ in self._lines if "{" in text or "}" in text]
            pieces = [piece for text in braces for piece in _PIECES.findall(text)]
            self._excess = pieces.count("{") - pieces.count("}")
        return self._excess > self.missing

    def _flush_leaf(self, leaf: Directive) -> Iterator[tuple[str, Piece]]:
        """The innermost block gets a block of its own: it is a leaf no more."""
        inner = self._body(leaf)
        yield from self._flush()
        yield ("OPEN" if leaf.words else "LB"), leaf
        self._open.append(leaf)
        self._run.extend(inner)
        leaf.body = []
        self._leaf = None

    def _closed(self, source: Source, line: int, offset: int) -> Iterator[tuple[str, Piece]]:
        if self._leaf is not None:
            self._leaf.closed_at(source, line)
            self._run.append(self._leaf)
            self._leaf = None
        elif self._open:
            self._open.pop().closed_at(source, line)
            yield from self._flush()
            yield "CLOSE", None
        else:
            stray = Directive(("}",), "}", source, None, False, line, offset)
            self.diagnostics.append(
                Diagnostic(
                    "extra-brace",
                    "Extra '}' found",
                    origin=stray.line_origin,
                    error_class=ErrorClass.UNEXPECTED_BRACE,
                )
            )
            yield from self._flush()
            yield "CLOSE", stray

    def _close_missing(self) -> Iterator[tuple[str, Piece]]:
        """A `}` that was forgotten: close the innermost block and say where it began."""
        self.missing += 1
        if self._leaf is not None:
            self._forgotten(self._leaf)
            self._run.append(self._leaf)
            self._leaf = None
        else:
            self._forgotten(self._open.pop())
            yield from self._flush()
            yield "CLOSE", None

    def _forgotten(self, header: Directive) -> None:
        header.unclosed = True
        name = f"block '{header.raw}'" if header.words else "this '{'"
        self.diagnostics.append(
            Diagnostic(
                "block-not-closed",
                f"{name} has no closing '}}'",
                origin=header.line_origin,
                error_class=None,
                own=True,
            )
        )

    def _sum_up(self) -> None:
        if self.missing:
            message = f"There are {self.missing} missing '}}'s or extra '{{'s"
            self.diagnostics.append(
                Diagnostic("missing-brace", message, error_class=ErrorClass.MISSING_BRACE)
            )

    def _unmatched(self, text: str, source: Source, line: int) -> None:
        """keepalived speaks twice: when it removes comments and when it splits words."""
        origin = source.origin(line, text[text.rindex('"') :])
        for code, message in (
            ("unterminated-quote", f"Unterminated quote '{text}'"),
            ("unmatched-quote", f"Unmatched quote: '{text}'"),
        ):
            self.diagnostics.append(
                Diagnostic(code, message, origin=origin, error_class=ErrorClass.UNMATCHED_QUOTE)
            )

    def _flush(self) -> Iterator[tuple[str, Piece]]:
        if self._run:
            run = self._run.copy()
            self._run.clear()  # the same list goes on: the fast path holds its `append`
            yield "RUN", run

    @staticmethod
    def _body(header: Directive) -> list[Statement]:
        assert header.body is not None
        return header.body
