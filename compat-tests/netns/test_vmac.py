"""Virtual MAC devices: what ours makes of a configuration, and what the real keepalived makes of it.

Both get a namespace of the same shape.  The real program is started there; ours
is what the daemon does with the same file: plan, then settle.  Afterwards links,
addresses and the kernel's parameters of every interface are compared, once more
after both have stopped.  Where they differ on purpose, the test says so.
"""

import asyncio
import itertools
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import pytest
from lab import wait
from program import Program
from space import inside, run, sweep

from keepalived_py.base.names import InterfaceName
from keepalived_py.config.host import RealHost
from keepalived_py.config.load import load
from keepalived_py.core.holder.devices import plan
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import AlreadySo, Done, Failed, Outcome
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.interfaces import Device
from keepalived_py.system.devices import Devices

pytestmark = [pytest.mark.netns, pytest.mark.timeout(60)]

T = TypeVar("T")

PARAMETERS = {
    "ipv4": ("arp_ignore", "arp_filter", "rp_filter", "accept_local", "promote_secondaries"),
    "ipv6": ("disable_ipv6", "addr_gen_mode"),
}
_numbers = itertools.count(1)


# Namespaces and what is seen in them ---------------------------------------------


def make(name: str, *more: str) -> None:
    """Three Ethernet interfaces with an IPv4 and a link-local address each, and whatever `more` adds."""
    run("ip", "netns", "add", name)
    with inside(name):
        Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
        Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("1")
    lines = []
    for number in range(3):
        eth, far = f"eth{number}", f"far{number}"
        lines += [
            f"link add {eth} address 02:00:00:00:00:0{number} type veth peer name {far} "
            f"address 02:00:00:00:01:0{number}",
            f"link set {eth} up",
            f"link set {far} up",
            f"addr add 10.9.{number}.1/24 dev {eth}",
        ]
    run("ip", "-n", name, "-batch", "-", text_in="\n".join([*lines, *more]) + "\n")
    links = [f"eth{number}" for number in range(3)]
    wait(lambda: all(_has_link_local(name, link) for link in links), 5, "link-local addresses")


def _json(name: str, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("ip", "-n", name, "-d", "-j", *words) or "[]")
    return found


def _has_link_local(name: str, link: str) -> bool:
    shown = _json(name, "addr", "show", "dev", link)
    return any(one["scope"] == "link" for one in shown[0]["addr_info"])


def links(name: str) -> dict[str, object]:
    """Every link with what a device is made of."""
    return {
        link["ifname"]: (
            link.get("link"),
            link["address"],
            sorted(link["flags"]),
            link["group"],
            link["promiscuity"],
            link.get("linkinfo", {}).get("info_kind"),
            link.get("linkinfo", {}).get("info_data", {}).get("mode"),
            link.get("inet6_addr_gen_mode"),
        )
        for link in _json(name, "link")
    }


def addresses(name: str) -> set[tuple[object, ...]]:
    """Every address with its length, scope and flags."""
    return {
        (
            link["ifname"],
            one["local"],
            one["prefixlen"],
            one["scope"],
            one.get("nodad"),
            one.get("deprecated"),
            one["preferred_life_time"],
        )
        for link in _json(name, "addr")
        for one in link["addr_info"]
    }


def parameters(name: str) -> dict[str, int]:
    """The kernel's parameters of every interface, of `all` and of `default`."""
    with inside(name):
        return {
            f"{family}.{folder.name}.{parameter}": int((folder / parameter).read_text())
            for family, wanted in PARAMETERS.items()
            for folder in Path(f"/proc/sys/net/{family}/conf").iterdir()
            for parameter in wanted
            if (folder / parameter).exists()
        }


def facts(name: str) -> dict[InterfaceName, InterfaceFacts]:
    """The interfaces as the daemon would know them."""
    return {
        InterfaceName(link["ifname"]): InterfaceFacts(
            InterfaceName(link["ifname"]),
            link["ifindex"],
            "LOWER_UP" in link["flags"],
            "MULTICAST" in link["flags"],
            bytes.fromhex(link["address"].replace(":", "")),
            addresses=tuple(
                InterfaceAddress(ip_address(one["local"]), one["prefixlen"]) for one in link["addr_info"]
            ),
        )
        for link in _json(name, "addr")
    }


# Ours ------------------------------------------------------------------------------


