"""Passwords must not end in a log because the line they stand in is shown.

A value is masked with as many asterisks as it has characters.  In a line of a
file also behind words that were probably meant to be `auth_pass`, and in
definitions that are named like a password.
"""

from __future__ import annotations

import re
from collections import Counter

_VALUE = r'("[^"]*"?|[^\s{}"\']+)'
_PLAIN = (
    re.compile(rf'((?<![\w-])"?auth_pass"?[ \t]+){_VALUE}'),
    re.compile(r'((?<![\w-])auth_pass)("[^"]*"?)'),
    re.compile(rf"((?<![\w-])key[ \t]+\d{{1,3}}[ \t]+)(?!file:){_VALUE}"),
    re.compile(rf"('password[ \t]+){_VALUE}"),
)
_IN_FILES = (
    re.compile(rf'(^[ \t]*"?passw\w*"?[ \t=:]+){_VALUE}', re.IGNORECASE),
    re.compile(r"(\$\w*PASS\w*=[ \t]*)(.+)", re.IGNORECASE),
)
_WORD_AND_VALUE = re.compile(rf'((?<![\w-])"?([A-Za-z_-]{{5,12}})"?[ \t=:]+){_VALUE}')
_FIXED = "auth_pass to 8 characters"  # keepalived's own words, no password in them
_LETTERS = Counter("authpass")
_MOST_WRONG = 2
_SHORTEST = 3  # a shorter value would hide harmless words of a message


def masked(text: str) -> str:
    """A message with the password of each `auth_pass` in it replaced by asterisks, length kept."""
    if _FIXED in text:
        return text
    for pattern in _PLAIN:
        text = pattern.sub(lambda match: match[1] + "*" * len(match[2]), text)
    return text


def masked_line(text: str) -> str:
    """A line of a file with everything in it masked that may be a password."""
    text = masked(text)
    for pattern in _IN_FILES:
        text = pattern.sub(lambda match: match[1] + "*" * len(match[2]), text)
    return _WORD_AND_VALUE.sub(_if_like, text)


def values_in(line: str) -> list[str]:
    """The passwords of a line of a file."""
    found = [match[2] for pattern in (*_PLAIN, *_IN_FILES) for match in pattern.finditer(line)]
    found += [match[3] for match in _WORD_AND_VALUE.finditer(line) if _if_like(match) != match[0]]
    return [value.strip('"') for value in found if len(value.strip('"')) >= _SHORTEST]


def masked_with(text: str, line: str) -> str:
    """A message about `line`: its passwords are masked wherever they stand as a word."""
    for value in values_in(line):
        text = re.sub(rf"(?<![\w-]){re.escape(value)}(?![\w-])", "*" * len(value), text)
    return masked(text)


def _if_like(match: re.Match[str]) -> str:
    letters = Counter(match[2].lower().replace("_", "").replace("-", ""))
    wrong = max((letters - _LETTERS).total(), (_LETTERS - letters).total())
    return match[1] + "*" * len(match[3]) if wrong <= _MOST_WRONG else match[0]
