"""Helper processes: what they have of their parent."""

import os
import socket

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
