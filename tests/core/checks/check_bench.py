"""One health check in virtual time: results are put in, and what followed is read as short texts."""

from ipaddress import ip_address
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.core.checks import schedule
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.verdicts import CheckerVerdict, Consequence, MailAbout, WeightBy
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck
from keepalived_py.model.checks import Check
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.virtual_server import RealServer

RS = "[10.0.0.11]:tcp:80"
VS = "[10.0.0.1]:tcp:80"
SECOND = 1_000_000
GOOD = CheckResult(True)


def server(**settings: Any) -> RealServer:
    """A real server."""
    return RealServer(**{"address": ip_address("10.0.0.11"), "port": 80, **settings})


def bad(*lines: str, ending: Ending = Ending.REFUSED, **more: Any) -> CheckResult:
    """A failure with these words."""
    return CheckResult(False, ending, lines=lines, **more)


def begun(check: Check, *, number: int = 1, now: int = 0, chance: float = 0.0, **more: Any) -> Checking:
    """A check of that server."""
    weight = more.pop("weight", 1)
    return schedule.begun(number, check, server(weight=weight), RS, VS, Micros(now), chance, **more)


def words(consequence: Consequence) -> str:
    """A consequence in short."""
    match consequence:
        case WriteLog(text):
            return f"log {text}"
        case CheckerVerdict():
            was = "up" if consequence.was_up else "down"
            run = "" if consequence.had_run else " first"
            return f"verdict {was}->{'up' if consequence.up else 'down'}{run}"
        case WeightBy():
            return f"weight {consequence.difference:+d}{' quiet' if consequence.quiet else ''}"
        case MailAbout():
            return f"mail {consequence.body}"
        case StartCheck():
            return f"start {consequence.part}"


class Bench:
    """A check; time goes to the moment when it is due and from there to its result."""

    def __init__(self, check: Check | Checking, **more: Any) -> None:
        self.checking = check if isinstance(check, Checking) else begun(check, **more)
        self.now = 0
        self.part = -1

    def start(self) -> None:
        """Let it become due; `now` is then, `part` what is asked for."""
        assert self.checking.next_at is not None
        assert self.checking.next_at >= self.now
        self.now = self.checking.next_at
        out: list[Consequence] = []
        self.checking = schedule.due(self.checking, Micros(self.now), out)
        (order,) = out
        assert isinstance(order, StartCheck)
        self.part = order.part

    def end(self, result: CheckResult, took: int = 0) -> list[str]:
        """Let its run end after `took`: what follows from the result."""
        self.now += took
        out: list[Consequence] = []
        self.checking = schedule.finished(self.checking, result, Micros(self.now), out)
        return [words(consequence) for consequence in out]

    def run(self, result: CheckResult, took: int = 0) -> list[str]:
        """Let it become due, run and end."""
        self.start()
        return self.end(result, took)

    @property
    def pause(self) -> float:
        """Seconds until it is due again."""
        assert self.checking.next_at is not None
        return (self.checking.next_at - self.now) / SECOND
