"""Diagnostics as text: keepalived's own lines, a long form for people, JSON for tools.

The long form and the JSON show what stands in a file; a password must not end
in a log that way, so the value of an `auth_pass` statement is masked in every
style, with as many asterisks as it has characters.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, Severity

Style = Literal["keepalived", "full", "json"]

_SECRET = re.compile(r'("?\bauth_pass\b"?[ \t]*)("[^"]*"?|[^\s{}"]+)')
_COLOUR = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.HINT: "\x1b[1;36m"}
_PLAIN = "\x1b[0m"


def masked(text: str) -> str:
    """`text` with the password of each `auth_pass` statement replaced by asterisks, length kept."""
    if "auth_pass" not in text:
        return text
    return _SECRET.sub(lambda match: match.group(1) + "*" * len(match.group(2)), text)


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
    `colour` adds terminal colours to `full`.
    """
    if style == "keepalived":
        lines = [_keepalived(d) for d in diagnostics if not (d.logged_only or d.own)]
    elif style == "json":
        lines = [_json(d) for d in diagnostics]
    else:
        lines = ["\n".join(_full(d, colour)) for d in diagnostics]
    return "".join(f"{line}\n" for line in dict.fromkeys(lines))


def _printable(text: str) -> str:
    """Bytes that were no UTF-8 become replacement characters, so that any terminal takes the text."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _keepalived(diagnostic: Diagnostic) -> str:
    message = _printable(masked(diagnostic.message))
    origin = diagnostic.origin
    return message if origin is None else f"({_printable(origin.file)}: Line {origin.line}) {message}"


def _full(diagnostic: Diagnostic, colour: bool) -> Iterator[str]:
    origin = diagnostic.origin
    place = f"{_printable(origin.file)}:{origin.line}:{origin.column}: " if origin else ""
    label = f"{diagnostic.severity.value}[{diagnostic.code}]"
    if colour:
        label = f"{_COLOUR[diagnostic.severity]}{label}{_PLAIN}"
    yield f"{place}{label}: {_printable(masked(diagnostic.message))}"
    if origin is not None:
        yield from _caret(origin)
    if diagnostic.expected:
        yield f"  expected: {diagnostic.expected}"
    if diagnostic.suggestion:
        yield f"  did you mean '{diagnostic.suggestion}'?"
    for outer in include_chain(origin):
        yield f"  included from {_printable(outer.file)}:{outer.line}"
    for note in diagnostic.notes:
        yield f"  note: {_printable(masked(note))}"


def _caret(origin: Origin) -> Iterator[str]:
    """The source line and the span under it; tabs stay tabs so that both lines agree."""
    if not origin.text:
        return
    number = f"{origin.line:>5}"
    text = _printable(masked(origin.text))
    pad = "".join("\t" if char == "\t" else " " for char in text[: origin.column - 1])
    yield f"{number} | {text}"
    yield f"{' ' * len(number)} | {pad}{'^' * max(1, origin.end_column - origin.column)}"


def _json(diagnostic: Diagnostic) -> str:
    import json  # paid only for this style

    origin = diagnostic.origin
    return json.dumps(
        {
            "code": diagnostic.code,
            "severity": diagnostic.severity.value,
            "message": _printable(masked(diagnostic.message)),
            "file": _printable(origin.file) if origin else None,
            "line": origin.line if origin else None,
            "column": origin.column if origin else None,
            "end_line": origin.line if origin else None,
            "end_column": origin.end_column if origin else None,
            "include_chain": [f"{_printable(o.file)}:{o.line}" for o in include_chain(origin)],
            "notes": [_printable(masked(note)) for note in diagnostic.notes],
        },
        ensure_ascii=False,
    )
