"""A node that stands alone, and a neighbour that can send better adverts than it.

A `Site` is a namespace with eth0, eth1 and eth2, and the namespace of its neighbour,
which has the other ends.  All numbers are the same in every site: the hardware
addresses, the IPv4 and the IPv6 addresses.  The neighbour hears the node's adverts;
while it is `outdoing` the node, it sends them back with priority 254 and its own
source address, so that the node becomes BACKUP.
"""

import itertools
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path

from lab import wait
from space import inside, run

LINKS = 3
PRIORITY = 254
_REPEAT_S = 0.2
_ETH_P_ALL = 3
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23
_VRRP = 112
# Higher than the link-local address of any node and of any of its virtual MAC devices.
_LINK_LOCAL = IPv6Address("fe80::ff:ffff:ff10").packed
_numbers = itertools.count(1001)


def checksum(data: bytes) -> int:
    """RFC 1071 over bytes; odd lengths are filled up with a zero."""
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True, slots=True)
class Heard:
    """One advert as it came out of the node: link of the neighbour, Ethernet header, IP header, message."""

    link: str
    ethernet: bytes
    ip: bytes
    message: bytes

    @property
    def key(self) -> tuple[str, int, int]:
        """Link, IP version and virtual router: adverts with the same key are of the same instance."""
        return self.link, self.ip[0] >> 4, self.message[1]

    def outdone(self) -> bytes:
        """A frame of the neighbour that says the same with a higher priority."""
        multicast = self.ethernet[0] & 1
        target = self.ethernet[:6] if multicast else self.ethernet[6:12]
        source = bytes((2, 0, 0, 0, 1, 0x10))
        head = self._ip6(multicast) if self.ip[0] >> 4 == 6 else self._ip4(multicast)
        return target + source + self.ethernet[12:14] + head + self._message(head)

    def _ip4(self, multicast: int) -> bytes:
        source = (self.ip[12:15] + b"\xfe") if multicast else self.ip[16:20]
        target = self.ip[16:20] if multicast else self.ip[12:16]
        bare = self.ip[:10] + bytes(2) + source + target
        return bare[:10] + struct.pack(">H", checksum(bare)) + bare[12:]

    def _ip6(self, multicast: int) -> bytes:
        source = _LINK_LOCAL if multicast else self.ip[24:40]
        return self.ip[:7] + b"\xff" + source + (self.ip[24:40] if multicast else self.ip[8:24])

    def _message(self, head: bytes) -> bytes:
        bare = self.message[:2] + bytes((PRIORITY,)) + self.message[3:6] + bytes(2) + self.message[8:]
        version, family = bare[0] >> 4, head[0] >> 4
        pseudo = (
            b"" if (version, family) == (2, 4) else _addresses(head) + struct.pack(">II", len(bare), _VRRP)
        )
        if family == 4 and version == 3:
            pseudo = _addresses(head) + struct.pack(">BBH", 0, _VRRP, len(bare))
        return bare[:6] + struct.pack(">H", checksum(pseudo + bare)) + bare[8:]


def _addresses(head: bytes) -> bytes:
    return head[12:20] if head[0] >> 4 == 4 else head[8:40]


def advert_of(link: str, frame: bytes) -> Heard | None:
    """The advert in a frame; None for anything else, and for adverts with an authentication header."""
    ethernet, rest = frame[:14], frame[14:]
    if ethernet[12:14] == b"\x08\x00" and rest[9] == _VRRP:
        size, end = (rest[0] & 15) * 4, int.from_bytes(rest[2:4], "big")
        return Heard(link, ethernet, rest[:size], rest[size:end])
    if ethernet[12:14] == b"\x86\xdd" and rest[6] == _VRRP:
        return Heard(link, ethernet, rest[:40], rest[40 : 40 + int.from_bytes(rest[4:6], "big")])
    return None


