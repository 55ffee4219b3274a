"""What all health checks have in common: how they connect, how often they run, what they inherit."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InterfaceName
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.server_address import bare_address
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Keyword, Run
from keepalived_py.model.checks import Check, ConnectedCheck, ScheduledCheck

LARGEST_TIMER_US = 2**64 - 2
LARGEST_TIMEOUT_US = 2**32 - 1
LARGEST_PORT = 65535
LINK_LOCAL = 0xFE80 >> 6  # the first ten bits
UNKNOWN = 0  # no address family


class CheckDraft(Draft[Check]):
    """A health check being read; `real_server` is the draft of the server it belongs to.

    `usual_retry` and `usual_delay_us` are those of its kind where neither it nor
    its servers say anything; a delay of None is the time between two checks.
    """

    usual_retry = 1
    usual_delay_us: Micros | None = Micros(1_000_000)

    def build(self, **changes: Any) -> Check:
        """The record, with what it takes from its servers and its kind."""
        if issubclass(self.record_type, ScheduledCheck):
            changes = {**self._inherited(), **changes}
        elif "alpha" in self.record_type.fields:
            changes = {"alpha": self.effective("alpha", False), **changes}
        return super().build(**changes)

    def _inherited(self) -> dict[str, Any]:
        delay_loop_us = self.effective("delay_loop_us", None)
        found = {
            "delay_loop_us": delay_loop_us,
            "retry": self.effective("retry", self.usual_retry),
            "warmup_us": self.effective("warmup_us", delay_loop_us),
            "delay_before_retry_us": self.effective(
                "delay_before_retry_us", delay_loop_us if self.usual_delay_us is None else self.usual_delay_us
            ),
            "alpha": self.effective("alpha", False),
        }
        if issubclass(self.record_type, ConnectedCheck):
            found["connect_timeout_us"] = self.effective("connect_timeout_us", None)
        return found

    def effective(self, name: str, otherwise: Any) -> Any:
        """The value of a field, or that of the real server, or `otherwise` where none has one."""
        own = self.__dict__.get(name)
        if own is not None:
            return own
        found = self.real_server.effective(name)
        return otherwise if found is None else found

    def drop(self) -> None:
        """Take the check away from its real server; doing so twice does no harm."""
        checks = self.real_server.checks
        if isinstance(checks, list) and self in checks:
            checks.remove(self)


# Connections -----------------------------------------------------------------


def _connect_ip(run: Run, check: Any, at: Directive) -> object:
    """The address to check.  One that is refused leaves no address: any source suits it then."""
    source = check.__dict__.get("source_family", UNKNOWN)
    found = _end(run, at, source, "bindto", "as bindto has")
    check.family = UNKNOWN if found is None else found.version
    if found is None:
        check.connect_ip = None
        return FAILED
    return found


def _bindto(run: Run, check: Any, at: Directive) -> object:
    """The source address, of the family of the address that is checked as far as that is known."""
    found = _end(run, at, family_of(check), "connect_ip", "as the checked address is")
    check.source_family = UNKNOWN if found is None else found.version
    if found is None:
        check.source_ip = None
        return FAILED
    return found


def _end(run: Run, at: Directive, family: int, other: str, like: str) -> Address | None:
    """The address of one end of the connection, if it is one and of the `family` that the `other` end has."""
    name, word = at.words[:2]
    found = bare_address(word)
    if found is None:
        run.error(f"Invalid {name} address {word} - ignoring", at, word=1, expected="an IP address")
        return None
    if family not in (UNKNOWN, found.version):
        run.error(
            f"{name} address {word} does not match address family of {other} - skipping",
            at,
            word=1,
            code="address-family",
            expected=f"an IPv{family} address, {like}",
        )
        return None
    return found


def _bind_if(run: Run, check: object, at: Directive) -> object:
    name = at.words[1]
    if len(name.encode()) > values.MAX_INTERFACE_NAME:
        run.error(
            f"Interface name {name} is too long - ignoring",
            at,
            word=1,
            expected=f"at most {values.MAX_INTERFACE_NAME} characters",
        )
        return FAILED
    return InterfaceName(name)


def family_of(check: Any) -> int:
    """The family (4 or 6) of the address that is checked, or `UNKNOWN`."""
    family: int | None = check.__dict__.get("family")
    return check.real_server.address.version if family is None else family


def reachable(run: Run, check: Any, at: Directive) -> bool:
    """Whether the interface to the checked address is known; if not, the end of the block says so."""
    given = check.__dict__  # large files have a check for each of thousands of servers
    found: Address = given.get("connect_ip") or check.real_server.address
    if given.get("source_ip") is not None:
        _fitting_source(run, check, found.version)
    if (
        type(found) is not IPv6Address
        or int(found) >> 118 != LINK_LOCAL
        or given.get("source_interface")
        or given.get("family") == UNKNOWN
    ):
        return True
    run.error(
        f"Checker link local address {found} requires a bind_if",
        closing(at),
        code="missing-interface",
        notes=("fe80:: addresses exist on every link: bind_if names the interface to use",),
    )
    return False


def _fitting_source(run: Run, check: Any, family: int) -> None:
    """Drop a source of the wrong family, which keepalived keeps where it knew no better, and cannot use."""
    if check.source_ip.version != family:
        run.log(
            f"bindto address {check.source_ip} cannot reach an IPv{family} address and is not used",
            check.at("source_ip"),
            code="address-family",
        )
        check.source_ip = None


def closed(run: Run, check: CheckDraft, at: Directive) -> None:
    """The end of a check that has nothing but a connection."""
    if not reachable(run, check, at):
        check.drop()


CONNECTION: list[Keyword[Any]] = [
    values.converted(
        "connect_ip",
        "connect_ip",
        _connect_ip,
        "<IPADDR>",
        default="that of the real server",
        help="the address to check",
        schema={"type": "string"},
        pure=False,
    ),
    values.number(
        "connect_port",
        "connect_port",
        1,
        LARGEST_PORT,
        "Invalid checker connect_port '{word}'",
        default="that of the real server",
        help="the port to check",
    ),
    values.converted(
        "bindto",
        "source_ip",
        _bindto,
        "<IPADDR>",
        default="chosen by the kernel",
        help="the source address of the check, of the same family as connect_ip",
        schema={"type": "string"},
        pure=False,
    ),
    values.number(
        "bind_port",
        "source_port",
        1,
        LARGEST_PORT,
        "Invalid checker bind_port '{word}'",
        default="chosen by the kernel",
        help="the source port of the check",
    ),
    values.converted(
        "bind_if",
        "source_interface",
        _bind_if,
        "<IF max 15>",
        help="the interface to use; needed for an fe80:: address",
        schema={"type": "string", "maxLength": values.MAX_INTERFACE_NAME},
    ),
    values.seconds(
        "connect_timeout",
        "connect_timeout_us",
        1,
        LARGEST_TIMEOUT_US,
        "connect_timeout {word} invalid - ignoring",
        default="that of the real server, else 5",
        help="how long to wait for an answer",
        inherited=True,
    ),
    values.number(
        "fwmark",
        "mark",
        0,
        values.UNSIGNED,
        "Invalid fwmark connection value '{word}'",
        default="0",
        help="a mark on the packets of the check",
    ),
]


# How often -------------------------------------------------------------------


def timing(retry: str = "1", delay: str = "1") -> list[Keyword[Any]]:
    """The keywords of every check that runs again and again; the defaults are those of its kind."""
    return [
        values.number(
            "retry",
            "retry",
            0,
            values.UNSIGNED,
            "Invalid retry connection value '{word}'",
            default=f"that of the real server, else {retry}",
            help="further failures before the server is down",
            inherited=True,
        ),
        values.seconds(
            "delay_before_retry",
            "delay_before_retry_us",
            0,
            LARGEST_TIMER_US,
            "Invalid delay_before_retry connection value '{word}'",
            default=f"that of the real server, else {delay}",
            help="the pause before a failed check is tried again",
            inherited=True,
        ),
        values.seconds(
            "warmup",
            "warmup_us",
            0,
            LARGEST_TIMER_US,
            "Invalid warmup connection value '{word}'",
            default="that of the real server, else delay_loop",
            help="the first check starts after a random part of this time",
            inherited=True,
        ),
        values.seconds(
            "delay_loop",
            "delay_loop_us",
            1,
            LARGEST_TIMER_US,
            "delay_loop '{word}' is invalid - ignoring",
            default="that of the real server, else 60",
            help="the time between two checks",
            inherited=True,
        ),
        alpha(),
        values.switch(
            "log_all_failures",
            "log_all_failures",
            "Invalid log_all_failures parameter {word}",
            default="checker_log_all_failures",
            help="log each failure, not only the one that takes the server down",
        ),
    ]


def alpha() -> Keyword[Any]:
    """`alpha`, which BFD_CHECK has without the others."""
    return values.switch(
        "alpha",
        "alpha",
        "Invalid alpha parameter {word}",
        default="that of the real server",
        help="count as failed until the first success",
        inherited=True,
    )
