"""One health check, its retries and its pages: when it runs, and what its results mean.

A check is a fold over what happens to it: `due` starts it, `finished` takes its result, and
both say when it is due again.  Nothing here knows the server's other checks.  The first check
comes a second and a random part of the warm-up after the start; the next ones a `delay_loop`
after the end of the last (MISC_CHECK: after its start), or a `delay_before_retry` while
failures are being counted.  What failures and successes mean differs from kind to kind:
`steady` has TCP, UDP and PING, `dialogues` SMTP and DNS, `pages` HTTP and HTTPS, `programs` MISC.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.checking import (
    BOOTSTRAP_DELAY,
    Checking,
    again,
    extra_weight,
    failed_count,
    log,
)
from keepalived_py.core.checks.dialogues import asked_name_server, greeted
from keepalived_py.core.checks.migration import migrated
from keepalived_py.core.checks.pages import fetched
from keepalived_py.core.checks.programs import ended, misc_result, misc_timeout_us
from keepalived_py.core.checks.steady import answered
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import (
    Check,
    ConnectedCheck,
    DnsCheck,
    FileCheck,
    MiscCheck,
    PingCheck,
    ScheduledCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
    WebCheck,
)
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.virtual_server import RealServer

__all__ = [
    "Checking",
    "activity_line",
    "begun",
    "due",
    "enabled",
    "extra_weight",
    "failed_count",
    "finished",
    "migrated",
    "misc_result",
    "misc_timeout_us",
    "target_of",
]


def target_of(check: Check, server: RealServer) -> Target:
    """Whom the check asks: `connect_ip` and `connect_port`, else the real server."""
    if not isinstance(check, ConnectedCheck):
        return Target(server.address, server.port)
    port = server.port if check.connect_port is None else check.connect_port
    return Target(check.connect_ip or server.address, port)


def begun(
    number: int,
    check: Check,
    server: RealServer,
    label: str,
    about: str,
    now: Micros,
    chance: float,
    *,
    reload: bool = False,
) -> Checking:
    """A check of `server` that has not run; `chance` is in [0, 1).

    `about` is what log lines call the virtual server.  At a start (not `reload`) its first failure is enough.
    Checks of files and of BFD sessions are never due.
    """
    made = Checking(number, check, target_of(check, server), label, about, server.weight)
    if not isinstance(check, ScheduledCheck):
        return made._replace(is_up=not made.alpha, has_run=isinstance(check, FileCheck))
    # A mail server is asked as often as `retry` says, also the first time.
    patient = reload or isinstance(check, SmtpCheck)
    return made._replace(
        next_at=Micros(now + BOOTSTRAP_DELAY + int(check.warmup_us * chance)),
        is_up=not check.alpha,
        attempt=0 if patient else check.retry,
    )


def activity_line(checking: Checking, *, starting: bool = False) -> WriteLog | None:
    """What the log says when a check begins (`starting`: also at a reload) or `enabled` changed it.

    None: nothing is said, for checks that go on after a reload, and at the start for those without a timer.
    """
    if starting:
        if not isinstance(checking.check, ScheduledCheck) or (checking.enabled and checking.has_run):
            return None
        word = "Activating" if checking.enabled else "Deactivating"
    else:
        word = "Activating" if checking.enabled else "Suspending"
    return WriteLog(f"{word} healthchecker for service {checking.label} for VS {checking.about}")


def enabled(checking: Checking, on: bool) -> Checking:
    """`ha_suspend`: while it is off, the timer goes on, and nothing is started; what runs may end."""
    return checking._replace(enabled=on)


def due(checking: Checking, now: Micros, out: list[Consequence]) -> Checking:
    """Its time has come: start it, if it is not suspended."""
    check = checking.check
    if checking.next_at is None or checking.next_at > now or not isinstance(check, ScheduledCheck):
        return checking
    if not checking.enabled:
        attempt = 0 if isinstance(check, SmtpCheck) else checking.attempt
        return again(checking._replace(attempt=attempt), now, check.delay_loop_us)
    out.append(StartCheck(checking.number, check, checking.target, checking.label, checking.part))
    return checking._replace(running=True, next_at=None, started_at=now)


def finished(checking: Checking, result: CheckResult, now: Micros, out: list[Consequence]) -> Checking:
    """Its run is over; it is due again in any case.  A result that nobody waits for changes nothing."""
    if not checking.running:
        return checking
    checking = checking._replace(running=False, last=result, last_at=now)
    check = checking.check
    if isinstance(check, ConnectedCheck) and result.ending is Ending.BROKEN:
        # There was no socket.  The server is not to blame for it: nothing is concluded.
        log(result.lines, out)
        attempt = 0 if isinstance(check, SmtpCheck) else checking.attempt
        return again(checking._replace(attempt=attempt), now, check.delay_loop_us)
    if isinstance(check, WebCheck):
        return fetched(checking, check, result, now, out)
    if isinstance(check, SmtpCheck):
        return greeted(checking, check, result, now, out)
    if isinstance(check, DnsCheck):
        return asked_name_server(checking, check, result, now, out)
    if isinstance(check, TcpCheck | UdpCheck | PingCheck):
        return answered(checking, check, result, now, out)
    if isinstance(check, MiscCheck):
        return ended(checking, check, result, now, out)
    return checking
