"""Diagnostics as text: keepalived's own lines, a long form for people, JSON and SARIF for tools.

keepalived's style prints what keepalived prints, consequences and all, each
line once.  The other styles show each mistake with what helps (`advice`) and
name what follows from it (`fold`).

All but keepalived's style show what stands in a file; a password must not end
in a log that way, so it is masked in every style (`secrets`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from keepalived_py.base.record import replace
from keepalived_py.diagnostics.advice import advised
from keepalived_py.diagnostics.carets import narrowed, tells_nothing
from keepalived_py.diagnostics.fold import CASCADING, Folded, folded, line_list
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, Severity
from keepalived_py.diagnostics.secrets import masked, masked_line, masked_with

Style = Literal["keepalived", "full", "json", "sarif"]

_COLOUR = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.HINT: "\x1b[1;36m"}
_BOLD, _CARET, _PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[0m"
MOST_SHOWN = 5000
_MOST_TOLD = 3
_MOST_NOTES = 12
_WIDTH = 160  # of a source line; more would not help anybody


def include_chain(origin: Origin | None) -> list[Origin]:
    """The include statements that brought the file in, the nearest first."""
    chain: list[Origin] = []
    while origin is not None and origin.included_from is not None:
        origin = origin.included_from
        chain.append(origin)
    return chain


def render(diagnostics: Iterable[Diagnostic], style: Style, colour: bool = False) -> str:
    """All diagnostics as text, each once, every line ended by LF ("" if there are none).

    `keepalived`: `(FILE: Line N) text`, what keepalived prints at `-t` and nothing more.
    `full`: place, code, source line with carets, help.  `json`: one object per line.
    `sarif`: one SARIF 2.1.0 document, also when there is nothing to say.
    All but `keepalived` end after MOST_SHOWN, with a hint that says how many more there are.
    `colour` adds terminal colours to `full`.
    """
    if style == "keepalived":
        lines = [_keepalived(d) for d in diagnostics if not (d.logged_only or d.own)]
        return "".join(f"{line}\n" for line in dict.fromkeys(lines))
    found = [_helped(one) for one in _first(folded(diagnostics))]
    if style == "sarif":
        from keepalived_py.diagnostics.sarif import sarif  # paid only for this style

        return sarif(found, _shown)
    if style == "json":
        lines = [_json(one) for one in found]
    else:
        given: set[tuple[str, str]] = set()
        lines = ["\n".join(_full(one, colour, given)) for one in found]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def _first(found: list[Folded]) -> list[Folded]:
    """As many as anybody reads, and how many more there are."""
    more = len(found) - MOST_SHOWN
    if more <= 0:
        return found
    text = f"{more} more are not shown; mend the first ones, many of the others will be gone"
    return [*found[:MOST_SHOWN], Folded(Diagnostic("more", text, Severity.HINT, None, None, own=True))]


def _helped(one: Folded) -> Folded:
    """With advice and at the right word; what else is said of the same line becomes a note."""
    one = _clearest_first(one)
    said = _without_secret(advised(narrowed(one.diagnostic)))
    rest: list[Diagnostic] = []
    for follows in one.consequences:
        if len(said.notes) > _MOST_NOTES:
            rest.append(follows)
        elif follows.cause is None and _line(follows.place) == _line(said.place):
            more = advised(follows)
            new = (() if tells_nothing(follows.message) else (follows.message.strip(),)) + more.notes
            notes = said.notes + tuple(note for note in new if note not in said.notes)
            said = replace(said, notes=notes, fix=said.fix or more.fix)
        else:
            rest.append(follows)
    return Folded(said, tuple(rest))


def _without_secret(one: Diagnostic) -> Diagnostic:
    """A correction that would show a password is not offered."""
    return replace(one, fix="") if one.fix and _shown(one.fix, one) != _printable(one.fix) else one


def _clearest_first(one: Folded) -> Folded:
    """keepalived tries a word as an address before it says that it does not know the word."""
    for place, follows in enumerate(one.consequences):
        if follows.code == "unknown-option" and one.diagnostic.code == "invalid-address":
            return Folded(follows, (*one.consequences[:place], *one.consequences[place + 1 :]))
    return one


def _line(origin: Origin | None) -> tuple[str, int] | None:
    return (origin.file, origin.line) if origin is not None else None


def _printable(text: str) -> str:
    """Bytes that were no UTF-8 become replacement characters, so that any terminal takes the text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _shown(text: str, of: Diagnostic | None = None) -> str:
    place = of.place if of is not None and not of.own else None
    return _printable(masked_with(text, place.text) if place is not None else masked(text))


def _visible(text: str) -> str:
    """Control characters would move the cursor or change the terminal: show them as marks."""
    return "".join(char if (char >= " " and char != "\x7f") or char == "\t" else "\ufffd" for char in text)


