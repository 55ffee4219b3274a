"""Names are keepalived's to the letter."""

from ipaddress import ip_address

import pytest

from keepalived_py.core.checks import names
from keepalived_py.model.check_events import Target
from keepalived_py.model.virtual_server import AddressRange, FirewallMark, Protocol, VirtualServer
from tests.core.checks.pool_play import at, real, sorry, virtual


def test_a_virtual_server_by_address_mark_or_group() -> None:
    assert names.virtual_name(virtual(real(11))) == "[10.5.0.1]:tcp:80"
    assert names.virtual_name(VirtualServer(mark=7)) == "FWM 7"
    assert names.virtual_name(VirtualServer(group="web", protocol=Protocol.UDP), 2) == "[web]:2"


def test_servers_have_the_protocol_of_their_virtual_server() -> None:
    by_mark = VirtualServer(mark=7, sorry_server=sorry(99))
    assert names.server_name(virtual(), real(11)) == "[10.5.0.11]:tcp:80"
    assert names.server_name(by_mark, real(11, port=0)) == "[10.5.0.11]:none:0"
    assert names.sorry_name(by_mark) == "[10.5.0.99]:none:80"
    assert names.sorry_name(virtual()) == ""
    assert (
        names.target_label(Target(at("fd05::11"), 53), virtual(protocol=Protocol.UDP)) == "[fd05::11]:udp:53"
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("fd05::11", "fd05::11"),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("::1.2.3.4", "::1.2.3.4"),
        ("::1", "::1"),
    ],
)
def test_addresses_are_written_as_the_c_library_does(written: str, said: str) -> None:
    assert names.address_text(ip_address(written)) == said


def test_entries_of_groups() -> None:
    tcp = virtual()
    one = AddressRange(at("10.5.0.20"), at("10.5.0.20"), 91)
    assert names.entry_name(tcp, one) == "[10.5.0.20]:tcp:91"
    assert (
        names.entry_name(tcp, AddressRange(one.first, at("10.5.0.22"), 91)) == "[10.5.0.20]:tcp:91-10.5.0.22"
    )
    assert names.entry_name(tcp, FirewallMark(4)) == "FWM 4"


def test_virtual_servers_of_one_group_are_counted() -> None:
    written = [VirtualServer(group=group) for group in ("a", "b", "a", None, "a")]
    assert names.places_in_groups(written) == (0, 0, 1, 0, 2)
