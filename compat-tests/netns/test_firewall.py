"""The packet filter beside the real program's: `nft list ruleset`, byte for byte.

The real program runs in a namespace of its own until it is MASTER; what it has put
into the packet filter is then compared with what `system.firewall` puts there, from
the same addresses and devices, after the real one has gone.  Numbers of packets and
bytes are left aside.
"""

import asyncio
import re
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from lab import wait
from program import Program
from space import Space, inside, run

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.model.config import Configuration, Globals, Instance, VirtualAddress
from keepalived_py.model.globals import Firewall as Settings
from keepalived_py.system.firewall import Firewall, Vmac

pytestmark = pytest.mark.netns

OPTIONS = {
    "plain": ("nftables", Settings(table="keepalived")),
    "dressed": (
        "nftables other\nnftables_priority 7\nnftables_counters\nnftables_ifindex",
        Settings(table="other", priority=7, counters=True, ifindex=True),
    ),
}
FOUR = ("10.77.1.1", "10.77.1.2")
SIX = ("fe80::100", "fd00::100")
UNTRACKED = ("fe80::107",)
OWNER = InstanceName("A")


@pytest.fixture
def space() -> Iterator[Space]:
    made = Space(nodes=1, net=74)
    made.up()
    try:
        with inside(made.node(1)):
            for scope in ("all", "default", "eth0"):
                Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("0")
        wait(lambda: "fe80" in made.ip(1, "-6", "addr", "show", "dev", "eth0", "-tentative"), 5, "link-local")
        yield made
    finally:
        made.down()


def ruleset(space: Space) -> str:
    with inside(space.node(1)):
        text = run("nft", "list", "ruleset")
    return re.sub(r"packets \d+ bytes \d+", "packets bytes", text)


def block(name: str, vrid: int, addresses: tuple[str, ...], *lines: str) -> str:
    inner = "\n".join((*lines, "virtual_ipaddress {", *addresses, "}"))
    common = f"interface eth0\nvirtual_router_id {vrid}\npriority 200\nversion 3\nadvert_int 0.1"
    return f"vrrp_instance {name} {{\n{common}\n{inner}\n}}\n"


def vip(text: str) -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, address.max_prefixlen, InterfaceName("eth0"))


def by_ours(space: Space, settings: Settings, scenario: Callable[[Firewall], Awaitable[None]]) -> str:
    """The rule set while `scenario` is over and nothing is cleared yet."""
    instance = Instance(
        name=InstanceName("C"),
        interface=InterfaceName("eth0"),
        vrid=3,
        addresses=tuple(map(vip, UNTRACKED)),
        track_primary=False,
    )
    configuration = Configuration(globals=Globals(firewall=settings), instances=(instance,))

    async def main() -> str:
        firewall = Firewall(configuration, print)
        await scenario(firewall)
        found = ruleset(space)
        await firewall.clear()
        firewall.close()
        return found

    with inside(space.node(1)):
        return asyncio.run(asyncio.wait_for(main(), 20))