def _keepalived(diagnostic: Diagnostic) -> str:
    message = _shown(diagnostic.message, diagnostic)
    if diagnostic.extension and diagnostic.expected:
        message += f" - expected: {_shown(diagnostic.expected, diagnostic)}"
    origin = diagnostic.origin
    line = 0 if origin is None else origin.line - diagnostic.early
    return f"({_printable(origin.file)}: Line {line}) {message}" if origin is not None and line else message


def _full(one: Folded, colour: bool, given: set[tuple[str, str]]) -> Iterator[str]:
    """The lines of one diagnostic; a note that was `given` with the same code is not repeated."""
    said = one.diagnostic
    origin = said.place
    place = f"{_printable(origin.file)}:{origin.line}:{origin.column}: " if origin else ""
    label = f"{said.severity.value}[{said.code}]"
    if colour:
        place, label = f"{_BOLD}{place}{_PLAIN}", f"{_COLOUR[said.severity]}{label}{_PLAIN}"
    yield f"{place}{label}: {_visible(_shown(said.message, said))}"
    if origin is not None:
        yield from _caret(origin, colour)
    if said.expected:
        yield f"  expected: {said.expected}"
    if said.suggestion and said.suggestion != said.fix:
        yield f"  did you mean '{said.suggestion}'?"
    if said.fix:
        yield f"  write '{said.fix}' instead"
    for outer in include_chain(origin):
        yield f"  included from {_printable(outer.file)}:{outer.line}"
    for note in said.notes:
        if (said.code, note) not in given:
            yield f"  note: {_visible(_shown(note, said))}"
    given.update((said.code, note) for note in said.notes)
    if one.consequences:
        yield f"  note: follows from this: {_follows(origin, one.consequences)}"


def _follows(origin: Origin | None, consequences: Sequence[Diagnostic]) -> str:
    """`lines 4, 5, 7-9`, with the file where it is another one; the messages that name no line.

    A few messages that are no mere "unknown keyword" are given in full.
    """
    told = [one for one in consequences if one.error_class not in CASCADING and one.place is not None]
    if len(told) > _MOST_TOLD or len(told) < len(consequences):
        told = []
    files = dict.fromkeys(one.place.file for one in consequences if one.place is not None and one not in told)
    parts = [f"line {one.place.line}, {_shown(one.message, one)}" for one in told if one.place is not None]
    for file in files:
        lines = line_list(file, consequences)
        word = "lines" if "," in lines or "-" in lines else "line"
        where = "" if origin is not None and file == origin.file else f"{_printable(file)} "
        parts.append(f"{where}{word} {lines}")
    parts += dict.fromkeys(_shown(one.message, one) for one in consequences if one.place is None)
    return "; ".join(parts)


def _caret(origin: Origin, colour: bool) -> Iterator[str]:
    """The source line and the span under it; tabs stay tabs so that both lines agree."""
    if not origin.text:
        return
    number = f"{origin.line:>5}"
    text = _visible(_printable(masked_line(origin.text)))
    start, end = origin.column - 1, max(origin.end_column - 1, origin.column)
    if len(text) > _WIDTH:
        cut = max(0, min(start - 20, len(text) - _WIDTH))
        text, start, end = text[cut : cut + _WIDTH], start - cut, min(end - cut, _WIDTH)
    pad = "".join("\t" if char == "\t" else " " * _columns(char) for char in text[:start])
    carets = "^" * max(1, sum(map(_columns, text[start:end])))
    yield f"{number} | {text}"
    yield f"{' ' * len(number)} | {pad}{_CARET + carets + _PLAIN if colour else carets}"


def _columns(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if char < "\u0300":
        return 1
    from unicodedata import combining, east_asian_width  # paid only for a line that needs it

    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1


def _json(one: Folded) -> str:
    import json  # paid only for this style

    said, origin = one.diagnostic, one.diagnostic.place
    return json.dumps(
        {
            "code": said.code,
            "severity": said.severity.value,
            "message": _shown(said.message, said),
            "file": _printable(origin.file) if origin else None,
            "line": origin.line if origin else None,
            "column": origin.column if origin else None,
            "end_line": origin.line if origin else None,
            "end_column": origin.end_column if origin else None,
            "include_chain": [f"{_printable(o.file)}:{o.line}" for o in include_chain(origin)],
            "expected": said.expected,
            "suggestion": said.suggestion,
            "fix": said.fix,
            "notes": [_shown(note, said) for note in said.notes],
            "consequences": [
                {
                    "message": _shown(follows.message, follows),
                    "file": _printable(follows.place.file) if follows.place else None,
                    "line": follows.place.line if follows.place else None,
                }
                for follows in one.consequences
            ],
        },
        ensure_ascii=False,
    )
