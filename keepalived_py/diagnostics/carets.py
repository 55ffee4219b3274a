"""The word that is meant: keepalived speaks of a statement where a single word of it is wrong."""

from __future__ import annotations

import re

from keepalived_py.base.record import replace
from keepalived_py.diagnostics.report import Diagnostic

_VALUE = re.compile(r"(?:invalid|negative) number '([^']*)'|number '([^']*)' (?:outside|has)")
# A second message about a value that adds nothing but the name of the keyword.
_EMPTY = re.compile(
    r"(?:\([^)]*\):? )?(?:[\w./ -]+ )?[Ii]nvalid(?: [\w./-]+)*(?: value)?(?:[ -]+(?:'[^']*'|\([^)]*\)|\S+))?"
    r"|[\w ]+ '?\S+'? (?:is )?invalid(?: - ignoring)?|Invalid [\w-]+ (?:\S+ )?specified|Unmatched quote: .*",
    re.DOTALL,
)
_TELLS = re.compile(r"ignor|default|setting|remov|disabl|skip|must|range|using", re.IGNORECASE)


def narrowed(one: Diagnostic) -> Diagnostic:
    """The diagnostic with its span on the number that it quotes, if that is one word of its statement."""
    match = _VALUE.search(one.message)
    origin = one.origin
    if match is None or origin is None:
        return one
    word = next((group for group in match.groups() if group), "")
    if not word:
        return one
    start = origin.column - 1
    statement = origin.text[start : origin.end_column - 1]
    found = list(re.finditer(rf"(?<![^\s/\"-]){re.escape(word)}(?![^\s,;\"])", statement))
    if not found and statement.endswith(word):
        found = list(re.finditer(re.escape(word) + r"\Z", statement))
    if not found:
        return one
    first, last = found[-1].span()
    return replace(one, origin=replace(origin, column=start + first + 1, end_column=start + last + 1))


def tells_nothing(message: str) -> bool:
    """Whether a message about a value that was complained about before has nothing new in it."""
    return _EMPTY.fullmatch(message.strip()) is not None and not _TELLS.search(message)
