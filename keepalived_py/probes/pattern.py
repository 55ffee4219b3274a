"""Patterns of PCRE2 in a language that has only its own: translated, and looked for in pieces of a page.

The languages agree on nearly everything that people write.  What is only spelled
otherwise is translated token by token (`\\h`, `\\R`, `\\z`, `\\Q...\\E`, `(?<name>`,
POSIX classes), and so are those options that change the meaning of what is
written (ungreedy, dollar_endonly, no_auto_capture).  Options about speed mean
nothing here.  What has no counterpart (recursion, `\\K`, verbs, ...) makes the
pattern unusable, which `translated` says in words.

A pattern sees bytes, or characters with `utf` or `ucp`.  Pages may be large, so
they are searched in windows: what may still become part of a match, at most
`_KEPT` bytes, is carried over to the next one.  Longer matches may be overlooked
(keepalived has 4095 bytes in all for a match that is not complete).  A match
that ends with the page counts, which it does not in keepalived: there `ok$` waits
for more text that never comes.
"""

import re
import warnings
from codecs import getincrementaldecoder
from collections.abc import Iterator
from typing import Any

from keepalived_py.model.checks import Url

_WINDOW = 65536
_KEPT = 8192
# A match that is nearer to the end of a window might look different if more were known.
_MARGIN = 512

_FLAGS = {"caseless": re.IGNORECASE, "dotall": re.DOTALL, "multiline": re.MULTILINE, "extended": re.VERBOSE}
# All other options are about speed, or mean nothing where there is nothing to forbid.
_UNUSABLE = frozenset({"alt_bsux", "match_unset_backref"})

