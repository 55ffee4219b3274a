"""Diagnostics as SARIF 2.1.0 (OASIS), the form in which code hosts and editors take findings.

One run of one tool; every code is a rule.  Consequences and the include
statements that lead to a place are related locations; a sure correction is a fix.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from keepalived_py.diagnostics.fold import Folded
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, Severity

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RELATED = 100  # places; a code host shows fewer
_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.HINT: "note"}
_SAFE = re.compile(r"[A-Za-z0-9._~/:@!$&'()*+,;=-]")

Clean = Callable[[str, Diagnostic | None], str]


def _uri(path: str) -> str:
    """A file name as a relative or absolute URI reference (RFC 3986)."""
    data = path.encode("utf-8", "surrogateescape")
    quoted = "".join(chr(byte) if _SAFE.match(chr(byte)) else f"%{byte:02X}" for byte in data)
    return f"file://{quoted}" if path.startswith("/") else quoted


def _region(origin: Origin) -> dict[str, int]:
    end = max(origin.end_column, origin.column)
    return {"startLine": max(origin.line, 1), "startColumn": origin.column, "endColumn": end}


def _location(origin: Origin, message: str = "") -> dict[str, Any]:
    place = {"artifactLocation": {"uri": _uri(origin.file)}, "region": _region(origin)}
    return {"physicalLocation": place, **({"message": {"text": message}} if message else {})}


def _related(one: Folded, clean: Clean) -> list[dict[str, Any]]:
    found = [
        _location(follows.place, clean(f"follows from it: {follows.message}", follows))
        for follows in one.consequences[:MOST_RELATED]
        if follows.place is not None
    ]
    outer = one.diagnostic.place.included_from if one.diagnostic.place else None
    while outer is not None:
        found.append(_location(outer, "included from here"))
        outer = outer.included_from
    return found


def _text(one: Diagnostic) -> str:
    lines = [one.message]
    lines += [f"expected: {one.expected}"] if one.expected else []
    lines += [f"did you mean '{one.suggestion}'?"] if one.suggestion else []
    return "\n".join([*lines, *one.notes])


def _fix(one: Diagnostic, origin: Origin) -> dict[str, Any]:
    replacement = {"deletedRegion": _region(origin), "insertedContent": {"text": one.fix}}
    change = {"artifactLocation": {"uri": _uri(origin.file)}, "replacements": [replacement]}
    return {"description": {"text": f"write '{one.fix}'"}, "artifactChanges": [change]}


def _result(one: Folded, rules: list[str], clean: Clean) -> dict[str, Any]:
    said = one.diagnostic
    result: dict[str, Any] = {
        "ruleId": said.code,
        "ruleIndex": rules.index(said.code),
        "level": _LEVEL[said.severity],
        "message": {"text": clean(_text(said), said)},
    }
    if said.place is not None:
        result["locations"] = [_location(said.place)]
        if said.fix:
            result["fixes"] = [_fix(said, said.place)]
    related = _related(one, clean)
    if related:
        result["relatedLocations"] = related
    return result


def sarif(found: Iterable[Folded], clean: Clean) -> str:
    """The document, ended by LF; `clean` makes a text fit to be shown."""
    diagnostics = list(found)
    rules = sorted({one.diagnostic.code for one in diagnostics})
    driver = {
        "name": "keepalived-py",
        "informationUri": "https://www.keepalived.org/manpage.html",
        "rules": [{"id": rule, "name": rule.title().replace("-", "")} for rule in rules],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, rules, clean) for one in diagnostics],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
