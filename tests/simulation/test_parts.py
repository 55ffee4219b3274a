"""The simulator's own parts: clock, kernel, wire, command line."""

import errno
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived_py.base.clock import SECOND
from keepalived_py.base.names import Address, InstanceName
from keepalived_py.model.config import AuthType, VirtualAddress
from keepalived_py.model.effects import (
    AddAddress,
    AddRoute,
    AlreadySo,
    BlockAddresses,
    DeleteAddress,
    Done,
    Failed,
    Outcome,
    UnblockAddresses,
)
from keepalived_py.model.events import AddressAdded, AddressRemoved, InterfaceAddress
from keepalived_py.model.network import Prefix, Route
from keepalived_py.model.packet import AdvertToSend
from keepalived_py.simulation.__main__ import main
from keepalived_py.simulation.clock import DriftingClock
from keepalived_py.simulation.cluster import INTERFACE
from keepalived_py.simulation.faults import LinkFault, RouterName, Trouble
from keepalived_py.simulation.filter import Filter
from keepalived_py.simulation.kernel import Kernel
from keepalived_py.simulation.network import arrivals, as_heard, spoil
from keepalived_py.simulation.seeds import seed_range

R1, R2 = RouterName("r1"), RouterName("r2")
SENT = AdvertToSend(
    interface=INTERFACE,
    source=IPv4Address("10.0.0.1"),
    destinations=(IPv4Address("224.0.0.18"),),
    ttl=255,
    version=2,
    vrid=51,
    priority=100,
    auth_type=AuthType.PASS,
    auth_data=b"s3cret",
    advert_interval=1,
    addresses=(IPv4Address("10.0.51.100"), IPv4Address("10.0.51.101")),
)


@given(offset=st.integers(0, 10**12), drift=st.integers(-10_000, 10_000), virtual=st.integers(0, 10**9))
def test_a_clock_never_wakes_early(offset: int, drift: int, virtual: int) -> None:
    """`when` is the first instant at which the clock shows what was asked for."""
    clock = DriftingClock(offset, drift)
    shown = clock.read(virtual)
    first = clock.when(shown)
    assert clock.read(first) >= shown > clock.read(first - 1)


def test_the_kernel_tells_whether_something_changed() -> None:
    """A second addition and a second removal find nothing to do, and nothing is reported."""
    kernel = Kernel(INTERFACE, IPv4Address("10.0.0.1"))
    virtual = VirtualAddress(IPv4Address("10.0.51.100"), 32, INTERFACE)
    known = InterfaceAddress(virtual.address, 32)
    name = InstanceName("v51")
    assert kernel.perform(AddAddress(name, virtual)) == (Done(), AddressAdded(INTERFACE, known))
    assert kernel.perform(AddAddress(name, virtual)) == (AlreadySo(), None)
    assert [held.address for held in kernel.facts().addresses] == [IPv4Address("10.0.0.1"), virtual.address]
    assert kernel.perform(DeleteAddress(name, virtual)) == (Done(), AddressRemoved(INTERFACE, known))
    assert kernel.perform(DeleteAddress(name, virtual)) == (AlreadySo(), None)


def test_an_ipv6_address_is_there_only_once() -> None:
    """IPv4 addresses may have several prefix lengths at a time."""
    kernel, name = Kernel(INTERFACE, IPv6Address("fe80::1")), InstanceName("v51")
    for address, outcome in ((IPv6Address("2001:db8::9"), AlreadySo()), (IPv4Address("10.0.0.9"), Done())):
        kernel.perform(AddAddress(name, VirtualAddress(address, 24, INTERFACE)))
        assert kernel.perform(AddAddress(name, VirtualAddress(address, 32, INTERFACE)))[0] == outcome


def test_a_link_that_goes_down_takes_routes_along() -> None:
    """Nobody hears of the IPv4 route; while it is down there can be no new one."""
    kernel, name = Kernel(INTERFACE, IPv4Address("10.0.0.1")), InstanceName("v51")
    route = Route(Prefix(IPv4Address("192.0.2.0"), 24), interface=INTERFACE)
    kernel.perform(AddRoute(name, route))
    assert kernel.take_down() == []
    assert not kernel.tables
    assert kernel.perform(AddRoute(name, route)) == (Failed(errno.ENETDOWN), None)


CLOSED = (VirtualAddress(IPv4Address("10.0.51.100"), 32, INTERFACE),)


class Host:
    """A router as its packet filter sees it: what is due later is done by `go_on`."""

    def __init__(self) -> None:
        self.kernel = Kernel(INTERFACE, IPv4Address("10.0.0.1"))
        self.troubles: set[Trouble] = set()
        self.now = 0
        self.random = Random(1)
        self.due: list[tuple[int, Callable[[], object]]] = []
        self.outcomes: list[Outcome] = []
        self.filter = Filter(self)

    def later(self, when: int, work: Callable[[], object]) -> None:
        self.due.append((when, work))

    def ask(self, change: type[BlockAddresses | UnblockAddresses], name: str) -> "Host":
        self.filter.ask(change(InstanceName(name), CLOSED), self.outcomes.append)
        return self

    def go_on(self) -> "Host":
        while self.due:
            self.now, work = self.due.pop(0)
            work()
        return self


