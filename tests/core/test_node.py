"""The node's structure: who an advert is for, what many instances cost, that old nodes stay as they were."""

from ipaddress import IPv4Address
from random import Random
from time import perf_counter
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core import node as core
from keepalived_py.core.roster import WIDTH, Draft, Instances
from keepalived_py.core.vrrp.state import InstanceState, earliest
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, Instance, VirtualAddress
from keepalived_py.model.globals import Globals
from keepalived_py.model.vrrp import UnicastPeer
from tests.core.conftest import advert, facts

ETH0 = InterfaceName("eth0")


def state(number: int, deadline: int | None) -> InstanceState:
    settings = Instance(InstanceName(f"VI{number}"), ETH0, 1)
    due = None if deadline is None else Micros(deadline)
    return InstanceState(settings, fx.Role.BACKUP, 100, None, None, deadline=due)


def test_a_roster_agrees_with_a_dictionary() -> None:
    random = Random(1)
    plain = {InstanceName(f"VI{number}"): state(number, None) for number in range(3 * WIDTH + 5)}
    made = Instances(plain)
    for _ in range(300):
        number = random.randrange(len(plain))
        name = InstanceName(f"VI{number}")
        old, before = made, dict(plain)
        plain[name] = state(number, random.choice((None, random.randrange(100))))
        if random.random() < 0.5:
            made = made.with_one(name, plain[name])
        else:
            draft = Draft(made)
            draft[name] = plain[name]
            made = draft.close()
        assert dict(old) == before
    assert dict(made) == plain and list(made) == list(plain) and len(made) == len(plain)
    times = sorted((due, name) for name, each in plain.items() if (due := earliest(each)) is not None)
    assert made.next_deadline == times[0][0]
    assert made.overdue(Micros(50)) == [each for each in times if each[0] <= 50]


def test_a_draft_takes_new_names() -> None:
    draft = Draft(Instances({}))
    draft[InstanceName("VI1")] = state(1, 5)
    draft[InstanceName("VI0")] = state(0, 3)
    made = draft.close()
    assert list(made) == ["VI1", "VI0"] and made.next_deadline == 3 and Instances({}).next_deadline is None


def many(count: int) -> tuple[core.Node, list[ev.AdvertReceived]]:
    interfaces = {
        name: facts(name, index=10 + at) for at, name in enumerate(f"eth{each}" for each in range(5))
    }
    instances = tuple(
        Instance(
            InstanceName(f"VI{number}"),
            InterfaceName(f"eth{number // 250}"),
            number % 250 + 1,
            addresses=(
                VirtualAddress(IPv4Address(0x0A001000 + number), 24, InterfaceName(f"eth{number // 250}")),
            ),
        )
        for number in range(count)
    )
    heard = [
        ev.AdvertReceived(made.interface, advert(200, vrid=made.vrid, addresses=(made.addresses[0].address,)))
        for made in instances
    ]
    start = core.start(Configuration(instances=instances), interfaces, Micros(0))  # type: ignore[arg-type]
    return start.node, heard


def cost_of_an_advert(count: int) -> float:
    node, heard = many(count)
    best = 1.0
    for _ in range(5):
        begun = perf_counter()
        for at in range(500):
            node = core.step(node, heard[at % count], Micros(at)).node
            core.next_deadline(node)
        best = min(best, (perf_counter() - begun) / 500)
    return best


def test_the_cost_of_an_advert_does_not_grow_with_the_number_of_instances() -> None:
    assert cost_of_an_advert(1000) < 3 * cost_of_an_advert(10)


def test_an_old_node_can_be_stepped_again() -> None:
    node, heard = many(40)
    first = core.step(node, heard[3], Micros(7))
    due = core.next_deadline(node)
    assert due is not None
    core.step(first.node, ev.Tick(), Micros(due + 10))
    again = core.step(node, heard[3], Micros(7))
    assert dict(again.node.instances) == dict(first.node.instances) and again.effects == first.effects


def unicast(name: str, source: str, *peers: str, **fields: Any) -> Instance:
    made = tuple(UnicastPeer(IPv4Address(peer)) for peer in peers)
    return Instance(
        InstanceName(name), ETH0, 51, source=IPv4Address(source), unicast_peers=made, version=3, **fields
    )


@pytest.mark.parametrize(
    ("destination", "source", "expected"),
    [
        ("10.0.0.5", "10.0.0.9", "A"),
        ("10.0.0.5", "10.0.0.8", "B"),
        ("10.0.0.5", "10.0.0.77", "A"),
        ("10.0.0.6", "10.0.0.9", "C"),
        ("10.0.0.7", "10.0.0.9", None),
    ],
)
def test_one_vrid_for_several_unicast_instances(destination: str, source: str, expected: str | None) -> None:
    instances = (
        unicast("A", "10.0.0.5", "10.0.0.9"),
        unicast("B", "10.0.0.5", "10.0.0.8"),
        unicast("C", "10.0.0.6", "10.0.0.9"),
    )
    node = core.start(Configuration(instances=instances), {ETH0: facts()}, Micros(0)).node
    packet = advert(
        200,
        source,
        destination=IPv4Address(destination),
        version=3,
        advert_interval=100,
        addresses=(),
        address_count=0,
    )
    new = core.step(node, ev.AdvertReceived(ETH0, packet), Micros(5)).node
    changed = [name for name in node.instances if new.instances[name] is not node.instances[name]]
    assert changed == ([] if expected is None else [expected])
    assert new.unknown_vrid == (expected is None)


