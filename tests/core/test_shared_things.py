"""Routes and rules that more than one wants: they stay as long as anybody does."""

from ipaddress import IPv4Address, ip_address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.model.config import Configuration, GratuitousArp, Instance, VirtualAddress
from keepalived_py.model.network import Prefix, Route, RouteType, Rule, RuleAction
from tests.core.fake_kernel import Life
from tests.core.random_configuration import machine

ETH0, ETH1 = InterfaceName("eth0"), InterfaceName("eth1")
ROUTE = Route(Prefix(ip_address("172.16.0.0"), 16), RouteType.BLACKHOLE)
OWN = Route(Prefix(ip_address("172.17.0.0"), 16), RouteType.BLACKHOLE)
RULE = Rule(4, 100, RuleAction.TABLE, table=100)


def instance(number: int, interface: InterfaceName, *routes: Route) -> Instance:
    return Instance(
        name=InstanceName(f"V{number}"),
        interface=interface,
        vrid=number,
        addresses=(VirtualAddress(IPv4Address(f"10.0.0.{number}"), 24, interface),),
        routes=routes,
        rules=(RULE,),
        garp=GratuitousArp(repeat=1, delay_us=Micros(0)),
    )


def routes_and_rules(life: Life) -> tuple[set[object], set[object]]:
    contents = life.kernel.contents()
    return set(contents[1]), set(contents[2])


def test_what_is_static_too_stays_when_the_master_leaves() -> None:
    untracked = Route(ROUTE.destination, ROUTE.type, tracked=False)
    configuration = Configuration(
        instances=(instance(1, ETH0, ROUTE, OWN),), static_routes=(untracked,), static_rules=(RULE,)
    )
    life = Life(configuration, machine())
    assert routes_and_rules(life) == ({ROUTE}, {RULE})
    life.until(10)
    assert OWN in routes_and_rules(life)[0]
    life.set_link("eth0", up=False)
    life.until(20)
    routes, rules = routes_and_rules(life)
    assert {route.destination for route in routes if isinstance(route, Route)} == {ROUTE.destination}
    assert rules == {RULE}


def test_the_last_master_takes_a_shared_route_away() -> None:
    life = Life(Configuration(instances=(instance(1, ETH0, ROUTE), instance(2, ETH1, ROUTE))), machine())
    life.until(10)
    life.set_link("eth0", up=False)
    life.until(20)
    assert routes_and_rules(life) == ({ROUTE}, {RULE})
    life.set_link("eth1", up=False)
    life.until(30)
    assert routes_and_rules(life) == (set(), set())
