"""Which brace is missing or too many: only a person knows, but the text tells a lot.

Two signs are used.  A keyword that keepalived knows at top level alone, opening
a block inside a block, shows that the blocks open there should have been
closed.  And a `}` that begins its line stands, in nearly every file, below the
beginning of the statement that it closes; where it stands below an outer one,
the inner block was not closed, and where it stands further right, it is one too
many.  The signs are looked for only when the count of braces is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.base.record import Struct, fresh
from keepalived_py.config.document import Line, Source
from keepalived_py.diagnostics.report import Diagnostic, Severity

PIECES = lazy_pattern(r'[{}]|(?:[^{}"]|"[^"]*"|"[^"]*$)+')
END_OF_FILE = 1 << 40
MOST_FAULTS = 20

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
        "vrrp_check",
        "vrrp_instance",
        "vrrp_script",
        "vrrp_sync_group",
        "vrrp_track_process",
    }
)


class _Open(Struct):
    """A block that is open: its statement, where it begins and how far it is indented."""

    text: str
    source: Source
    line: int
    indent: int


class _Blame(Struct):
    """The state of one look at all braces; `excess` is how many `{` have no `}`, negative if too many."""

    excess: int
    open: list[_Open] = fresh(list)
    found: list[Diagnostic] = fresh(list)
    last: Line | None = None
    closed: tuple[_Open, Source, int] | None = None  # the top-level block that was closed last
    odd: tuple[_Open, Source, int] | None = None  # a `}` that did not stand where it should

    def opened(self, source: Source, line: int) -> None:
        if self.last is None and self.open and self.excess > 0:
            self._stray(source, line)
            return
        header = self.last or ("{", source, line)
        if self.open and self.excess > 0 and header[0].split()[:1][0] in TOP_ONLY:
            self._unclosed(
                self.open[-1], f"'{header[0]}' in line {header[2]} begins at the top level", header
            )
            self.excess -= len(self.open)
            self.open.clear()
        self.open.append(_Open(header[0], header[1], header[2], _indent(header[1], header[2])))

    def close(self, source: Source, line: int) -> None:
        if not self.open:
            self._too_many(source, line)
            return
        first = source.line_text(line).lstrip().startswith("}")
        indent = _indent(source, line)
        one = self.open.pop()
        if first and self.excess > 0 and indent < one.indent:
            outer = [place for place, other in enumerate(self.open) if other.indent == indent]
            if outer:
                sign = f"the '}}' in line {line} stands below '{self.open[outer[-1]].text}'"
                self._unclosed(one, sign, ("}", source, line))
                self.excess -= len(self.open) - outer[-1]
                del self.open[outer[-1] :]
        if first and indent > one.indent:
            self.odd = (one, source, line)
        if not self.open and one.text.split()[:1][0] in TOP_ONLY:
            self.closed = (one, source, line)

    def end(self) -> None:
        if self.open and self.excess > 0:
            self._unclosed(self.open[-1], "the file ends inside it", None)

    def _unclosed(self, one: _Open, sign: str, where: Line | None) -> None:
        spoils = (one.source.name, where[2], END_OF_FILE) if where is not None else None
        self.found.append(
            Diagnostic(
                "block-not-closed",
                f"Block '{one.text}' has no closing '}}'",
                origin=one.source.origin(one.line, one.text),
                error_class=None,
                own=True,
                notes=(sign,),
                spoils=spoils,
            )
        )

    def _stray(self, source: Source, line: int) -> None:
        """A `{` right behind another one, where `{` are in excess: nothing opens with it."""
        self.excess -= 1
        outer = self.open[-1]
        self.found.append(
            Diagnostic(
                "open-brace-too-many",
                "There is a '{' too many",
                Severity.ERROR,
                source.origin(line, "{"),
                error_class=None,
                own=True,
                notes=(f"'{outer.text}' in line {outer.line} has its '{{' already",),
                spoils=(source.name, line, line),
            )
        )

    def _too_many(self, source: Source, line: int) -> None:
        self.excess += 1
        suspect = self.odd or self.closed
        self.odd = self.closed = None
        origin = source.origin(line, "}")
        notes: tuple[str, ...] = ("every block that was opened has been closed before",)
        first = line
        if suspect is not None and suspect[1] is source and suspect[2] < line:
            one, _, first = suspect
            origin = source.origin(first, "}")
            notes = (f"it closes '{one.text}' of line {one.line}; what follows is outside of it",)
        self.found.append(
            Diagnostic(
                "brace-too-many",
                "There is a '}' too many" + (" here or further down" if first != line else ""),
                Severity.ERROR,
                origin,
                error_class=None,
                own=True,
                notes=notes,
                spoils=(source.name, first, line),
            )
        )


def _indent(source: Source, line: int) -> int:
    text = source.line_text(line).expandtabs()
    return len(text) - len(text.lstrip())


def _pieces(lines: Iterable[Line]) -> Iterator[Line]:
    for text, source, line in lines:
        if "{" not in text and "}" not in text:
            yield text, source, line
        else:
            for piece in PIECES.findall(text):
                if piece.strip():
                    yield piece.strip(), source, line


def blame(lines: Iterable[Line]) -> list[Diagnostic]:
    """Our own diagnostics about the braces of a text in which they do not pair."""
    pieces = list(_pieces(lines))
    looked = _Blame(sum((piece == "{") - (piece == "}") for piece, _, _ in pieces))
    for piece in pieces:
        text, source, line = piece
        if text == "{":
            looked.opened(source, line)
        elif text == "}":
            looked.close(source, line)
        if len(looked.found) >= MOST_FAULTS:
            break
        looked.last = None if text in "{}" else piece
    looked.end()
    return looked.found


__all__ = ["PIECES", "TOP_ONLY", "blame"]
