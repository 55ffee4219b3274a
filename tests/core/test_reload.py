"""A reload ends where a fresh start would, and nothing that is held before and after it goes away in between."""

from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.model import effects as fx
from keepalived_py.model.config import Configuration, Instance, VirtualAddress
from keepalived_py.model.diff import diff
from tests.core.fake_kernel import Life
from tests.core.random_configuration import BAD, configuration, machine

ETH0 = InterfaceName("eth0")
A, B = VirtualAddress(IPv4Address("10.0.0.1"), 24, ETH0), VirtualAddress(IPv4Address("10.0.0.2"), 24, ETH0)
SIX = VirtualAddress(IPv6Address("fd00::1"), 64, ETH0)


def vi(name: str, vrid: int, **settings: Any) -> Instance:
    return Instance(**{"name": InstanceName(name), "interface": ETH0, "vrid": vrid, **settings})


def live(file: Configuration, seed: int = 0) -> Life:
    life = Life(file, machine(), seed)
    life.verdicts = BAD
    return life


QUICK = [pytest.param(first) for first in range(0, 100, 50)]
LONG = [pytest.param(first, marks=pytest.mark.slow) for first in range(100, 400, 50)]


@pytest.mark.parametrize("first", QUICK + LONG)
def test_a_reload_ends_where_a_fresh_start_does(first: int) -> None:
    for seed in range(first, first + 50):
        random = Random(seed)
        old, new = configuration(random), configuration(random)
        life = live(old, seed)
        life.until(random.choice((0.5, 4.0, 20.0)))
        life.reload(new)
        assert not life.missing, f"seed {seed}"
        reloaded_at = life.now / 1_000_000
        life.until(reloaded_at + 60)
        fresh = live(new, seed)
        fresh.until(60)
        assert life.summary() == fresh.summary(), f"seed {seed}"
        assert life.kernel.contents() == fresh.kernel.contents(), f"seed {seed}"


@pytest.mark.parametrize("seed", range(20))
def test_a_reload_of_the_same_file_does_nothing(seed: int) -> None:
    file = configuration(Random(seed))
    life = live(file, seed)
    life.until(20.3)
    before = life.summary()
    life.reload(file)
    done = [
        each for each in life.effects if not (isinstance(each, fx.WriteLog) and "considered" in each.text)
    ]
    assert done == [] and life.summary() == before


def two() -> Configuration:
    one = vi("ONE", 1, addresses=(A,))
    return Configuration(instances=(one, vi("TWO", 2, addresses=(B,))))


def changes(life: Life) -> list[str]:
    """What was asked of the kernel."""
    kinds = fx.AddAddress | fx.DeleteAddress
    return [f"{type(each).__name__} {each.address}" for each in life.effects if isinstance(each, kinds)]


def reloaded(old: Configuration, new: Configuration) -> Life:
    life = live(old)
    life.until(10)
    life.reload(new)
    assert not life.missing
    return life


def test_addresses_that_change_places_are_not_touched() -> None:
    new = Configuration(
        instances=(
            vi("ONE", 1, addresses=(B,)),
            vi("TWO", 2, addresses=(A,)),
        )
    )
    life = reloaded(two(), new)
    assert changes(life) == [] and life.must_stay == {(ETH0, A.address), (ETH0, B.address)}


def filters(life: Life) -> list[fx.Effect]:
    """What the firewall was asked for."""
    return [each for each in life.effects if isinstance(each, fx.BlockAddresses | fx.UnblockAddresses)]


def test_closed_addresses_that_change_places_are_never_open() -> None:
    """Each is closed for the new holder before the old one gives it up."""
    old = Configuration(
        instances=(vi("ONE", 1, addresses=(A,), accept=False), vi("TWO", 2, addresses=(B,), accept=False))
    )
    new = Configuration(
        instances=(vi("ONE", 1, addresses=(B,), accept=False), vi("TWO", 2, addresses=(A,), accept=False))
    )
    one, two = InstanceName("ONE"), InstanceName("TWO")
    life = reloaded(old, new)
    assert filters(life) == [
        fx.BlockAddresses(one, (B,)),
        fx.BlockAddresses(two, (A,)),
        fx.UnblockAddresses(one, (A,)),
        fx.UnblockAddresses(two, (B,)),
    ]
    assert {where for _, where in life.kernel.blocks} == {(ETH0, A.address), (ETH0, B.address)}


