"""The packet filter's table, as nft(8) prints it and as packets meet it."""

import asyncio
import errno
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.model.config import Configuration, Globals, Instance, VirtualAddress
from keepalived_py.model.effects import AlreadySo, Done, Failed
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.globals import Firewall as Settings
from keepalived_py.model.globals import Iptables
from keepalived_py.model.interfaces import Device, DeviceKind
from keepalived_py.system import nftables as nft
from keepalived_py.system.firewall import Firewall, Vmac, vmac_of, vmacs_of
from keepalived_py.system.nftables import Kind

from .conftest import Ip

PLAIN = Configuration()
V0 = InterfaceName("v0")
A, B = InstanceName("A"), InstanceName("B")


def vip(text: str, interface: str = "v0", tracked: bool = True) -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, address.max_prefixlen, InterfaceName(interface), tracked=tracked)


def ruleset() -> str:
    done = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout


def with_firewall(
    scenario: Callable[[Firewall], Awaitable[None]], configuration: Configuration = PLAIN
) -> list[str]:
    """Run `scenario`, then clear; the lines logged."""
    lines: list[str] = []

    async def main() -> None:
        firewall = Firewall(configuration, lines.append)
        try:
            await scenario(firewall)
        finally:
            await firewall.clear()
            firewall.close()

    asyncio.run(asyncio.wait_for(main(), 20))
    return lines


def test_both_families_in_keepalived_s_words(ip: Ip) -> None:
    async def scenario(firewall: Firewall) -> None:
        assert await firewall.block(A, [vip("10.0.0.100"), vip("fd00::1"), vip("fe80::9")]) == Done()
        text = ruleset()
        assert "elements = { 10.0.0.100 }" in text
        assert "priority filter - 1; policy accept;\n\t\tip saddr @vips drop" in text
        assert 'elements = { fe80::9 . "v0" }' in text
        accepted = "icmpv6 type @neighbor-discovery accept\n\t\tip6 daddr fe80::/10 goto in_link_local"
        assert f"{accepted}\n\t\tip6 daddr @vips drop" in text
        assert "ip6 saddr . oif @vips_link_local drop" in text

    with_firewall(scenario)
    assert ruleset() == ""


def test_options_of_the_table(ip: Ip) -> None:
    wanted = Settings(table="other", priority=12, counters=True)
    configuration = Configuration(globals=Globals(firewall=wanted))

    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        text = ruleset()
        assert "table ip other {" in text
        assert "priority 12;" in text
        assert "ip daddr @vips counter packets 0 bytes 0 drop" in text

    with_firewall(scenario, configuration)


def test_blocked_address_hears_nothing(ip: Ip) -> None:
    ip("addr add 10.0.0.100/32 dev v0")
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("10.0.0.100", 0))
    receiver.settimeout(5)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("10.0.0.1", 0))

    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        sender.sendto(b"dropped", receiver.getsockname())
        await firewall.unblock(A, [vip("10.0.0.100")])
        sender.sendto(b"heard", receiver.getsockname())
        assert receiver.recv(100) == b"heard"

    with receiver, sender:
        with_firewall(scenario)


def test_address_of_two_instances_stays_until_both_gave_it_up(ip: Ip) -> None:
    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        assert await firewall.block(B, [vip("10.0.0.100")]) == AlreadySo()
        assert await firewall.unblock(A, [vip("10.0.0.100")]) == AlreadySo()
        assert await firewall.unblock(A, [vip("10.0.0.100")]) == AlreadySo()
        assert "10.0.0.100" in ruleset()
        assert await firewall.unblock(B, [vip("10.0.0.100")]) == Done()
        assert "10.0.0.100" not in ruleset()
        assert "set vips" in ruleset()
        assert await firewall.unblock(B, [vip("10.0.0.100")]) == AlreadySo()

    with_firewall(scenario)


def test_who_asks_twice_has_it_blocked_once(ip: Ip) -> None:
    """A request that nobody answered in time is asked again, and may have been done."""

    async def scenario(firewall: Firewall) -> None:
        for outcome in (Done(), AlreadySo()):
            assert await firewall.block(A, [vip("10.0.0.100"), vip("fe80::9")]) == outcome
        assert await firewall.unblock(A, [vip("10.0.0.100"), vip("fe80::9")]) == Done()
        assert "10.0.0.100" not in ruleset()
        assert "fe80::9" not in ruleset()

    with_firewall(scenario)


