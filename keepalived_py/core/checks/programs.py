"""MISC_CHECK: a program's exit says how a server is, and may set its weight.

The weight is kept as the share that this check adds to what is configured, since other
checks of the server may add theirs.  The time to the next run counts from the start of
the last one.
"""

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks.checking import Checking, log
from keepalived_py.core.checks.verdicts import CheckerVerdict, Consequence, MailAbout, WeightBy
from keepalived_py.model.check_events import CheckResult, Ending
from keepalived_py.model.checks import MiscCheck

_TERM, _KILL = 15, 9
# The exit status that sets weight 0 (misc_dynamic).
_WEIGHTLESS = 2
_SOONEST = 1


def misc_timeout_us(check: MiscCheck, virtual_delay_loop_us: Micros | None = None) -> Micros:
    """How long the program may run: what is written, else the `delay_loop` of the virtual server.

    Without `virtual_delay_loop_us` that of the check is taken.
    """
    if check.timeout_us:
        return check.timeout_us
    return check.delay_loop_us if virtual_delay_loop_us is None else virtual_delay_loop_us


def misc_result(check: MiscCheck, status: int, signal: int, timed_out: bool, took_us: Micros) -> CheckResult:
    """What the end of the program means; `signal` 0: it exited by itself, with `status`.

    A program that was told to end after its time, and exits then, is judged by its status.
    """
    if signal:
        late = timed_out and signal in (_TERM, _KILL)
        ending = Ending.TIMED_OUT if late else Ending.SIGNALLED
        text = "timed out" if late else f"killed by signal {signal}"
        return CheckResult(False, ending, signal, text, took_us=took_us)
    sets_weight = check.dynamic and status >= _WEIGHTLESS
    return CheckResult(
        status == 0 or sets_weight,
        Ending.EXITED,
        status,
        f"exit status {status}",
        weight=status - _WEIGHTLESS if sets_weight else None,
        took_us=took_us,
    )


def ended(
    checking: Checking, check: MiscCheck, result: CheckResult, now: Micros, out: list[Consequence]
) -> Checking:
    """The program has ended; BROKEN: it could not be run, and nothing is known."""
    if result.good:
        checking = _good(checking, check, result, out)
    elif result.ending is Ending.BROKEN:
        log(result.lines, out)
    else:
        if checking.suspected:
            checking = _failed(checking, check, result, out)
        checking = checking._replace(has_run=True)
    retrying = checking.attempt and checking.is_up and checking.has_run
    delay = check.delay_before_retry_us if retrying else check.delay_loop_us
    next_at = max(now + _SOONEST, checking.started_at + delay)
    return checking._replace(next_at=Micros(next_at))


def _good(checking: Checking, check: MiscCheck, result: CheckResult, out: list[Consequence]) -> Checking:
    share = 0 if result.weight is None else result.weight - checking.configured
    if share != checking.share:
        out.append(WeightBy(share - checking.share))
    checking = checking._replace(share=share, assigned=result.weight, attempt=0)
    if checking.unconfirmed:
        checking = _concluded(checking, check, True, "succeeded", "", out)
    return checking


def _failed(checking: Checking, check: MiscCheck, result: CheckResult, out: list[Consequence]) -> Checking:
    how = "timed out" if result.ending is Ending.TIMED_OUT else "failed"
    if checking.attempt < check.retry:
        checking = checking._replace(attempt=checking.attempt + 1)
        if check.log_all_failures:
            log([_line(checking, check, how + _count(checking, check), result)], out)
        return checking
    checking = checking._replace(attempt=0)
    if result.ending is Ending.EXITED:
        if checking.share:
            out.append(WeightBy(-checking.share, quiet=True))
        checking = checking._replace(share=0, assigned=None)
    return _concluded(checking, check, False, how, _count(checking, check), out, result)


def _concluded(
    checking: Checking,
    check: MiscCheck,
    up: bool,
    how: str,
    count: str,
    out: list[Consequence],
    result: CheckResult | None = None,
) -> Checking:
    """A mail goes out even if the check said the same before, as after its first run."""
    log([_line(checking, check, how + count, result)], out)
    out.append(CheckerVerdict(up, checking.is_up, checking.has_run, checking.alpha))
    out.append(MailAbout(f"=> MISC CHECK {how} on service <="))
    return checking._replace(is_up=up, has_run=True)


def _count(checking: Checking, check: MiscCheck) -> str:
    """Which failure it was, of how many."""
    many = f"{check.retry} {'retry' if check.retry == 1 else 'retries'}"
    if not check.retry:
        return " with retry disabled"
    if checking.attempt == 1:
        return f", will do {many}"
    if checking.attempt > 1:
        return f" on retry {checking.attempt - 1}/{check.retry}"
    return f" after {many}"


def _line(checking: Checking, check: MiscCheck, what: str, result: CheckResult | None) -> str:
    reason = ""
    if result is not None and result.ending is not Ending.TIMED_OUT:
        words = "exited with status" if result.ending is Ending.EXITED else "due to signal"
        reason = f" ({words} {result.code})"
    program = check.command.argv[0] if check.command.argv else ""
    return f"Misc check for [{checking.label} VS {checking.about}] by [{program}] {what}{reason}."
