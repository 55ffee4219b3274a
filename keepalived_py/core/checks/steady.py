"""TCP_CHECK, UDP_CHECK and PING_CHECK: one question, one answer.

A server that is down is asked every `delay_loop` and is up with its first answer.  What
went wrong is logged for each failure if all failures are, and only while the server is up.
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.checking import Checking, again, concluded, log
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.checks import PingCheck, TcpCheck, UdpCheck


class _Words(NamedTuple):
    """What the kind is called: in lines about success, in lines about failure, and in mails."""

    success: str
    failure: str
    mail: str


_TCP = _Words("TCP", "TCP_CHECK", "TCP CHECK")
_UDP = _Words("UDP", "UDP_CHECK", "UDP CHECK")
_PING = _Words("ICMP", "ICMP CHECK", "ICMP CHECK")


def _words(check: TcpCheck | UdpCheck | PingCheck) -> _Words:
    if isinstance(check, PingCheck):
        return _PING
    return _TCP if isinstance(check, TcpCheck) else _UDP


def answered(
    checking: Checking,
    check: TcpCheck | UdpCheck | PingCheck,
    result: CheckResult,
    now: Micros,
    out: list[Consequence],
) -> Checking:
    """One run is over."""
    if result.good:
        return again(_good(checking, check, out), now, check.delay_loop_us)
    _details(checking, check, result, out)
    if checking.suspected and checking.attempt >= check.retry:
        checking = _lost(checking, check, out)
    elif checking.is_up:
        checking = checking._replace(attempt=checking.attempt + 1, has_run=True)
        return again(checking, now, check.delay_before_retry_us)
    return again(checking._replace(has_run=True), now, check.delay_loop_us)


def _details(
    checking: Checking, check: TcpCheck | UdpCheck | PingCheck, result: CheckResult, out: list[Consequence]
) -> None:
    """What went wrong, if that is wanted; what is odd about a socket or a reply is always said."""
    wanted = checking.is_up and check.log_all_failures
    ordinary = f"{_words(check).success} "
    log((line for line in result.lines if wanted or not line.startswith(ordinary)), out)


def _good(checking: Checking, check: TcpCheck | UdpCheck | PingCheck, out: list[Consequence]) -> Checking:
    if checking.unconfirmed:
        words = _words(check)
        log([f"{words.success} connection to {checking.label} success."], out)
        checking = concluded(checking, True, out, f"=> {words.mail} succeed on service <=")
    return checking._replace(attempt=0) if checking.attempt else checking


def _lost(checking: Checking, check: TcpCheck | UdpCheck | PingCheck, out: list[Consequence]) -> Checking:
    words = _words(check)
    whom, how = checking.label, ""
    if check.retry and checking.has_run:
        how = f" after {check.retry} retries"
        if isinstance(check, PingCheck):
            whom += f" of {checking.about}"
    log([f"{words.failure} on service {whom} failed{how}."], out)
    checking = concluded(checking, False, out, f"=> {words.mail} failed on service <=")
    return checking._replace(attempt=0)
