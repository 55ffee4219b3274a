"""Virtual devices in a namespace of their own: groups, news, refusals, parameters given back."""

import asyncio
import dataclasses
import errno
import json
import subprocess
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome, TimedOut
from keepalived_py.model.interfaces import Device, DeviceKind
from keepalived_py.system import sysctl
from keepalived_py.system.device_requests import DeviceRequests, FoundLink
from keepalived_py.system.devices import Devices
from keepalived_py.system.rtnetlink import Request

pytestmark = pytest.mark.netns

Ip = Callable[[str], None]
V0, MAC = InterfaceName("v0"), bytes.fromhex("00005e000133")
DEVICE = Device(InterfaceName("vrrp.51"), V0, DeviceKind.MACVLAN, InstanceName("V"), 4, "private", mac=MAC)


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def info(self, text: str) -> None:
        self.texts.append(text)

    detail = info


def run(
    work: Callable[[Devices], Awaitable[Any]], requests: Callable[[], DeviceRequests] = DeviceRequests
) -> tuple[Any, list[str]]:
    """What `work` returns, and what was logged."""
    lines = Lines()

    async def main() -> Any:
        devices = Devices(lines, requests)
        try:
            return await work(devices)
        finally:
            devices.close()

    return asyncio.run(main()), lines.texts


def shown(name: str) -> dict[str, Any]:
    words = ["ip", "-d", "-j", "addr", "show", "dev", name]
    done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return found[0] if found else {}


def test_made_and_removed(ip: Ip) -> None:
    async def work(devices: Devices) -> list[Outcome]:
        made = [await devices.create(DEVICE), await devices.create(DEVICE)]
        assert shown("vrrp.51")["address"] == "00:00:5e:00:01:33"
        return [*made, await devices.remove(DEVICE), await devices.remove(DEVICE)]

    outcomes, lines = run(work)
    assert outcomes == [Done(), AlreadySo(), Done(), AlreadySo()]
    assert lines == [
        "(V): Success creating VMAC interface vrrp.51",
        "(V) Success removing VMAC interface vrrp.51",
    ]
    assert not shown("vrrp.51") and sysctl.read(4, "v0", "arp_ignore") == 0


@pytest.mark.parametrize(("asked_for", "expected"), [(None, "7"), ("9", "9"), ("no-such-name", "7")])
def test_the_group_is_that_of_the_interface_below(ip: Ip, asked_for: str | None, expected: str) -> None:
    ip("link set v0 group 7")
    run(lambda devices: devices.create(replace(DEVICE, group=asked_for)))
    assert shown("vrrp.51")["group"] == expected


def test_a_foreign_interface_of_that_name_stays(ip: Ip) -> None:
    ip("link add vrrp.51 type veth peer name x")
    outcome, lines = run(lambda devices: devices.create(DEVICE))
    assert outcome == Failed(errno.EEXIST)
    assert lines == ["VMAC vrrp.51 conflicts with existing interface"]
    assert shown("vrrp.51")["linkinfo"]["info_kind"] == "veth"


def test_without_the_interface_below_nothing_is_made(ip: Ip) -> None:
    outcome, lines = run(lambda devices: devices.create(replace(DEVICE, base=InterfaceName("gone"))))
    assert outcome == Failed(errno.ENODEV) and lines == []


def test_a_refusal_is_told_with_its_reason(ip: Ip) -> None:
    """Two macvlans with one MAC address on one interface are refused."""
    ip("link add link v0 name other type macvlan mode private")
    ip("link set other address 00:00:5e:00:01:33 up")
    outcome, lines = run(lambda devices: devices.settle(Configuration(devices=(DEVICE,))))
    # The device is made, and cannot be brought up beside the other one.
    assert outcome == {"vrrp.51": Failed(errno.EADDRINUSE)}
    assert lines[-1].startswith("(V) Unable to bring up VMAC interface vrrp.51")


def test_a_reload_adds_first_and_removes_last(ip: Ip) -> None:
    other = replace(DEVICE, name=InterfaceName("vrrp.52"), mac=bytes.fromhex("00005e000134"))
    named = replace(DEVICE, name=InterfaceName("named"))

    async def work(devices: Devices) -> list[tuple[bool, ...]]:
        seen = []
        await devices.settle(Configuration(devices=(DEVICE, other)))
        for step in (devices.add, devices.settle):
            assert set(await step(Configuration(devices=(named,)))) <= {"named"}
            seen.append(tuple(bool(shown(name)) for name in ("vrrp.51", "vrrp.52", "named")))
        assert "UP" in shown("named")["flags"]
        return seen

    seen, lines = run(work)
    # The one with the same MAC address had to go first.
    assert seen == [(False, True, True), (False, False, True)]
    assert lines[2:] == [
        "(V) Deleting old VMAC interface vrrp.51",
        "(V) Success removing VMAC interface vrrp.51",
        "(V): Success creating VMAC interface named",
        "(V) Success removing VMAC interface vrrp.52",
    ]


