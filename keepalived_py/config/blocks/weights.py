"""`weight N [reverse]` of the things that instances track."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.config.schema import Keyword

WHOLE_RECORD = "."  # the attribute of a keyword that is shown from several fields

REVERSE = Keyword[Any](
    "reverse", default="off", help="turn the sense round: good counts as bad", schema={"type": "boolean"}
)


def weight_words(value: int, reverse: bool) -> str:
    """What stands behind `weight`."""
    return f"{value} reverse" if reverse else str(value)


def show_weight(default: int) -> Any:
    """How a record with `weight` and `reverse` shows them, unless they have their defaults."""

    def show(record: Any) -> Iterable[str]:
        if record.weight == default and not record.reverse:
            return ()
        return (weight_words(record.weight, record.reverse),)

    return show


def weight_schema(largest: int) -> dict[str, Any]:
    """The JSON Schema of a weight with its option."""
    return {
        "anyOf": [
            {"type": "integer", "minimum": -largest, "maximum": largest},
            {"type": "string", "pattern": "^-?[0-9]{1,3} reverse$"},
        ]
    }
