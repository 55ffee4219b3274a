"""Regular expressions that are compiled when they are first used.

Compiling costs a tenth of a millisecond each; a check of a small file uses a
few of the dozens that the modules it loads have.
"""

from __future__ import annotations

import re
from typing import Any, cast


class _Lazy:
    __slots__ = ("_flags", "_made", "_text")

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags
        self._made: re.Pattern[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            self._made = re.compile(self._text, self._flags)
        return getattr(self._made, name)


def lazy_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` gives, with the compiling put off."""
    return cast("re.Pattern[str]", _Lazy(text, flags))
