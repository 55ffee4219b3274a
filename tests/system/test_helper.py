"""Helper processes: what they have of their parent."""

import gc
import os
import select
import socket
import threading
import time

from keepalived_py.system.helper import fork_helper, tell


def _serve(connection: socket.socket) -> None:
    """What is said to a standard stream must not reach a peer whose connection took its number."""
    ours, theirs = socket.socketpair()
    os.write(2, b"a traceback")
    os.write(1, b"some output")
    theirs.setblocking(False)
    ours.setblocking(False)
    received = []
    for end in (ours, theirs):
        try:
            received.append(end.recv(100).decode())
        except BlockingIOError:
            received.append("")
    tell(connection, {"numbers": sorted([ours.fileno(), theirs.fileno()]), "received": received})


def test_standard_streams_lead_nowhere() -> None:
    pid, connection = fork_helper(_serve)
    with connection:
        connection.setblocking(True)
        connection.settimeout(10.0)
        said = connection.recv(4096).decode()
    os.waitpid(pid, 0)
    assert '"received": ["", ""]' in said, said
    assert min(int(word) for word in said.split("[")[1].split("]")[0].split(", ")) > 2


class _Cycle:
    """Garbage that only the collector finds; it closes its socket then."""

    def __init__(self, held: socket.socket) -> None:
        self.held, self.me = held, self


def _collecting(connection: socket.socket) -> None:
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]
    gc.collect()
    closed = []
    for number in files:
        try:
            os.fstat(number)
        except OSError:
            closed.append(number)
    tell(connection, {"closed": closed})


def test_garbage_of_the_parent_closes_nothing() -> None:
    """The numbers of the parent's descriptors are free in the helper, and soon those of others."""
    gc.collect()
    gc.disable()
    try:
        _Cycle(socket.socket())
        pid, connection = fork_helper(_collecting)
    finally:
        gc.enable()
    with connection:
        connection.setblocking(True)
        connection.settimeout(10.0)
        assert connection.recv(4096) == b'{"closed": []}'
    os.waitpid(pid, 0)


def test_nothing_is_lost_when_the_parent_reads_late() -> None:
    """A helper that must not block in general waits when the socket is full."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    count = 2000

    def talk() -> None:
        theirs.setblocking(False)
        for number in range(count):
            tell(theirs, {"number": number})
        theirs.close()

    helper = threading.Thread(target=talk)
    with ours:
        ours.settimeout(10.0)
        helper.start()
        while select.select([], [theirs], [], 0)[1]:
            time.sleep(0.001)
        heard = [ours.recv(4096) for _ in range(count)]
        assert heard[-1] == b'{"number": 1999}' and ours.recv(4096) == b""
    helper.join(10.0)


def test_telling_somebody_who_has_left() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with theirs:
        tell(theirs, {"number": 1})
