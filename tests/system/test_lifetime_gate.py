"""The gate of kernels without a packet filter: lifetimes of addresses, as ip(8) shows them."""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from itertools import pairwise

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.model.effects import Done
from keepalived_py.system import lifetime_gate
from keepalived_py.system.clocks import boottime
from keepalived_py.system.lifetime_gate import LifetimeGate
from keepalived_py.system.requests import Conversation

from .conftest import Ip, run_ip

FOUR, SIX = "10.0.0.100", "fd00::100"
PATIENCE_S = 2.0


def vip(text: str) -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, address.max_prefixlen, InterfaceName("v0"))


def soon() -> Micros:
    return Micros(boottime() + 10_000_000)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def shown(target: str) -> str:
    done = subprocess.run(
        ["ip", "addr", "show", "dev", "v0"], capture_output=True, text=True, timeout=10, check=True
    )
    lines = done.stdout.splitlines()
    return next((after for line, after in pairwise(lines) if f" {target}/" in line), "")


def with_lifetimes(scenario: Callable[[LifetimeGate], Awaitable[None]]) -> list[str]:
    lines: list[str] = []

    async def main() -> None:
        opened = LifetimeGate(lines.append)
        try:
            await scenario(opened)
        finally:
            await opened.close(release=True)

    asyncio.run(asyncio.wait_for(main(), 20))
    return lines


@pytest.mark.slow
@pytest.mark.parametrize("target", [FOUR, SIX])
def test_an_extended_address_lives_on_and_then_goes(ip: Ip, target: str) -> None:
    async def scenario(opened: LifetimeGate) -> None:
        one = vip(target)
        assert await opened.guard("A", [one], soon()) == Done()
        opened.extend("A", soon())
        await asyncio.sleep(0)
        run_ip(f"addr add {target}/{one.prefix_length} dev v0")

        def limited() -> bool:
            opened.extend("A", soon())
            return "valid_lft 2sec" in shown(target)

        await until(limited)
        extended = time.monotonic()
        while time.monotonic() < extended + 2.7:
            opened.extend("A", soon())
            assert shown(target)
            await asyncio.sleep(0.1)
        end = time.monotonic() + 4
        while shown(target):
            assert time.monotonic() < end
            await asyncio.sleep(0.05)

    assert with_lifetimes(scenario) == []


def test_what_was_shut_does_not_come_back(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is deleted after the gate has looked for it and before it prolongs it."""
    look = lifetime_gate._there

    def seen_and_deleted(talk: Conversation) -> object:
        found = look(talk)
        run_ip(f"addr del {FOUR}/32 dev v0")
        return found

    monkeypatch.setattr(lifetime_gate, "_there", seen_and_deleted)
    run_ip(f"addr add {FOUR}/32 dev v0")

    async def scenario(opened: LifetimeGate) -> None:
        await opened.guard("A", [vip(FOUR)], soon())
        opened.extend("A", soon())
        await asyncio.sleep(0)
        opened.shut("A")

    assert with_lifetimes(scenario) == []
    assert shown(FOUR) == ""