def test_instances_that_change_names_keep_their_addresses_closed() -> None:
    """The firewall knows them by name."""
    old = Configuration(
        instances=(vi("ONE", 1, addresses=(A,), accept=False), vi("TWO", 2, addresses=(B,), accept=True))
    )
    new = Configuration(
        instances=(vi("TWO", 1, addresses=(A,), accept=False), vi("ONE", 2, addresses=(B,), accept=True))
    )
    life = reloaded(old, new)
    assert [state.role for state in life.node.instances.values()] == [fx.Role.MASTER] * 2
    assert life.kernel.blocks == {(InstanceName("TWO"), (ETH0, A.address))}


def test_a_gone_master_leaves_its_address_to_another_one() -> None:
    new = Configuration(instances=(vi("TWO", 2, addresses=(B, A)),))
    life = reloaded(two(), new)
    assert changes(life) == []
    assert [each.advert.priority for each in life.effects if isinstance(each, fx.SendAdvert)] == [0]


def test_an_owner_that_begins_takes_over_a_held_address() -> None:
    owner = vi("NEW", 9, base_priority=255, addresses=(A,))
    owner = replace(owner, initial_state=owner.initial_state.__class__.MASTER)
    life = reloaded(two(), Configuration(instances=(two().instances[1], owner)))
    life.until(11)
    assert life.state("NEW").role is fx.Role.MASTER and (ETH0, A.address) in life.kernel.there()


def test_another_prefix_length_is_put_on_before_the_old_one_comes_off() -> None:
    new = Configuration(instances=(vi("ONE", 1, addresses=(replace(A, prefix_length=25),)),))
    life = reloaded(Configuration(instances=two().instances[:1]), new)
    assert changes(life) == ["AddAddress 10.0.0.1/25 dev eth0", "DeleteAddress 10.0.0.1/24 dev eth0"]


@pytest.mark.parametrize(
    ("before", "after"), [(A, replace(A, label="eth0:x")), (SIX, replace(SIX, prefix_length=80))]
)
def test_what_the_kernel_has_no_room_for_is_exchanged(before: VirtualAddress, after: VirtualAddress) -> None:
    old = Configuration(instances=(vi("ONE", 1, addresses=(A,), excluded_addresses=(SIX,)),))
    has = tuple(after if each == before else each for each in (A, SIX))
    new = Configuration(instances=(vi("ONE", 1, addresses=has[:1], excluded_addresses=has[1:]),))
    life = reloaded(old, new)
    assert changes(life) == [f"DeleteAddress {before}", f"AddAddress {after}"]


def test_a_static_address_that_becomes_virtual_stays() -> None:
    old = replace(two(), static_addresses=(SIX,))
    new = replace(
        two(), instances=(replace(two().instances[0], excluded_addresses=(SIX,)), two().instances[1])
    )
    assert changes(reloaded(old, new)) == []
    assert changes(reloaded(new, old)) == []


def test_a_shorter_interval_counts_from_the_reload() -> None:
    slow = Configuration(instances=(vi("ONE", 1, advert_interval_us=10_000_000, addresses=(A,)),))
    life = live(slow)
    life.until(31.0)
    life.reload(replace(slow, instances=(replace(slow.instances[0], advert_interval_us=1_000_000),)))
    assert life.state("ONE").deadline == 32_000_000


def test_a_refused_address_that_moves_is_still_asked_for() -> None:
    life = live(two())
    life.kernel.refusals[A.address] = 12
    life.until(10)
    new = Configuration(instances=(vi("TWO", 2, addresses=(B, A)),))
    life.reload(new)
    life.kernel.refusals.clear()
    life.until(60)
    assert (ETH0, A.address) in life.kernel.there()


def test_a_faulty_instance_that_is_gone_is_not_told_fault_again() -> None:
    life = live(Configuration(instances=(vi("ONE", 1, interface=InterfaceName("eth2")),)))
    assert life.state("ONE").role is fx.Role.FAULT
    life.effects = []
    life.reload(Configuration())
    assert not any(isinstance(each, fx.WriteFifo | fx.RunNotify) for each in life.effects)


def test_who_goes_on() -> None:
    old = two()
    renamed = replace(old.instances[0], name="OTHER")
    other_vrid = replace(old.instances[1], vrid=7)
    found = diff(old, replace(old, instances=(other_vrid, renamed)))
    assert [(kept.old.name, kept.new.name) for kept in found.kept] == [("ONE", "OTHER")]
    assert [each.name for each in found.gone] == ["TWO"] and [each.name for each in found.come] == ["TWO"]
    assert not found.kept[0].unchanged
