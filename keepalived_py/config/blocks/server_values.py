"""Keywords that virtual servers and real servers have in common, each with its own messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.blocks import notify
from keepalived_py.config.blocks.values import number, quoted, seconds
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Keyword, Run

TIMER_LIMIT_US = 2**64 - 2
CONNECT_LIMIT_US = 2**32 - 1
LIMIT = 4294967295


def timer(name: str, attribute: str, message: str, *, low_us: int = 0, **more: Any) -> Keyword[Any]:
    """A time in seconds of almost any length; `low_us` 1 refuses zero."""
    made: Keyword[Any] = seconds(name, attribute, low_us, TIMER_LIMIT_US, message, inherited=True, **more)
    return replace(made, arguments="<TIMER>")


def check_defaults(who: str, *, loop: str, retry_delay: str) -> list[Keyword[Any]]:
    """What "virtual server" and "real server" give their checks; two of the names in messages vary."""
    of_real = who == "real server"
    default = "that of the virtual_server" if of_real else "that of the kind of check"
    return [
        number(
            "retry",
            "retry",
            1,
            LIMIT,
            "retry value invalid - {word}",
            inherited=True,
            default=default,
            help="failed checks in a row before a server is down, for checks that say nothing else",
        ),
        timer(
            "delay_before_retry",
            "delay_before_retry_us",
            f"{who} {retry_delay} '{{word}}' invalid - ignoring",
            default=default,
            help="wait before a failed check is tried again, for checks that say nothing else",
        ),
        timer(
            "warmup",
            "warmup_us",
            f"{who} warmup '{{word}}' invalid - ignoring",
            default=default if of_real else "delay_loop",
            help="the first check starts after a random time up to this, so that not all start at once",
        ),
        seconds(
            "connect_timeout",
            "connect_timeout_us",
            1,
            CONNECT_LIMIT_US,
            f"{who} connect_timeout {{word}} invalid - ignoring",
            inherited=True,
            default=default if of_real else "5",
            help="how long a check waits for a connection",
        ),
        timer(
            "delay_loop",
            "delay_loop_us",
            f"{who} {loop} '{{word}}' invalid - ignoring",
            low_us=1,
            default=default if of_real else "60",
            help="time between two checks",
        ),
    ]


def virtualhost(who: str) -> Keyword[Any]:
    """The Host header of web checks."""

    def convert(run: Run, target: Any, at: Directive) -> str:
        return at.words[1]

    return Keyword(
        "virtualhost",
        None,
        "<STRING>",
        convert=convert,
        attribute="virtualhost",
        missing=f"{who} virtualhost missing",
        show=_show_word,
        schema={"type": "string"},
        default="that of the virtual_server"
        if who == "real server"
        else "the address and port of the real server",
        help="name of the web site that HTTP_GET and SSL_GET ask for",
    )


def snmp_name(who: str) -> Keyword[Any]:
    """A name for SNMP: exactly one word."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        if len(at.words) == 2:
            return at.words[1]
        run.error(f"{who} snmp_name missing or extra parameters", at, expected="one word")
        return FAILED

    return Keyword(
        "snmp_name",
        None,
        "<STRING>",
        convert=convert,
        attribute="snmp_name",
        show=_show_word,
        schema={"type": "string"},
        help="name shown by SNMP",
    )


def _show_word(found: str | None) -> Iterable[str]:
    return () if found is None else (quoted(found),)


def script(name: str, help: str) -> Keyword[Any]:
    """A script of which there can be one."""

    def read(run: Run, target: Any, at: Directive) -> None:
        if getattr(target, name) is not None and len(at.words) > 1:
            # keepalived prints the name of the group the virtual server is of, or what C makes of none
            group = getattr(target, "virtual_server", target).group or "(null)"
            run.error(
                f"({group}) {name} script already specified - ignoring {at.words[1]}",
                at,
                word=0,
                code="script-given-twice",
            )
            return
        command = notify.read_command(run, at)
        if command is not None:
            setattr(target, name, command)
            target.given[name] = at

    return Keyword(
        name,
        read,
        notify.ARGUMENTS,
        attribute=name,
        show=notify.show_command,
        schema=notify.SCHEMA,
        help=help,
    )
