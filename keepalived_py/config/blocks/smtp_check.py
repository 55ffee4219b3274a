"""`SMTP_CHECK`: a mail server greets.  Its old `host` blocks each make a check of their own."""

from __future__ import annotations

from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.check_common import CONNECTION, UNKNOWN, CheckDraft, reachable, timing
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, block
from keepalived_py.model.checks import SmtpCheck

OWN = frozenset(keyword.attribute for keyword in CONNECTION)


def _host_opened(run: Run, check: Any, at: Directive) -> CheckDraft:
    return CheckDraft(SmtpCheck, at, real_server=check.real_server, check=check)


def _host_closed(run: Run, host: Any, at: Directive) -> None:
    if reachable(run, host, at):
        host.check.__dict__.setdefault("hosts", []).append(host)


def _of_check(keyword: Keyword[Any]) -> Keyword[Any]:
    """The keyword inside a `host`, where it speaks of the whole check."""
    convert, attribute = keyword.convert, keyword.attribute
    assert convert is not None

    def read(run: Run, host: Any, at: Directive) -> None:
        value = convert(run, host.check, at)
        if value is not FAILED:
            setattr(host.check, attribute, value)
            host.check.given[attribute] = at

    return replace(keyword, read=read, convert=None)


def closed(run: Run, check: Any, at: Directive) -> None:
    """The end of the block: the check itself, if it says how to connect, and one check for each host."""
    hosts = check.__dict__.pop("hosts", [])
    if hosts:
        run.log("The SMTP_CHECK host block is deprecated. Please define additional checkers.", at)
    if check.__dict__.get("family") == UNKNOWN:
        del check.family  # what was refused is not missed: the real server's address is used
    connected = any(check.__dict__.get(name) for name in OWN)
    if (connected or not hosts) and not reachable(run, check, at):
        check.drop()
        return
    common = {
        name: value for name, value in check.__dict__.items() if name in SmtpCheck.fields and name not in OWN
    }
    for host in hosts:
        host.__dict__.update(common)
        check.real_server.add("checks", host)
    if hosts and not connected:
        check.drop()


HOST: Block[CheckDraft] = block("host", [*CONNECTION, *map(_of_check, timing())])

BLOCK: Block[CheckDraft] = block(
    "SMTP_CHECK",
    [
        values.text(
            "helo_name",
            "helo_name",
            missing="SMTP_CHECK helo name missing",
            default="smtpchecker.keepalived.org",
            help="the name sent with HELO",
        ),
        *CONNECTION,
        *timing(),
        Keyword(
            "host",
            help="one more server to check; a further SMTP_CHECK says the same",
            block=HOST,
            open=_host_opened,
            close=_host_closed,
            alias="SMTP_CHECK",
        ),
    ],
    record=SmtpCheck,
    show_header=lambda check: "",
)