class Neighbour:
    """Hears the node on every link in a thread of its own; close it before its namespace goes."""

    def __init__(self, namespace: str) -> None:
        self.heard: dict[tuple[str, int, int], Heard] = {}
        self._outdoing = threading.Event()
        self._stop = threading.Event()
        with inside(namespace):
            self._sockets = {f"far{number}": _packet_socket(f"far{number}") for number in range(LINKS)}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @contextmanager
    def outdoing(self) -> Iterator[None]:
        """Until the block ends, every advert heard so far is sent back, better."""
        self._outdoing.set()
        try:
            yield
        finally:
            self._outdoing.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            for ready in select.select(list(self._sockets.values()), [], [], _REPEAT_S)[0]:
                self._read(ready)
            if self._outdoing.is_set():
                for heard in self.heard.values():
                    self._sockets[heard.link].send(heard.outdone())
                self._stop.wait(_REPEAT_S)

    def _read(self, ready: socket.socket) -> None:
        try:
            frame, where = ready.recvfrom(4096)
        except OSError:  # the link went down: told once, on the socket
            return
        heard = advert_of(where[0], frame)
        if heard is not None and heard.message[2]:
            self.heard[heard.key] = heard

    def close(self) -> None:
        """Stop hearing."""
        self._stop.set()
        self._thread.join(2)
        for one in self._sockets.values():
            one.close()


def _packet_socket(link: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    made.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    made.bind((link, _ETH_P_ALL))
    return made


@dataclass(slots=True)
class Site:
    """One node and its neighbour; use `site`."""

    base: str = field(default_factory=lambda: f"kl-{os.getpid()}-{next(_numbers)}")

    @property
    def node(self) -> str:
        """The namespace a program runs in."""
        return f"{self.base}-r1"

    @property
    def far(self) -> str:
        """The neighbour's namespace."""
        return f"{self.base}-sw"

    def up(self) -> None:
        """Make both; every interface is up and has its link-local address."""
        for name in (self.node, self.far):
            run("ip", "netns", "add", name)
            with inside(name):
                _settle_ipv6()
        run("ip", "-batch", "-", text_in="\n".join(self._cables()) + "\n")
        for name, lines in ((self.far, _far_lines()), (self.node, _node_lines())):
            run("ip", "-n", name, "-batch", "-", text_in="\n".join(lines) + "\n")
        wait(self._settled, 5, "link-local addresses")

    def _cables(self) -> Iterator[str]:
        for number in range(LINKS):
            yield (
                f"link add far{number} address 02:00:00:00:01:0{number} netns {self.far} type veth "
                f"peer name eth{number} address 02:00:00:00:00:0{number} netns {self.node}"
            )

    def _settled(self) -> bool:
        return (
            run("ip", "-n", self.node, "-o", "-6", "addr", "show", "scope", "link").count("fe80::") == LINKS
        )

    def down(self) -> None:
        """Delete both."""
        for name in (self.node, self.far):
            run("ip", "netns", "del", name, check=False)


@contextmanager
def site() -> Iterator[tuple[Site, Neighbour]]:
    """A site that is gone afterwards, with its neighbour listening."""
    made = Site()
    try:
        made.up()
        neighbour = Neighbour(made.far)
        try:
            yield made, neighbour
        finally:
            neighbour.close()
    finally:
        made.down()


def _settle_ipv6() -> None:
    """No address is ever tentative and nobody asks for routers, so that two sites never differ in time."""
    for parameter in ("accept_dad", "router_solicitations"):
        Path(f"/proc/sys/net/ipv6/conf/default/{parameter}").write_text("0")


def _far_lines() -> Iterator[str]:
    for number in range(LINKS):
        yield f"addr add 10.7{number + 7}.0.254/24 dev far{number}"
        yield f"addr add fd7{number + 7}::254/64 dev far{number}"
        yield f"link set far{number} up"


def _node_lines() -> Iterator[str]:
    yield "link set lo up"
    for number in range(LINKS):
        yield f"addr add 10.7{number + 7}.0.1/24 dev eth{number}"
        yield f"addr add fd7{number + 7}::1/64 dev eth{number}"
        yield f"link set eth{number} up"