_POSIX = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "0-9a-zA-Z",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\t-\r ",
    "blank": r"\t ",
    "punct": r"!-/:-@\[-`{-~",
    "print": r"\x20-\x7e",
    "graph": r"!-~",
    "cntrl": r"\x00-\x1f\x7f",
    "xdigit": "0-9a-fA-F",
    "word": r"\w",
    "ascii": r"\x00-\x7f",
}
_OUTSIDE = {
    "h": r"[\t\x20\xa0]",
    "H": r"[^\t\x20\xa0]",
    "v": r"[\n-\r\x85]",
    "V": r"[^\n-\r\x85]",
    "R": r"(?>\r\n|[\n-\r\x85])",
    "N": r"[^\n]",
    "e": r"\x1b",
    "Z": r"(?=\n?\Z)",
    "z": r"\Z",
}
_INSIDE = {"h": r"\t\x20\xa0", "v": r"\n-\r\x85", "e": r"\x1b"}
_TOKEN = re.compile(
    r"""
    (?P<quoted>\\Q.*?(?:\\E|\Z))
  | (?P<end>\\E)
  | (?P<hex>\\x\{(?P<digits>[0-9a-fA-F]+)\})
  | (?P<back>\\(?:g\{?(?P<number>[1-9][0-9]*)\}?|[gk]\{(?P<braced>\w+)\}|k[<'](?P<named>\w+)[>']))
  | (?P<escape>\\.)
  | (?P<class>\[\^?(?:\]|)(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\])
  | (?P<empty>\[\^?\])
  | (?P<verb>\(\*)
  | (?P<name>\(\?(?:<(?![=!])|')(?P<called>\w+)[>'])
  | (?P<odd>\(\?(?:[|R&+C]|-?[0-9]))
  | (?P<special>\(\?)
  | (?P<group>\()
  | (?P<quantifier>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})(?P<kind>[+?]?))
  | (?P<dollar>\$)
  | (?P<caret>\^)
  | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLASS_TOKEN = re.compile(
    r"\[:(?P<negated>\^?)(?P<posix>[a-z]+):\]|\\x\{(?P<digits>[0-9a-fA-F]+)\}|(?P<escape>\\.)|.", re.DOTALL
)


class Unusable(ValueError):
    """A pattern that cannot be looked for; the text says why."""


class Pattern:
    """A pattern that can be looked for.  Raises Unusable."""

    def __init__(self, written: str, options: frozenset[str] = frozenset()) -> None:
        strange = sorted(options & _UNUSABLE)
        if strange:
            raise Unusable(f"the option {strange[0]} has no counterpart here")
        self.unicode = bool(options & {"utf", "ucp"})
        self.first_line = "firstline" in options
        text = "".join(_translated(written, options))
        flags = re.RegexFlag(0)
        for name, flag in _FLAGS.items():
            flags |= flag if name in options else 0
        if self.unicode and "ucp" not in options:
            flags |= re.ASCII
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._expression = re.compile(self.coded(text), flags)
        except (re.error, OverflowError, RecursionError, UnicodeError) as error:
            raise Unusable(str(error)) from error

    def coded(self, text: str) -> Any:
        """Text as the pattern sees it."""
        raw = text.encode(errors="surrogateescape")
        return raw.decode() if self.unicode else raw

    def find(self, subject: Any, start: int) -> re.Match[Any] | None:
        """The first match that begins at `start` or later."""
        return self._expression.search(subject, start)


class PatternSearch:
    """One search through a page that comes in pieces: a match begins in `low` to `high` (None: anywhere)."""

    def __init__(self, pattern: Pattern, low: int = 0, high: int | None = None) -> None:
        self._pattern = pattern
        self._low = low
        self._high = high
        self._pieces: list[Any] = []
        self._waiting = 0
        self._base = 0
        self._over = False
        self._found = False
        self._decoder = getincrementaldecoder("utf-8")("replace") if pattern.unicode else None

    def feed(self, data: bytes) -> None:
        """More of the page."""
        if self._over:
            return
        self._pieces.append(self._decoder.decode(data) if self._decoder is not None else data)
        self._waiting += len(data)
        if self._waiting >= _WINDOW:
            self._look(last=False)

    def found(self) -> bool:
        """Whether it was found; there is no more to come."""
        if not self._over:
            self._look(last=True)
            self._over = True
        return self._found

    def _look(self, *, last: bool) -> None:
        text = ("" if self._pattern.unicode else b"").join(self._pieces)
        start = max(self._low - self._base, 1 if self._base else 0)
        if self._pattern.first_line:
            self._only_first_line(text, start)
        match = self._pattern.find(text, start) if start <= len(text) else None
        if match is not None and (last or self._certain(match, len(text))):
            self._over = True
            self._found = self._high is None or self._base + match.start() <= self._high
            return
        cut = max(0, len(text) - _KEPT)
        self._base += cut
        self._pieces = [text[cut:]]
        self._waiting = len(text) - cut
        self._over = self._high is not None and self._base > self._high

    def _certain(self, match: re.Match[Any], length: int) -> bool:
        """Whether more text would not change it, or it is too long to be kept."""
        return match.end() <= length - _MARGIN or match.start() <= length - _KEPT

    def _only_first_line(self, text: Any, start: int) -> None:
        end = text.find("\n" if self._pattern.unicode else b"\n", start)
        if end >= 0 and self._base <= start:
            self._high = min(self._base + end, self._base + end if self._high is None else self._high)


def search_for(url: Url, pattern: Pattern) -> PatternSearch:
    """A search for the pattern of a page, where it may be."""
    return PatternSearch(pattern, url.regex_min_offset, url.regex_max_offset)


def _translated(written: str, options: frozenset[str]) -> Iterator[str]:
    for token in _TOKEN.finditer(written):
        yield _token(token, options)


def _token(token: re.Match[str], options: frozenset[str]) -> str:
    text = token[0]
    match token.lastgroup:
        case "quoted":
            return re.escape(text[2:].removesuffix(r"\E"))
        case "end":
            return ""
        case "hex":
            return _character(token["digits"])
        case "back":
            name = token["braced"] or token["named"]
            return f"(?P={name})" if name else rf"(?:\{token['number']})"
        case "escape":
            return _OUTSIDE.get(text[1], text)
        case "class" | "empty":
            return _class(text, "allow_empty_class" in options)
        case "verb" | "odd":
            raise Unusable(f"'{text}...' has no counterpart here")
        case "name":
            return f"(?P<{token['called']}>"
        case "group":
            return "(?:" if "no_auto_capture" in options else "("
        case "quantifier":
            return _quantifier(text, token["kind"], "ungreedy" in options)
        case "dollar":
            return r"\Z" if "dollar_endonly" in options and "multiline" not in options else "$"
        case "caret":
            # Behind a line end at the very end there is no line, but for Python and alt_circumflex.
            lines = "multiline" in options and "alt_circumflex" not in options
            return r"(?:^(?!\Z)|\A)" if lines else "^"
        case _:
            return r"\{" if text == "{" else text


def _quantifier(text: str, kind: str, ungreedy: bool) -> str:
    if not ungreedy or kind == "+":
        return text
    return text.removesuffix("?") if kind else f"{text}?"


def _character(digits: str) -> str:
    code = int(digits, 16)
    if code > 0xFF:
        return chr(code) if code <= 0x10FFFF else r"\x{"
    return rf"\x{code:02x}"


def _class(text: str, may_be_empty: bool) -> str:
    if may_be_empty and text[:2] == "[]":
        return "(?!)" + "".join(_translated(text[2:], frozenset({"allow_empty_class"})))
    if may_be_empty and text[:3] == "[^]":
        return r"[\s\S]" + "".join(_translated(text[3:], frozenset({"allow_empty_class"})))
    opening = "[^" if text[1] == "^" else "["
    inner = text[len(opening) : -1]
    return opening + "".join(_member(one) for one in _CLASS_TOKEN.finditer(inner)) + "]"


def _member(one: re.Match[str]) -> str:
    if one["posix"] is not None:
        members = _POSIX.get(one["posix"])
        if members is None or one["negated"]:
            raise Unusable(f"the class '{one[0]}' has no counterpart here")
        return members
    if one["digits"] is not None:
        return _character(one["digits"])
    if one["escape"] is not None:
        return _INSIDE.get(one["escape"][1], one["escape"])
    return rf"\{one[0]}" if one[0] in "[&~|" else one[0]
