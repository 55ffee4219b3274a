"""`notify*` lines: a command, and optionally the user and group it runs as.

The line is split by the rule for commands (both quotes and escapes); its
second word is split once more into the argument list, its third and fourth are
user and group.  Hence `notify /x.sh a` means user a, and arguments need quotes.
"""

from keepalived_py.config.blocks import script_users
from keepalived_py.config.blocks.commands import read_command_line
from keepalived_py.config.blocks.values import BOOLEANS
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Keyword, Reader, Run
from keepalived_py.config.written import Written, WrittenCommand, WrittenGroup, WrittenInstance

Holder = WrittenInstance | WrittenGroup

ATTRIBUTES = {
    "notify_master": "master",
    "notify_backup": "backup",
    "notify_fault": "fault",
    "notify_stop": "stop",
    "notify": "any",
    "notify_deleted": "deleted",
    "notify_master_rx_lower_pri": "master_rx_lower_priority",
}
GROUP_KEYWORDS = ("notify_master", "notify_backup", "notify_fault", "notify_stop", "notify")


def read_command(run: Run, written: Written, at: Directive) -> WrittenCommand | None:
    """The command of a notify line with its user; None if it cannot be used."""
    argv, rest = read_command_line(run, at)
    if not argv:
        return None
    if rest:
        user = script_users.find_user(run, at, rest[:2])
        if user is None:
            run.log(f"Invalid user/group for {at.keyword} script {argv[0]} - ignoring", at)
    else:
        user = script_users.default_user(run, at, written)
        if user is None:
            run.log(f"Failed to set default user for {at.keyword} script {argv[0]} - ignoring", at)
    return None if user is None else WrittenCommand(argv, *user)


def _read(written: Written, at: Directive, run: Run, target: Holder, prefix: str) -> None:
    attribute = ATTRIBUTES[at.keyword]
    if getattr(target.notifies, attribute) is not None:
        argv, _ = read_command_line(run, at)
        run.error(f"{prefix}{at.keyword} script already specified - ignoring {' '.join(argv)}", at)
        return
    setattr(target.notifies, attribute, read_command(run, written, at))


def instance_keywords(written: Written) -> list[Keyword[WrittenInstance]]:
    """The notify keywords of a `vrrp_instance`."""

    def read(run: Run, target: WrittenInstance, at: Directive) -> None:
        _read(written, at, run, target, f"({target.name}) ")

    def read_deleted(run: Run, target: WrittenInstance, at: Directive) -> None:
        target.notifies.report_deleted = True
        if len(at.words) > 1:
            read(run, target, at)

    return [
        Keyword(
            name,
            read_deleted if name == "notify_deleted" else read,
            "<CMD> [<USER> [[:]<GROUP>]]",
            help="script run on this change of role",
            required=name != "notify_deleted",
        )
        for name in ATTRIBUTES
    ] + [_smtp_alert("Invalid vrrp_instance smtp_alert parameter {word}")]


def group_keywords(written: Written) -> list[Keyword[WrittenGroup]]:
    """The notify keywords of a `vrrp_sync_group`."""

    def read(run: Run, target: WrittenGroup, at: Directive) -> None:
        _read(written, at, run, target, f"vrrp group {target.name}: ")

    alert: Keyword[WrittenGroup] = _smtp_alert("Invalid vrrp_group smtp_alert parameter {word}")
    return [
        Keyword(
            name, read, "<CMD> [<USER> [[:]<GROUP>]]", help="script run on this change of role", required=True
        )
        for name in GROUP_KEYWORDS
    ] + [alert]


def _smtp_alert(message: str) -> Keyword:  # type: ignore[type-arg]
    """`smtp_alert [BOOL]`: read and checked; mail is not sent yet."""

    def read(run: Run, target: Holder, at: Directive) -> None:
        owner = "vrrp_instance" if isinstance(target, WrittenInstance) else "vrrp_sync_group"
        run.no_effect(owner, at)
        if len(at.words) > 1 and at.words[1] not in BOOLEANS:
            run.error(message.replace("{word}", at.words[1]), at)

    reader: Reader[Holder] = read
    return Keyword("smtp_alert", reader, "[on|off]", "off", help="send mail on a change of role")
