"""What virtual servers and their servers are in the kernel."""

from ipaddress import IPv4Address

from keepalived_py.core.checks.services import (
    destination,
    destination_settings,
    service_settings,
    services_of,
    sorry_settings,
)
from keepalived_py.model.ipvs import Destination, DestinationSettings, Service, ServiceSettings
from keepalived_py.model.virtual_server import (
    AddressRange,
    FirewallMark,
    Forwarding,
    ForwardingMethod,
    Protocol,
    Scheduler,
    ServerGroup,
    VirtualServer,
)
from tests.core.checks.pool_play import at, real, sorry, virtual

DIRECT = ForwardingMethod(Forwarding.DIRECT)


def test_an_address_and_a_mark_are_one_service() -> None:
    assert services_of(virtual(), None) == (Service(4, Protocol.TCP, at("10.5.0.1"), 80),)
    assert services_of(VirtualServer(mark=7), None) == (Service(4, mark=7),)
    assert services_of(VirtualServer(mark=7, ip_family=6), None) == (Service(6, mark=7),)


def test_a_group_is_each_of_its_addresses_and_then_each_mark() -> None:
    entries = (
        FirewallMark(7),
        AddressRange(at("10.5.0.20"), at("10.5.0.22"), 91),
        FirewallMark(8, 6),
        AddressRange(at("fd05::9"), at("fd05::9"), 92),
        AddressRange(at("10.5.0.22"), at("10.5.0.22"), 91),
    )
    by_group = VirtualServer(group="g", protocol=Protocol.UDP)
    every = services_of(by_group, ServerGroup("g", entries))
    assert [str(service) for service in every] == [
        "10.5.0.20:udp:91",
        "10.5.0.21:udp:91",
        "10.5.0.22:udp:91",
        "fd05::9:udp:92",
        "FWM 7",
        "FWM 8",
    ]
    assert [service.family for service in every] == [4, 4, 4, 6, 4, 6]
    assert services_of(by_group, None) == ()


def test_what_persistence_brings() -> None:
    narrow = IPv4Address("255.255.255.0")
    plain = virtual(scheduler=Scheduler.SOURCE_HASHING, flag_1=True, persistence_granularity=narrow)
    assert service_settings(plain) == ServiceSettings(Scheduler.SOURCE_HASHING, flag_1=True)
    lasting = virtual(
        persistence_timeout_s=50, persistence_granularity=narrow, persistence_engine="sip", one_packet=True
    )
    assert service_settings(lasting) == ServiceSettings(
        Scheduler.WEIGHTED_LEAST_CONNECTION,
        one_packet=True,
        persistence_s=50,
        granularity=narrow,
        engine="sip",
    )


def test_the_services_of_a_group_have_no_granularity() -> None:
    by_group = VirtualServer(
        group="g", persistence_timeout_s=50, persistence_granularity=IPv4Address("255.255.255.0")
    )
    assert service_settings(by_group).granularity is None


def test_weights_fit_into_the_kernel() -> None:
    server = real(11, upper_threshold=9, lower_threshold=3, method=DIRECT)
    assert destination_settings(server, -3) == DestinationSettings(0, DIRECT, 9, 3)
    assert destination_settings(server, 2**40).weight == 2**31 - 1
    assert sorry_settings(sorry(), True).weight == 1
    assert sorry_settings(sorry(), False).weight == 0


def test_only_rewritten_packets_go_to_another_port() -> None:
    service = Service(4, Protocol.TCP, at("10.5.0.1"), 80)
    assert destination(service, at("10.5.0.11"), 8080, ForwardingMethod()) == Destination(
        at("10.5.0.11"), 8080
    )
    assert destination(service, at("10.5.0.11"), 8080, DIRECT) == Destination(at("10.5.0.11"), 80)
    assert destination(Service(4, mark=7), at("10.5.0.11"), 8080, DIRECT).port == 0
