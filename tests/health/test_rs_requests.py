"""Orders about real servers, and lists of them: what is asked, what follows, what is told."""

import json
from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.record import replace
from keepalived_py.core.checks.orders import Order, Orders, key_at, ordered_weight
from keepalived_py.health import orders as requests
from keepalived_py.health.orders import Places, Request, listed, ordered, parse_request, places
from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.globals import Globals
from keepalived_py.model.ipvs import Destination, DestinationEntry, DestinationSettings, ServiceEntry
from keepalived_py.model.virtual_server import Protocol, RealServer, VirtualServer
from keepalived_py.system.control_socket import LONGEST
from tests.health.view_bench import Bench, at, checking, real

TWO = at("10.5.0.1", real("10.5.0.11", weight=5), real("10.5.0.12", weight=5))


# Requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "request_"),
    [
        ({"do": "list"}, Request("list")),
        ({"do": "list", "virtual": "a", "begin": [1, 2]}, Request("list", "a", begin=(1, 2))),
        ({"do": "drain", "virtual": "a", "server": "b"}, Request("drain", "a", "b")),
        (
            {"do": "drain", "virtual": "a", "server": "b", "persist": True, "weight": 5},
            Request("drain", "a", "b", persistent=True),
        ),
        (
            {"do": "weight", "virtual": "a", "server": "b", "weight": 65535},
            Request("weight", "a", "b", 65535),
        ),
    ],
)
def test_good_requests(sent: dict[str, Any], request_: Request) -> None:
    assert parse_request(json.dumps(sent).encode()) == request_


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"do": "shoot"}, "unknown request; there are list, drain, enable, weight"),
        ({"do": ["list"]}, "unknown request; there are list, drain, enable, weight"),
        ([], "a request is a JSON object"),
        ({"do": "drain"}, "drain needs virtual, a name"),
        ({"do": "drain", "virtual": "a", "server": " "}, "drain needs server, a name"),
        ({"do": "list", "virtual": 5}, "list needs virtual, a name"),
        ({"do": "list", "virtual": "x" * 256}, "list needs virtual, a name"),
        ({"do": "list", "begin": 5}, "begin is a pair of numbers"),
        ({"do": "list", "begin": [0, -1]}, "begin is a pair of numbers"),
        ({"do": "list", "begin": [True, 0]}, "begin is a pair of numbers"),
        ({"do": "weight", "virtual": "a", "server": "b"}, "weight needs weight, a number from 0 to 65535"),
        (
            {"do": "weight", "virtual": "a", "server": "b", "weight": 65536},
            "weight needs weight, a number from 0 to 65535",
        ),
        (
            {"do": "weight", "virtual": "a", "server": "b", "weight": "5"},
            "weight needs weight, a number from 0 to 65535",
        ),
        ({"do": "drain", "virtual": "a", "server": "b", "persist": 1}, "persist is true or false"),
    ],
)
def test_bad_requests(sent: object, error: str) -> None:
    assert parse_request(json.dumps(sent).encode()) == error


# Orders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "weight"),
    [
        (None, 7),
        (Order(drained=True), 0),
        (Order(weight=20), 22),
        (Order(weight=0), 2),
    ],
)
def test_the_weight_that_follows(order: Order | None, weight: int) -> None:
    assert ordered_weight(order, configured=5, added=2) == weight


def give(bench: Bench, request: Request) -> requests.Ordered:
    found = ordered(request, bench.view())
    assert isinstance(found, requests.Ordered)
    bench.orders = found.orders
    bench.carry_out(found.virtual, found.server)
    return found


def test_drain_weight_and_enable() -> None:
    bench = Bench(TWO)
    found = give(bench, Request("drain", "10.5.0.1:80", "10.5.0.12"))
    assert (found.virtual, found.server) == (0, 1)
    assert [server.weight for server in bench.pools[0].servers] == [5, 0]
    give(bench, Request("weight", "10.5.0.1", "10.5.0.12", 3))
    assert [server.weight for server in bench.pools[0].servers] == [5, 3]
    give(bench, Request("enable", "10.5.0.1", "10.5.0.12"))
    assert [server.weight for server in bench.pools[0].servers] == [5, 5]
    assert bench.orders == Orders()


