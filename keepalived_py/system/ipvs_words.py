"""What keepalived's log says when the kernel refuses a change of the IPVS table.

The names and numbers are those of the socket options by which the table was
changed before there was netlink; whoever searches logs for them should find
ours.  keepalived's netlink library folds several errors into one before it
names them (a service that is not there, ESRCH, becomes ENOENT), and so does this.
"""

import errno
import os
from typing import assert_never

from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome, TimedOut
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    EditDestination,
    EditService,
    FlushTable,
    IpvsChange,
    Service,
    SetTimeouts,
    StartSync,
    StopSync,
)

_NAMES: dict[type[IpvsChange], tuple[str, int]] = {
    AddService: ("IP_VS_SO_SET_ADD", 1154),
    EditService: ("IP_VS_SO_SET_EDIT", 1155),
    DeleteService: ("IP_VS_SO_SET_DEL", 1156),
    FlushTable: ("IP_VS_SO_SET_FLUSH", 1157),
    AddDestination: ("IP_VS_SO_SET_ADDDEST", 1159),
    DeleteDestination: ("IP_VS_SO_SET_DELDEST", 1160),
    EditDestination: ("IP_VS_SO_SET_EDITDEST", 1161),
    StartSync: ("IP_VS_SO_SET_STARTDAEMON", 1163),
    StopSync: ("IP_VS_SO_SET_STOPDAEMON", 1164),
}

_FOLDED = {
    errno.ESRCH: errno.ENOENT,
    errno.EADDRINUSE: errno.EEXIST,
    errno.ENOTSOCK: errno.EBADF,
    errno.ENOPROTOOPT: errno.EINVAL,
    errno.EFAULT: errno.EINVAL,
    errno.ENOBUFS: errno.ENOMEM,
}

_ENGINE = "Scheduler or persistence engine not found"
_OF_CHANGE: dict[tuple[type[IpvsChange], int], str] = {
    (AddService, errno.EEXIST): "Service already exists",
    (AddService, errno.ENOENT): _ENGINE,
    (EditService, errno.ENOENT): _ENGINE,
    (AddDestination, errno.EEXIST): "Destination already exists",
    (EditDestination, errno.ENOENT): "No such destination",
    (DeleteDestination, errno.ENOENT): "No such destination",
    (StartSync, errno.EEXIST): "Daemon has already run",
}
_OF_ANY = {
    errno.EPERM: "Permission denied (you must be root)",
    errno.EINVAL: "Invalid operation.  Possibly wrong module version, address not unicast, ...",
    errno.ENOMEM: "Memory allocation problem",
    errno.EOPNOTSUPP: "Operation not supported with IPv6",
    errno.EAFNOSUPPORT: "Operation not supported with specified address family",
    errno.EMSGSIZE: "Module is wrong version",
}


def complaint(change: IpvsChange, number: int) -> str:
    """The log line for `change`, refused with errno `number`."""
    if isinstance(change, SetTimeouts):
        return "Failed to set ipvs timeouts"
    name, code = _NAMES[type(change)]
    folded = _FOLDED.get(number, number)
    return f"IPVS cmd {name}({code}) error: {_reason(change, folded)}({folded}){_subject(change)}"


def complaint_of(change: IpvsChange, outcome: Outcome) -> str | None:
    """The log line for what became of `change`; None if there is nothing to complain of.

    keepalived also complains when nothing had to be done, and then goes on as if it had been.
    """
    match outcome:
        case Done():
            return None
        case AlreadySo():
            adds = isinstance(change, AddService | AddDestination | StartSync)
            return complaint(change, errno.EEXIST if adds else errno.ENOENT)
        case Failed(number):
            return complaint(change, number)
        case TimedOut():
            return complaint(change, errno.ETIMEDOUT)
        case _:
            assert_never(outcome)


def reason_of(number: int) -> str:
    """What keepalived calls an error that has nothing to do with one change."""
    return _OF_ANY.get(number) or os.strerror(number)


def _reason(change: IpvsChange, number: int) -> str:
    return _OF_CHANGE.get((type(change), number)) or reason_of(number)


def _subject(change: IpvsChange) -> str:
    match change:
        case AddService(service, _) | EditService(service, _) | DeleteService(service):
            return f" ({_service(service)})"
        case (
            AddDestination(service, destination, _)
            | EditDestination(service, destination, _)
            | DeleteDestination(service, destination)
        ):
            return f" ({_service(service)} -> {_destination(destination)})"
        case FlushTable() | SetTimeouts() | StartSync() | StopSync():
            return ""
        case _:
            assert_never(change)


def _service(service: Service) -> str:
    if service.address is None:
        return f"Fwm {service.mark}{' inet6' if service.family == 6 else ''}"
    return str(service)


def _destination(destination: Destination) -> str:
    return str(destination)
