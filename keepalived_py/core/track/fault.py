"""One reason to be in FAULT, by which FAULT is counted: it is left when all reasons are gone."""

from typing import NamedTuple


class Fault(NamedTuple):
    """`key` tells reasons apart and is shown as evidence; `line` is logged when it begins ("" for none)."""

    key: str
    line: str
