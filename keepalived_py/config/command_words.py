"""The second word splitter: command lines (`script`, `notify*`, ...) and `regex`.

Both kinds of quotes, joined quoting (`/bin/tr"ue a"` is one word) and escapes:
`\\a \\b \\E \\f \\n \\r \\t \\v`, `\\ooo`, `\\xHH` (two digits, as keepalived
from 2.4 on), `\\cX`; any other `\\C` is C.  A backslash before a blank keeps
the blank in the word (also from 2.4 on).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from keepalived_py.base.pattern import lazy_pattern

_SIMPLE = {"a": "\a", "b": "\b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = lazy_pattern(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|c.|.)", re.DOTALL)
_PART = lazy_pattern(
    r"""\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|c.|.)|"|'|\s+|[^\\"'\s]+|\\""", re.DOTALL | re.ASCII
)
_BLANKS = " \t\n\r\f\v"


def _unescape(escape: str) -> str:
    """The character that an escape (with its backslash) stands for."""
    match = _ESCAPE.fullmatch(escape)
    if match is None:
        return ""
    body = match.group(1)
    if body[0] == "x" and len(body) > 1:
        return chr(int(body[1:], 16))
    if body[0] in "01234567":
        return chr(int(body, 8) & 0xFF)
    if body[0] == "c" and len(body) > 1:
        return chr(ord(body[1]) & 0x1F)
    return _SIMPLE.get(body, body)


def _unseen(quote: str, last: str) -> bool:
    """Whether keepalived does not see that a quote is open: nothing, or only an escape, is behind it."""
    return last == quote or (last[:1] == "\\" and len(last) > 1)


def missing_quote(text: str) -> str:
    """The quote that keepalived misses in `text`; "" if there is none."""
    quote = part = ""
    for part in _PART.findall(text):
        if part in ('"', "'") and quote in ("", part):
            quote = "" if quote else part
    return "" if _unseen(quote, part) or part == "\\" else quote


def split_quoted(text: str) -> tuple[str, ...] | None:
    """Words of `text` by the rule for command lines; None if a quote or a backslash is open at the end."""
    return _split(text, lambda part, quote: _unescape(part) if part[0] == "\\" else part)


def _outer_words(text: str) -> tuple[str, ...] | None:
    """The first split: quotes part words, but escapes are left for the second split."""
    return _split(text, lambda part, quote: part[1:] if quote and part == f"\\{quote}" else part)


def _split(text: str, meaning: Callable[[str, str], str]) -> tuple[str, ...] | None:
    """Words of `text`; `meaning` is what a part of a word stands for, given the quote around it."""
    words: list[str] = []
    word: list[str] | None = None
    quote = ""
    part = ""
    for part in _PART.findall(text):
        if part in ('"', "'") and quote in ("", part):
            quote = "" if quote else part
            word = word if word is not None else []
        elif part[0] in _BLANKS and not quote:
            if word is not None:
                words.append("".join(word))
            word = None
        else:
            word = word if word is not None else []
            word.append(meaning(part, quote))
    if part == "\\" or (quote and not _unseen(quote, part)):
        return None
    if word is not None:
        words.append("".join(word))
    return tuple(words)


def split_command(raw: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`(argv, rest)` of a command line's raw text.

    The line is split once; its second word is split again and gives the
    argument list; the words after it (user, group) are `rest`.  An empty argv:
    there is no command, or a quote has no partner.
    """
    outer = _outer_words(raw)
    if outer is None or len(outer) < 2:
        return (), ()
    argv = split_quoted(outer[1])
    rest = tuple(word for text in outer[2:] for word in (split_quoted(text) or (text,)))
    return argv or (), rest
