"""Numbers with a fixed count of decimals, as keepalived reads them into whole ones.

It takes the point out, pads with zeros and reads digits.  So " 5" and "+5" are
numbers, "" is 0, and what stands behind the last decimal that counts is only
complained about, whatever it is.
"""

from __future__ import annotations

from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.config.blocks.values import bad_number
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run

LARGEST = 2**64 - 1
_LEADING = lazy_pattern(r"[ \t\v\f\r\n]*([+-]?)([0-9]*)")


def fixed_point(
    run: Run, at: Directive, word: str, low: int, high: int, places: int, *, lenient: bool = False
) -> int | None:
    """`word` times ten to the power of `places`, if it is from `low` to `high`.

    More decimals are reported, and the rounded value is used.  `lenient`: so is
    what the digits before a wrong sign make, after it was reported.
    """
    if word.startswith("-"):
        bad_number(run, at, f"negative number '{word}'")
        return None
    whole, _, decimals = word.partition(".")
    if len(decimals) > places:
        bad_number(run, at, f"number '{word}' has too many decimal places")
    digits = whole + decimals[:places].ljust(places, "0")
    found = _LEADING.match(digits)
    assert found is not None  # it matches everything
    value = int(found[2] or "0") + (decimals[places : places + 1] >= "5")
    if found[1] == "-":
        value = LARGEST + 1 - value  # as the C library reads a negative number as an unsigned one
    in_range = low <= value <= high
    if not found[2] or found.end() < len(digits):
        bad_number(run, at, f"invalid number '{word}'")
        return value if lenient and in_range else None
    if value > LARGEST:
        bad_number(run, at, f"number '{word}' outside unsigned decimal range")
        return None
    if not in_range:
        limits = f"[{_shown(low, places)}, {_shown(high, places)}]"
        bad_number(run, at, f"number '{word}' outside range {limits}")
        return None
    return value


def _shown(value: int, places: int) -> str:
    whole, rest = divmod(value, 10**places)
    return f"{whole}.{rest:0{places}d}"
