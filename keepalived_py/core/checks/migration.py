"""A reload: the checks of a server that stays take over what the old ones knew.

A new check goes on where an old one of its kind stopped if both ask the same; that how
often or how long they ask has changed does not matter.  A server that is up needs no
new proof of it: checks that are new to it begin as good, `alpha` or not.
"""

from collections.abc import Sequence

from keepalived_py.core.checks.checking import Checking
from keepalived_py.model.checks import (
    BfdCheck,
    Check,
    ConnectedCheck,
    DnsCheck,
    FileCheck,
    MiscCheck,
    ScheduledCheck,
    SmtpCheck,
    Url,
    WebCheck,
)


def migrated(news: Sequence[Checking], olds: Sequence[Checking], server_alive: bool) -> tuple[Checking, ...]:
    """The checks of a real server after a reload; `olds` are its checks before, in their last state.

    `news` come from `begun`, those of files with the number that is in the file now.  `server_alive`:
    whether the server was alive until now.
    """
    carried = [_carried(new, olds) for new in news]
    failed = sum(checking.has_run and not checking.is_up for checking in carried)
    known = any(checking.has_run for checking in carried)
    if failed or (not server_alive and not known):
        carried = [checking if checking.has_run else _unproved(checking) for checking in carried]
    return tuple(carried)


def _carried(new: Checking, olds: Sequence[Checking]) -> Checking:
    if isinstance(new.check, FileCheck):
        return new
    new = new._replace(is_up=True, attempt=0)
    old = next((old for old in olds if _same_question(old, new)), None)
    if old is None:
        return new
    is_up = old.is_up or not old.has_run
    new = new._replace(is_up=is_up, has_run=old.has_run, last=old.last, last_at=old.last_at)
    if isinstance(new.check, ScheduledCheck):
        new = new._replace(attempt=_attempt(new.check, is_up, old.attempt))
    if isinstance(new.check, WebCheck) and not is_up:
        new = new._replace(failed_part=old.failed_part)
    if isinstance(new.check, MiscCheck):
        # The program set a weight, not a difference: the configured weight may be another one now.
        share = 0 if old.assigned is None else old.assigned - new.configured
        new = new._replace(share=share, assigned=old.assigned)
    return new


def _attempt(check: ScheduledCheck, is_up: bool, attempt: int) -> int:
    """Failures that were counted go on counting; one more is enough if there were too many."""
    if isinstance(check, SmtpCheck):
        return 0
    return min(attempt, check.retry) if is_up else check.retry + 1


def _unproved(checking: Checking) -> Checking:
    """A check that has not run, of a server that is not known to be well: one failure is enough."""
    check = checking.check
    if isinstance(check, ScheduledCheck) and not isinstance(check, SmtpCheck):
        checking = checking._replace(attempt=check.retry)
    return checking._replace(is_up=not checking.alpha)


# -- whether two checks ask the same ---------------------------------------------


def _same_question(old: Checking, new: Checking) -> bool:
    ours, theirs = new.check, old.check
    if isinstance(ours, WebCheck):
        same = isinstance(theirs, WebCheck) and _same_pages(ours, theirs)
    elif isinstance(ours, DnsCheck):
        same = isinstance(theirs, DnsCheck) and (ours.query_type, ours.name) == (
            theirs.query_type,
            theirs.name,
        )
    elif isinstance(ours, SmtpCheck):
        same = isinstance(theirs, SmtpCheck) and ours.helo_name == theirs.helo_name
    elif isinstance(ours, MiscCheck):
        same = isinstance(theirs, MiscCheck) and (ours.command, ours.dynamic) == (
            theirs.command,
            theirs.dynamic,
        )
    elif isinstance(ours, BfdCheck):
        same = isinstance(theirs, BfdCheck) and ours.name == theirs.name
    else:
        same = type(ours) is type(theirs)
    return same and old.target == new.target and _same_way(ours, theirs)


def _same_way(ours: Check, theirs: Check) -> bool:
    """The same connection: from where, with which mark, and how long it is waited for."""
    return _way(ours) == _way(theirs)


def _way(check: Check) -> tuple[object, ...]:
    if not isinstance(check, ConnectedCheck):
        return ()
    return (
        check.source_ip,
        check.source_port,
        check.source_interface,
        check.connect_timeout_us,
        check.mark,
    )


def _same_pages(ours: WebCheck, theirs: WebCheck) -> bool:
    if (ours.virtualhost, ours.sni_name) != (theirs.virtualhost, theirs.sni_name):
        return False
    return [_page(url) for url in ours.urls] == [_page(url) for url in theirs.urls]


def _page(url: Url) -> tuple[object, ...]:
    return (
        url.path,
        url.digest,
        url.status_codes,
        url.virtualhost,
        url.regex,
        url.regex_options,
        url.regex_no_match,
        url.regex_min_offset,
        url.regex_max_offset,
    )
