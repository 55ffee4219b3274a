"""`notify*` lines: a command, and optionally the user and group it runs as.

The line is split by the rule for commands (both quotes and escapes); its
second word is split once more into the argument list, its third and fourth are
user and group.  Hence `notify /x.sh a` means user a, and arguments need quotes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.blocks.commands import read_program
from keepalived_py.config.command_words import split_quoted
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Keyword, Reader, Run
from keepalived_py.model.scripts import Command

ARGUMENTS = "<CMD> [<USER> [[:]<GROUP>]]"
SCHEMA = {"type": "array", "items": {"type": "string"}}
ATTRIBUTES = {
    "notify_master": ("master", "script run when it becomes MASTER"),
    "notify_backup": ("backup", "script run when it becomes BACKUP"),
    "notify_fault": ("fault", "script run when it goes to FAULT"),
    "notify_stop": ("stop", "script run when keepalived stops"),
    "notify": ("any", "script run on every change; is told INSTANCE or GROUP, name, role and priority"),
    "notify_master_rx_lower_pri": (
        "master_rx_lower_priority",
        "script run when a MASTER hears an advert of lower priority",
    ),
}
GROUP_KEYWORDS = ("notify_master", "notify_backup", "notify_fault", "notify_stop", "notify")


def read_command(run: Run, at: Directive) -> Command | None:
    """The command of a notify line with its user; None if it cannot be used."""
    if len(at.words) < 2 and split_quoted(at.raw) is not None:
        run.missing_parameter(at, at.keyword, 2)
        return None
    return read_program(run, at, "notify")


def show_command(command: Command | None) -> Iterable[str]:
    """The command as a notify line takes it; nothing for None."""
    if command is None:
        return ()
    from keepalived_py.config.blocks.vrrp_script import command_text  # only for who writes it back

    names = [values.quoted(name) for name in (command.user, command.group) if name]
    return (" ".join((command_text(command.argv), *names)),)


def notify(name: str, attribute: str, prefix: str, help: str) -> Keyword[Any]:
    """A notify keyword; `prefix` leads its messages and may name `{name}`."""

    def read(run: Run, target: Any, at: Directive) -> None:
        if getattr(target.notifies, attribute) is not None:
            if len(at.words) < 2:
                run.missing_parameter(at, name, 2)
                return
            start = prefix.replace("{name}", target.name)
            run.error(
                f"{start}{name} script already specified - ignoring {values.second(at)}",
                at,
                code="duplicate",
                expected="one such line",
            )
            return
        setattr(target.notifies, attribute, read_command(run, at))
        target.notifies.given[attribute] = at

    reader: Reader[Any] = read
    return Keyword(
        name,
        reader,
        ARGUMENTS,
        help=help,
        attribute=f"notifies.{attribute}",
        show=show_command,
        schema=SCHEMA,
    )


def _deleted(run: Run, target: Any, at: Directive) -> None:
    if target.notifies.report_deleted:
        run.error(
            f"({target.name}) notify_deleted already specified - ignoring {values.second(at)}",
            at,
            code="duplicate",
            expected="one such line",
        )
        return
    target.notifies.report_deleted = True
    target.notifies.given["report_deleted"] = at
    if len(at.words) > 1 or split_quoted(at.raw) is None:
        target.notifies.deleted = read_command(run, at)


def _show_deleted(notifies: Any) -> Iterable[str]:
    if not notifies.report_deleted:
        return ()
    return tuple(show_command(notifies.deleted)) or ("",)


def instance_keywords() -> list[Keyword[Any]]:
    """The notify keywords of a `vrrp_instance`."""
    return [
        *(notify(name, attribute, "({name}) ", help) for name, (attribute, help) in ATTRIBUTES.items()),
        Keyword(
            "notify_deleted",
            _deleted,
            f"[{ARGUMENTS}]",
            default="FAULT is said",
            help="say DELETED, not FAULT, when a reload takes the instance away; and run this script",
            attribute="notifies",
            show=_show_deleted,
            schema=SCHEMA,
        ),
        *_alerts("Invalid vrrp_instance smtp_alert parameter {word}", "({name}) Invalid value '{word}' for"),
    ]


def group_keywords() -> list[Keyword[Any]]:
    """The notify keywords of a `vrrp_sync_group`."""
    return [
        *(
            notify(name, ATTRIBUTES[name][0], "vrrp group {name}: ", ATTRIBUTES[name][1])
            for name in GROUP_KEYWORDS
        ),
        *_alerts(
            "Invalid vrrp_group smtp_alert parameter {word}", "({name}) Invalid value '{word}' for sync group"
        ),
    ]


def _alerts(alert: str, priorities: str) -> list[Keyword[Any]]:
    """`smtp_alert` and `notify_priority_changes`, with the messages of their owner."""
    return [
        values.switch(
            "smtp_alert",
            "smtp_alert",
            alert,
            inherited=True,
            default="that of smtp_alert_vrrp in global_defs",
            help="send mail on a change of role",
        ),
        values.switch(
            "notify_priority_changes",
            "notify_priority_changes",
            f"{priorities} notify_priority_changes specified",
            inherited=True,
            default="that of global_defs",
            help="write changes of the priority to the notify pipes",
        ),
    ]