@pytest.mark.parametrize("options", OPTIONS)
def test_addresses_that_are_not_accepted(space: Space, tmp_path: Path, options: str) -> None:
    words, settings = OPTIONS[options]
    text = f"global_defs {{\n{words}\n}}\n"
    excluded = ("no_accept", "virtual_ipaddress_excluded {", "fd00::77", "}")
    text += block("A", 1, FOUR, *excluded)
    text += block("B", 2, SIX, "no_accept")
    text += block("C", 3, UNTRACKED, "no_accept", "dont_track_primary")
    real = Program("real", space.node(1), tmp_path / "real", text)
    try:
        wait(lambda: all(one in ruleset(space) for one in (*FOUR, *SIX, *UNTRACKED)), 8, "MASTER of all")
        theirs = ruleset(space)
        # Without the interface all are FAULT: the table stays, with empty sets.
        space.ip(1, "link", "del", "eth0")
        wait(lambda: "elements = { fe80" not in ruleset(space), 8, "FAULT of all")
        wait(lambda: FOUR[0] not in ruleset(space) and SIX[1] not in ruleset(space), 8, "FAULT of all")
        theirs_after = ruleset(space)
    finally:
        real.ask_to_end()
        real.close()
    assert ruleset(space) == ""
    space.ip(1, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    groups = ((*FOUR, "fd00::77"), SIX, UNTRACKED)

    async def held(firewall: Firewall) -> None:
        for group in groups:
            await firewall.block(OWNER, tuple(map(vip, group)))

    async def given_up(firewall: Firewall) -> None:
        await held(firewall)
        for group in groups:
            await firewall.unblock(OWNER, tuple(map(vip, group)))

    assert by_ours(space, settings, held) == theirs
    assert by_ours(space, settings, given_up) == theirs_after
    assert ruleset(space) == ""


@pytest.mark.parametrize("options", OPTIONS)
def test_virtual_mac_devices(space: Space, tmp_path: Path, options: str) -> None:
    """IPv4 is the same; for IPv6 we do what newer versions do (MLDv1 too, and the shared address)."""
    words, settings = OPTIONS[options]
    text = f"global_defs {{\n{words}\n}}\n" + block("A", 1, FOUR, "use_vmac") + block("B", 2, SIX, "use_vmac")
    real = Program("real", space.node(1), tmp_path / "real", text)
    try:
        wait(lambda: ruleset(space).count('"vrrp.') >= 3, 8, "both devices in the filter")
        theirs = ruleset(space)
    finally:
        real.ask_to_end()
        real.close()
    names = [InterfaceName(f"vrrp.{vrid}") for vrid in (1, 2)]
    for name in names:
        space.ip(1, "link", "add", "link", "eth0", "name", name, "type", "macvlan", "mode", "private")

    async def scenario(firewall: Firewall) -> None:
        base = socket.if_nametoindex("eth0")
        families = zip(names, (4, 6), strict=True)
        await firewall.settle(
            Vmac(name, socket.if_nametoindex(name), base, (family,)) for name, family in families
        )

    ours = by_ours(space, settings, scenario)
    four, six = (text.split("table ip6 ") for text in (theirs, ours))
    assert six[0] == four[0]
    older, newer = set(four[1].splitlines()), set(six[1].splitlines())
    count = " counter packets bytes" if settings.counters else ""
    copied = 'meta oifkind "macvlan" dup to ip6 daddr device oif map @vmac_map'
    assert older - newer == {f"\t\ticmpv6 type mld2-listener-report {copied}{count} drop"}
    added = {line.split("{")[0].strip() for line in newer - older}
    assert {f"icmpv6 type @mld-report {copied}{count} drop", "set parent_link_local"} <= added
    assert not any("vmac_" in line and "mld-report" not in line for line in newer - older)


def await_listening(space: Space, heard: Path) -> None:
    """Change a table of our own until the monitor that writes to `heard` tells of it: it listens then."""
    with inside(space.node(1)):
        run("nft", "add table ip probe; add set ip probe seen { type ipv4_addr; }")

        def told() -> bool:
            run("nft", "add element ip probe seen { 192.0.2.1 }; flush set ip probe seen")
            return "probe" in heard.read_text()

        wait(told, 20, "the monitor listens")
        run("nft", "delete table ip probe")


def test_addresses_that_change_places_in_a_reload_are_closed_all_the_time(
    space: Space, tmp_path: Path
) -> None:
    """Another instance holds each from then on, one of them under a new name; a third one comes and goes."""
    one, two = FOUR
    more = "10.77.1.3"

    def two_routers(first: tuple[str, ...], second: tuple[str, ...], name: str) -> str:
        return block("A", 1, first, "no_accept") + block(name, 2, second, "no_accept")

    ours = Program("ours", space.node(1), tmp_path / "ours", two_routers((one,), (two,), "B"))
    watch = ["nsenter", f"--net=/run/netns/{space.node(1)}", "nft", "monitor", "elements"]
    with (tmp_path / "changes").open("w+") as changes:
        monitor = None
        try:
            wait(lambda: all(each in ruleset(space) for each in FOUR), 20, "MASTER of both")
            monitor = subprocess.Popen(watch, stdout=changes)
            await_listening(space, tmp_path / "changes")

            def reload_to(text: str, done: str) -> None:
                ours.config_path.write_text(text)
                ours.send(signal.SIGHUP)
                wait(lambda: done in (tmp_path / "changes").read_text(), 20, done)

            reload_to(two_routers((two,), (one, more), "C"), f"vips {{ {more} }}")
            reload_to(two_routers((two,), (one,), "C"), f"delete element ip keepalived vips {{ {more} }}")
            assert all(each in ruleset(space) for each in FOUR)
            seen = (tmp_path / "changes").read_text()
            assert not any(each in seen for each in FOUR), seen
        finally:
            if monitor is not None:
                monitor.terminate()
                monitor.wait(5)
            ours.ask_to_end()
            ours.close()
    assert ruleset(space) == ""