def test_what_failed_is_tried_again(ip: Ip) -> None:
    ip("link add link v0 name other type macvlan mode private")
    ip("link set other address 00:00:5e:00:01:33 up")

    async def work(devices: Devices) -> list[dict[InterfaceName, Outcome]]:
        first = await devices.settle(Configuration(devices=(DEVICE,)))
        ip("link del other")
        return [first, *[await devices.settle(Configuration(devices=(DEVICE,))) for _ in range(2)]]

    refused, again, at_last = run(work)[0]
    assert refused == {DEVICE.name: Failed(errno.EADDRINUSE)} and again == {DEVICE.name: AlreadySo()}
    assert at_last == {} and "UP" in shown(DEVICE.name)["flags"]


def test_what_others_removed_meanwhile_is_gone(ip: Ip) -> None:
    async def work(devices: Devices) -> Outcome:
        await devices.create(DEVICE)
        ip("link del vrrp.51")
        return await devices.remove(DEVICE)

    assert run(work)[0] == AlreadySo()
    assert sysctl.read(4, "v0", "arp_ignore") == 0


def test_a_namesake_that_others_made_is_not_removed(ip: Ip) -> None:
    async def work(devices: Devices) -> Outcome:
        await devices.create(DEVICE)
        ip("link del vrrp.51")
        ip("link add vrrp.51 type veth peer name x")
        return await devices.remove(DEVICE)

    assert run(work)[0] == AlreadySo() and shown("vrrp.51")


@pytest.mark.parametrize("together", [True, False])
def test_many_are_removed_at_once(ip: Ip, together: bool) -> None:
    """By one request; one by one where the kernel refuses that."""

    class Counting(DeviceRequests):
        singly, at_once = 0, 0

        def delete(self, index: int) -> int:
            Counting.singly += 1
            return super().delete(index)

        def delete_group(self, group: int) -> int:
            Counting.at_once += 1
            return super().delete_group(group) if together else errno.EPERM

    ip("link add link v0 name foreign group 77 type macvlan")
    many = tuple(
        replace(DEVICE, name=InterfaceName(f"vrrp.{vrid}"), mac=MAC[:5] + bytes((vrid,)))
        for vrid in range(1, 6)
    )

    async def work(devices: Devices) -> None:
        await devices.settle(Configuration(devices=many))
        await devices.settle(Configuration(devices=many[:1]))
        assert shown("vrrp.1") and not shown("vrrp.2")
        await devices.restore()

    _, lines = run(work, Counting)
    assert (Counting.singly, Counting.at_once) == ((1, 1) if together else (5, 1))
    assert sum("Success removing" in line for line in lines) == 5
    assert shown("foreign") and not shown("vrrp.1")
    assert sysctl.read(4, "v0", "arp_ignore") == 0


def test_parameters_below_are_given_back_with_the_last_device(ip: Ip) -> None:
    Path("/proc/sys/net/ipv4/conf/v0/arp_ignore").write_text("2")
    second = replace(DEVICE, name=InterfaceName("vrrp.52"), mac=bytes.fromhex("00005e000134"))

    async def work(devices: Devices) -> list[int | None]:
        seen = []
        for device in (DEVICE, second):
            await devices.create(device)
        for device in (DEVICE, second):
            seen.append(sysctl.read(4, "v0", "arp_ignore"))
            await devices.remove(device)
        return [*seen, sysctl.read(4, "v0", "arp_ignore"), sysctl.read(4, "v0", "arp_filter")]

    assert run(work)[0] == [1, 1, 2, 0]


def test_what_a_reload_does_without_is_not_made_again(ip: Ip) -> None:
    """It had to give way to the new one, and the core has not yet heard of the new configuration."""
    renamed = replace(DEVICE, name=InterfaceName("renamed"))

    async def work(devices: Devices) -> tuple[Outcome, Outcome]:
        await devices.settle(Configuration(devices=(DEVICE,)))
        await devices.add(Configuration(devices=(renamed,)))
        return await devices.create(DEVICE), await devices.create(renamed)

    assert run(work)[0] == (AlreadySo(), AlreadySo())
    assert shown("renamed") and not shown("vrrp.51")


