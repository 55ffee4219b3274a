"""Adverts and announcements of every kind against the real keepalived: bytes out, and understood in.

The part under test is the one that makes and takes packets (`Listeners`), without
the daemon around it: it sends what an instance would send.  Left aside is the
flow label of IPv6, which each kernel draws for itself.
"""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from lab import wait
from program import Program
from space import Space, inside, run

from keepalived_py.base.integrity import ah_icv
from keepalived_py.base.names import Address, InstanceName, InterfaceName
from keepalived_py.election.listening import Listeners
from keepalived_py.model.config import AuthType, Configuration, Instance
from keepalived_py.model.events import InterfaceAddress, InterfaceFacts
from keepalived_py.model.packet import Advert, AdvertToSend, ChecksumForm
from keepalived_py.model.vrrp import UnicastPeer
from keepalived_py.system.neighbour import NeighbourSocket
from keepalived_py.wire.arp import gratuitous_arp
from keepalived_py.wire.ndisc import unsolicited_advertisement
from keepalived_py.wire.vrrp import Undecodable

pytestmark = pytest.mark.netns

ETH0 = InterfaceName("eth0")
ALL_PROTOCOLS = 3
AUTHENTICATION = {
    AuthType.PASS: "authentication { \n auth_type PASS\n auth_pass abcdefgh\n }",
    AuthType.AH: "authentication { \n auth_type AH\n auth_pass secret12\n }",
}
PASSWORDS = {AuthType.NONE: b"", AuthType.PASS: b"abcdefgh", AuthType.AH: b"secret12"}


@dataclass(frozen=True)
class Kind:
    """One kind of advert: the words for the file, and what they make of the advert."""

    vrid: int
    words: str = ""
    family: int = 4
    version: int = 2
    auth: AuthType = AuthType.NONE
    unicast: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    addresses: int = 1

    @property
    def name(self) -> str:
        """The instance."""
        return f"VI_{self.vrid}"

    @property
    def virtual(self) -> tuple[Address, ...]:
        """The virtual addresses."""
        form = "10.77.{}.{}" if self.family == 4 else "fe80::{}:{}"
        return tuple(ip_address(form.format(self.vrid, n)) for n in range(1, self.addresses + 1))

    def text(self, me: int, peers: tuple[int, ...], priority: int) -> str:
        """The block of node `me`."""
        listed = "\n".join(f"{one}/{24 if self.family == 4 else 64}" for one in self.virtual)
        others = "\n".join(str(own(peer, self.family)) for peer in peers)
        unicast = (
            f"unicast_src_ip {own(me, self.family)}\nunicast_peer {{\n{others}\n}}" if self.unicast else ""
        )
        return (
            f"vrrp_instance {self.name} {{\ninterface eth0\nvirtual_router_id {self.vrid}\nversion {self.version}\n"
            f"priority {priority}\nadvert_int 1\ngarp_master_delay 0\n{AUTHENTICATION.get(self.auth, '')}\n{self.words}\n"
            f"{unicast}\nvirtual_ipaddress {{\n{listed}\n}}\n}}\n"
        )

    def advert(self, me: int, peers: tuple[int, ...], priority: int) -> AdvertToSend:
        """What node `me` sends."""
        group: Address = IPv4Address("224.0.0.18") if self.family == 4 else IPv6Address("ff02::12")
        to = tuple(own(peer, self.family) for peer in peers) if self.unicast else (group,)
        source = own(me, self.family) if self.unicast or self.family == 4 else IPv6Address(f"fe80::{me}")
        made = AdvertToSend(
            interface=ETH0,
            source=source,
            destinations=to,
            ttl=None if self.unicast and self.family == 6 else 255,
            version=self.version,
            vrid=self.vrid,
            priority=priority,
            auth_type=self.auth,
            auth_data=PASSWORDS[self.auth],
            advert_interval=1 if self.version == 2 else 100,
            addresses=self.virtual,
        )
        return replace(made, **self.changes)

    def instance(self, me: int, peers: tuple[int, ...]) -> Instance:
        """As the model has it."""
        sent = self.advert(me, peers, 100)
        return Instance(
            InstanceName(self.name),
            ETH0,
            self.vrid,
            family=self.family,
            version=self.version,
            auth_type=self.auth,
            source=sent.source if self.unicast else None,
            unicast_peers=tuple(UnicastPeer(address=one) for one in sent.destinations)
            if self.unicast
            else (),
            destination=IPv4Address("224.0.0.18") if self.family == 4 else IPv6Address("ff02::12"),
        )


