"""The IPVS table over a socket that answers as a kernel with a table would."""

import errno
import os
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from keepalived_py.base.errors import FatalStart
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome, TimedOut
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
    ServiceEntry,
    ServiceSettings,
    StartSync,
    StopSync,
    SyncRole,
)
from keepalived_py.model.virtual_server import Protocol, Scheduler
from keepalived_py.system import ipvs as ipvs_module
from keepalived_py.system import ipvs_messages, rtnetlink
from keepalived_py.system.attributes import split
from keepalived_py.system.ipvs import Ipvs, open_ipvs
from keepalived_py.system.ipvs_messages import Information

FAMILY = 28
SERVICE = Service(4, Protocol.TCP, ip_address("10.9.0.1"), 80)
OTHER = SERVICE._replace(port=81)
REAL = Destination(ip_address("10.9.1.1"), 80)
SETTINGS = ServiceSettings(Scheduler.ROUND_ROBIN)
SERVER = DestinationSettings()
NAMES = {1: "add", 2: "edit", 3: "delete", 5: "add server", 6: "edit server", 7: "delete server", 17: "flush"}


class FakeKernel:
    """Keeps services and servers by the bytes that say which they are."""

    def __init__(self) -> None:
        self.services: dict[bytes, dict[str, bytes]] = {}
        self.datagrams: list[int] = []
        self.asked: list[str] = []
        self.answers: list[bytes] = []
        self.refuses: dict[int, int] = {}
        self.silent = False
        self.closed = False

    def send(self, data: bytes, /) -> int:
        series = list(rtnetlink.messages(data))
        self.datagrams.append(len(series))
        for message in series:
            self._take(message)
        return len(data)

    def _take(self, message: rtnetlink.Message) -> None:
        assert message.kind == FAMILY
        command = message.payload[0]
        self.asked.append(NAMES.get(command, str(command)))
        found = split(message.payload, 4)
        service = found.get(1, b"")[:44]
        error = self.refuses.get(command)
        if error is None:
            error = self._change(command, service, found.get(2, b""), message)
        if not self.silent and (error or message.flags & rtnetlink.ACKNOWLEDGE):
            self._answer(rtnetlink.ERROR, message.sequence, struct.pack("=i", -error) + bytes(16))

    def _change(self, command: int, service: bytes, server: bytes, message: rtnetlink.Message) -> int:
        name, there = server[:36].hex(), self.services.get(service)
        match NAMES.get(command, ""):
            case "add":
                self.services.setdefault(service, {})
                return 0 if there is None else errno.EEXIST
            case "delete":
                return errno.ESRCH if self.services.pop(service, None) is None else 0
            case "flush":
                self.services.clear()
                return 0
            case "" | "edit":
                self._tell(command, service, message)
                return 0 if command != 2 or there is not None else errno.ESRCH
        if there is None:
            return errno.ESRCH
        if NAMES[command] == "add server":
            present = name in there
            there.setdefault(name, server)
            return errno.EEXIST if present else 0
        if name not in there:
            return errno.ENOENT
        if NAMES[command] == "delete server":
            del there[name]
        else:
            there[name] = server
        return 0

    def _tell(self, command: int, service: bytes, message: rtnetlink.Message) -> None:
        """Dumps and questions; a service is told of as it was added."""
        sequence = message.sequence
        if command == 4:
            full = ipvs_messages.request(FAMILY, AddService(SERVICE, SETTINGS)).payload
            for _ in self.services:
                self._answer(FAMILY, sequence, full)
        elif command == 8:
            if service not in self.services:
                self._answer(rtnetlink.DONE, sequence, struct.pack("=i", -errno.ESRCH))
                return
            for server in self.services[service].values():
                self._answer(FAMILY, sequence, bytes(4) + struct.pack("=HH", 4 + len(server), 2) + server)
        elif command == 13:
            self._answer(FAMILY, sequence, bytes(4) + struct.pack("=HHI", 8, 4, 900))
        elif command == 15:
            self._answer(FAMILY, sequence, bytes(4) + struct.pack("=HHIHHI", 8, 1, 0x10201, 8, 2, 4096))
        if command in (4, 8, 11):
            self._answer(rtnetlink.DONE, sequence, struct.pack("=i", 0))

    def _answer(self, kind: int, sequence: int, payload: bytes) -> None:
        self.answers.append(struct.pack("=IHHII", 16 + len(payload), kind, 2, sequence, 77) + payload)

    def recv(self, length: int, /) -> bytes:
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, "no answer")
        return self.answers.pop(0)

    def close(self) -> None:
        self.closed = True


