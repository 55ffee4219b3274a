"""`vrrp_check`: a health check of a server that an instance may track.

keepalived has none: there, a script has to do it.  What the block contains is exactly one of
the blocks of a `real_server`, and the schedule of a `vrrp_script`.  There is no real server to take an
address from, so `connect_ip` must be there; and how often the check is made, and how many
failures it takes, stands outside of it.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import ScriptName
from keepalived_py.base.record import replace
from keepalived_py.config.blocks import check_common, checkers, values
from keepalived_py.config.blocks.check_common import UNKNOWN
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.vrrp_script import MICROSECONDS, schedule
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import Block, Keyword, Run, block
from keepalived_py.config.written import Written
from keepalived_py.model.checks import PingCheck
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.model.tracking import CheckScript

LONGEST_CONNECT_US = 5_000_000
# Kinds that start no program, read no file and need a server to be asked.
NAMES = ("TCP_CHECK", "HTTP_GET", "SSL_GET", "SMTP_CHECK", "DNS_CHECK", "UDP_CHECK", "PING_CHECK")
# What a check of a real server says of its own schedule.
TIMING = frozenset(keyword.name for keyword in check_common.timing()) | {"nb_get_retry", "fast_recovery"}
# The old way to check several servers at once.
MORE_SERVERS = frozenset({"host"})
PORTS = {"HTTP_GET": 80, "SSL_GET": 443, "SMTP_CHECK": 25, "DNS_CHECK": 53}
_MEANINGLESS = "interval, rise and fall of the vrrp_check say when it runs and when it counts"


class _Nowhere:
    """The address of a server that is not there: of no family."""

    version = UNKNOWN


class CheckDraft(Draft[CheckScript]):
    """A `vrrp_check` being read; to the check inside it is what a real server would be."""

    address = _Nowhere()

    def effective(self, name: str) -> Any:
        """What the check inside takes from here, where it says nothing itself."""
        if name == "connect_timeout_us":
            # A step that is late can say so before the time of the whole check is over.
            return Micros(max(1, min(LONGEST_CONNECT_US, self.limit_us() * 9 // 10)))
        if name == "delay_loop_us":
            return self.interval_us
        return False if name == "alpha" else 0

    def limit_us(self) -> int:
        """How long the whole check may take."""
        limit: int = self.timeout_us if self.written("timeout_us") else self.interval_us
        return limit

    def build(self, **changes: Any) -> CheckScript:
        """The record."""
        return super().build(
            command=NO_COMMAND, timeout_us=self.limit_us(), asks=self.checks[0].build(), **changes
        )


def _kind(keyword: Keyword[Any]) -> Keyword[Any]:
    """The keyword of a check of a real server, as it may stand here."""
    close = keyword.close
    assert close is not None

    def closed(run: Run, check: Any, at: Directive) -> None:
        """Without an address there is nothing to be asked."""
        if not check.__dict__.get("connect_ip"):
            run.error(
                f"vrrp_check {check.real_server.name}: {keyword.name} has no connect_ip - ignoring",
                closing(at),
                code="missing-address",
                expected="connect_ip ADDRESS",
                extension=True,
            )
            check.drop()
            return
        if not check.written("connect_port"):
            check.connect_port = PORTS.get(keyword.name)
        close(run, check, at)

    return replace(keyword, block=_block(keyword), close=closed, attribute="asks", extension=True)


def _block(keyword: Keyword[Any]) -> Block[Any]:
    inner = keyword.inner()
    every = inner.keywords.values()
    kept = [_untimed(one) if one.name in TIMING else one for one in every if one.name not in MORE_SERVERS]
    return block(inner.name, kept, record=inner.record, show_header=inner.show_header)


def _untimed(keyword: Keyword[Any]) -> Keyword[Any]:
    """So that a check can be copied from a real server: read, and not used."""

    def read(run: Run, check: Any, at: Directive) -> None:
        run.log(
            f"vrrp_check {check.real_server.name}: {keyword.name} is not used here - {_MEANINGLESS}",
            at,
            code="check-schedule",
        )

    return values.custom(
        keyword.name, read, keyword.arguments, required=False, help="is not used", meaningless=_MEANINGLESS
    )


BLOCK: Block[CheckDraft] = block(
    "vrrp_check",
    [*(_kind(one) for one in checkers.KEYWORDS if one.name in NAMES), *schedule("check")],
    record=CheckScript,
    show_header=lambda record: values.quoted(record.name),
)


def opened(run: Run, target: Written, at: Directive) -> CheckDraft | None:
    """The draft of the check; None if there is one of that name."""
    name = at.words[1]
    if name in target.checks:
        first = target.checks[name].header.line_origin
        run.error(
            f"vrrp_check {name} already defined - ignoring",
            at,
            word=1,
            code="duplicate",
            notes=(f"it is defined in {first.file}, line {first.line}",),
            extension=True,
        )
        return None
    return CheckDraft(CheckScript, at, name=ScriptName(name), checks=[], interval_us=Micros(MICROSECONDS))


def closed(run: Run, check: CheckDraft, at: Directive) -> None:
    """Keep it if it asks one server in one way."""
    kinds = f"one of {', '.join(NAMES)}"
    if not check.checks:
        _removed(run, check, at, "it asks nothing", kinds)
    elif len(check.checks) > 1:
        _removed(run, check, at, "it asks more than one thing", f"{kinds}, the others in blocks of their own")
    elif check.checks[0].connect_port is None and check.checks[0].record_type is not PingCheck:
        _removed(run, check, at, "it has no connect_port", "connect_port PORT")
    else:
        run.written.checks[check.name] = check


def _removed(run: Run, check: CheckDraft, at: Directive, why: str, expected: str) -> None:
    run.error(
        f"vrrp_check {check.name}: {why} - removing",
        closing(at),
        code="missing-check",
        expected=expected,
        extension=True,
    )
