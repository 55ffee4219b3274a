"""An address of IPv6 that the kernel still asks around for can be bound already."""

import socket
from collections.abc import Callable

import pytest

from keepalived_py.system.datagrams import Datagrams


@pytest.mark.netns
def test_tentative_address(ip: Callable[[str], None]) -> None:
    ip("addr add 2001:db8::1/64 dev v0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain, pytest.raises(OSError):
        plain.bind(("2001:db8::1", 7000))
    opened = Datagrams(socket.AF_INET6, "2001:db8::1", 7000)
    assert opened.port == 7000
    opened.close()
    with pytest.raises(OSError):
        Datagrams(socket.AF_INET6, "2001:db8::2", 7000)
