"""The kernel's IPVS table: reading it, changing it, and the socket for both.

pyroute2's IPVS socket finds the kernel's number for IPVS messages and binds the
socket, in a thread of its own: it brings an event loop with it, which cannot run
where one runs already, and the socket belongs to the network namespace that the
thread enters and nobody else.  From then on the socket is ours.  Requests go out
many at a time and only the last of them is to be acknowledged; the kernel works
in order and always reports what failed (`system.requests`).  So a change costs
some microseconds, and ten thousand are not more than a blink.

A destination that was to be edited and is not there is added, as keepalived does
it.  Changes that come after it and say something else about that destination
must then not have happened yet, so a series ends before them.
"""

import ctypes
import errno
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple, TypeVar

from keepalived_py.base.errors import FatalStart
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome, TimedOut
from keepalived_py.model.globals import LvsTimeouts
from keepalived_py.model.ipvs import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    Destination,
    DestinationEntry,
    EditDestination,
    FlushTable,
    IpvsChange,
    Service,
    ServiceEntry,
    StartSync,
    StopSync,
    Table,
)
from keepalived_py.system import ipvs_messages, libc, receive_buffer, rtnetlink
from keepalived_py.system.ipvs_messages import Information
from keepalived_py.system.ipvs_words import reason_of
from keepalived_py.system.lean_import import lean
from keepalived_py.system.requests import Answer, Conversation, Port, Refused, Unanswered
from keepalived_py.system.rtnetlink import Message, Request

T = TypeVar("T")

ANSWER_LIMIT_S = 5
MODPROBE_LIMIT_S = 30
_ANSWER_BUFFER = 1024 * 1024
_LONGEST_DATAGRAM = 64 * 1024
# Python has no names for these (linux/socket.h, linux/netlink.h, linux/sched.h).
_SOL_NETLINK = 270
_NETLINK_GENERIC = 16
_SHORT_ERRORS = 10
_CLONE_NEWNET = 0x4000_0000
# The conversation counts from 1 and never gets there.
_SEQUENCE_OF_QUESTION = 0xFFFFFFF0

_NAMESPACES = "/run/netns"
_FIRST_NAMESPACE = "/proc/1/ns/net"
_MODPROBE_SETTING = "/proc/sys/kernel/modprobe"
_USUAL_MODPROBE = "/sbin/modprobe"

_ADDS = AddService | AddDestination | StartSync
_DELETES = DeleteService | DeleteDestination | StopSync


