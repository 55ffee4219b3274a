"""Keywords whose value is a field of a record inside the block's record."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Reader, Run


def inside(part: str, keyword: Keyword[Any]) -> Keyword[Any]:
    """`keyword` stored in the draft that is the field `part` of its target.

    Its messages still name the target.
    """
    convert, attribute = keyword.convert, keyword.attribute
    assert convert is not None

    def read(run: Run, target: Any, at: Directive) -> None:
        value = convert(run, target, at)
        if value is not FAILED:
            draft = getattr(target, part)
            setattr(draft, attribute, value)
            draft.given[attribute] = at

    reader: Reader[Any] = read
    return replace(keyword, read=reader, convert=None, attribute=f"{part}.{attribute}")