def applied(kernel: FakeKernel, *changes: IpvsChange) -> Sequence[Outcome]:
    return Ipvs(kernel, FAMILY).apply(changes)


def test_changes_and_their_outcomes_in_order() -> None:
    kernel = FakeKernel()
    begin: list[IpvsChange] = [AddService(SERVICE, SETTINGS), AddDestination(SERVICE, REAL, SERVER)]
    assert applied(kernel, *begin) == [Done(), Done()]
    assert applied(kernel, *begin) == [AlreadySo(), AlreadySo()]
    end: list[IpvsChange] = [
        DeleteDestination(SERVICE, REAL),
        DeleteDestination(SERVICE, REAL),
        DeleteService(SERVICE),
    ]
    assert applied(kernel, *end) == [Done(), AlreadySo(), Done()]
    assert applied(kernel, *end[1:]) == [AlreadySo(), AlreadySo()]
    assert applied(kernel) == []


def test_one_that_fails_does_not_stop_the_others() -> None:
    kernel = FakeKernel()
    changes: list[IpvsChange] = [
        AddService(SERVICE, SETTINGS),
        AddDestination(OTHER, REAL, SERVER),
        EditService(OTHER, SETTINGS),
        AddDestination(SERVICE, REAL, SERVER),
    ]
    expected = [Done(), Failed(errno.ESRCH), Failed(errno.ESRCH), Done()]
    assert applied(kernel, *changes) == expected
    assert kernel.datagrams == [4]


def test_an_edit_of_a_server_that_is_missing_adds_it() -> None:
    kernel = FakeKernel()
    heavy = DestinationSettings(9)
    assert applied(kernel, AddService(SERVICE, SETTINGS), EditDestination(SERVICE, REAL, heavy)) == [
        Done(),
        Done(),
    ]
    table = Ipvs(kernel, FAMILY).table()
    assert table[SERVICE].destinations[REAL].settings == heavy


@pytest.mark.parametrize(
    "last",
    [DeleteDestination(SERVICE, REAL), DeleteService(SERVICE), FlushTable()],
)
def test_what_comes_after_such_an_edit_finds_the_server_there(last: IpvsChange) -> None:
    kernel = FakeKernel()
    changes: list[IpvsChange] = [AddService(SERVICE, SETTINGS), EditDestination(SERVICE, REAL, SERVER), last]
    assert applied(kernel, *changes) == [Done(), Done(), Done()]
    assert not any(kernel.services.values())
    assert kernel.asked[-2] == "add server"


def test_edits_of_different_servers_go_out_together() -> None:
    kernel = FakeKernel()
    servers = [Destination(IPv4Address(place)) for place in range(50)]
    applied(kernel, AddService(SERVICE, SETTINGS), *(AddDestination(SERVICE, one, SERVER) for one in servers))
    outcomes = applied(kernel, *(EditDestination(SERVICE, one, SERVER) for one in servers))
    assert outcomes == [Done()] * 50
    assert kernel.datagrams == [51, 50]


def test_ten_thousand_changes_are_few_datagrams() -> None:
    kernel = FakeKernel()
    servers = [AddDestination(SERVICE, Destination(IPv4Address(place)), SERVER) for place in range(10_000)]
    outcomes = applied(kernel, AddService(SERVICE, SETTINGS), *servers)
    assert outcomes == [Done()] * 10_001
    assert len(kernel.datagrams) < 30


def test_refusals_and_silence() -> None:
    kernel = FakeKernel()
    kernel.refuses = {1: errno.EPERM, 9: errno.EEXIST, 10: errno.ESRCH}
    sync = SyncDaemon(interface="eth1")
    changes: list[IpvsChange] = [
        AddService(SERVICE, SETTINGS),
        StartSync(SyncRole.MASTER, 1, sync),
        StopSync(SyncRole.BACKUP, 1, sync),
    ]
    assert applied(kernel, *changes) == [Failed(errno.EPERM), AlreadySo(), AlreadySo()]
    kernel.silent = True
    assert applied(kernel, *changes[:1]) == [TimedOut()]


def test_an_engine_that_is_missing_is_a_failure() -> None:
    kernel = FakeKernel()
    kernel.refuses = {1: errno.ENOENT}
    assert applied(kernel, AddService(SERVICE, SETTINGS)) == [Failed(errno.ENOENT)]


def test_the_table_is_read() -> None:
    kernel = FakeKernel()
    server = DestinationSettings(3, upper_threshold=9)
    applied(kernel, AddService(SERVICE, SETTINGS), AddDestination(SERVICE, REAL, server))
    table = Ipvs(kernel, FAMILY).table()
    assert list(table) == [SERVICE]
    assert table[SERVICE].settings == SETTINGS
    assert {place: one.settings for place, one in table[SERVICE].destinations.items()} == {REAL: server}