class Ipvs:
    """The table of one network namespace (`health.ports.IpvsPort`); every call waits for the kernel.

    `family`: the kernel's number for IPVS messages.
    """

    def __init__(self, port: Port, family: int) -> None:
        self._port = port
        self._family = family
        self._conversation = Conversation(port, _no_interface)

    def apply(self, changes: Sequence[IpvsChange]) -> Sequence[Outcome]:
        """Make the changes in this order; an outcome for each, whatever became of the others.

        AlreadySo: what was to be added was there, or what was to be deleted (or its service) was not.
        Failed(ENOENT) of a service: the kernel has no such scheduler or persistence engine.
        """
        outcomes: list[Outcome] = []
        for series in _series(changes):
            outcomes += self._apply(series)
        return outcomes

    def _apply(self, series: Sequence[IpvsChange]) -> list[Outcome]:
        answers = self._perform(series)
        missing = [place for place, change in enumerate(series) if _is_missing(change, answers[place])]
        if missing:
            added = self._perform([_as_added(series[place]) for place in missing])
            for place, answer in zip(missing, added, strict=True):
                answers[place] = answer
        return [_outcome(change, answer) for change, answer in zip(series, answers, strict=True)]

    def _perform(self, series: Sequence[IpvsChange]) -> list[Answer]:
        return self._conversation.perform([ipvs_messages.request(self._family, one) for one in series])

    def table(self) -> Table:
        """All services with their servers, settings, connections and counters; raises OSError.

        A service that cannot be said in these terms (a scheduler from outside the kernel) is left out.
        """
        found: dict[Service, ServiceEntry] = {}
        for message in self._conversation.dump(ipvs_messages.get_services(self._family)):
            read = ipvs_messages.read_service(message.payload)
            if read is not None:
                found[read.service] = ServiceEntry(
                    read.settings, self._destinations(read.service), read.counters
                )
        return found

    def _destinations(self, service: Service) -> dict[Destination, DestinationEntry]:
        """Those of a service that went meanwhile: none."""
        try:
            answers = self._conversation.dump(ipvs_messages.get_destinations(self._family, service))
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.ENOENT):
                return {}
            raise
        read = (ipvs_messages.read_destination(answer.payload, service.family) for answer in answers)
        return dict(one for one in read if one is not None)

    def timeouts(self) -> LvsTimeouts:
        """The time-outs that are in force; raises OSError."""
        return ipvs_messages.read_timeouts(self._ask(ipvs_messages.get_timeouts(self._family)))

    def information(self) -> Information:
        """Version and size; raises OSError (EPERM without CAP_NET_ADMIN)."""
        return ipvs_messages.read_information(self._ask(ipvs_messages.get_information(self._family)))

    def sync(self) -> tuple[StartSync, ...]:
        """The ends of the synchronisation that run here; raises OSError."""
        answers = self._conversation.dump(ipvs_messages.get_sync(self._family))
        read = (ipvs_messages.read_sync(answer.payload) for answer in answers)
        return tuple(one for one in read if one is not None)

    def zero(self, service: Service | None = None) -> Outcome:
        """Set the counters of a service and its servers to zero, or those of all (None)."""
        (answer,) = self._conversation.perform([ipvs_messages.zero(self._family, service)])
        return _refusal(answer)

    def close(self) -> None:
        """Give the socket back; the table stays."""
        self._port.close()

    def _ask(self, question: Request) -> bytes:
        """The one message that answers a question; raises OSError."""
        self._port.send(bytes(rtnetlink.numbered(question, _SEQUENCE_OF_QUESTION, {}, last=True)))
        found = b""
        while True:
            for message in rtnetlink.messages(self._port.recv(_LONGEST_DATAGRAM)):
                if message.sequence != _SEQUENCE_OF_QUESTION:
                    continue
                if message.kind != rtnetlink.ERROR:
                    found = message.payload
                    continue
                _raise(message)
                return found


def _raise(acknowledgement: Message) -> None:
    code = rtnetlink.error_of(acknowledgement)
    if code:
        raise OSError(code, os.strerror(code))


def _no_interface(name: InterfaceName) -> int:
    """These requests name none by index."""
    raise AssertionError(name)


# -- changes ----------------------------------------------------------------------------


def _series(changes: Sequence[IpvsChange]) -> Iterator[Sequence[IpvsChange]]:
    """The changes in runs: each ends before one that depends on what becomes of an edit in it."""
    edited: set[tuple[Service, Destination]] = set()
    start = 0
    for place, change in enumerate(changes):
        if edited and _depends(change, edited):
            yield changes[start:place]
            start = place
            edited = set()
        if isinstance(change, EditDestination):
            edited.add((change.service, change.destination))
    yield changes[start:]


def _depends(change: IpvsChange, edited: set[tuple[Service, Destination]]) -> bool:
    if isinstance(change, AddDestination | EditDestination | DeleteDestination):
        return (change.service, change.destination) in edited
    return isinstance(change, AddService | DeleteService | FlushTable)


def _is_missing(change: IpvsChange, answer: Answer) -> bool:
    return isinstance(change, EditDestination) and answer == Refused(errno.ENOENT)


def _as_added(change: IpvsChange) -> IpvsChange:
    assert isinstance(change, EditDestination)
    return AddDestination(change.service, change.destination, change.settings)


def _outcome(change: IpvsChange, answer: Answer) -> Outcome:
    if isinstance(answer, Refused):
        if isinstance(change, _ADDS) and answer.errno == errno.EEXIST:
            return AlreadySo()
        if isinstance(change, _DELETES) and answer.errno in (errno.ENOENT, errno.ESRCH):
            return AlreadySo()
    return _refusal(answer)


def _refusal(answer: Answer) -> Outcome:
    if isinstance(answer, Unanswered):
        return TimedOut()
    return Done() if answer is None else Failed(answer.errno)


# -- opening ----------------------------------------------------------------------------


class _Opened(NamedTuple):
    socket: socket.socket
    family: int


