"""Where something is said at the end of a block."""

from __future__ import annotations

from keepalived_py.config.document import Directive


def closing(header: Directive) -> Directive | None:
    """The `}` that ended the block of `header`, as a statement; None if the file ended first."""
    other = header.ended_by
    if other is not None and other.keyword == "}":
        return other
    place = (other or header).close_origin
    return None if place is None else Directive(("}",), "}", place)
