"""What may not stand behind the keyword of a list."""

from __future__ import annotations

from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run


def opened(run: Run, target: Any, at: Directive) -> Any:
    """The list belongs to `target`; words between its keyword and the brace are dropped with a complaint."""
    values.list_block(run, at)
    return target
