"""Holds addresses by a gate, as told by a page of memory that it shares with a test.

`python gate_holder.py PAGE CONFIG`: PAGE is a file of `Page`, CONFIG is JSON: `vips`, `interface`,
`every_us`, and either `lease_us` (a lease, extended all the time) or nothing (`dead_man`: adverts).
The time that is promised is on the page before the gate hears of it.
"""

import asyncio
import json
import mmap
import struct
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election.dead_man import DeadMan
from keepalived_py.model.config import Configuration, Instance, VirtualAddress
from keepalived_py.model.effects import Done
from keepalived_py.system.clocks import boottime
from keepalived_py.system.gate import NftGate

OWNER = InstanceName("VI_1")
_PAGE = struct.Struct("=qqq")


class Page:
    """`until`: the promise, or the last advert, on CLOCK_BOOTTIME; `holds`: it is guarded; `quiet`: extend nothing."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    @staticmethod
    def make(path: Path) -> "Page":
        path.write_bytes(bytes(mmap.PAGESIZE))
        return Page(path)

    def _field(self, place: int) -> int:
        value: int = _PAGE.unpack_from(self._memory)[place]
        return value

    def _write(self, place: int, value: int) -> None:
        struct.pack_into("=q", self._memory, 8 * place, value)

    until = property(lambda self: self._field(0), lambda self, value: self._write(0, value))
    holds = property(lambda self: self._field(1), lambda self, value: self._write(1, value))
    quiet = property(lambda self: self._field(2), lambda self, value: self._write(2, value))


async def hold(page: Page, config: dict[str, Any]) -> None:
    addresses = tuple(
        VirtualAddress(ip_address(vip), ip_address(vip).max_prefixlen, InterfaceName(config["interface"]))
        for vip in config["vips"]
    )
    gate = NftGate(print)
    assert await gate.open() == 0
    every_us = config["every_us"]
    if "lease_us" in config:
        page.until = boottime() + config["lease_us"]
        assert await gate.guard(OWNER, addresses, page.until) == Done()
    instance = Instance(
        OWNER,
        addresses[0].interface,
        1,
        version=3,
        advert_interval_us=every_us,
        addresses=addresses,
        dead_man=True,
    )
    dead_man = DeadMan(gate, boottime, print)
    dead_man.follow(Configuration(instances=(instance,)))
    if "lease_us" not in config:
        page.until = boottime()
        assert await dead_man.taking(OWNER) == Done()
    page.holds = 1
    while True:
        await asyncio.sleep(every_us / 1_000_000)
        if page.quiet:
            continue
        if "lease_us" in config:
            page.until = boottime() + config["lease_us"]
            gate.extend(OWNER, page.until)
        else:
            page.until = boottime()
            dead_man.sent(instance, Micros(page.until))


if __name__ == "__main__":
    asyncio.run(hold(Page(Path(sys.argv[1])), json.loads(sys.argv[2])))
