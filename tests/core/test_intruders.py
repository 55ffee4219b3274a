"""An address that only the holder of a lease may have, put on by somebody else: it is taken off again."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from keepalived_py.base.names import InterfaceName
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import VirtualAddress
from tests.core.conftest import ETH0, VIP, Bench
from tests.core.test_leasing import RAFT, grant, lose

if TYPE_CHECKING:
    Benches = Callable[..., Bench]


def put(bench: Bench, address: IPv4Address = VIP, length: int = 24, at_s: float | None = None) -> Bench:
    """Somebody puts an address on eth0; the kernel takes off what it is asked to."""
    bench.held.add((ETH0, address))
    return bench.feed(ev.AddressAdded(ETH0, ev.InterfaceAddress(address, length)), at_s)


def deleted(bench: Bench) -> list[VirtualAddress]:
    """What the last event had taken off."""
    return [each.address for each in bench.last if isinstance(each, fx.DeleteAddress)]


def added(bench: Bench) -> list[VirtualAddress]:
    """What the last event had put on."""
    return [each.address for each in bench.last if isinstance(each, fx.AddAddress)]


def test_who_does_not_hold_the_lease_takes_it_off_at_once(bench: "Benches") -> None:
    made = put(bench(RAFT).start().until(5))
    assert [str(each) for each in deleted(made)] == ["10.0.0.100/24 dev eth0"]
    assert (
        "(VI_1) IP 10.0.0.100/24 dev eth0 was put on eth0 by somebody else, taken off at once" in made.logs()
    )
    assert (ETH0, VIP) not in made.held


def test_in_fault_too(bench: "Benches") -> None:
    made = bench(RAFT).start().feed(ev.LinkChanged(ev.InterfaceFacts(ETH0, 2, up=False)))
    assert made.role is fx.Role.FAULT
    assert deleted(put(made))


def test_another_prefix_length_is_the_same_address(bench: "Benches") -> None:
    made = put(bench(RAFT).start().until(5), length=32)
    assert [each.prefix_length for each in deleted(made)] == [32]


def test_it_comes_again_and_again_and_goes_every_second(bench: "Benches") -> None:
    made = put(bench(RAFT).start().until(5))
    for at_s in (6.0, 8.0, 10.0, 12.0, 14.0):
        assert not deleted(put(made, at_s=at_s))
        made.last = ()
        made.until(at_s + 1.01)
        assert deleted(made)


def test_who_has_the_lease_by_then_leaves_it(bench: "Benches") -> None:
    made = put(put(bench(RAFT).start().until(5)), at_s=6)
    grant(made)
    made.last = ()
    made.until(10)
    assert not deleted(made)
    assert (ETH0, VIP) in made.held


def test_the_holder_leaves_it(bench: "Benches") -> None:
    made = grant(bench(RAFT).start())
    assert not deleted(put(made))
    assert not deleted(put(made, length=32))


def test_a_late_report_of_our_own_address_is_not_taken_for_an_intruder(bench: "Benches") -> None:
    """The deletion is under way already: what is reported now is what was added before."""
    made = grant(bench(RAFT).start())
    made._obey = lambda effect: None  # type: ignore[method-assign]
    lose(made)
    assert deleted(made)
    assert not deleted(made.feed(ev.AddressAdded(ETH0, ev.InterfaceAddress(VIP, 24))))


def test_adverts_do_not_mind(bench: "Benches") -> None:
    made = put(bench({}).start())
    assert made.role is fx.Role.BACKUP
    assert not deleted(made)


def test_other_addresses_are_nobodys_business(bench: "Benches") -> None:
    assert not deleted(put(bench(RAFT).start().until(5), IPv4Address("10.0.0.77")))


def test_what_the_holder_lost_comes_back_every_second(bench: "Benches") -> None:
    """keep-vip looks in each round; nobody waits longer here, however often somebody takes it off."""
    made = grant(bench(RAFT).start())
    gone = ev.AddressRemoved(InterfaceName("eth0"), ev.InterfaceAddress(VIP, 24))
    made.feed(gone, 5)
    assert added(made)
    for at_s in (6.0, 8.0, 10.0, 12.0):
        made.feed(gone, at_s)
        made.last = ()
        made.until(at_s + 1.01)
        assert added(made)