def test_parameters_that_others_changed_meanwhile_stay(ip: Ip) -> None:
    async def work(devices: Devices) -> None:
        await devices.create(DEVICE)
        Path("/proc/sys/net/ipv4/conf/v0/arp_ignore").write_text("3")
        await devices.restore()

    run(work)
    assert sysctl.read(4, "v0", "arp_ignore") == 3 and sysctl.read(4, "v0", "arp_filter") == 0


def test_reverse_path_filter_moves_and_comes_back(ip: Ip) -> None:
    for name, value in (("all", 2), ("default", 0), ("v0", 1), ("v1", 2)):
        assert sysctl.write(4, name, "rp_filter", value) == 0

    def seen() -> list[int | None]:
        return [sysctl.read(4, name, "rp_filter") for name in ("all", "default", "v0", "v1", "vrrp.51")]

    async def work(devices: Devices) -> list[int | None]:
        await devices.create(DEVICE)
        during = seen()
        await devices.restore()
        return during

    during, lines = run(work)
    assert during == [0, 2, 2, 2, 0] and seen() == [2, 0, 1, 2, None]
    assert [line for line in lines if "sysctl" in line] == [
        "NOTICE: setting sysctl net.ipv4.conf.default.rp_filter from 0 to 2",
        "NOTICE: setting sysctl net.ipv4.conf.all.rp_filter from 2 to 0",
        "NOTICE: resetting sysctl net.ipv4.conf.all.rp_filter to 2",
        "NOTICE: resetting sysctl net.ipv4.conf.default.rp_filter to 0",
    ]


def test_reverse_path_filter_of_others_stays(ip: Ip) -> None:
    sysctl.write(4, "all", "rp_filter", 1)

    async def work(devices: Devices) -> None:
        await devices.create(DEVICE)
        for name in ("all", "v0"):
            sysctl.write(4, name, "rp_filter", 2)
        await devices.restore()

    run(work)
    assert [sysctl.read(4, name, "rp_filter") for name in ("all", "v0", "v1")] == [2, 2, 0]


def test_secondaries_are_promoted_while_asked_for(ip: Ip) -> None:
    wants = Configuration(instances=(Instance(InstanceName("V"), V0, 51, promote_secondaries=True),))

    async def work(devices: Devices) -> list[int | None]:
        seen = []
        for configuration in (wants, Configuration(), wants):
            await devices.settle(configuration)
            seen.append(sysctl.read(4, "v0", "promote_secondaries"))
        await devices.restore()
        return [*seen, sysctl.read(4, "v0", "promote_secondaries")]

    sysctl.write(4, "v0", "promote_secondaries", 0)
    assert run(work)[0] == [1, 0, 1, 0]
    sysctl.write(4, "v0", "promote_secondaries", 1)
    assert run(work)[0] == [1, 1, 1, 1]


def test_sending_by_the_base_takes_the_source_away(ip: Ip) -> None:
    six = replace(DEVICE, family=6, mac=bytes.fromhex("00005e000233"), address=ip_address("fe80::7"))

    async def work(devices: Devices) -> list[list[str]]:
        seen = []
        for device in (six, replace(six, transmits_by_base=True), six):
            await devices.settle(Configuration(devices=(device,)))
            seen.append([one["local"] for one in shown("vrrp.51")["addr_info"]])
        return seen

    assert run(work)[0] == [["fe80::7"], [], ["fe80::7"]]


def test_answers_of_the_kernel(ip: Ip) -> None:
    requests = DeviceRequests()
    try:
        assert requests.link("gone") is None and requests.link(index=4711) is None
        assert requests.delete(4711) == errno.ENODEV
        assert requests.set_up(4711) == errno.ENODEV
        assert requests.delete_address(1, ip_address("10.7.7.7"), 32) == errno.EADDRNOTAVAIL
        assert {"lo", "v0", "v1"} <= {one.name for one in requests.links()}
        found = requests.link("v0")
        assert found is not None and found == requests.link(index=found.index) and found.up
    finally:
        requests.close()


