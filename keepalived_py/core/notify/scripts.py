"""Who is told of a role: the specific script (`notify_master`), then the generic `notify`, then the pipes.

The specific script gets the configured words only.  The generic one gets in
addition `INSTANCE` or `GROUP`, the name, the state word and the effective
priority (groups: 0), as keepalived.conf(5) says.  The same four words are the
line for the notify FIFOs; whether there are any the shell knows.
"""

from keepalived_py.base.record import replace
from keepalived_py.model.config import Command, Notifies
from keepalived_py.model.effects import Effect, Role, RunNotify, WriteFifo

STOP = "STOP"
DELETED = "DELETED"


def notify_lower_priority(notifies: Notifies, name: str, priority: int, out: list[Effect]) -> None:
    """A MASTER heard a lower-priority advert; the generic script is not told."""
    if notifies.master_rx_lower_priority is not None:
        out.append(RunNotify(name, notifies.master_rx_lower_priority))
    out.append(_line("INSTANCE", name, "MASTER_RX_LOWER_PRI", priority))


def notify_priority(name: str, role: Role, priority: int, out: list[Effect]) -> None:
    """The effective priority changed (`notify_priority_changes`): pipes are told, of MASTER and BACKUP."""
    if role in (Role.MASTER, Role.BACKUP):
        out.append(_line("INSTANCE", name, f"{role.name}_PRIORITY", priority))


def _line(kind: str, name: str, word: str, priority: int) -> WriteFifo:
    return WriteFifo(name, f'{kind} "{name}" {word} {priority}')


def notify(notifies: Notifies, kind: str, name: str, word: str, priority: int, out: list[Effect]) -> None:
    """Run what `notifies` has for the state `word`; `kind` is INSTANCE or GROUP."""
    specific = _specific(notifies, word)
    if specific is not None:
        out.append(RunNotify(name, specific))
    if notifies.any is not None:
        arguments = (kind, name, word, str(priority))
        out.append(RunNotify(name, replace(notifies.any, argv=notifies.any.argv + arguments)))
    out.append(_line(kind, name, word, priority))


def _specific(notifies: Notifies, word: str) -> Command | None:
    match word:
        case Role.MASTER.name:
            return notifies.master
        case Role.BACKUP.name:
            return notifies.backup
        case Role.FAULT.name:
            return notifies.fault
        case "STOP":
            return notifies.stop
        case "DELETED":
            return notifies.deleted
        case _:
            return None
