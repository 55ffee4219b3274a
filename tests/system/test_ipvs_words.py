"""What the log says of refused changes, word for word as keepalived's."""

import errno
from ipaddress import ip_address

import pytest

from keepalived_py.model.effects import AlreadySo, Done, Failed, TimedOut
from keepalived_py.model.globals import LvsTimeouts, SyncDaemon
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationSettings,
    EditDestination,
    EditService,
    FlushTable,
    IpvsChange,
    Service,
    ServiceSettings,
    SetTimeouts,
    StartSync,
    StopSync,
    SyncRole,
)
from keepalived_py.model.virtual_server import Protocol, Scheduler
from keepalived_py.system.ipvs_words import complaint, complaint_of

SERVICE = Service(4, Protocol.TCP, ip_address("10.5.0.1"), 80)
SERVICE_6 = Service(6, Protocol.SCTP, ip_address("fd05::1"), 80)
REAL = Destination(ip_address("10.5.0.11"), 80)
SETTINGS = ServiceSettings(Scheduler.ROUND_ROBIN)
SYNC = SyncDaemon(interface="eth1")


@pytest.mark.parametrize(
    ("change", "number", "expected"),
    [
        (
            AddService(SERVICE, SETTINGS),
            errno.EEXIST,
            "IPVS cmd IP_VS_SO_SET_ADD(1154) error: Service already exists(17) (10.5.0.1:tcp:80)",
        ),
        (
            AddDestination(SERVICE, REAL, DestinationSettings()),
            errno.EEXIST,
            "IPVS cmd IP_VS_SO_SET_ADDDEST(1159) error: Destination already exists(17) (10.5.0.1:tcp:80 -> 10.5.0.11:80)",
        ),
        (
            EditService(SERVICE_6, SETTINGS),
            errno.ENOENT,
            "IPVS cmd IP_VS_SO_SET_EDIT(1155) error: Scheduler or persistence engine not found(2) (fd05::1:sctp:80)",
        ),
        (
            EditDestination(Service(6, mark=7), Destination(ip_address("fd05::11")), DestinationSettings()),
            errno.ENOENT,
            "IPVS cmd IP_VS_SO_SET_EDITDEST(1161) error: No such destination(2) (Fwm 7 inet6 -> fd05::11:0)",
        ),
        (
            DeleteDestination(Service(4, mark=7), REAL),
            errno.ENOENT,
            "IPVS cmd IP_VS_SO_SET_DELDEST(1160) error: No such destination(2) (Fwm 7 -> 10.5.0.11:80)",
        ),
        (
            DeleteService(SERVICE),
            errno.ESRCH,
            "IPVS cmd IP_VS_SO_SET_DEL(1156) error: No such file or directory(2) (10.5.0.1:tcp:80)",
        ),
        (
            FlushTable(),
            errno.EPERM,
            "IPVS cmd IP_VS_SO_SET_FLUSH(1157) error: Permission denied (you must be root)(1)",
        ),
        (
            StartSync(SyncRole.MASTER, 1, SYNC),
            errno.EEXIST,
            "IPVS cmd IP_VS_SO_SET_STARTDAEMON(1163) error: Daemon has already run(17)",
        ),
        (
            StopSync(SyncRole.MASTER, 1, SYNC),
            errno.EINVAL,
            "IPVS cmd IP_VS_SO_SET_STOPDAEMON(1164) error: Invalid operation.  Possibly wrong module version, address not unicast, ...(22)",
        ),
        (SetTimeouts(LvsTimeouts(tcp=1)), errno.EINVAL, "Failed to set ipvs timeouts"),
    ],
)
def test_complaints(change: IpvsChange, number: int, expected: str) -> None:
    assert complaint(change, number) == expected


def test_what_was_so_already_is_complained_of_too() -> None:
    add, delete = AddService(SERVICE, SETTINGS), DeleteDestination(SERVICE, REAL)
    assert complaint_of(add, Done()) is None
    assert complaint_of(add, AlreadySo()) == complaint(add, errno.EEXIST)
    assert complaint_of(delete, AlreadySo()) == complaint(delete, errno.ENOENT)
    assert complaint_of(add, Failed(errno.EPERM)) == complaint(add, errno.EPERM)
    assert complaint_of(add, TimedOut()) == complaint(add, errno.ETIMEDOUT)
