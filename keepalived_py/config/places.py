"""Where something stands, for mistakes that are only seen once everything was read.

keepalived names no line for those; people are told all the same.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass


def place_of(at: Directive) -> str:
    """File, line and statement, as words."""
    where = at.line_origin
    return f"{at.raw.strip()} in {where.file}, line {where.line}"


def say(
    run: Run,
    draft: Draft[Any],
    text: str,
    field: str = "",
    *,
    code: str = "contradiction",
    error_class: ErrorClass = ErrorClass.GENERAL,
    expected: str = "",
    about: Directive | None = None,
) -> Diagnostic:
    """Report `text` about the whole of `draft`: about the statement that wrote `field`, or about `about`."""
    at = about or (draft.at(field) if field else draft.header)
    return run.error(text, code=code, error_class=error_class, expected=expected, about=at)