KINDS = (
    Kind(1),
    Kind(2, auth=AuthType.PASS, addresses=20),
    Kind(3, auth=AuthType.AH),
    Kind(4, version=3, addresses=3),
    Kind(5, "mcast_src_ip 10.77.0.77", changes={"source": IPv4Address("10.77.0.77")}),
    Kind(6, "unicast_ttl 7", unicast=True, changes={"ttl": 7}),
    Kind(7, unicast=True, auth=AuthType.AH),
    Kind(8, unicast=True, version=3),
    Kind(9, "old_unicast_checksum", unicast=True, version=3, changes={"checksum_form": ChecksumForm.OLD_UNICAST}),
    Kind(11, family=6, version=3, addresses=4),
    Kind(12, family=6),
    Kind(13, family=6, version=3, unicast=True),
    Kind(14, "unicast_ttl 33", family=6, version=3, unicast=True, changes={"ttl": 33}),
)  # fmt: skip


def own(node: int, family: int) -> Address:
    """The node's address on eth0."""
    return ip_address(f"10.77.0.{node}" if family == 4 else f"fd77::{node}")


@contextmanager
def six(nodes: int) -> Iterator[Space]:
    """A space whose nodes speak IPv6 too, with addresses that are usable at once."""
    space = Space(nodes=nodes).up()
    try:
        for number in range(1, nodes + 1):
            with inside(space.node(number)):
                Path("/proc/sys/net/ipv6/conf/eth0/addr_gen_mode").write_text("1")
                Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("0")
            for address in (f"fe80::{number}/64", f"fd77::{number}/64"):
                space.ip(number, "addr", "add", address, "dev", "eth0", "nodad")
            for peer in (8, 9):
                for family in (4, 6):
                    mac = f"02:00:00:00:00:{peer:02x}"
                    space.ip(number, "neigh", "add", str(own(peer, family)), "lladdr", mac, "dev", "eth0")
        yield space
    finally:
        space.down()


def _announces(frame: bytes) -> bool:
    """Whether this is a gratuitous ARP frame or a neighbour advertisement."""
    if frame[12:14] == b"\x08\x06":
        return frame[28:32] == frame[38:42]
    return frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136


