"""`global_defs`: alert mails."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.closing import closing
from keepalived_py.config.blocks.values import TIMER_SECONDS, integer
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Block, Keyword, Run, entries
from keepalived_py.model.globals import Mail, MailServer

SMTP_PORT = 25
BRACE = "{"


def _server(run: Run, target: Any, at: Directive) -> object:
    """An address, or a name that must be known now, as keepalived resolves it while it reads."""
    host, port_text = at.words[1], at.words[2] if len(at.words) > 2 else str(SMTP_PORT)
    port = integer(run, at, port_text, 1, 65535)
    if port is None:
        run.error(f"Invalid smtp server {host} {port_text}", at, word=2)
        return FAILED
    numeric = None if "-" in host or "/" in host else values.address(host)
    if numeric is not None and "%" in host and not run.host.interface_exists(host.partition("%")[2]):
        numeric = None
    if numeric is None and not run.host.resolves(host):
        run.error(f"Invalid smtp server {host} {port_text}", at, word=1, code="unknown-host")
    return MailServer(numeric if numeric is not None else host, port)


def _show_server(found: MailServer | None) -> Iterable[str]:
    if found is None:
        return ()
    return (f"{values.quoted(str(found.host))}" + (f" {found.port}" if found.port != SMTP_PORT else ""),)


def _timeout(run: Run, target: Any, at: Directive) -> object:
    word = at.words[1]
    value = integer(run, at, word, 0, TIMER_SECONDS)
    if value is None:
        run.error(f"smtp_connect_timeout '{word}' must be in [0, {TIMER_SECONDS}] - ignoring", at, word=1)
        return FAILED
    if value == 0:
        run.error("smtp_conect_timeout must be greater than 0, setting to 1", at, word=1)
    return Micros(max(value, 1) * 1_000_000)


def _helo_name(run: Run, target: Any, at: Directive) -> object:
    return at.words[1] if len(at.words) > 1 else FAILED


def _show_timeout(found: int) -> Iterable[str]:
    return (str(found // 1_000_000),)


def _recipient(run: Run, target: Any, at: Directive) -> None:
    mail = values.part(target, "mail", Mail)
    if at.words[0] == BRACE:
        mail.before = -1  # keepalived takes it for a recipient
        return
    for word in at.words:
        mail.add("recipients", word, at)


def _recipients(run: Run, target: Any, at: Directive) -> Any:
    values.list_block(run, at)
    values.part(target, "mail", Mail).before = len(values.part(target, "mail", Mail).recipients)
    return target


def _recipients_end(run: Run, target: Any, at: Directive) -> None:
    mail = values.part(target, "mail", Mail)
    if len(mail.recipients) == mail.before:
        run.error("Warning - empty notification_email block", closing(at))


RECIPIENTS: Block[Any] = entries(
    "global_defs/notification_email",
    _recipient,
    show_entry=str,
    entry_help="<EMAIL>: the address of one recipient",
)


def _alert(name: str, attribute: str, whose: str) -> Keyword[Any]:
    return values.switch(
        name,
        attribute,
        f"Invalid value '{{word}}' for global {name} specified",
        default="unset" if attribute == "alert" else "smtp_alert",
        help=f"whether {whose} send mails where nothing else is said",
    )


MAIL: list[Keyword[Any]] = [
    *values.inside(
        "mail",
        Mail,
        values.text(
            "notification_email_from",
            "sender",
            missing="emailfrom missing - ignoring",
            arguments="<EMAIL>",
            default="keepalived at our host name",
            help="sender of alert mails",
        ),
        values.converted(
            "smtp_server",
            "server",
            _server,
            "<ADDR>|<DOMAIN> [<PORT>]",
            default="none; port 25",
            pure=False,
            show=_show_server,
            help="the mail server that alert mails are handed to",
            schema={"type": "string"},
        ),
        values.converted(
            "smtp_helo_name",
            "helo_name",
            _helo_name,
            "<STRING>",
            required=False,
            default="our host name",
            help="how we introduce ourselves to the mail server",
            schema={"type": "string"},
        ),
        values.converted(
            "smtp_connect_timeout",
            "connect_timeout_us",
            _timeout,
            f"<INT 0..{TIMER_SECONDS}>",
            default="30",
            unit="s",
            show=_show_timeout,
            help="how long the mail server may take to answer",
            schema={"type": "integer", "minimum": 1, "maximum": TIMER_SECONDS},
        ),
    ),
    Keyword(
        "notification_email",
        arguments="{ <EMAIL> ... }",
        block=RECIPIENTS,
        open=_recipients,
        close=_recipients_end,
        help="who gets alert mails",
        attribute="mail.recipients",
        schema={"type": "array", "items": {"type": "string"}},
    ),
    *values.inside(
        "mail",
        Mail,
        _alert("smtp_alert", "alert", "all objects"),
        _alert("smtp_alert_vrrp", "alert_vrrp", "instances and groups"),
        _alert("smtp_alert_checker", "alert_checker", "virtual and real servers"),
        values.flag("no_email_faults", "no_email_faults", help="no mail when an instance goes to FAULT"),
        values.switch(
            "no_checker_emails",
            "no_checker_emails",
            "Invalid value '{word}' for global no_checker_emails specified",
            help="no mail for a single check, only when a real server comes or goes",
        ),
    ),
]
