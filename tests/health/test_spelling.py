"""However somebody writes a server, the right one is found, or nothing is done."""

from ipaddress import ip_address

import pytest

from keepalived_py.health.spelling import find_servers, find_virtuals, the_one
from keepalived_py.model.virtual_server import Protocol, VirtualServer
from tests.health.view_bench import at, begun, real

POOLS = begun(
    at("10.5.0.1", real("10.5.0.11"), real("10.5.0.12"), real("10.5.0.12", 8080)),
    at("10.5.0.1", real("10.5.0.11"), protocol=Protocol.UDP),
    at("10.5.0.1", real("10.5.0.11"), port=443),
    at("fd05::1", real("fd05::11"), real("fd05::12")),
    VirtualServer(mark=7, real_servers=(real("10.5.0.11"),)),
    VirtualServer(group="web", protocol=Protocol.TCP, real_servers=(real("10.5.0.11"),)),
)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("[10.5.0.1]:tcp:80", [0]),
        ("10.5.0.1 80 tcp", [0]),
        ("10.5.0.1:udp:80", [1]),
        ("10.5.0.1 80", [0, 1]),
        ("10.5.0.1:80", [0, 1]),
        ("10.5.0.1:443", [2]),
        ("  10.5.0.1   443 ", [2]),
        ("10.5.0.1 TCP", [0, 2]),
        ("10.5.0.1", [0, 1, 2]),
        ("10.5.0.1:44", [2]),
        ("10.5.0.1:8080", []),
        ("fd05::1", [3]),
        ("fd05:0::1 80", [3]),
        ("[fd05:0:0::1]:80", [3]),
        ("[FD05::1]:tcp:80", [3]),
        ("FWM 7", [4]),
        ("fwmark 7", [4]),
        ("7", [4]),
        ("FWM", [4]),
        ("8", []),
        ("web", [5]),
        ("group web", [5]),
        ("[web]:0", [5]),
        ("we", [5]),
        ("Web", []),
        ("", []),
        ("10.5.0.1 80 80", []),
        ("10.5.0.1 999999", []),
        ("nonsense", []),
        ("[", [0, 1, 2, 3, 5]),
    ],
)
def test_virtual_servers(text: str, places: list[int]) -> None:
    assert find_virtuals(text, POOLS) == places


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("10.5.0.12 80", [1]),
        ("10.5.0.12:8080", [2]),
        ("10.5.0.12", [1, 2]),
        ("[10.5.0.12]:tcp:80", [1]),
        ("[10.5.0.12]:udp:80", []),
        ("[10.5.0.12]:none:80", [1]),
        ("10.5.0.12 808", [2]),
        ("10.5.0.1", [0, 1, 2]),
        ("10.5.0.11:", [0]),
        ("10.5.0.9", []),
        ("", []),
    ],
)
def test_real_servers(text: str, places: list[int]) -> None:
    assert find_servers(text, POOLS[0]) == places


def test_real_servers_of_ipv6() -> None:
    assert find_servers("fd05::0:12 80", POOLS[3]) == [1]
    assert find_servers("[fd05::12]:80", POOLS[3]) == [1]


def test_what_is_said_when_it_is_not_one() -> None:
    names = ["a", "b", "c"]
    assert the_one("x", [1], names.__getitem__, "thing", 3) == 1
    assert the_one("x", [0, 2], names.__getitem__, "thing", 3) == "x may mean 2 things: a, c"
    assert the_one("x", [], names.__getitem__, "thing", 3) == "No thing is called x; there are a, b, c"
    assert the_one("x", [], names.__getitem__, "thing", 0) == "There is no thing"
    many = the_one("x", [], str, "thing", 1000)
    assert many == "No thing is called x; there are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 990 more"


def test_the_same_address_of_another_kind_is_no_virtual_server() -> None:
    assert ip_address("10.5.0.11") not in [pool.settings.address for pool in POOLS]
    assert find_virtuals("10.5.0.11", POOLS) == []
