"""Command lines: split by the lexical rule for commands, with its mistakes reported."""

from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass

_ESCAPES = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_OCTAL = "01234567"
_BLANKS = " \t\n\r\v\f"


class _Unterminated(ValueError):
    """A quote without its partner; the argument is the quote."""


def split_line(run: Run, at: Directive) -> list[str] | None:
    """All words of the line by the command rule; None after reporting an open quote."""
    return _split(run, at, at.raw)


def split_arguments(run: Run, at: Directive, word: str) -> tuple[str, ...] | None:
    """One word of a command line as an argument list; None after reporting an open quote."""
    words = _split(run, at, word)
    return None if words is None else tuple(words)


def _split(run: Run, at: Directive, text: str) -> list[str] | None:
    try:
        return split_escaped(text)
    except _Unterminated as fault:
        run.error(
            f"String '{text}': missing terminating {fault}",
            at,
            code="unmatched-quote",
            error_class=ErrorClass.UNMATCHED_QUOTE,
        )
        return None


def split_escaped(text: str) -> list[str]:
    """Words of `text`: both quotes join, a backslash escapes.  Raises on an open quote."""
    words: list[str] = []
    word: list[str] = []
    inside = False
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if char == "\\" and position < len(text):
            char, position = _escape(text, position)
            word.append(char)
            inside = True
        elif quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "'\"":
            quote, inside = char, True
        elif char in _BLANKS:
            if inside:
                words.append("".join(word))
            word, inside = [], False
        else:
            word.append(char)
            inside = True
    if quote:
        raise _Unterminated(quote)
    return [*words, "".join(word)] if inside else words


def _escape(text: str, position: int) -> tuple[str, int]:
    """The character that the escape at `position` (behind the backslash) means, and what follows."""
    char = text[position]
    if char in _ESCAPES:
        return _ESCAPES[char], position + 1
    if char in _OCTAL:
        end = position
        while end < len(text) and end < position + 3 and text[end] in _OCTAL:
            end += 1
        return chr(int(text[position:end], 8) & 0xFF), end
    if char == "x":
        end = position + 1
        while end < len(text) and text[end] in "0123456789abcdefABCDEF":
            end += 1
        if end > position + 1:
            return chr(int(text[position + 1 : end], 16) & 0xFF), end
    if char == "c" and position + 1 < len(text):
        return chr(ord(text[position + 1]) & 0x1F), position + 2
    return char, position + 1
