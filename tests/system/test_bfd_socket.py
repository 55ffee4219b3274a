"""UDP sockets of BFD on the loopback of a namespace: ports, TTL, and what is known of each packet."""

import errno
import select
import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import Origin
from keepalived_py.system.bfd_socket import FIRST_PORT, LAST_PORT, Listener, Sender

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]
HOME = {4: ("127.0.0.1", "127.0.0.2"), 6: ("::1", "::1")}


def settings(family: int, **more: Any) -> BfdInstance:
    source, neighbour = (ip_address(text) for text in HOME[family])
    return BfdInstance(**{"name": "b", "neighbour": neighbour, "source": source, "ttl": 255, **more})


def heard(listener: Listener) -> tuple[bytes, Origin]:
    ready, _, _ = select.select([listener], [], [], 5)
    assert ready
    return next(listener.drain(1))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("multihop", [False, True])
def test_what_is_known_of_a_packet(ip: Ip, family: int, multihop: bool) -> None:
    listener, other = Listener(family, multihop), Listener(family, not multihop)
    sender = Sender(settings(family, ttl=37, multihop=multihop), 60000)
    assert sender.send(b"one") is None
    sender.set_ttl(255)
    assert sender.send(b"two") is None
    source, destination = (ip_address(text) for text in HOME[family])
    assert heard(listener) == (b"one", Origin(source, 60000, destination, 37, multihop))
    assert heard(listener) == (b"two", Origin(source, 60000, destination, 255, multihop))
    assert list(listener.drain(5)) == [] and list(other.drain(5)) == []
    for one in (listener, other, sender):
        one.close()


def test_drain_is_bounded(ip: Ip) -> None:
    listener, sender = Listener(4, False), Sender(settings(4), 50000)
    for number in range(10):
        sender.send(bytes([number]))
    assert [raw[0] for raw, _ in listener.drain(4)] == [0, 1, 2, 3]
    assert [raw[0] for raw, _ in listener.drain(100)] == [4, 5, 6, 7, 8, 9]


def test_a_port_that_is_taken_is_passed_over(ip: Ip) -> None:
    """From the last one on to the first of the range."""
    one, two = Sender(settings(4), LAST_PORT), Sender(settings(4), LAST_PORT)
    assert (one.port, two.port) == (LAST_PORT, FIRST_PORT)


def test_without_a_source_the_port_is_still_of_the_range(ip: Ip) -> None:
    assert Sender(settings(4, source=None), 55555).port == 55555


def test_address_that_is_not_there(ip: Ip) -> None:
    with pytest.raises(OSError) as refused:
        Sender(settings(4, source=ip_address("10.9.9.9"), neighbour=ip_address("10.0.0.2")), 50000)
    assert refused.value.errno == errno.EADDRNOTAVAIL


def test_taken_listening_port(ip: Ip) -> None:
    kept = Listener(4, False)
    with pytest.raises(OSError) as refused:
        Listener(4, False)
    assert refused.value.errno == errno.EADDRINUSE
    kept.close()
    Listener(4, False).close()


def test_no_way_to_the_neighbour(ip: Ip) -> None:
    sender = Sender(settings(4, source=None, neighbour=ip_address("192.0.2.1")), 50000)
    assert sender.send(b"x") == "Network is unreachable"


def test_queue_is_served_first(ip: Ip) -> None:
    """TC_PRIO_CONTROL on our own queues, and nothing else on the wire than keepalived has (TOS 0)."""
    sender = Sender(settings(4), 50000)
    with socket.socket(fileno=sender._socket.detach()) as raw:
        assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY) == 7
        assert raw.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0
