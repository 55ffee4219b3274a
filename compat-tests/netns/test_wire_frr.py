"""Version 3 against FRR's vrrpd, which nobody of keepalived wrote: understood and obeyed, IPv4 and IPv6."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from lab import wait
from space import Space, inside, run

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.election.listening import Listeners
from keepalived_py.model.config import AuthType, Configuration, Instance
from keepalived_py.model.events import InterfaceFacts
from keepalived_py.model.packet import Advert, AdvertToSend
from keepalived_py.wire.vrrp import Undecodable

pytestmark = pytest.mark.netns

FRR = Path("/usr/lib/frr")
ETH0 = InterfaceName("eth0")
VRID = 10
VIP4, VIP6 = IPv4Address("10.77.1.51"), IPv6Address("fd77::51")
OURS4, OURS6 = IPv4Address("10.77.0.2"), IPv6Address("fe80::2")
CONFIGURATION = f"interface eth0\n vrrp {VRID} version 3\n vrrp {VRID} priority 200\n vrrp {VRID} ip {VIP4}\n vrrp {VRID} ipv6 {VIP6}\n!\n"


def prepare(space: Space) -> None:
    """Addresses that are usable at once; on node 1 the devices that vrrpd finds its addresses on."""
    for number in (1, 2):
        with inside(space.node(number)):
            for name in ("default", "eth0"):
                Path(f"/proc/sys/net/ipv6/conf/{name}/addr_gen_mode").write_text("1")
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0")
                Path(f"/proc/sys/net/ipv6/conf/{name}/accept_dad").write_text("0")
        space.ip(number, "addr", "add", f"fe80::{number}/64", "dev", "eth0", "nodad")
    for family, mac, address in ((4, "01", f"{VIP4}/32"), (6, "02", f"{VIP6}/64")):
        name = f"vrrp{family}-2-1"
        words = ("link", "add", name, "link", "eth0", "address", f"00:00:5e:00:{mac}:{VRID:02x}")
        space.ip(1, *words, "type", "macvlan", "mode", "bridge")
        if family == 6:
            space.ip(1, "addr", "add", "fe80::51/64", "dev", name, "nodad")
        space.ip(1, "addr", "add", address, "dev", name, *(("nodad",) if family == 6 else ()))
        space.ip(1, "link", "set", name, "up")


@contextmanager
def daemon(space: Space, name: str, directory: Path, configuration: Path) -> Iterator[None]:
    """One of FRR's daemons on node 1, under the user that it wants."""
    words = [
        "nsenter", f"--net=/run/netns/{space.node(1)}", str(FRR / name), "-f", str(configuration),
        "-z", str(directory / "zebra.sock"), "-i", str(directory / f"{name}.pid"), "--vty_socket", str(directory),
    ]  # fmt: skip
    with (directory / f"{name}.log").open("w") as log:
        running = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield
    finally:
        running.terminate()
        running.wait(5)


@contextmanager
def vrrpd() -> Iterator[Space]:
    """A space of two nodes; FRR's vrrpd runs on node 1."""
    if not (FRR / "vrrpd").exists():
        raise RuntimeError("FRR's vrrpd is not installed (Debian package frr)")
    space = Space(nodes=2).up()
    # FRR gives up root: its directory must not lie below one that only root may enter.
    directory = Path(tempfile.mkdtemp(prefix="frr-"))
    try:
        prepare(space)
        nothing, file = directory / "nothing", directory / "vrrpd.conf"
        nothing.write_text("")
        file.write_text(CONFIGURATION)
        directory.chmod(0o755)
        run("chown", "-R", "frr", str(directory))
        with daemon(space, "zebra", directory, nothing):
            wait((directory / "zebra.sock").exists, 5, "zebra")
            with daemon(space, "vrrpd", directory, file):
                yield space
    finally:
        space.down()
        shutil.rmtree(directory)


def advert(family: int) -> AdvertToSend:
    """A better one than FRR's."""
    return AdvertToSend(
        ETH0,
        OURS4 if family == 4 else OURS6,
        (IPv4Address("224.0.0.18") if family == 4 else IPv6Address("ff02::12"),),
        255,
        3,
        VRID,
        250,
        AuthType.NONE,
        b"",
        100,
        (VIP4 if family == 4 else VIP6,),
    )


def instance(family: int) -> Instance:
    """Whoever listens for that family."""
    group = advert(family).destinations[0]
    return Instance(InstanceName(str(family)), ETH0, VRID, family=family, version=3, destination=group)


def test_frr_and_we_understand_each_other() -> None:
    """It is heard as MASTER, falls silent under better adverts, and comes back when they end."""
    heard: list[Advert | Undecodable] = []

    def both() -> bool:
        return {one.source.version for one in heard if isinstance(one, Advert)} == {4, 6}

    async def until_both(what: str) -> None:
        async with asyncio.timeout(12):
            while not both():
                await asyncio.sleep(0.05)
        assert both(), what

    async def life(space: Space) -> None:
        with inside(space.node(2)):
            listeners = Listeners(lambda _, one: heard.append(one), lambda _: None)
            facts = InterfaceFacts(ETH0, socket.if_nametoindex(ETH0), True)
            listeners.follow(Configuration(instances=(instance(4), instance(6))), {ETH0: facts})
        await until_both("FRR advertises")
        for one in heard:
            check(one)
        for turn in range(10):
            assert [listeners.send(InstanceName(str(family)), advert(family)) for family in (4, 6)] == [0, 0]
            await asyncio.sleep(0.4)
            if turn == 1:
                heard.clear()
        assert heard == []
        await until_both("FRR comes back")
        listeners.close()

    with vrrpd() as space:
        asyncio.run(life(space))


def check(one: Advert | Undecodable) -> None:
    """What FRR says of itself."""
    assert isinstance(one, Advert)
    assert (one.version, one.vrid, one.priority, one.advert_interval, one.ttl) == (3, VRID, 200, 100, 255)
    assert one.checksum_valid
    assert one.received_length == one.expected_length == one.total_length
    assert one.addresses == ((VIP4,) if one.source.version == 4 else (VIP6,))
