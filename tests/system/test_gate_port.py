"""The gate from inside the loop: calls take effect in their order, and what the kernel refuses is told."""

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from keepalived_py.model.effects import Done, Failed
from keepalived_py.system import gate, nftables
from keepalived_py.system.gate import NftGate, Tables
from keepalived_py.system.lifetime_gate import LifetimeGate

from .conftest import Ip
from .gate_wire import FOUR, PATIENCE_S, SIX, Wire, soon, vip
from .test_gate import ruleset


def with_gate(scenario: Callable[[NftGate], Awaitable[None]], release: bool = True) -> list[str]:
    lines: list[str] = []

    async def main() -> None:
        opened = NftGate(lines.append)
        assert await opened.open() == 0
        try:
            await scenario(opened)
        finally:
            await opened.close(release)

    asyncio.run(asyncio.wait_for(main(), 20))
    return lines


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def test_calls_take_effect_in_their_order(wire: Wire) -> None:
    async def scenario(opened: NftGate) -> None:
        assert opened.works
        assert await opened.guard("A", [vip(FOUR), vip(SIX)], soon()) == Done()
        assert wire.answers(FOUR) and wire.answers(SIX)
        opened.extend("A", soon(300_000))
        opened.shut("A")
        await until(lambda: not wire.hears("echo", FOUR, 0.02))
        assert not wire.answers(SIX)
        opened.release("A")
        await until(lambda: wire.hears("echo", FOUR, 0.02))

    assert with_gate(scenario) == []
    assert ruleset() == ""


def test_what_is_not_released_stays_shut(wire: Wire) -> None:
    async def scenario(opened: NftGate) -> None:
        assert await opened.guard("A", [vip(FOUR)], soon(1000)) == Done()

    with_gate(scenario, release=False)
    assert not wire.answers(FOUR)


def test_extensions_of_one_turn_are_one_batch(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    carry_out = Tables.carry_out

    def counted(self: Tables, orders: Sequence[gate.Order]) -> int:
        if orders:
            batches.append(len(orders))
        return carry_out(self, orders)

    monkeypatch.setattr(Tables, "carry_out", counted)

    async def scenario(opened: NftGate) -> None:
        await opened.guard("A", [vip(FOUR)], soon())
        for _ in range(50):
            opened.extend("A", soon())
        assert await opened.guard("B", [vip(SIX)], soon()) == Done()

    with_gate(scenario)
    assert batches == [1, 51]


def test_a_refusing_kernel_is_told_of_once_a_minute(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(opened: NftGate) -> None:
        await opened.guard("A", [vip(FOUR)], soon())
        with monkeypatch.context() as broken:
            broken.setattr(nftables.Channel, "commit", lambda self, messages: errno.EPERM)
            assert await opened.guard("B", [vip(SIX)], soon()) == Failed(errno.EPERM)
            opened.extend("A", soon())
            assert await opened.guard("C", [vip(SIX)], soon()) == Failed(errno.EPERM)
            seen = opened.works
        assert not seen
        assert await opened.guard("C", [vip(SIX)], soon()) == Done()
        assert opened.works and wire.answers(SIX) and wire.answers(FOUR)

    lines = with_gate(scenario)
    assert len(lines) == 1 and "refused (Operation not permitted)" in lines[0]


def test_after_the_end_nothing_is_guarded(wire: Wire) -> None:
    kept: list[NftGate] = []

    async def scenario(opened: NftGate) -> None:
        kept.append(opened)

    with_gate(scenario)
    assert asyncio.run(kept[0].guard("A", [vip(FOUR)], soon())) == Failed(errno.ESHUTDOWN)
    assert not kept[0].works


def test_without_a_packet_filter_addresses_get_a_lifetime(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        def __init__(self) -> None:
            raise OSError(errno.EPROTONOSUPPORT, "no netfilter")

    monkeypatch.setattr(nftables, "Channel", Without)
    lines: list[str] = []

    async def main() -> None:
        opened = await gate.open_gate(lines.append)
        assert isinstance(opened, LifetimeGate) and not opened.works
        await opened.close(release=True)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert len(lines) == 1 and "no packet filter" in lines[0] and "2 seconds" in lines[0]