class Wire:
    """What node 1 puts on the wire."""

    def __init__(self, space: Space) -> None:
        with inside(space.switch):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
            # PACKET_IGNORE_OUTGOING: what the bridge sends to node 1 is none of its words.
            self._socket.setsockopt(263, 23, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.bind(("p1", ALL_PROTOCOLS))
        self.adverts: dict[tuple[int, bytes], list[bytes]] = {}
        self.announcements: list[bytes] = []

    def look(self) -> int:
        """Take in what came until now; how many announcements there are."""
        while True:
            try:
                self._take(self._socket.recv(9000))
            except BlockingIOError:
                return len(self.announcements)

    def _take(self, frame: bytes) -> None:
        ethertype = frame[12:14]
        if _announces(frame):
            self.announcements.append(frame)
        elif ethertype == b"\x08\x00" and frame[23] in (51, 112):
            message = 34 + (24 if frame[23] == 51 else 0)
            self.adverts.setdefault((frame[message + 1], frame[30:34]), []).append(frame)
        elif ethertype == b"\x86\xdd" and frame[20] == 112:
            unlabelled = frame[:15] + bytes((frame[15] & 0xF0, 0, 0)) + frame[18:]
            self.adverts.setdefault((frame[55], frame[38:54]), []).append(unlabelled)

    def close(self) -> None:
        """Stop hearing."""
        self._socket.close()


class Ours:
    """`Listeners` on a node."""

    def __init__(self, space: Space, node: int, peers: tuple[int, ...]) -> None:
        self._node, self._peers = node, peers
        self.heard: list[Advert | Undecodable] = []
        self.log: list[str] = []
        with inside(space.node(node)):
            self.index = socket.if_nametoindex("eth0")
            facts = InterfaceFacts(
                ETH0, self.index, True, addresses=(InterfaceAddress(IPv4Address(f"10.77.0.{node}"), 16),)
            )
            self.listeners = Listeners(
                lambda _, heard: self.heard.append(heard), lambda line: self.log.append(line.text)
            )
            instances = tuple(kind.instance(node, peers) for kind in KINDS)
            self.listeners.follow(Configuration(instances=instances), {ETH0: facts})

    def advertise(self, priority: int) -> None:
        """One advert of each kind."""
        for kind in KINDS:
            advert = kind.advert(self._node, self._peers, priority)
            assert self.listeners.send(InstanceName(kind.name), advert) == 0


def file(me: int, peers: tuple[int, ...], priority: int) -> str:
    """The configuration with every kind."""
    return "global_defs {\n router_id lab\n}\n" + "".join(kind.text(me, peers, priority) for kind in KINDS)


@contextmanager
def real(space: Space, node: int, directory: Path, text: str) -> Iterator[Program]:
    """The real keepalived on a node."""
    program = Program("real", space.node(node), directory, text)
    try:
        yield program
    finally:
        program.ask_to_end()
        program.close()


def from_real(directory: Path) -> Wire:
    """Three adverts of each kind, and the first burst of announcements, from keepalived."""
    with six(1) as space:
        wire = Wire(space)
        with real(space, 1, directory, file(1, (8, 9), 255)):
            expected = sum(2 if kind.unicast else 1 for kind in KINDS)

            def enough() -> bool:
                wire.look()
                return len(wire.adverts) == expected and all(len(sent) > 2 for sent in wire.adverts.values())

            wait(enough, 8, "three adverts of each kind")
        wire.close()
    return wire


def from_ours() -> Wire:
    """The same from `Listeners` and `NeighbourSocket`."""
    with six(1) as space:
        wire = Wire(space)

        async def life() -> None:
            ours = Ours(space, 1, (8, 9))
            for _ in range(3):
                ours.advertise(255)
            ours.listeners.close()
            with inside(space.node(1)):
                neighbours = NeighbourSocket()
                for kind in KINDS:
                    for address in kind.virtual:
                        neighbours.send(ours.index, announcement(space.mac(1), address))
                neighbours.close()

        asyncio.run(life())
        expected = sum(kind.addresses for kind in KINDS)
        wait(lambda: wire.look() >= expected, 3, "announcements")
        wire.close()
    return wire


def announcement(mac: bytes, address: Address) -> bytes:
    """What tells the neighbours of `address`."""
    if isinstance(address, IPv4Address):
        return gratuitous_arp(mac, address)
    return unsolicited_advertisement(mac, address, router=False)


def test_every_byte_is_keepalived_s(tmp_path: Path) -> None:
    """Headers, TTLs, IP ids, sequence numbers, digests, checksums; then ARP and neighbour adverts."""
    theirs, ours = from_real(tmp_path), from_ours()
    assert ours.adverts.keys() == theirs.adverts.keys()
    for key, frames in ours.adverts.items():
        assert [one.hex() for one in frames] == [one.hex() for one in theirs.adverts[key][:3]], key
    assert {one.hex() for one in ours.announcements} == {one.hex() for one in theirs.announcements}


def test_keepalived_obeys_our_adverts(tmp_path: Path) -> None:
    """As long as we advertise it stays BACKUP everywhere; when we cease it becomes MASTER everywhere."""
    with six(2) as space, real(space, 2, tmp_path, file(2, (1,), 100)) as program:

        async def life() -> None:
            ours = Ours(space, 1, (2,))
            wait(lambda: program.logged("Entering BACKUP STATE (init)"), 5, "start")
            end = time.monotonic() + 5.5
            while time.monotonic() < end:
                ours.advertise(200)
                await asyncio.sleep(0.5)
            assert not program.logged("Entering MASTER STATE"), program.tail()
            ours.listeners.close()

        asyncio.run(life())
        for kind in KINDS:
            wait(lambda name=kind.name: program.logged(f"({name}) Entering MASTER STATE"), 6, kind.name)  # type: ignore[misc]


def test_we_understand_keepalived_s_adverts(tmp_path: Path) -> None:
    """Every kind arrives whole, and is what its configuration says."""
    with six(2) as space, real(space, 1, tmp_path, file(1, (2,), 255)):

        async def life() -> list[Advert]:
            ours = Ours(space, 2, (1,))
            async with asyncio.timeout(8):
                while len({one.vrid for one in ours.heard if isinstance(one, Advert)}) < len(KINDS):
                    await asyncio.sleep(0.05)
            ours.listeners.close()
            return [one for one in ours.heard if isinstance(one, Advert)]

        heard = {one.vrid: one for one in asyncio.run(life())}
    for kind in KINDS:
        check(kind, heard[kind.vrid], kind.advert(1, (2,), 255))


def check(kind: Kind, heard: Advert, sent: AdvertToSend) -> None:
    """`heard` is `sent`."""
    assert (heard.source, heard.destination) == (sent.source, sent.destinations[0])
    assert (heard.version, heard.priority, heard.addresses) == (sent.version, 255, sent.addresses)
    assert heard.ttl == (64 if sent.ttl is None else sent.ttl)
    assert heard.received_length == heard.expected_length == heard.total_length
    old = sent.checksum_form is ChecksumForm.OLD_UNICAST
    assert heard.checksum_valid is not old
    assert not old or heard.old_checksum_valid
    assert heard.has_ah is (kind.auth is AuthType.AH)
    if heard.ah is not None:
        covered = heard.ah.covered
        as_sent = covered[:8] + b"\0" + covered[9:] if kind.unicast else covered
        assert ah_icv(PASSWORDS[AuthType.AH], as_sent) == heard.ah.icv
    if kind.auth is AuthType.PASS:
        assert heard.auth_data == PASSWORDS[AuthType.PASS]


def test_nothing_is_left_behind() -> None:
    """The namespaces of this file are gone."""
    before = run("ip", "netns", "list")
    with six(1) as space:
        assert space.switch in run("ip", "netns", "list")
    after = run("ip", "netns", "list")
    assert space.base not in after and space.base not in before
