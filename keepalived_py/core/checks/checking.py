"""One health check of one real server: what is known about it, and when it is due.

keepalived keeps a word about each check (up or down) apart from whether it has ever run:
of a check that has not, one failure is enough, and its first success is logged though
nothing changes.  `attempt` is its count of failures in a row (`retry_it`); it begins where
the next failure is the last one that is allowed.
"""

from collections.abc import Iterable
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.verdicts import CheckerVerdict, Consequence, MailAbout
from keepalived_py.model.check_events import CheckResult, Target
from keepalived_py.model.checks import BfdCheck, Check, ScheduledCheck
from keepalived_py.model.effects import WriteLog

BOOTSTRAP_DELAY = Micros(1_000_000)


class Checking(NamedTuple):
    """One check.

    `label` is what log lines call its real server ("[10.0.0.11]:tcp:80"), `about` the virtual server
    ("[10.0.0.1]:tcp:80").  `configured` is the weight of the server in the configuration, and `share` what
    this check adds to it now; `assigned` is the weight that a MISC_CHECK's program has set.  `next_at` None:
    it runs, or it is of a kind that waits for news and is never started.  `part` is the page of a WebCheck
    that is next, `failed_part` the one that brought the check down.  `mismatches`: the differences of length
    (part, bytes) that were logged last.  `value`: the number that was last in the file of a FileCheck.
    """

    number: int
    check: Check
    target: Target
    label: str
    about: str
    configured: int = 1
    next_at: Micros | None = None
    running: bool = False
    is_up: bool = True
    has_run: bool = False
    attempt: int = 0
    part: int = 0
    failed_part: int | None = None
    enabled: bool = True
    share: int = 0
    assigned: int | None = None
    value: int = 0
    started_at: Micros = Micros(0)
    last: CheckResult | None = None
    last_at: Micros | None = None
    mismatches: tuple[tuple[int, int], ...] = ()

    @property
    def alpha(self) -> bool:
        """Whether it counts as failed until its first success."""
        return isinstance(self.check, ScheduledCheck | BfdCheck) and self.check.alpha

    @property
    def suspected(self) -> bool:
        """Whether a failure is news: it is up, or nobody knows."""
        return self.is_up or not self.has_run

    @property
    def unconfirmed(self) -> bool:
        """Whether a success is news: it is down, or nobody knows."""
        return not self.is_up or not self.has_run


def failed_count(checkings: Iterable[Checking]) -> int:
    """How many of the checks of one real server count as failed."""
    return sum(not checking.is_up for checking in checkings)


def extra_weight(checkings: Iterable[Checking]) -> int:
    """What the checks of one real server add to its configured weight."""
    return sum(checking.share for checking in checkings)


def log(lines: Iterable[str], out: list[Consequence]) -> None:
    """Lines of the log, in this order."""
    out.extend(WriteLog(line) for line in lines)


def concluded(checking: Checking, up: bool, out: list[Consequence], mail: str) -> Checking:
    """The check says `up` from now on; a mail goes out only if it said something else before."""
    out.append(CheckerVerdict(up, checking.is_up, checking.has_run, checking.alpha))
    if up != checking.is_up:
        out.append(MailAbout(mail))
    return checking._replace(is_up=up, has_run=True)


def again(checking: Checking, now: Micros, delay: int) -> Checking:
    """The check is over, and due again after `delay` microseconds."""
    return checking._replace(next_at=Micros(now + max(0, delay)))
