"""FILE_CHECK: a number in a file moves a server's weight, or takes it out.

The number times the weight is added to the server's weight.  -2147483648 and less is a
fault: the server is down, and the check adds nothing.  With weight 0 every number but 0
is a fault (`reverse`: 0 is).  A file that is missing, or has no number in it, counts as 0.

A fault that is there at the start, or after a reload, counts from the beginning.
"""

from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.verdicts import CheckerVerdict, Consequence, WeightBy
from keepalived_py.model.checks import FileCheck, FileWeight
from keepalived_py.model.effects import WriteLog

FAULT = -(2**31)
_MOST = 2**31 - 1


def points(weight: FileWeight, value: int) -> int:
    """What the number adds to the server's weight; `FAULT`: it is a fault."""
    if not weight.value:
        return FAULT if (value != 0) is not weight.reverse else 0
    product = value * (-weight.value if weight.reverse else weight.value)
    return max(FAULT, min(_MOST, product))


def first_number(checking: Checking, value: int) -> Checking:
    """The number that is in the file when the check begins, at a start or a reload."""
    check = checking.check
    if not isinstance(check, FileCheck):
        return checking
    adds = points(check.weight, value)
    fault = adds == FAULT
    return checking._replace(value=value, is_up=not fault, share=0 if fault else adds)


def number_read(checking: Checking, value: int, out: list[Consequence]) -> Checking:
    """There is another number in the file now."""
    check = checking.check
    if not isinstance(check, FileCheck):
        return checking
    before, adds = points(check.weight, checking.value), points(check.weight, value)
    checking = checking._replace(value=value)
    if adds == before:
        return checking
    if adds == FAULT:
        return _fault(checking, check, out)
    if before == FAULT:
        return _leaving(checking, check, adds, out)
    out.append(WeightBy(adds - before))
    return checking._replace(share=adds)


def _fault(checking: Checking, check: FileCheck, out: list[Consequence]) -> Checking:
    out.append(_line(checking, f"{check.track_file} now FAULT state"))
    out.append(CheckerVerdict(False, checking.is_up, checking.has_run, checking.alpha))
    if checking.share:
        out.append(WeightBy(-checking.share, quiet=True))
    return checking._replace(is_up=False, share=0)


def _leaving(checking: Checking, check: FileCheck, adds: int, out: list[Consequence]) -> Checking:
    out.append(_line(checking, f"{check.track_file} leaving FAULT state"))
    if adds:
        out.append(WeightBy(adds, quiet=True))
    out.append(CheckerVerdict(True, checking.is_up, checking.has_run, checking.alpha))
    return checking._replace(is_up=True, share=adds)


def _line(checking: Checking, what: str) -> WriteLog:
    return WriteLog(f"({checking.label}): tracked file {what}", detail=True)
