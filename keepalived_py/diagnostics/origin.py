"""Where a piece of text came from."""

from keepalived_py.base.record import Record


class Origin(Record):
    """A place in a file.

    `line` and `column` count from 1.  `text` is the physical line, for the
    caret.  `included_from` is the place of the include statement that brought
    the file in (None for the main file); following it gives the include chain.
    `unended`: the file ends in this line, without a line end.
    """

    file: str
    line: int
    column: int = 1
    end_column: int = 1
    text: str = ""
    included_from: "Origin | None" = None
    unended: bool = False