def open_ipvs(namespace: str | None) -> Ipvs:
    """The table of network namespace `namespace` (as `ip netns` keeps them).

    None: the namespace of this process; "": that of the machine's first process,
    as `net_namespace_ipvs` without a name means it.  A kernel without IPVS gets
    one attempt to load the module.  Raises FatalStart in one line.
    """
    try:
        return _open(namespace)
    except OSError as first:
        fault = first
    if fault.filename is None and load_module("ip_vs"):
        # The first question after loading the module may fail.
        for _ in range(2):
            try:
                return _open(namespace)
            except OSError as again:
                fault = again
    raise FatalStart(_refused(namespace, fault))


def _refused(namespace: str | None, fault: OSError) -> str:
    number = fault.errno or errno.EIO
    said = f"IPVS: Can't initialize ipvs: {reason_of(number)}"
    if fault.filename is not None:
        return f"{said} ({fault.filename}); net_namespace_ipvs must name a network namespace to be entered"
    if number == errno.EPERM:
        return f"{said}; run as root or with CAP_NET_ADMIN"
    return f"{said}; load the kernel module ip_vs, or take the virtual_server blocks out"


def _open(namespace: str | None) -> Ipvs:
    opened = _in_thread(lambda: _open_socket(namespace))
    ipvs = Ipvs(opened.socket, opened.family)
    try:
        ipvs.information()
    except OSError:
        ipvs.close()
        raise
    return ipvs


def _in_thread(work: Callable[[], T]) -> T:
    """`work` by a thread that may enter another namespace and run another event loop."""
    found: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as fault:  # raised again where it was asked for
            faults.append(fault)

    thread = threading.Thread(target=run, name="open ipvs")
    thread.start()
    thread.join()
    for fault in faults:
        raise fault
    return found[0]


def _open_socket(namespace: str | None) -> _Opened:
    """Raises OSError: ENOENT with a file name if the namespace is missing, without if IPVS is."""
    if namespace is not None:
        _enter(f"{_NAMESPACES}/{namespace}" if namespace else _FIRST_NAMESPACE)
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_GENERIC)
    try:
        receive_buffer.resize(opened, _ANSWER_BUFFER, True)
        family = _family(opened)
        opened.setblocking(True)
        # By the socket, not by Python: then what comes too late is EAGAIN for whoever reads.
        limit = struct.pack("@ll", ANSWER_LIMIT_S, 0)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        with suppress(OSError):
            opened.setsockopt(_SOL_NETLINK, _SHORT_ERRORS, 1)
    except BaseException:
        opened.close()
        raise
    return _Opened(opened, family)


def _enter(path: str) -> None:
    """Only this thread goes there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.library().setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def _family(opened: socket.socket) -> int:
    """Bind the socket and ask for the kernel's number of IPVS messages; raises OSError."""
    errors, sockets = _library()
    # The library closes the descriptor that it has worked with, so it gets one of its own.
    with opened.dup() as twin:
        try:
            bound = sockets(use_socket=twin)
        except errors as refused:
            raise OSError(refused.code, os.strerror(refused.code)) from refused
        try:
            return int(bound.prid)
        finally:
            bound.close()


@cache
def _library() -> tuple[Any, Any]:
    """Its errors and its socket; loaded once, whoever opens another table."""
    return lean(_import)


def _import() -> tuple[Any, Any]:
    from pyroute2.netlink.exceptions import NetlinkError
    from pyroute2.netlink.generic.ipvs import AsyncIPVSSocket, IPVSSocket

    class Quiet(AsyncIPVSSocket):  # type: ignore[misc]
        """That the kernel has no IPVS is said once, in words of ours."""

        module_err_level = "debug"

    class Socket(IPVSSocket):  # type: ignore[misc]
        async_class = Quiet

    return NetlinkError, Socket


def load_module(name: str) -> bool:
    """Have the system's modprobe load a module into the kernel; whether it says it did.

    As keepalived does it: the program that the kernel itself would call, told
    to write to the system's log; some do not know that option.
    """
    program = _modprobe()
    return any(_succeeds([program, *words]) for words in (("-s", "--", name), (name,)))


def _modprobe() -> str:
    with suppress(OSError, UnicodeDecodeError), open(_MODPROBE_SETTING, encoding="utf-8") as setting:
        return setting.read().rstrip("\n") or _USUAL_MODPROBE
    return _USUAL_MODPROBE


def _succeeds(command: Sequence[str]) -> bool:
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=MODPROBE_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
