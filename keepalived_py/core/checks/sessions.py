"""BFD_CHECK: a server is up while its BFD session is.

Nothing is known before the first news of the session: until then the check is up, or
down with `alpha`.  There are no retries, the session has been patient already.
"""

from keepalived_py.core.checks.checking import Checking, concluded, log
from keepalived_py.core.checks.verdicts import Consequence
from keepalived_py.model.checks import BfdCheck
from keepalived_py.model.effects import WriteLog


def news_line(name: str, state: str, delay_us: int) -> WriteLog:
    """What the log says once for each piece of news, before the checks that follow the session hear of it.

    `state` is the session's state in words; `delay_us` is how long the news was on its way.
    """
    return WriteLog(
        f"Received BFD event: instance {name} is in state {state} (delivered in {delay_us} usec)",
        detail=True,
    )


def session_said(checking: Checking, up: bool, out: list[Consequence]) -> Checking:
    """The session that the check follows is up, or not (any state but Up)."""
    check = checking.check
    if not isinstance(check, BfdCheck) or (checking.has_run and checking.is_up == up):
        return checking
    state = "UP" if up else "DOWN"
    log([f"BFD check of [{check.name}] RS({checking.label}) is {state}"], out)
    how = "succeeded" if up else "failed"
    return concluded(checking, up, out, f"=> BFD CHECK {check.name} {how} on service <=")