def test_orders_are_about_one_server_each() -> None:
    bench = Bench(TWO, at("10.5.0.2", real("10.5.0.12", weight=5)))
    give(bench, Request("drain", "10.5.0.1", "10.5.0.11"))
    give(bench, Request("weight", "10.5.0.1", "10.5.0.12", 1))
    assert len(bench.orders.by_server) == 2
    assert [server.weight for server in bench.pools[0].servers] == [0, 1]
    assert bench.pools[1].servers[0].weight == 5


def test_a_reload_leaves_what_is_to_last() -> None:
    bench = Bench(TWO)
    give(bench, Request("drain", "10.5.0.1", "10.5.0.11", persistent=True))
    give(bench, Request("drain", "10.5.0.1", "10.5.0.12"))
    assert list(bench.orders.reloaded().by_server) == [key_at(bench.pools[0], 0)]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (
            Request("drain", "10.5.0.9", "x"),
            "No virtual server is called 10.5.0.9; there are [10.5.0.1]:tcp:80",
        ),
        (
            Request("drain", "10.5.0.1", "10.5.0.1"),
            "10.5.0.1 may mean 2 real servers of [10.5.0.1]:tcp:80: [10.5.0.11]:tcp:80, [10.5.0.12]:tcp:80",
        ),
        (
            Request("drain", "10.5.0.1", "10.9.0.1"),
            "No real server of [10.5.0.1]:tcp:80 is called 10.9.0.1;"
            " there are [10.5.0.11]:tcp:80, [10.5.0.12]:tcp:80",
        ),
    ],
)
def test_orders_that_mean_nobody(request_: Request, error: str) -> None:
    assert ordered(request_, Bench(TWO).view()) == error


def test_marks_of_both_families_are_two() -> None:
    bench = Bench(
        VirtualServer(mark=7, real_servers=(real("10.5.0.11"),)),
        VirtualServer(mark=7, ip_family=6, real_servers=(real("fd05::11"),)),
    )
    assert key_at(bench.pools[0], 0)[0] == "FWM 7"
    assert key_at(bench.pools[1], 0)[0] == "FWM 7 inet6"


def test_what_is_confirmed() -> None:
    bench = Bench(TWO)
    before = bench.view()
    give(bench, Request("drain", "10.5.0.1", "10.5.0.12", persistent=True))
    reply = requests.confirmed(before, bench.view(), 0, 1)
    assert (reply["ok"], reply["was"], reply["quorum"]) == (True, 5, "")
    assert reply["server"] | {"checks": []} == {
        "name": "[10.5.0.12]:tcp:80",
        "alive": True,
        "present": True,
        "weight": 0,
        "configured": 5,
        "order": "drained",
        "persistent": True,
        "checks": [],
    }
    before = bench.view()
    give(bench, Request("drain", "10.5.0.1", "10.5.0.11"))
    assert requests.confirmed(before, bench.view(), 0, 0)["quorum"] == "lost"
    before = bench.view()
    give(bench, Request("enable", "10.5.0.1", "10.5.0.11"))
    assert requests.confirmed(before, bench.view(), 0, 0)["quorum"] == "gained"


# The list ---------------------------------------------------------------------------------


def test_a_list_tells_of_checks_and_connections() -> None:
    result = CheckResult(False, code=503, text="503 Service Unavailable", took_us=1500)  # type: ignore[arg-type]
    bench = Bench(TWO, checks=[checking(result, 3_000_000, up=False)])
    entry = DestinationEntry(DestinationSettings(), active=3, inactive=9)
    service = bench.pools[0].services[0]
    there = {Destination(ip_address("10.5.0.11"), 80): entry}
    reply = listed(Request("list"), bench.view(), {service: ServiceEntry(None, there)})  # type: ignore[arg-type]
    assert reply["next"] is None
    (virtual,) = reply["virtual_servers"]
    assert (virtual["name"], virtual["up"], virtual["quorum"]) == ("[10.5.0.1]:tcp:80", True, 1)
    first, second = virtual["servers"]
    assert (first["active"], first["inactive"]) == (3, 9)
    assert (second["active"], second["inactive"]) == (0, 0)
    assert first["checks"] == [
        {
            "kind": "TCP_CHECK",
            "target": "",
            "up": False,
            "enabled": True,
            "good": False,
            "code": 503,
            "text": "503 Service Unavailable",
            "took_us": 1500,
            "age_us": 2_000_000,
        }
    ]


