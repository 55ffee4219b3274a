"""One mistake, one diagnostic: what merely follows from a mistake is attached to it.

keepalived reports a forgotten brace or a misspelt block name once for every
line that then stands in the wrong place.  Two things tell the consequences: the
`cause` that reading noted while the brackets were out of step, and the lines
that a fault in the braces `spoils`.  An unknown keyword that is very like a
known one is a mistake of its own even there.

keepalived also speaks twice of one value: of the number, and of the keyword
that cannot use it; the second message is attached to the first.  So is our own
advice where keepalived itself complains about the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from keepalived_py.base.record import Record, replace
from keepalived_py.diagnostics.advice import ODD_BLANK
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

CASCADING = frozenset({ErrorClass.UNKNOWN_KEYWORD, ErrorClass.UNEXPECTED_BRACE, ErrorClass.MISSING_BRACE})
_FIRST_OF_TWO = re.compile(
    r"(?:invalid|negative) number|number '.*' outside range|Unterminated quote|user '.*' does not exist"
    r"|Unable to set default user|Unknown option"
)
_LOOK_BACK = 8  # as many diagnostics may lie between two that are about the same line
_BRACES = frozenset({"block-not-closed", "open-brace-too-many"})
# What a list that was not closed makes of the keywords behind it.
_TAKEN_FOR_ENTRIES = frozenset({"invalid-address", "invalid-reference", "unknown-name", "unknown-option"})
# Advice that says what a complaint about the same line has said.
_SAID_BY = {
    "sync-group-tracking": "contradiction",
    "insecure-script": "script-security",
    "address-twice": "duplicate",
}


class Folded(Record):
    """A diagnostic with those that follow from it, in their order."""

    diagnostic: Diagnostic
    consequences: tuple[Diagnostic, ...] = ()


def folded(diagnostics: Iterable[Diagnostic]) -> list[Folded]:
    """The diagnostics that stand for themselves, each once, with their consequences."""
    found = list({_key(one): one for one in reversed(list(diagnostics))}.values())[::-1]
    signs = _Signs(found)
    roots: dict[int, list[Diagnostic]] = {id(one): [] for one in found}
    by_key = {_key(one): one for one in found}
    alone: list[Diagnostic] = []
    for one in found:
        root = by_key.get(_key(_root(one, signs)), one)
        before = _same_as(alone, one) if root is one else None
        if before is not None:
            roots[id(before)].append(one)
        elif root is one:
            alone.append(one)
        else:
            roots[id(_last(root, signs, by_key))].append(one)
    return [Folded(one, tuple(roots[id(one)])) for one in alone]


def _without_open_brace(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Each block without `{` leaves a `}` too many: it spoils as far as that one does."""
    missing = [one for one in found if one.code == "missing-brace" and one.origin is not None]
    extra = [one for one in found if one.code == "brace-too-many"]
    return [
        replace(one, spoils=(one.origin.file, one.origin.line, more.spoils[2]))
        for one, more in zip(missing, extra, strict=False)
        if one.origin and more.spoils and more.spoils[0] == one.origin.file
    ]


def _same_as(alone: Sequence[Diagnostic], one: Diagnostic) -> Diagnostic | None:
    """The diagnostic before `one` that is about the same value, or says the same."""
    for before in reversed(alone[-_LOOK_BACK:]):
        if _at(before) != _at(one) or one.place is None:
            continue
        if one.own and not before.own:
            if one.code == before.code or _SAID_BY.get(one.code) == before.code:
                return before
        elif before is alone[-1] and _same_mistake(before, one):
            return before
    return None


def _at(one: Diagnostic) -> tuple[str, int] | None:
    return (one.place.file, one.place.line) if one.place is not None else None


def _same_mistake(first: Diagnostic, second: Diagnostic) -> bool:
    """Whether two messages in a row about one line are about one value of it."""
    if first.origin is None or second.origin is None or first.own or second.own:
        return False
    span = (first.origin.column, first.origin.end_column)
    same = span == (second.origin.column, second.origin.end_column) and first.code != "unknown-keyword"
    return same or second.message[:1] == " " or _FIRST_OF_TWO.search(first.message) is not None


def _key(one: Diagnostic) -> tuple[str, str, int, int]:
    place = one.place
    return (one.message, *((place.file, place.line, place.column) if place else ("", 0, 0)))


class _Signs:
    """What other diagnostics may follow from: faults of the braces, and blanks that are none."""

    def __init__(self, found: Sequence[Diagnostic]) -> None:
        self.spoilers = [one for one in found if one.spoils is not None] + _without_open_brace(found)
        self.unclosed = next((one for one in found if one.code in _BRACES), None)
        self.odd = next((one for one in found if one.origin and _odd(one)), None)


def _odd(one: Diagnostic) -> bool:
    return not one.message.isascii() and not one.own and ODD_BLANK.search(one.message) is not None


def _root(one: Diagnostic, signs: _Signs) -> Diagnostic:
    """What `one` follows from; itself if it stands for itself."""
    spoilers, unclosed = signs.spoilers, signs.unclosed
    if signs.odd is not None and _odd(one):
        return signs.odd
    if one.own and one.code == "brace-too-many":
        return next((each for each in spoilers if each.code == "missing-brace" and _spoilt(one, each)), one)
    if one.spoils is not None or one.own:
        return one
    if one.cause is not None:
        return one.cause
    taken = one.code in _TAKEN_FOR_ENTRIES
    if (one.error_class not in CASCADING and not taken) or one.logged_only:
        return one
    if one.origin is None:
        return unclosed or one
    if one.suggestion and one.code == "unknown-keyword":
        return one
    for spoiler in spoilers:
        if _spoilt(one, spoiler) and (spoiler.code == "block-not-closed" or not taken):
            return spoiler
    return one


def _spoilt(one: Diagnostic, spoiler: Diagnostic) -> bool:
    """Whether `one` stands in the lines that the spoiler spoils."""
    if spoiler.spoils is None or one.origin is None or one.message == spoiler.message:
        return False
    file, first, last = spoiler.spoils
    return file == one.origin.file and first <= one.origin.line <= last


def _last(
    one: Diagnostic,
    signs: _Signs,
    by_key: dict[tuple[str, str, int, int], Diagnostic],
) -> Diagnostic:
    """The end of the chain of causes that begins at `one`."""
    for _ in range(8):
        root = by_key.get(_key(_root(one, signs)), one)
        if root is one:
            break
        one = root
    return one


def line_list(file: str, consequences: Iterable[Diagnostic]) -> str:
    """The lines of consequences in `file`, as `4, 5, 7-9` ("" if they name none)."""
    lines = sorted({one.place.line for one in consequences if one.place and one.place.file == file})
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
