"""SMTP_CHECK and DNS_CHECK.

A mail server is asked `retry` times more after every failure, also while it is down and
also the first time.  A name server that is down is asked every `delay_loop`.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.checking import Checking, again, concluded, log
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.checks import DnsCheck, SmtpCheck

_SMTP = "SMTP_CHECK "


def greeted(
    checking: Checking, check: SmtpCheck, result: CheckResult, now: Micros, out: list[Consequence]
) -> Checking:
    """One dialogue with a mail server is over.  The last line of a failure says what it is."""
    log(result.lines if result.good else result.lines[:-1], out)
    if result.good:
        if checking.unconfirmed:
            log([f"Remote SMTP server {checking.label} succeed on service."], out)
            checking = concluded(checking, True, out, "=> CHECK succeed on service <=")
        return again(checking._replace(attempt=0), now, check.delay_loop_us)
    what = (result.lines[-1] if result.lines else result.text).removeprefix(_SMTP)
    if checking.suspected and (check.log_all_failures or checking.attempt >= check.retry):
        log([_SMTP + what], out)
    if checking.attempt < check.retry:
        checking = checking._replace(attempt=checking.attempt + 1)
        return again(checking, now, check.delay_before_retry_us)
    if checking.suspected:
        checking = concluded(checking, False, out, f"=> CHECK failed on service : {what} <=")
    return again(checking._replace(attempt=0), now, check.delay_loop_us)


def asked_name_server(
    checking: Checking, check: DnsCheck, result: CheckResult, now: Micros, out: list[Consequence]
) -> Checking:
    """One query is answered, or given up."""
    if result.good:
        if checking.unconfirmed:
            checking = concluded(checking, True, out, "=> DNS_CHECK: succeed on service <=")
    elif checking.suspected:
        last = checking.attempt >= check.retry
        if last or check.log_all_failures:
            suffix = f" after {check.retry} retries" if last and checking.has_run else ""
            log((line + suffix for line in result.lines), out)
        if not last:
            checking = checking._replace(attempt=checking.attempt + 1, has_run=True)
            return again(checking, now, check.delay_before_retry_us)
        checking = concluded(checking, False, out, "=> DNS_CHECK: failed on service <=")
    return again(checking._replace(attempt=0), now, check.delay_loop_us)