def test_connections_of_a_group_are_summed_up() -> None:
    bench = Bench(VirtualServer(group="web", protocol=Protocol.TCP, real_servers=(real("10.5.0.11"),)))
    entry = DestinationEntry(DestinationSettings(), active=3)
    there = {Destination(ip_address("10.5.0.11"), 80): entry}
    table = {service: ServiceEntry(None, there) for service in bench.pools[0].services}  # type: ignore[arg-type]
    assert len(table) == 2
    reply = listed(Request("list", "web"), bench.view(), table)
    assert reply["virtual_servers"][0]["servers"][0]["active"] == 6


def test_without_the_kernels_table_nothing_is_said_of_connections() -> None:
    reply = listed(Request("list"), Bench(TWO).view(), None)
    assert "active" not in reply["virtual_servers"][0]["servers"][0]


def test_a_part_of_the_list() -> None:
    bench = Bench(TWO, at("10.5.0.2", real("10.5.0.11")), at("10.5.0.3"))

    def names(request: Request) -> list[tuple[str, list[str]]]:
        return [
            (virtual["name"], [server["name"] for server in virtual["servers"]])
            for virtual in listed(request, bench.view(), {})["virtual_servers"]
        ]

    assert names(Request("list", "10.5.0.2")) == [("[10.5.0.2]:tcp:80", ["[10.5.0.11]:tcp:80"])]
    assert names(Request("list", "", "10.5.0.12")) == [("[10.5.0.1]:tcp:80", ["[10.5.0.12]:tcp:80"])]
    assert names(Request("list"))[-1] == ("[10.5.0.3]:tcp:80", [])
    assert listed(Request("list", "x"), bench.view(), {})["error"].startswith("No virtual server is called x")
    assert listed(Request("list", "", "x"), bench.view(), {})["error"] == "No real server is called x"
    assert listed(Request("list"), Bench().view(), {}) == {"ok": True, "virtual_servers": [], "next": None}


def test_a_long_list_comes_in_pages_and_nothing_is_lost() -> None:
    texts = CheckResult(True, text="x" * 5000)
    many = [
        at(
            f"10.5.{number}.1",
            *(RealServer(ip_address("10.6.0.0") + each, 80) for each in range(number * 60)),
        )
        for number in range(9)
    ]
    bench = Bench(*many, checks=[checking(texts, 1)])
    found: dict[str, list[str]] = {}
    begin: list[int] | None = [0, 0]
    pages = 0
    while begin is not None:
        reply = listed(Request("list", begin=(begin[0], begin[1])), bench.view(), {})
        assert len(json.dumps(reply)) < LONGEST
        for virtual in reply["virtual_servers"]:
            found.setdefault(virtual["name"], []).extend(server["name"] for server in virtual["servers"])
        begin = reply["next"]
        pages += 1
    assert pages > 10
    assert {name: len(set(servers)) for name, servers in found.items()} == {
        f"[10.5.{number}.1]:tcp:80": number * 60 for number in range(9)
    }


# The file ---------------------------------------------------------------------------------


def test_the_file_has_what_is_to_last() -> None:
    orders = Orders().given(("a", "b"), Order(7, persistent=True)).given(("a", "c"), Order(drained=True))
    orders = orders.given(("x", "y"), Order(drained=True, persistent=True))
    found = requests.orders_from_json(requests.orders_json(orders))
    assert found == orders.reloaded()
    assert isinstance(found, Orders)
    assert len(found.by_server) == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"orders": {}}',
        '{"orders": [1]}',
        '{"orders": [{"virtual": "a"}]}',
        '{"orders": [{"virtual": "a", "server": "b", "drained": 1}]}',
        '{"orders": [{"virtual": "a", "server": "b", "weight": -1}]}',
        '{"orders": [{"virtual": "a", "server": "b", "weight": 70000}]}',
    ],
)
def test_other_files_are_no_orders(text: str) -> None:
    assert isinstance(requests.orders_from_json(text), str)


def test_orders_about_servers_that_do_not_exist_are_named() -> None:
    bench = Bench(TWO)
    orders = Orders().given(key_at(bench.pools[0], 0), Order()).given(("FWM 9", "rs"), Order())
    assert requests.unknown(orders, bench.pools) == [
        "An order stands for the real server rs of FWM 9, which is not configured: ignored"
    ]


def test_daemons_have_places_of_their_own() -> None:
    plain = places(Globals(), None)
    assert plain == Places("/run/keepalived-py/checkers", "/var/lib/keepalived-py/checkers")
    both = places(replace(Globals(), instance="i/1"), "net")
    assert both.run_directory == "/run/keepalived-py/checkers/net_i_1"
