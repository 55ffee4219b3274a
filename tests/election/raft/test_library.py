"""The library's import leaves the process as it was."""

import socket

from keepalived_py.election.raft import library


def test_addresses_can_still_be_read_and_written() -> None:
    assert library.SyncObj.__name__ == "SyncObj"
    assert socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "fd00::1")) == "fd00::1"