def test_a_service_that_goes_while_the_table_is_read_has_no_servers() -> None:
    kernel = FakeKernel()
    # The fake tells of SERVICE, whatever it has; so it has gone when its servers are asked for.
    applied(kernel, AddService(OTHER, SETTINGS))
    assert Ipvs(kernel, FAMILY).table() == {SERVICE: ServiceEntry(SETTINGS, {})}


def test_questions() -> None:
    kernel = FakeKernel()
    ipvs = Ipvs(kernel, FAMILY)
    assert ipvs.timeouts() == LvsTimeouts(tcp=900, tcpfin=0, udp=0)
    assert ipvs.information() == Information("1.2.1", 4096)
    assert ipvs.sync() == ()
    assert ipvs.zero(SERVICE) == Done()
    kernel.refuses = {15: errno.EPERM}
    with pytest.raises(PermissionError):
        ipvs.information()
    kernel.silent = True
    with pytest.raises(BlockingIOError):
        ipvs.timeouts()
    ipvs.close()
    assert kernel.closed


# -- opening ------------------------------------------------------------------------------


class Opening:
    """Stands in for the socket and for modprobe; the first `refusals` attempts fail."""

    def __init__(self, refusals: int, number: int, loads: bool) -> None:
        self.refusals = refusals
        self.number = number
        self.loads = loads
        self.attempts: list[str | None] = []
        self.loaded: list[str] = []

    def open(self, namespace: str | None) -> Ipvs:
        self.attempts.append(namespace)
        if len(self.attempts) <= self.refusals:
            raise OSError(self.number, os.strerror(self.number))
        return Ipvs(FakeKernel(), FAMILY)

    def load(self, name: str) -> bool:
        self.loaded.append(name)
        return self.loads

    def stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ipvs_module, "_open", self.open)
        monkeypatch.setattr(ipvs_module, "load_module", self.load)


def test_a_kernel_that_has_ipvs_is_not_asked_to_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Opening(0, 0, loads=True)
    opening.stand_in(monkeypatch)
    open_ipvs("blue")
    assert (opening.attempts, opening.loaded) == (["blue"], [])


def test_the_first_question_after_loading_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    opening = Opening(2, errno.ENOENT, loads=True)
    opening.stand_in(monkeypatch)
    open_ipvs(None)
    assert (len(opening.attempts), opening.loaded) == (3, ["ip_vs"])


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (
            errno.ENOENT,
            "IPVS: Can't initialize ipvs: No such file or directory; load the kernel module ip_vs",
        ),
        (errno.EPERM, "IPVS: Can't initialize ipvs: Permission denied (you must be root); run as root"),
    ],
)
@pytest.mark.parametrize("loads", [False, True])
def test_a_kernel_without_ipvs(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: str, loads: bool
) -> None:
    opening = Opening(99, number, loads)
    opening.stand_in(monkeypatch)
    with pytest.raises(FatalStart) as fault:
        open_ipvs(None)
    assert str(fault.value).startswith(expected)
    assert "\n" not in str(fault.value)
    assert len(opening.attempts) == (3 if loads else 1)


def test_a_namespace_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(ipvs_module, "load_module", loaded.append)
    with pytest.raises(FatalStart, match=r"No such file or directory \(/run/netns/no-such-namespace\)"):
        open_ipvs("no-such-namespace")
    assert loaded == []


@pytest.mark.parametrize(
    ("script", "succeeds", "calls"),
    [
        ("exit 0", True, ["-s -- ip_vs"]),
        ('[ "$1" != -s ]', True, ["-s -- ip_vs", "ip_vs"]),
        ("exit 1", False, ["-s -- ip_vs", "ip_vs"]),
    ],
)
def test_the_systems_modprobe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, succeeds: bool, calls: list[str]
) -> None:
    program, said, setting = tmp_path / "modprobe", tmp_path / "said", tmp_path / "setting"
    program.write_text(f'#!/bin/sh\necho "$@" >> {said}\n{script}\n')
    program.chmod(0o755)
    setting.write_text(f"{program}\n")
    monkeypatch.setattr(ipvs_module, "_MODPROBE_SETTING", str(setting))
    assert ipvs_module.load_module("ip_vs") is succeeds
    assert said.read_text().splitlines() == calls


def test_no_modprobe_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting = tmp_path / "setting"
    setting.write_text(f"{tmp_path}/none\n")
    monkeypatch.setattr(ipvs_module, "_MODPROBE_SETTING", str(setting))
    assert ipvs_module.load_module("ip_vs") is False