def test_the_firewall_goes_by_who_asks() -> None:
    """An address is open again when the last one gave up, however often each had asked."""
    host = Host().ask(BlockAddresses, "v51").ask(BlockAddresses, "v52").ask(BlockAddresses, "v51")
    host.ask(UnblockAddresses, "v51").go_on()
    assert host.kernel.blocked
    host.ask(UnblockAddresses, "v52").go_on()
    assert not host.kernel.blocked
    assert host.outcomes == [Done(), AlreadySo(), AlreadySo(), AlreadySo(), Done()]


def test_a_filter_that_refuses_keeps_what_it_has() -> None:
    """Neither comes anything in, nor goes anything; what was to go goes with the next success."""
    host = Host()
    host.troubles.add(Trouble.FILTER_REFUSES)
    host.ask(BlockAddresses, "v51").go_on()
    assert not host.kernel.blocked
    host.troubles.clear()
    host.ask(BlockAddresses, "v51").go_on()
    host.troubles.add(Trouble.FILTER_REFUSES)
    host.ask(UnblockAddresses, "v51").ask(UnblockAddresses, "v51").go_on()
    assert host.kernel.blocked
    assert [isinstance(each, Failed) for each in host.outcomes] == [True, False, True, True]
    host.troubles.clear()
    host.ask(UnblockAddresses, "v51").go_on()
    assert not host.kernel.blocked


def test_a_filter_that_hangs_takes_its_time_for_all_that_wait() -> None:
    """One after the other, and seconds for each; then it was done, or refused."""
    host = Host()
    host.troubles.add(Trouble.FILTER_HANGS)
    for _ in range(20):
        host.ask(BlockAddresses, "v51").ask(UnblockAddresses, "v51")
    host.go_on()
    assert host.now > 40 * SECOND
    assert {type(each) for each in host.outcomes} == {Done, AlreadySo, Failed}


def test_an_advert_is_heard_as_it_was_sent() -> None:
    """Lengths as on the wire: 20 + 8 + 2 addresses of 4 + 8 bytes of authentication."""
    heard = as_heard(SENT)
    assert (heard.total_length, heard.received_length, heard.expected_length) == (44, 44, 44)
    assert heard.auth_data == b"s3cret\0\0"
    assert (heard.priority, heard.address_count, heard.auth_type) == (100, 2, 1)


def test_a_version_3_advert_over_ipv6_has_no_password() -> None:
    """40 + 8 + 16 bytes, at the peer that it was sent to."""
    here, there = IPv6Address("fe80::1"), IPv6Address("fe80::2")
    sent = replace(
        SENT, source=here, destinations=(there,), version=3, addresses=(IPv6Address("fe80::51"),), ttl=None
    )
    heard = as_heard(sent, there)
    assert (heard.expected_length, heard.auth_data, heard.destination, heard.ttl) == (64, b"", there, 255)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("peers", [SENT.destinations, (IPv4Address("10.0.0.2"),)])
def test_spoilt_adverts_differ_from_sound_ones(version: int, peers: tuple[Address, ...]) -> None:
    """No spoiler gives the sound advert back."""
    random = Random(1)
    sent = replace(SENT, version=version, destinations=peers)
    sound = as_heard(sent)
    assert all(getattr(spoil(random, sent, INTERFACE), "advert", None) != sound for _ in range(300))


def test_faults_act_on_their_pairs_only() -> None:
    """A one-way loss loses one way; a duplicate arrives twice; a sound wire once."""
    random = Random(1)
    fault = LinkFault(0, 1, "one-way", frozenset([(R1, R2)]), loss=1.0)
    assert arrivals(random, (fault,), (R1, R2), 1000) == []
    assert len(arrivals(random, (fault,), (R2, R1), 1000)) == 1
    twice = replace(fault, loss=0.0, duplicate=1.0)
    assert len(arrivals(random, (twice,), (R1, R2), 1000)) == 2


def test_the_command_plays_one_seed_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    """`--seed N --trace` ends with the verdict."""
    assert main(["--seed", "3", "--trace"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("seed 3: held")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_plays_many_seeds(capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    """`--seeds A..B` counts; a spent budget begins nothing."""
    assert main(["--seeds", "0..4", "--jobs", jobs]) == 0
    assert "4 seeds in" in capsys.readouterr().out
    assert main(["--seeds", "0..4", "--jobs", jobs, "--budget-s", "0"]) == 0
    assert "0 seeds in" in capsys.readouterr().out


def test_a_range_needs_two_dots() -> None:
    """`A..B`, B not included."""
    assert seed_range("5..8") == range(5, 8)
    with pytest.raises(Exception, match=r"A\.\.B"):
        seed_range("5")