class FakeRequests(DeviceRequests):
    """A kernel in memory: eth0 with index 2, below the VRF device `red`, and what is made on it."""

    def __init__(self, **refused: int) -> None:
        self.known = {
            "eth0": FoundLink("eth0", 2, True, b"\2\0\0\0\0\1", 0, 3, 0, "", ""),
            "red": FoundLink("red", 3, True, b"", 0, 0, 0, "vrf", ""),
            "br0": FoundLink("br0", 4, True, b"", 0, 0, 0, "bridge", ""),
        }
        self.refused = refused
        self.asked: list[tuple[Any, ...]] = []

    def close(self) -> None:
        self.asked.append(("close",))

    def link(self, name: str = "", index: int = 0) -> FoundLink | None:
        return next((one for one in self.known.values() if name == one.name or index == one.index), None)

    def add(self, name: str, kind: DeviceKind, mode: str, base_index: int, **more: Any) -> int:
        self.asked.append(("add", name, more["master"]))
        if "add" not in self.refused:
            link = FoundLink(name, 9, True, more["mac"], base_index, more["master"], 0, kind.value, mode)
            self.known[name] = link
        return self.refused.get("add", 0)

    def _change(self, request: Request, index: int = 0) -> int:
        return self.refused.get("change", 0)

    def delete(self, index: int) -> int:
        return self.refused.get("delete", 0)

    def set_group(self, index: int, group: int) -> int:
        self.asked.append(("group", index, group))
        return 0

    def set_master(self, index: int, master: int) -> int:
        self.asked.append(("master", index, master))
        self.known[DEVICE.name] = dataclasses.replace(self.known[DEVICE.name], master_index=master)
        return self.refused.get("master", 0)


ON_ETH0 = replace(DEVICE, base=InterfaceName("eth0"))


def test_a_device_is_in_the_vrf_of_the_interface_below() -> None:
    fake = FakeRequests()

    async def work(devices: Devices) -> None:
        await devices.create(ON_ETH0)
        await devices.follow(InterfaceName("eth0"))
        for master in (0, 4, 3):  # none, a bridge, the VRF device again
            fake.known["eth0"] = dataclasses.replace(fake.known["eth0"], master_index=master)
            await devices.follow(InterfaceName("eth0"))

    _, lines = run(work, lambda: fake)
    assert fake.asked == [("add", "vrrp.51", 3), ("master", 9, 0), ("master", 9, 3), ("close",)]
    assert lines[1:] == ["vmac: Success changing VRF of VMAC interface vrrp.51 for vrrp_instance V"] * 2


@pytest.mark.parametrize(
    ("refused", "outcome", "line"),
    [
        (
            {"add": errno.EPERM},
            Failed(errno.EPERM),
            "(V): Unable to create VMAC interface vrrp.51 (Operation not permitted)",
        ),
        (
            {"add": errno.EOPNOTSUPP},
            Failed(errno.EOPNOTSUPP),
            "(V): Unable to create VMAC interface vrrp.51 "
            "(Operation not supported: this kernel has no macvlan)",
        ),
        (
            {"add": errno.ETIMEDOUT},
            TimedOut(),
            "(V): Unable to create VMAC interface vrrp.51 (Connection timed out)",
        ),
        (
            {"change": errno.EPERM},
            Failed(errno.EPERM),
            "(V) Unable to bring up VMAC interface vrrp.51 (Operation not permitted)",
        ),
    ],
)
def test_what_the_kernel_refuses(refused: dict[str, int], outcome: Outcome, line: str) -> None:
    found, lines = run(lambda devices: devices.create(ON_ETH0), lambda: FakeRequests(**refused))
    assert found == outcome and lines[-1] == line


def test_the_interface_below_is_announced_when_asked_for() -> None:
    """Its group is set to what it is: a bridge says nothing by itself when it becomes promiscuous."""
    fake = FakeRequests()

    async def work(devices: Devices) -> None:
        await devices.settle(Configuration(devices=(replace(ON_ETH0, notify=True),)))
        await devices.restore()

    run(work, lambda: fake)
    assert fake.asked == [("add", "vrrp.51", 3), ("group", 2, 0), ("group", 2, 0), ("close",)]


def test_a_device_that_cannot_be_removed() -> None:
    async def work(devices: Devices) -> Outcome:
        await devices.create(ON_ETH0)
        return await devices.remove(ON_ETH0)

    outcome, lines = run(work, lambda: FakeRequests(delete=errno.EPERM))
    assert outcome == Failed(errno.EPERM)
    assert lines[-1] == "(V) Error removing VMAC interface vrrp.51"
