"""HTTP_GET and SSL_GET: pages are fetched one after the other, each a run of its own.

The check is up when all pages in a row were good.  A page that fails often enough brings it
down; then that page alone is fetched until it is good, and after that all of them, from the
first on: with one page two successes are needed.  With `fast_recovery` nothing is waited for
between good pages until the check is up.
"""

import re

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.checking import Checking, again, concluded, log
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.checks import SslGet, WebCheck

_LENGTH_WORD = "content_length"
_LENGTHS = re.compile(_LENGTH_WORD + r" \((\d+)\) does not match received bytes \((\d+)\)")


def fetched(
    checking: Checking, check: WebCheck, result: CheckResult, now: Micros, out: list[Consequence]
) -> Checking:
    """One page was fetched, or could not be."""
    checking, lines = _lengths(checking, check, result, out)
    if result.good:
        if not checking.is_up:
            log(lines, out)
        return _good(checking, check, now, out)
    if not checking.suspected:
        return _failed(checking, check, now)
    if check.log_all_failures:
        log(lines, out)
    checking = checking._replace(has_run=True, attempt=checking.attempt + 1)
    if checking.attempt > check.retry:
        checking = _lost(checking, check, out)
    return _failed(checking, check, now)


def _lengths(
    checking: Checking, check: WebCheck, result: CheckResult, out: list[Consequence]
) -> tuple[Checking, list[str]]:
    """Log a Content-Length that is wrong, but not the same difference again; and the other lines."""
    known = dict(checking.mismatches)
    if result.good:
        known.pop(checking.part, None)
    lines = []
    for line in result.lines:
        found = _LENGTHS.search(line) if _LENGTH_WORD in line else None
        if found is None:
            lines.append(line)
            continue
        difference = int(found[1]) - int(found[2])
        if (checking.part, difference) not in checking.mismatches:
            url = check.urls[checking.part]
            where = f"RS {checking.label} VS {checking.about} url {url.virtualhost or ''}{url.path}"
            log([f"http_check for {where}: {found[0]}"], out)
        known[checking.part] = difference
    mismatches = tuple(known.items())
    if mismatches != checking.mismatches:
        checking = checking._replace(mismatches=mismatches)
    return checking, lines


def _good(checking: Checking, check: WebCheck, now: Micros, out: list[Consequence]) -> Checking:
    part = checking.part + 1
    if checking.failed_part is not None:
        checking, part = checking._replace(failed_part=None), 0
    elif part >= len(check.urls):
        checking, part = _all_good(checking, out), 0
    attempt = 0 if checking.has_run else check.retry
    if (part, attempt) != (checking.part, checking.attempt):
        checking = checking._replace(part=part, attempt=attempt)
    hurry = check.fast_recovery and checking.unconfirmed
    return again(checking, now, 0 if hurry else check.delay_loop_us)


def _all_good(checking: Checking, out: list[Consequence]) -> Checking:
    if not checking.unconfirmed:
        return checking
    log([f"Remote Web server {checking.label} succeed on service."], out)
    return concluded(checking, True, out, "=> CHECK succeed on service <=")


def _lost(checking: Checking, check: WebCheck, out: list[Consequence]) -> Checking:
    if checking.suspected:
        kind = "SSL" if isinstance(check, SslGet) else "HTTP"
        how = f" after {checking.attempt - 1} retries" if check.retry else ""
        log([f"{kind}_CHECK on service {checking.label} failed{how}."], out)
        mail = "=> CHECK failed on service : HTTP/SSL request failed <="
        checking = concluded(checking, False, out, mail)
    return checking._replace(failed_part=checking.part)


def _failed(checking: Checking, check: WebCheck, now: Micros) -> Checking:
    """A pause even with `fast_recovery`: a server that fails must not be asked without end."""
    delay = check.delay_before_retry_us
    if checking.failed_part is not None:
        delay = max(delay, check.delay_loop_us)
    return again(checking, now, delay)