@dataclass
class Ours:
    """Our devices in one namespace; every call runs in a thread that lives there."""

    name: str
    lines: list[str] = field(default_factory=list)
    devices: Devices = field(init=False)

    def __post_init__(self) -> None:
        self.devices = Devices(self)
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.new_event_loop()
        self._entered = threading.Event()

    def info(self, text: str) -> None:
        self.lines.append(text)

    detail = info

    def load(self, text: str, directory: Path) -> Configuration:
        """The file as the daemon reads it in this namespace, without its devices."""
        path = directory / f"ours-{next(_numbers)}.conf"
        path.write_text(text)
        return self.there(lambda: load(str(path), config_id="", host=RealHost()).configuration)

    def settle(self, configuration: Configuration) -> tuple[Configuration, dict[InterfaceName, Outcome]]:
        """Plan and make."""

        async def work() -> tuple[Configuration, dict[InterfaceName, Outcome]]:
            planned = plan(configuration, facts(self.name), await self.devices.existing())
            return planned, await self.devices.settle(planned)

        return self.await_(work)

    def make(self, device: Device) -> Outcome:
        """Make one device again."""
        return self.await_(lambda: self.devices.create(device))

    def await_(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of a coroutine that runs in the namespace."""
        return self.there(lambda: self._loop.run_until_complete(work()))

    def there(self, work: Callable[[], T]) -> T:
        def entered() -> T:
            with inside(self.name):
                return work()

        return self._thread.submit(entered).result(30)

    def close(self) -> None:
        self.devices.close()
        self._thread.submit(self._loop.close).result(5)
        self._thread.shutdown()


@dataclass
class Pair:
    """The namespace of the real program and that of ours."""

    directory: Path
    real: str
    ours: Ours
    programs: list[Program] = field(default_factory=list)

    def start(self, text: str) -> Configuration:
        """Start both; our configuration with its devices."""
        self.programs.append(Program("real", self.real, self.directory / "real", text))
        self._wait_logged("Startup complete")
        planned, outcomes = self.ours.settle(self.ours.load(text, self.directory))
        assert all(isinstance(one, Done | AlreadySo) for one in outcomes.values()), outcomes
        return planned

    def stop(self) -> None:
        """Stop both."""
        self.programs[-1].ask_to_end()
        self.programs[-1].wait_end()
        self.ours.await_(self.ours.devices.restore)

    def _wait_logged(self, text: str) -> None:
        program = self.programs[-1]
        wait(lambda: program.logged(text), 8, f"{text}\n{program.tail()}")

    def real_lines(self, *parts: str) -> list[str]:
        """Lines of the real program's log that contain one of `parts`, without the date."""
        texts = [line.text.split(": ", 1)[-1] for line in self.programs[-1].log]
        return [text for text in texts if any(part in text for part in parts)]

    def our_lines(self, *parts: str) -> list[str]:
        return [text for text in self.ours.lines if any(part in text for part in parts)]


@contextmanager
def pair_of(directory: Path, *more: str) -> Iterator[Pair]:
    sweep()
    base = f"kl-{os.getpid()}-{next(_numbers)}"
    names = f"{base}-real", f"{base}-ours"
    try:
        for name in names:
            make(name, *more)
        pair = Pair(directory, names[0], Ours(names[1]))
        try:
            yield pair
        finally:
            for program in pair.programs:
                program.ask_to_end()
                program.close()
            pair.ours.close()
    finally:
        for name in names:
            run("ip", "netns", "del", name, check=False)


# Configurations ---------------------------------------------------------------------


def instance(name: str, interface: str, vrid: int, *lines: str, vips: str = "", evips: str = "") -> str:
    family6 = name.startswith("V6")
    given = vips or ("fe80::9:1/64" if family6 else f"10.9.{interface[-1]}.{vrid + 100}/24")
    inner = [f"interface {interface}", f"virtual_router_id {vrid}", *lines]
    inner.append(f"virtual_ipaddress {{\n{given}\n}}")
    if evips:
        inner.append(f"virtual_ipaddress_excluded {{\n{evips}\n}}")
    return f"vrrp_instance {name} {{\n" + "\n".join(inner) + "\n}\n"


MIXED = (
    instance("V4", "eth0", 51, "use_vmac", evips="fd00::99/64")
    + instance("V6", "eth0", 51, "use_vmac", vips="fe80::100/64\nfd00::100/64")
    + instance(
        "X4",
        "eth1",
        51,
        "use_vmac vip1 02:11:22:33:44:55",
        "vmac_xmit_base",
        "use_vmac_addr",
        vips="10.9.1.100/24\n10.9.0.101/24 dev eth0",
        evips="fd01::99/64",
    )
    + instance("P4", "eth2", 52, "promote_secondaries")
)
ADDRESSES = instance(
    "V4", "eth0", 7, vips="10.9.0.107/24 dev eth0 use_vmac\n10.9.1.107/24 dev eth1 use_vmac"
) + instance("V6", "eth0", 7, "use_vmac", "use_vmac_addr", evips="10.9.0.207/24\nfd00::7/64 dev eth1")
SOURCES = (
    instance("V6a", "eth0", 1, "use_vmac", "vmac_xmit_base")
    + instance("V6b", "eth1", 2, "use_vmac", "mcast_src_ip fe80::77", vips="fe80::9:2/64")
    + instance("V6c", "eth2", 3, "use_vmac six", vips="fe80::9:3/64")
)
PREFIXES = (
    "global_defs {\nvmac_prefix averylongprefix\nvmac_addr_prefix addr\n}\n"
    + instance("V4", "eth0", 200, "use_vmac", "use_vmac_addr", vips="10.9.0.200/24\n10.9.1.200/24 dev eth1")
    + instance("V6", "eth0", 200, "use_vmac")
)
TAKEN = (
    instance("V4", "eth0", 51, "use_vmac")
    + instance("V4b", "eth1", 51, "use_vmac")
    + instance("V6", "eth0", 51, "use_vmac", vips="fe80::100/64")
    + instance("V6b", "eth1", 51, "use_vmac", vips="fe80::101/64")
)
TAKEN_NAMES = (
    "link add vrrp.51 address 02:00:00:00:02:01 type veth peer name vrrp6.51 address 02:00:00:00:02:02",
    "link add vrrp2.51 address 02:00:00:00:02:03 type veth peer name z address 02:00:00:00:02:04",
)
UNICAST = instance("V4", "eth0", 9, "use_vmac", "unicast_src_ip 10.9.0.1", "unicast_peer {\n10.9.0.2\n}")
SYNCED = "vrrp_sync_group G {\ngroup {\nV4\nV6\nX4\n}\n}\n"
CASES = {
    "mixed": (MIXED, ()),
    "addresses": (ADDRESSES, ()),
    "sources": (SOURCES, ()),
    "prefixes": (PREFIXES, ()),
    "taken": (TAKEN, TAKEN_NAMES),
    "unicast": (UNICAST, ()),
}


def as_it_should_be(found: dict[str, int], planned: Configuration, there: set[str]) -> dict[str, int]:
    """What 2.2.7 set, as newer versions and its own documentation have it.

    Newer versions set `arp_ignore` on IPv6 devices as well.  And `rp_filter`, which leaves `all`, goes
    to every interface that is `there`; 2.2.7 misses those whose news it has not read when it looks.
    """
    found |= {f"ipv4.{device.name}.arp_ignore": 1 for device in planned.devices if device.family == 6}
    if any(device.family == 4 for device in planned.devices):
        found |= {f"ipv4.{name}.rp_filter": 1 for name in there}
    return found


# Tests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_same_devices_are_made(tmp_path: Path, case: str) -> None:
    text, more = CASES[case]
    with pair_of(tmp_path, *more) as pair:
        before = parameters(pair.ours.name), links(pair.ours.name)
        planned = pair.start(text)
        assert planned.devices
        assert links(pair.ours.name) == links(pair.real)
        assert addresses(pair.ours.name) == addresses(pair.real)
        assert parameters(pair.ours.name) == as_it_should_be(parameters(pair.real), planned, set(before[1]))
        made = "creating VMAC", "NOTICE: setting sysctl"
        assert pair.our_lines(*made) == pair.real_lines(*made)
        pair.stop()
        wait(lambda: links(pair.real) == before[1], 3, "the devices of the real program are gone")
        assert links(pair.ours.name) == before[1]
        # 2.2.7 leaves arp_filter and arp_ignore where an interface had more than one device.
        assert parameters(pair.ours.name) == before[0]
        gone = "removing VMAC", "NOTICE: resetting sysctl"
        assert pair.our_lines(*gone) == pair.real_lines(*gone)


LEFTOVERS = {
    "same device, other name": (
        "link add link eth0 name old type macvlan mode private",
        "link set old address 00:00:5e:00:01:33 up",
    ),
    "other MAC": (
        "link add link eth0 name mine type macvlan mode private",
        "link set mine address 02:00:00:00:00:77",
    ),
    "other mode": (
        "link add link eth0 name mine type macvlan mode bridge",
        "link set mine address 00:00:5e:00:01:33",
    ),
    "other interface": (
        "link add link eth1 name mine type macvlan mode private",
        "link set mine address 00:00:5e:00:01:33",
    ),
}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_what_a_killed_run_left_is_used_or_replaced(tmp_path: Path, leftover: str) -> None:
    with pair_of(tmp_path, *LEFTOVERS[leftover]) as pair:
        planned = pair.start(instance("V4", "eth0", 51, "use_vmac mine"))
        shown, expected = links(pair.ours.name), links(pair.real)
        (device,) = planned.devices
        if leftover == "same device, other name":
            # 2.2.7 takes it over without setting it up.
            assert device.name == planned.instances[0].interface == "old"
            assert shown.pop("old")[:2] == expected.pop("old")[:2]  # type: ignore[index]
            assert parameters(pair.ours.name)["ipv4.old.arp_ignore"] == 1
        else:
            said = "Success", "Removing old", "Update old"
            assert pair.our_lines(*said) == [
                line for line in pair.real_lines(*said) if "already exists" not in line
            ]
        assert shown == expected


def test_ipvlan_where_the_kernel_has_none(tmp_path: Path) -> None:
    with pair_of(tmp_path) as pair:
        probe = run("ip", "-n", pair.real, "link", "add", "link", "eth2", "t", "type", "ipvlan", check=False)
        assert probe == ""
        if "t" in links(pair.real):
            pytest.fail("this kernel has ipvlan: compare the devices instead")
        text = instance("V4", "eth0", 51, "use_ipvlan 10.9.0.7/32")
        planned, outcomes = pair.ours.settle(pair.ours.load(text, tmp_path))
        assert outcomes == {InterfaceName("vrrp.51"): Failed(95)}
        assert planned.instances[0].interface == "vrrp.51"
        assert planned.instances[0].addresses[0].interface == "eth0"
        (line,) = pair.ours.lines
        assert line.startswith("(V4): Unable to create ipvlan interface vrrp.51 (Operation not supported")


def test_a_reload_touches_only_what_changed(tmp_path: Path) -> None:
    with pair_of(tmp_path) as pair:
        ours = pair.ours
        first = instance("A", "eth0", 1, "use_vmac") + instance("B", "eth1", 2, "use_vmac")
        ours.settle(ours.load(first, tmp_path))
        index = {link["ifname"]: link["ifindex"] for link in _json(ours.name, "link")}
        ours.lines.clear()
        second = instance("A", "eth0", 1, "use_vmac", "priority 77") + instance("C", "eth1", 1, "use_vmac")
        planned, outcomes = ours.settle(ours.load(second, tmp_path))
        assert {one.interface for one in planned.instances} == {"vrrp.1", "vrrp1.1"}
        assert set(outcomes) == {"vrrp1.1"}
        assert {one["ifname"]: one["ifindex"] for one in _json(ours.name, "link")}["vrrp.1"] == index[
            "vrrp.1"
        ]
        assert ours.lines == [
            "(B) Success removing VMAC interface vrrp.2",
            "(C): Success creating VMAC interface vrrp1.1",
        ]
        # Renamed by the file: the old one gives way to the new one, which has the same MAC address.
        planned, _ = ours.settle(ours.load(instance("A", "eth0", 1, "use_vmac named"), tmp_path))
        assert planned.instances[0].interface == "named" and "vrrp.1" not in links(ours.name)
        ours.settle(ours.load(instance("A", "eth0", 1), tmp_path))
        assert "named" not in links(ours.name)
        with_eth0 = {name: value for name, value in parameters(ours.name).items() if ".eth0.arp" in name}
        assert set(with_eth0.values()) == {0}


def test_a_device_that_others_removed_is_made_again(tmp_path: Path) -> None:
    with pair_of(tmp_path) as pair:
        ours = pair.ours
        planned, _ = ours.settle(ours.load(MIXED, tmp_path))
        shown = links(ours.name), addresses(ours.name), parameters(ours.name)
        for device in planned.devices:
            run("ip", "-n", ours.name, "link", "del", device.name)
        outcomes = [ours.make(one) for one in planned.devices]
        assert outcomes == [Done()] * len(planned.devices)
        assert (links(ours.name), addresses(ours.name), parameters(ours.name)) == shown
        assert ours.make(planned.devices[0]) == AlreadySo()


def test_another_interface_takes_the_name_of_the_one_below(tmp_path: Path) -> None:
    """What lay on the old one is removed; made again, it lies on the new one."""
    with pair_of(tmp_path) as pair:
        ours = pair.ours
        planned, _ = ours.settle(ours.load(instance("V4", "eth0", 5, "use_vmac"), tmp_path))
        for word in ("link set eth0 down", "link set eth0 name old0", "link set eth1 down"):
            run("ip", "-n", ours.name, *word.split())
        run("ip", "-n", ours.name, "link", "set", "eth1", "name", "eth0", "up")
        ours.await_(lambda: ours.devices.follow(InterfaceName("eth0")))
        assert "vrrp.5" not in links(ours.name)
        assert {value for name, value in parameters(ours.name).items() if ".old0.arp" in name} == {0}
        assert ours.make(planned.devices[0]) == Done()
        shown = json.loads(run("ip", "-n", ours.name, "-j", "link", "show", "vrrp.5"))
        assert shown[0]["link"] == "eth0"


def test_the_source_follows_the_interface_below(tmp_path: Path) -> None:
    with pair_of(tmp_path) as pair:
        ours = pair.ours
        ours.settle(ours.load(instance("V6", "eth0", 5, "use_vmac"), tmp_path))

        def on_device() -> set[object]:
            return {one[1] for one in addresses(ours.name) if one[0] == "vrrp.5"}

        assert on_device() == {"fe80::ff:fe00:0"}
        run("ip", "-n", ours.name, "addr", "del", "fe80::ff:fe00:0/64", "dev", "eth0")
        run("ip", "-n", ours.name, "addr", "add", "fe80::42/64", "dev", "eth0", "nodad")
        assert "eth0" in ours.devices.bases
        ours.await_(lambda: ours.devices.follow(InterfaceName("eth0")))
        assert on_device() == {"fe80::42"}
        run("ip", "-n", ours.name, "addr", "del", "fe80::42/64", "dev", "eth0")
        ours.await_(lambda: ours.devices.follow(InterfaceName("eth0")))
        assert on_device() == {"fe80::ff:fe00:0"}


def test_nobody_hears_of_a_device_without_a_source(tmp_path: Path) -> None:
    """Whoever listens to the kernel hears of the new address before the old one goes."""
    with pair_of(tmp_path) as pair:
        ours = pair.ours
        ours.settle(ours.load(instance("V6", "eth0", 5, "use_vmac"), tmp_path))
        index = json.loads(run("ip", "-n", ours.name, "-j", "link", "show", "vrrp.5"))[0]["ifindex"]
        with inside(ours.name):
            told = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        with told:
            told.bind((0, 0x100))  # RTMGRP_IPV6_IFADDR
            for number in range(1, 21):
                run("ip", "-n", ours.name, "addr", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
                ours.await_(lambda: ours.devices.follow(InterfaceName("eth0")))
            kinds = []
            while select.select([told], [], [], 0.1)[0]:
                news = told.recv(1 << 16)
                if int.from_bytes(news[20:24], sys.byteorder) == index:
                    kinds.append(int.from_bytes(news[4:6], sys.byteorder))
        assert kinds == [20, 21] * 20  # RTM_NEWADDR, RTM_DELADDR


def test_the_loop_goes_on_while_devices_are_made(tmp_path: Path) -> None:
    """A hundred devices take a while; the loop never waits for one."""
    text = "".join(instance(f"I{vrid}", "eth0", vrid, "use_vmac") for vrid in range(1, 101))
    with pair_of(tmp_path) as pair:
        configuration = pair.ours.load(text, tmp_path)
        late = 0.0

        async def watched() -> None:
            nonlocal late
            work = asyncio.ensure_future(pair.ours.devices.settle(plan(configuration, facts(pair.ours.name))))
            await asyncio.sleep(0)
            while not work.done():
                asked = time.monotonic()
                await asyncio.sleep(0.002)
                late = max(late, time.monotonic() - asked - 0.002)

        pair.ours.await_(watched)
        assert sum(name.startswith("vrrp.") for name in links(pair.ours.name)) == 100
        assert late < 0.25
