"""Where a piece of text came from."""

from __future__ import annotations

from keepalived_py.base.record import Record


class Origin(Record):
    """A place in a file.

    `line` and `column` count from 1.  `text` is the physical line, for the
    caret.  `included_from` is the place of the include statement that brought
    the file in (None for the main file); following it gives the include chain.
    `unended`: how many of the lines up to this one have no end of their own: a last
    line, and parts of a line that is too long.  keepalived's first reading does not count them.
    """

    file: str
    line: int
    column: int = 1
    end_column: int = 1
    text: str = ""
    included_from: Origin | None = None
    unended: int = 0