def refuse(monkeypatch: pytest.MonkeyPatch, *kinds: Kind) -> None:
    """Batches with a message of these kinds are refused until `monkeypatch` is undone."""
    real = nft.Channel.commit

    def commit(channel: nft.Channel, messages: Sequence[nft.Message]) -> int:
        refused = any(message.kind in kinds for message in messages)
        return errno.ENOMEM if refused else real(channel, messages)

    monkeypatch.setattr(nft.Channel, "commit", commit)


def test_refused_removal_is_still_to_be_done(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked again is not taken for done."""

    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        refuse(monkeypatch, Kind.DELETE_ELEMENTS)
        for _ in range(2):
            assert await firewall.unblock(A, [vip("10.0.0.100")]) == Failed(errno.ENOMEM)
        assert await firewall.block(A, [vip("10.0.0.101")]) == Done()
        assert "10.0.0.100, 10.0.0.101" in ruleset()
        monkeypatch.undo()
        assert await firewall.unblock(A, [vip("10.0.0.100")]) == Done()
        assert "elements = { 10.0.0.101 }" in ruleset()
        assert await firewall.unblock(A, [vip("10.0.0.100")]) == AlreadySo()

    with_firewall(scenario)


def test_refused_removal_is_void_when_the_address_is_blocked_again(
    ip: Ip, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100"), vip("10.0.0.101")])
        refuse(monkeypatch, Kind.DELETE_ELEMENTS)
        assert isinstance(await firewall.unblock(A, [vip("10.0.0.100"), vip("10.0.0.101")]), Failed)
        assert await firewall.block(B, [vip("10.0.0.100")]) == AlreadySo()
        monkeypatch.undo()
        # Whoever asks for something next has the rest removed.
        assert await firewall.block(B, [vip("10.0.0.102")]) == Done()
        assert "elements = { 10.0.0.100, 10.0.0.102 }" in ruleset()

    with_firewall(scenario)


def test_refused_addition_leaves_nothing_to_give_up(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        refuse(monkeypatch, Kind.NEW_ELEMENTS)
        assert await firewall.block(A, [vip("10.0.0.101")]) == Failed(errno.ENOMEM)
        monkeypatch.undo()
        assert await firewall.unblock(A, [vip("10.0.0.101")]) == AlreadySo()
        assert "elements = { 10.0.0.100 }" in ruleset()
        assert await firewall.block(A, [vip("10.0.0.101")]) == Done()

    with_firewall(scenario)


def test_refused_end_is_not_the_end(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        refuse(monkeypatch, Kind.DELETE_TABLE)
        assert await firewall.clear() == Failed(errno.ENOMEM)
        monkeypatch.undo()
        assert "10.0.0.100" in ruleset()
        assert await firewall.clear() == Done()
        assert ruleset() == ""

    with_firewall(scenario)


def test_device_that_could_not_be_let_go_goes_later(ip: Ip, monkeypatch: pytest.MonkeyPatch) -> None:
    ip("link add link v0 name vrrp.1 type macvlan mode private")
    device = Vmac(
        InterfaceName("vrrp.1"), socket.if_nametoindex("vrrp.1"), socket.if_nametoindex("v0"), (4, 6)
    )

    async def scenario(firewall: Firewall) -> None:
        assert await firewall.settle([device]) == Done()
        refuse(monkeypatch, Kind.DELETE_ELEMENTS)
        assert await firewall.settle([]) == Failed(errno.ENOMEM)
        monkeypatch.undo()
        assert ruleset().count('"vrrp.1"') == 3
        assert await firewall.settle([]) == Done()
        assert "vrrp.1" not in ruleset()

    with_firewall(scenario)


def test_what_is_left_of_a_table_that_somebody_emptied_goes_too(ip: Ip) -> None:
    """Of two addresses one was removed by hand; the removal of both cannot be one request."""

    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100"), vip("10.0.0.101")])
        by_hand = ["nft", "delete", "element", "ip", "keepalived", "vips", "{ 10.0.0.100 }"]
        subprocess.run(by_hand, timeout=10, check=True)
        assert await firewall.unblock(A, [vip("10.0.0.100"), vip("10.0.0.101")]) == Done()
        assert "10.0.0.101" not in ruleset()

    with_firewall(scenario)


def test_hundreds_of_addresses_in_one_go(ip: Ip) -> None:
    many = [vip(f"10.1.{n // 250}.{n % 250}") for n in range(1000)]

    async def scenario(firewall: Firewall) -> None:
        assert await firewall.block(A, many) == Done()
        assert ruleset().count("10.1.") == 1000
        assert await firewall.unblock(A, many) == Done()
        assert ruleset().count("10.1.") == 0

    with_firewall(scenario)


def test_flushed_filter_is_filled_again(ip: Ip) -> None:
    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100"), vip("10.0.0.102")])
        subprocess.run(["nft", "flush", "ruleset"], timeout=10, check=True)
        assert await firewall.block(A, [vip("10.0.0.101")]) == Done()
        assert "elements = { 10.0.0.100, 10.0.0.101,\n\t\t\t     10.0.0.102 }" in ruleset()
        subprocess.run(["nft", "flush", "ruleset"], timeout=10, check=True)
        assert await firewall.unblock(A, [vip("10.0.0.101")]) == Done()
        assert "elements = { 10.0.0.100, 10.0.0.102 }" in ruleset()

    with_firewall(scenario)


def test_table_of_a_killed_predecessor_goes_first(ip: Ip) -> None:
    old = "add table ip keepalived; add chain ip keepalived stale; add table ip6 keepalived"
    subprocess.run(["nft", old], timeout=10, check=True)

    async def scenario(firewall: Firewall) -> None:
        assert await firewall.block(A, [vip("10.0.0.100")]) == Done()
        assert "stale" not in ruleset()
        assert "table ip6" not in ruleset()

    assert with_firewall(scenario) == [
        "Deleting old ip keepalived table",
        "Deleting old ip6 keepalived table",
    ]


def test_refusals_are_outcomes(ip: Ip) -> None:
    too_long = Configuration(globals=Globals(firewall=Settings(table="t" * 300)))

    async def scenario(firewall: Firewall) -> None:
        for _ in range(2):
            outcome = await firewall.block(A, [vip("10.0.0.100")])
            assert isinstance(outcome, Failed)
            assert outcome.errno
        assert await firewall.unblock(A, [vip("10.0.0.100")]) == AlreadySo()

    with_firewall(scenario, too_long)

    async def without_interface(firewall: Firewall) -> None:
        assert await firewall.block(A, [vip("fe80::1", "missing")]) == Failed(errno.ENODEV)
        assert await firewall.clear() == AlreadySo()

    with_firewall(without_interface)


def test_link_local_addresses_of_untracked_interfaces_go_by_name(ip: Ip) -> None:
    instance = Instance(
        name=InstanceName("A"),
        interface=V0,
        vrid=1,
        addresses=(vip("fe80::1"), vip("fe80::2", "missing", tracked=False)),
        track_primary=False,
    )
    configuration = Configuration(instances=(instance,))

    async def scenario(firewall: Firewall) -> None:
        assert await firewall.block(A, instance.addresses) == Done()
        assert 'elements = { fe80::1 . "v0",\n\t\t\t     fe80::2 . "missing" }' in ruleset()
        assert "ip6 daddr . iifname @vips_link_local_name drop" in ruleset()

    with_firewall(scenario, configuration)
    by_index = replace(configuration, globals=Globals(firewall=Settings(ifindex=True)))

    async def indexed(firewall: Firewall) -> None:
        assert await firewall.block(A, instance.addresses[:1]) == Done()
        assert "vips_link_local_name" not in ruleset()

    with_firewall(indexed, by_index)


def test_devices_leave_reports_to_their_base(ip: Ip) -> None:
    for name in ("vrrp.1", "vrrp6.1"):
        ip(f"link add link v0 name {name} type macvlan mode private")
    base = socket.if_nametoindex("v0")

    async def scenario(firewall: Firewall) -> None:
        first = Vmac(InterfaceName("vrrp.1"), socket.if_nametoindex("vrrp.1"), base, (4,))
        assert await firewall.settle([first]) == Done()
        assert 'elements = { "vrrp.1" : "v0" }' in ruleset()
        assert (
            'ip protocol igmp meta oifkind "macvlan" dup to ip daddr device oif map @vmac_map drop'
            in ruleset()
        )
        assert "hook input" not in ruleset()
        second = Vmac(
            InterfaceName("vrrp6.1"), socket.if_nametoindex("vrrp6.1"), base, (6,), ip_address("fe80::7")
        )
        assert await firewall.settle([first, second]) == Done()
        assert 'elements = { fe80::7 . "vrrp6.1" }' in ruleset()
        assert 'icmpv6 type nd-router-solicit meta oifkind "macvlan" oif @vmac_set drop' in ruleset()
        # Made anew with another index: the old one goes.
        again = first._replace(own_index=base)
        assert await firewall.settle([again, second]) == Done()
        assert 'elements = { "v0" : "v0" }' in ruleset()
        assert await firewall.settle([again]) == Done()
        assert "vrrp6.1" not in ruleset()

    with_firewall(scenario)


def test_device_as_it_exists(ip: Ip) -> None:
    ip("link add link v0 name vrrp.1 type macvlan mode private")
    device = Device(
        InterfaceName("vrrp.1"), V0, DeviceKind.MACVLAN, InstanceName("A"), family=4, mode="private"
    )
    found = vmac_of(device, (4, 6))
    assert found is not None
    assert (found.own_index, found.base_index) == (
        socket.if_nametoindex("vrrp.1"),
        socket.if_nametoindex("v0"),
    )
    assert vmac_of(replace(device, name=InterfaceName("vrrp.2")), (4,)) is None


def test_reload_changes_options_only_of_a_table_that_is_not_there(ip: Ip) -> None:
    renamed = Configuration(globals=Globals(firewall=Settings(table="new")))

    async def scenario(firewall: Firewall) -> None:
        await firewall.block(A, [vip("10.0.0.100")])
        firewall.follow(renamed)
        await firewall.block(A, [vip("10.0.0.101")])
        assert "table ip keepalived" in ruleset()
        await firewall.clear()
        firewall.follow(renamed)
        await firewall.block(A, [vip("10.0.0.101")])
        assert "table ip new" in ruleset()

    with_firewall(scenario)


def test_refused_without_rights(ip: Ip) -> None:
    code = (
        "import asyncio, os\n"
        "from ipaddress import ip_address\n"
        "from keepalived_py.model.config import Configuration, VirtualAddress\n"
        "from keepalived_py.system.firewall import Firewall\n"
        "async def main():\n"
        "    firewall = Firewall(Configuration(), print)\n"
        "    os.setgid(65534); os.setuid(65534)\n"
        "    for _ in range(2):\n"
        "        print(await firewall.block('A', [VirtualAddress(ip_address('10.0.0.9'), 32, 'v0')]))\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines() == ["Failed(errno=1)"] * 2


def test_who_stops_waiting_does_not_leave_an_address_blocked(ip: Ip) -> None:
    async def scenario(firewall: Firewall) -> None:
        impatient = asyncio.ensure_future(firewall.block(A, [vip("10.0.0.100")]))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await firewall.unblock(A, [vip("10.0.0.100")]) == Done()
        assert "10.0.0.100" not in ruleset()

    with_firewall(scenario)


def test_filter_follows_the_devices_of_a_configuration(ip: Ip) -> None:
    for name in ("vrrp.1", "vrrp6.1"):
        ip(f"link add link v0 name {name} type macvlan mode private")
    four, six = (
        Device(InterfaceName(name), V0, DeviceKind.MACVLAN, InstanceName(name), family=family, mode="private")
        for name, family in (("vrrp.1", 4), ("vrrp6.1", 6))
    )
    missing = replace(four, name=InterfaceName("vrrp.9"))
    ipvlan = replace(six, kind=DeviceKind.IPVLAN, mode="bridge")
    mixed = Instance(
        name=InstanceName("vrrp.1"), interface=four.name, vrid=1, excluded_addresses=(vip("fd00::1", "v0"),)
    )
    shared = InterfaceAddress(ip_address("fe80::7"), 64)
    interfaces = {V0: InterfaceFacts(V0, 1, up=True, addresses=(shared,))}
    planned = Configuration(instances=(mixed,), devices=(four, six, missing, ipvlan))
    found = list(vmacs_of(planned, interfaces))
    assert [(one.name, one.families, str(one.shared)) for one in found] == [
        ("vrrp.1", (4, 6), "fe80::7"),
        ("vrrp6.1", (6,), "fe80::7"),
    ]
    silent = replace(planned, globals=Globals(disable_local_igmp=True))
    assert [one.name for one in vmacs_of(silent, {})] == ["vrrp6.1"]
    alone = replace(planned, devices=tuple(replace(one, for_address=True) for one in planned.devices))
    assert not list(vmacs_of(alone, interfaces))
    for settings in (Settings(table="keepalived"), Settings(iptables=Iptables())):
        assert len(list(vmacs_of(replace(alone, globals=Globals(firewall=settings)), interfaces))) == 2

    async def scenario(firewall: Firewall) -> None:
        for _ in range(2):
            assert await firewall.settle(found) == Done()
        assert ruleset().count('"vrrp.1" : "v0"') == 2
        assert await firewall.settle(found[1:]) == Done()
        assert "vrrp.1" not in ruleset()
        assert '"vrrp6.1" : "v0"' in ruleset()

    with_firewall(scenario)
