"""What the decisions about virtual servers hear and order: results of checks, and effects.

Effects are performed in the order in which they were made.  Changes of the
kernel's table (`model.ipvs.TableChange`) stand among them as they are, as do
`RunNotify`, `WriteFifo` and `WriteLog` of `model.effects`.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.model.checks import Check
from keepalived_py.model.effects import RunNotify, WriteFifo, WriteLog
from keepalived_py.model.ipvs import TableChange


class Ending(Enum):
    """How a check ended, beyond good or bad; log lines differ."""

    ANSWERED = "answered"
    REFUSED = "refused"
    TIMED_OUT = "timed out"
    UNREACHABLE = "unreachable"
    CLOSED = "closed"
    WRONG = "wrong answer"
    EXITED = "exited"
    SIGNALLED = "signalled"
    BROKEN = "broken"


class CheckResult(NamedTuple):
    """One run of a check.

    `code`: what the protocol calls the result (HTTP or SMTP status, rcode, exit status, signal), if there
    is one.  `text` says to a person what was found ("503 Service Unavailable", "connection refused").
    `lines` are keepalived's own words about it, in their order; whether they are logged is not decided by
    who made them.  `weight`: what the program of a MISC_CHECK set (misc_dynamic), else None.  `took_us`:
    from its start to its end.
    """

    good: bool
    ending: Ending = Ending.ANSWERED
    code: int | None = None
    text: str = ""
    lines: tuple[str, ...] = ()
    weight: int | None = None
    took_us: Micros = Micros(0)


class Target(NamedTuple):
    """Whom a check asks: the real server's address and port, or what the check has instead."""

    address: Address
    port: int


class StartCheck(NamedTuple):
    """Run a check now; its `CheckResult` comes back with the same number.

    `part` counts the pages of a WebCheck.  `label` is what log lines call the target
    ("[10.0.0.1]:tcp:80").
    """

    number: int
    check: Check
    target: Target
    label: str
    part: int = 0


class SendAlert(NamedTuple):
    """Send a mail to everybody in `notification_email`.  `subject` lacks the "[router_id] " before it."""

    subject: str
    body: str


CheckEffect = TableChange | StartCheck | SendAlert | RunNotify | WriteFifo | WriteLog
