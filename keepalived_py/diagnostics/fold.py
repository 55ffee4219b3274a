"""One mistake, one diagnostic: what merely follows from a mistake is attached to it.

keepalived reports a forgotten brace or a misspelt block name once for every
line that then stands in the wrong place.  Two things tell the consequences: the
`cause` that reading noted while the brackets were out of step, and the lines
that a fault in the braces `spoils`.  An unknown keyword that is very like a
known one is a mistake of its own even there.

keepalived also speaks twice of one value: of the number, and of the keyword
that cannot use it; the second message is attached to the first.
"""

import re
from collections.abc import Iterable, Sequence

from keepalived_py.base.record import Record
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass

CASCADING = frozenset({ErrorClass.UNKNOWN_KEYWORD, ErrorClass.UNEXPECTED_BRACE, ErrorClass.MISSING_BRACE})
_FIRST_OF_TWO = re.compile(
    r"(?:invalid|negative) number|number '.*' outside range|Unterminated quote|user '.*' does not exist"
    r"|Unable to set default user"
)


class Folded(Record):
    """A diagnostic with those that follow from it, in their order."""

    diagnostic: Diagnostic
    consequences: tuple[Diagnostic, ...] = ()


def folded(diagnostics: Iterable[Diagnostic]) -> list[Folded]:
    """The diagnostics that stand for themselves, each once, with their consequences."""
    found = list({_key(one): one for one in reversed(list(diagnostics))}.values())[::-1]
    spoilers = [one for one in found if one.spoils is not None]
    unclosed = next((one for one in found if one.code == "block-not-closed"), None)
    roots: dict[int, list[Diagnostic]] = {id(one): [] for one in found}
    by_key = {_key(one): one for one in found}
    alone: list[Diagnostic] = []
    for one in found:
        root = by_key.get(_key(_root(one, spoilers, unclosed)), one)
        if root is one and alone and _same_mistake(alone[-1], one):
            roots[id(alone[-1])].append(one)
        elif root is one:
            alone.append(one)
        else:
            roots[id(_last(root, spoilers, unclosed, by_key))].append(one)
    return [Folded(one, tuple(roots[id(one)])) for one in alone]


def _same_mistake(first: Diagnostic, second: Diagnostic) -> bool:
    """Whether two messages in a row are about one value of one line."""
    if first.origin is None or second.origin is None or first.own or second.own:
        return False
    same = (first.origin.file, first.origin.line) == (second.origin.file, second.origin.line)
    return same and (second.message[:1] == " " or _FIRST_OF_TWO.search(first.message) is not None)


def _key(one: Diagnostic) -> tuple[str, str, int, int]:
    origin = one.origin
    place = (origin.file, origin.line, origin.column) if origin else ("", 0, 0)
    return (one.message, *place)


def _root(one: Diagnostic, spoilers: Sequence[Diagnostic], unclosed: Diagnostic | None) -> Diagnostic:
    """What `one` follows from; itself if it stands for itself."""
    if one.spoils is not None or one.own:
        return one
    if one.cause is not None:
        return one.cause
    if one.error_class not in CASCADING or one.logged_only:
        return one
    if one.origin is None:
        return unclosed or one
    if one.suggestion and one.code == "unknown-keyword":
        return one
    for spoiler in spoilers:
        assert spoiler.spoils is not None
        file, first, last = spoiler.spoils
        if file == one.origin.file and first <= one.origin.line <= last:
            return spoiler
    return one


def _last(
    one: Diagnostic,
    spoilers: Sequence[Diagnostic],
    unclosed: Diagnostic | None,
    by_key: dict[tuple[str, str, int, int], Diagnostic],
) -> Diagnostic:
    """The end of the chain of causes that begins at `one`."""
    for _ in range(8):
        root = by_key.get(_key(_root(one, spoilers, unclosed)), one)
        if root is one:
            break
        one = root
    return one


def line_list(file: str, consequences: Iterable[Diagnostic]) -> str:
    """The lines of consequences in `file`, as `4, 5, 7-9` ("" if they name none)."""
    lines = sorted({one.origin.line for one in consequences if one.origin and one.origin.file == file})
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