def test_both_families_share_a_vrid() -> None:
    four = Instance(InstanceName("FOUR"), ETH0, 51)
    six = Instance(InstanceName("SIX"), ETH0, 51, family=6, version=3)
    node = core.start(Configuration(instances=(four, six)), {ETH0: facts()}, Micros(0)).node
    new = core.step(node, ev.AdvertReceived(ETH0, advert(200, addresses=())), Micros(5)).node
    assert new.instances[InstanceName("FOUR")] is not node.instances[InstanceName("FOUR")]
    assert new.instances[InstanceName("SIX")] is node.instances[InstanceName("SIX")]


def test_unknown_vrids_are_counted_and_said_if_asked() -> None:
    node = core.start(Configuration(globals=Globals(log_unknown_vrids=True)), {ETH0: facts()}, Micros(0)).node
    step = core.step(node, ev.AdvertReceived(ETH0, advert(200)), Micros(5))
    assert step.node.unknown_vrid == 1
    assert step.effects == (fx.WriteLog("Unknown VRID(51) received on interface(eth0). ignoring..."),)


def test_a_pause_is_judged_by_every_instance() -> None:
    node, _ = many(3)
    node = core.step(node, ev.Tick(), Micros(3_700_000)).node
    assert {each.role for each in node.instances.values()} == {fx.Role.MASTER}
    step = core.step(node, ev.Paused(Micros(60_000_000)), Micros(63_700_000))
    assert {each.role for each in step.node.instances.values()} == {fx.Role.BACKUP}
    assert not any(isinstance(each, fx.SendAdvert) for each in step.effects)
    short = core.step(node, ev.Paused(Micros(1_000)), Micros(3_701_000))
    assert short.effects == ()


def test_many_changes_close_as_single_ones() -> None:
    names = [InstanceName(f"VI{number}") for number in range(3 * WIDTH)]
    base = Instances({name: state(number, number) for number, name in enumerate(names)})
    draft, single = Draft(base), base
    for number in (0, 1, WIDTH, 3 * WIDTH - 1):
        draft[names[number]] = state(number, 500 + number)
        single = single.with_one(names[number], state(number, 500 + number))
    made = draft.close()
    assert dict(made) == dict(single) and made.next_deadline == single.next_deadline == 2
    assert made.due_by(10) == 9 and made.due_by(1) == 0 and base.due_by(1) == 2


def test_news_told_together_is_news_told_one_by_one() -> None:
    virtual = VirtualAddress(IPv4Address("10.0.0.100"), 32, ETH0)
    settings = Instance(InstanceName("VI"), ETH0, 1, base_priority=255, addresses=(virtual,))
    node = core.start(Configuration(instances=(settings,)), {ETH0: facts()}, Micros(0)).node
    node = core.step(node, ev.Tick(), Micros(0)).node
    news: list[ev.EffectDone | ev.AddressAdded] = [
        ev.EffectDone(fx.AddAddress(settings.name, virtual), fx.Failed(1)),
        ev.AddressAdded(ETH0, ev.InterfaceAddress(virtual.address, 32)),
        ev.AddressAdded(ETH0, ev.InterfaceAddress(IPv4Address("10.0.0.7"), 24)),
        ev.EffectDone(fx.AddAddress(settings.name, virtual), fx.Done()),
    ]
    together = core.tell(node, news, Micros(10))
    one_by_one: list[fx.Effect] = []
    for event in news:
        step = core.step(node, event, Micros(10))
        node = step.node
        one_by_one += step.effects
    assert list(together.effects) == one_by_one
    assert together.node.present == node.present and together.node.interfaces == node.interfaces
    assert together.node.ledger == node.ledger


def test_a_timer_counts_from_when_the_advert_came() -> None:
    settings = Instance(InstanceName("VI"), ETH0, 51, base_priority=100)
    node = core.start(Configuration(instances=(settings,)), {ETH0: facts()}, Micros(0)).node
    now, age = Micros(1_000_000), Micros(3_000)
    fresh = core.step(node, ev.AdvertReceived(ETH0, advert(200)), now).node
    aged = core.step(node, ev.AdvertReceived(ETH0, advert(200), age_us=age), now).node
    assert core.next_deadline(fresh) - core.next_deadline(aged) == age  # type: ignore[operator]
