"""Steps worked out ahead are the steps that would have been taken, or are thrown away."""

from collections.abc import Sequence
from ipaddress import IPv4Address

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core import node as core
from keepalived_py.election.foresight import LONGEST_LEAD, Foresight
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import Configuration, Instance, VirtualAddress

ETH0 = InterfaceName("eth0")
FACTS = ev.InterfaceFacts(
    ETH0, 7, up=True, mac=b"\x02\0\0\0\0\1", addresses=(ev.InterfaceAddress(IPv4Address("10.0.0.1"), 24),)
)


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.now = Micros(0)
        self.prepared: list[fx.Effect] = []

    def __call__(self) -> Micros:
        return self.now

    def prepare(self, effects: Sequence[fx.Effect]) -> Sequence[fx.Effect]:
        self.prepared += effects
        return effects

    def foresight(self) -> Foresight[Sequence[fx.Effect]]:
        return Foresight(self, self.prepare)


def swarm(count: int) -> core.Node:
    """Backups whose timers run out a millisecond or two after each other: skews at 256 ms differ by one."""
    instances = tuple(
        Instance(
            InstanceName(f"V{n}"),
            ETH0,
            n,
            version=3,
            base_priority=100 + n,
            advert_interval_us=Micros(256_000),
            addresses=(VirtualAddress(IPv4Address(0x0A010000 + n), 32, ETH0),),
        )
        for n in range(1, count + 1)
    )
    return core.start(Configuration(instances=instances), {ETH0: FACTS}, Micros(0)).node


def due(node: core.Node) -> Micros:
    found = core.next_deadline(node)
    assert found is not None
    return found


def test_a_swarm_is_foreseen_as_it_happens() -> None:
    clock, node = Clock(), swarm(4)
    foresight = clock.foresight()
    foresight.look(node, due(node))
    assert foresight.knows(node) and foresight.ends is not None
    assert sum(isinstance(effect, fx.SendAdvert) for effect in clock.prepared) == 4
    for _ in range(4):
        assert foresight.take(node) is None, "it is not due yet"
        clock.now = due(node)
        expected = core.step(node, ev.Tick(), clock.now)
        found = foresight.take(node)
        assert found is not None
        node, effects = found
        assert effects == expected.effects
        assert dict(node.instances) == dict(expected.node.instances)
    assert foresight.ends is None


def test_an_event_in_between_makes_it_worthless() -> None:
    clock, node = Clock(), swarm(2)
    foresight = clock.foresight()
    foresight.look(node, due(node))
    clock.now = due(node)
    other = core.step(node, ev.PacketUndecodable(ETH0, "short"), Micros(clock.now - 10)).node
    assert not foresight.knows(other)
    assert foresight.take(other) is None and foresight.ends is None


def test_nothing_is_worked_out_when_the_deadline_is_near() -> None:
    clock, node = Clock(), swarm(3)
    clock.now = Micros(due(node) - 100)
    foresight = clock.foresight()
    foresight.look(node, due(node))
    assert foresight.ends == due(node), "the first step alone"
    foresight.forget()
    assert not foresight.knows(node)


def test_the_more_is_due_the_earlier_it_is_worked_out() -> None:
    one, many = swarm(1), swarm(5)
    foresight = Clock().foresight()
    assert foresight.lead(one, due(one)) < foresight.lead(many, due(many)) < LONGEST_LEAD
