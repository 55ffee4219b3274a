"""The dead man's switch: what it asks of a gate, for adverts and addresses that come and go."""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import pytest

from keepalived_py.base.clock import MILLISECOND, SECOND, Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.core.vrrp.timing import taken_over_after
from keepalived_py.election.dead_man import DeadMan, trusted_for
from keepalived_py.election.ports import GatePort, KernelPort
from keepalived_py.model import effects as fx
from keepalived_py.model.config import Configuration, Election, Instance, VirtualAddress
from keepalived_py.system.gate import NftGate
from keepalived_py.system.lifetime_gate import LifetimeGate

A, B = InstanceName("A"), InstanceName("B")
ETH0 = InterfaceName("eth0")
START = Micros(1_000_000_000)
TRUSTED = 2_970_000


def vip(text: str) -> VirtualAddress:
    return VirtualAddress(ip_address(text), 32, ETH0)


ONE, TWO, THREE = vip("10.0.0.1"), vip("10.0.0.2"), vip("10.0.0.3")


def instance(name: InstanceName = A, *addresses: VirtualAddress, dead_man: bool = True) -> Instance:
    return Instance(name, ETH0, 1, addresses=addresses or (ONE,), dead_man=dead_man)


class Gate:
    """Remembers what it was asked for, with the kernel's changes between; `refuses` guards."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.refuses = False
        self.works = True

    async def guard(self, owner: str, addresses: Sequence[VirtualAddress], until: Micros) -> fx.Outcome:
        await asyncio.sleep(0)
        self.calls.append(("guard", owner, tuple(addresses), until - START))
        return fx.Failed(errno.EPERM) if self.refuses else fx.Done()

    def extend(self, owner: str, until: Micros) -> None:
        self.calls.append(("extend", owner, until - START))

    def shut(self, owner: str) -> None:
        self.calls.append(("shut", owner))

    def release(self, owner: str) -> None:
        self.calls.append(("release", owner))

    async def close(self, release: bool) -> None:
        self.calls.append(("close", release))

    def apply(self, changes: Sequence[fx.KernelChange]) -> Awaitable[Sequence[fx.Outcome]]:
        for change in changes:
            assert isinstance(change, fx.AddAddress | fx.DeleteAddress)
            self.calls.append((type(change).__name__, change.instance, change.address))
        return self._done(len(changes))

    async def _done(self, count: int) -> Sequence[fx.Outcome]:
        return [fx.Done()] * count

    def take(self) -> list[tuple[object, ...]]:
        """What it was asked for since the last time."""
        calls, self.calls = self.calls, []
        return calls


Scenario = Callable[[DeadMan, Gate, KernelPort], Awaitable[None]]


def play(scenario: Scenario, *instances: Instance) -> list[str]:
    lines: list[str] = []

    async def main() -> None:
        gate = Gate()
        dead_man = DeadMan(gate, lambda: START, lines.append)
        dead_man.follow(Configuration(instances=instances))
        await scenario(dead_man, gate, dead_man.kernel(gate))

    asyncio.run(asyncio.wait_for(main(), 10))
    return lines


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_master_guards_extends_and_gives_back() -> None:
    settings = instance(A, ONE, TWO)

    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        dead_man.sent(settings, START)
        await kernel.apply([fx.AddAddress(A, ONE), fx.AddAddress(A, TWO)])
        guarded = ("guard", A, (ONE, TWO), TRUSTED)
        assert gate.take() == [guarded, ("AddAddress", A, ONE), ("AddAddress", A, TWO)]
        dead_man.sent(settings, Micros(START + SECOND))
        assert gate.take() == [("extend", A, TRUSTED + SECOND)]
        await kernel.apply([fx.DeleteAddress(A, ONE)])
        await settle()
        assert gate.take() == [("DeleteAddress", A, ONE)]
        await kernel.apply([fx.DeleteAddress(A, TWO)])
        await settle()
        assert gate.take() == [("DeleteAddress", A, TWO), ("release", A)]

    assert play(scenario, settings) == []


def test_others_are_left_alone() -> None:
    plain = instance(B, dead_man=False)
    by_quorum = replace(instance(A), election=Election.RAFT)

    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        assert not dead_man.needed
        for settings in (plain, by_quorum):
            dead_man.sent(settings, START)
            assert await dead_man.taking(settings.name) == fx.AlreadySo()
            await kernel.apply([fx.AddAddress(settings.name, ONE), fx.DeleteAddress(settings.name, ONE)])
        await settle()
        assert {call[0] for call in gate.take()} == {"AddAddress", "DeleteAddress"}

    assert play(scenario, plain, by_quorum) == []


def test_without_a_switch_between_those_with_one() -> None:
    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        await kernel.apply([fx.AddAddress(B, TWO), fx.AddAddress(A, ONE)])
        assert gate.take() == [("guard", A, (ONE,), TRUSTED), ("AddAddress", B, TWO), ("AddAddress", A, ONE)]

    play(scenario, instance(A), instance(B, TWO, dead_man=False))


def test_reload_gives_a_master_the_switch_and_takes_it_away() -> None:
    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        await kernel.apply([fx.AddAddress(A, ONE)])
        dead_man.follow(Configuration(instances=(instance(A),)))
        dead_man.sent(instance(A), START)
        await settle()
        assert gate.take() == [("AddAddress", A, ONE), ("guard", A, (ONE,), TRUSTED)]
        dead_man.follow(Configuration(instances=(instance(A, dead_man=False),)))
        await settle()
        assert gate.take() == [("release", A)]
        dead_man.sent(instance(A, dead_man=False), START)
        assert gate.take() == []

    play(scenario, instance(A, dead_man=False))


def test_reload_gives_a_master_other_addresses() -> None:
    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        await kernel.apply([fx.AddAddress(A, ONE)])
        gate.take()
        dead_man.follow(Configuration(instances=(instance(A, TWO),)))
        await kernel.apply([fx.DeleteAddress(A, ONE), fx.AddAddress(A, TWO)])
        await settle()
        guarded = ("guard", A, (TWO,), TRUSTED)
        assert gate.take() == [guarded, ("DeleteAddress", A, ONE), ("AddAddress", A, TWO)]
        dead_man.sent(instance(A, TWO), START)
        assert gate.take() == [("extend", A, TRUSTED)]

    play(scenario, instance(A, ONE))


def test_given_up_before_it_was_guarded() -> None:
    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        dead_man.sent(instance(A), START)
        dead_man.left(A)
        await settle()
        assert [call[0] for call in gate.take()] == ["guard", "release"]

    play(scenario, instance(A))


def test_a_gate_that_refuses_is_no_reason_not_to_take_over() -> None:
    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        gate.refuses = True
        await kernel.apply([fx.AddAddress(A, ONE)])
        assert [call[0] for call in gate.take()] == ["guard", "AddAddress"]
        dead_man.sent(instance(A), START)
        await settle()
        gate.refuses = False
        dead_man.sent(instance(A), START)
        await settle()
        dead_man.sent(instance(A), START)
        assert [call[0] for call in gate.take()] == ["guard", "guard", "extend"]

    lines = play(scenario, instance(A))
    assert lines == ["(A) dead_man: the gate could not be set up (Operation not permitted)"]


@pytest.mark.parametrize(("interval", "adverts"), [(SECOND, 3), (SECOND, 2), (10 * MILLISECOND, 3)])
def test_silent_before_anybody_takes_over_and_not_before_the_next_advert(interval: int, adverts: int) -> None:
    settings = replace(instance(), version=3, advert_interval_us=Micros(interval), down_timer_adverts=adverts)
    assert interval < trusted_for(settings) < taken_over_after(settings, 255)


def test_others_may_count_fewer_adverts_than_we() -> None:
    assert trusted_for(replace(instance(), down_timer_adverts=9)) == trusted_for(instance()) == TRUSTED


def test_who_waits_for_one_advert_cannot_be_served() -> None:
    async def scenario(dead_man: DeadMan, gate: Gate, kernel: KernelPort) -> None:
        assert not dead_man.needed

    lines = play(scenario, replace(instance(), down_timer_adverts=1))
    assert lines == ["(A) dead_man needs down_timer_adverts of at least 2: left off"]


def test_both_gates_are_gates() -> None:
    """As far as types go; what they do is tested with them."""
    kinds: tuple[Callable[[Callable[[str], None]], GatePort], ...] = (NftGate, LifetimeGate)
    assert len(set(kinds)) == 2
