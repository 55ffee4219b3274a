"""What follows from one run of a check, in order, before anybody has looked at the server it is about.

A check knows itself alone.  Whether the server is up depends on all its checks, and
whether somebody is told on the server; so `schedule` says what happened to the check,
and `monitor` turns that into effects, each in its place.
"""

from typing import NamedTuple

from keepalived_py.model.check_events import StartCheck
from keepalived_py.model.effects import WriteLog


class CheckerVerdict(NamedTuple):
    """The check now says `up`; before it said `was_up`, and `had_run` tells whether it ever said anything.

    Made exactly where keepalived calls `update_svr_checker_state`, so `up` may be the same as `was_up`.
    """

    up: bool
    was_up: bool
    had_run: bool
    alpha: bool


class WeightBy(NamedTuple):
    """The check adds this much more (or less) to its server's weight than before.

    `quiet`: nothing is logged, nothing is changed in the kernel and the quorum is not looked at: a verdict
    about the same server stands beside it, and shows it.
    """

    difference: int
    quiet: bool = False


class MailAbout(NamedTuple):
    """A mail about the server, if its `smtp_alert` is on: sent if the server's state changed with the last
    verdict, or `no_checker_emails` is not set.  `body` as keepalived words it.
    """

    body: str


Consequence = WriteLog | StartCheck | CheckerVerdict | WeightBy | MailAbout
