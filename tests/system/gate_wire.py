"""The other end of the wire, for tests of the gate: it asks who has an address, and hears who answers."""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.model.config import VirtualAddress
from keepalived_py.system.clocks import boottime

if TYPE_CHECKING:
    from .conftest import Ip

V0 = InterfaceName("v0")
FOUR, OTHER_FOUR, SIX, LINK = "10.0.0.100", "10.0.0.101", "fd00::100", "fe80::100"
ASKER_MAC = bytes.fromhex("02000000aa01")
ASKER, ASKER_6, LINK_ASKER = IPv4Address("10.0.0.2"), IPv6Address("fd00::2"), IPv6Address("fe80::2")
LONG_US = 10_000_000
# How long an answer may take that is to come, and how long one is waited for that is not to come.
PATIENCE_S, SILENCE_S = 2.0, 0.05


def vip(text: str, interface: str = "v0") -> VirtualAddress:
    address = ip_address(text)
    return VirtualAddress(address, address.max_prefixlen, InterfaceName(interface))


def soon(us: int = LONG_US) -> Micros:
    return Micros(boottime() + us)


# -- the wire ------------------------------------------------------------------------


def _mac(interface: str) -> str:
    shown = subprocess.run(
        ["ip", "-br", "link", "show", interface], capture_output=True, text=True, check=True
    )
    return shown.stdout.split()[2].replace(":", "")


def checksum(data: bytes) -> int:
    words = struct.unpack(f">{len(data) // 2}H", data + bytes(len(data) % 2) if len(data) % 2 else data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~int(total) & 0xFFFF


def arp_request(target: IPv4Address) -> bytes:
    head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1)
    body = head + ASKER_MAC + ASKER.packed + bytes(6) + target.packed
    return b"\xff" * 6 + ASKER_MAC + b"\x08\x06" + body


def echo(mac: bytes, target: IPv4Address) -> bytes:
    icmp = struct.pack(">BBHHH", 8, 0, 0, 7, 7)
    icmp = icmp[:2] + checksum(icmp).to_bytes(2, "big") + icmp[4:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0) + ASKER.packed + target.packed
    head = head[:10] + checksum(head).to_bytes(2, "big") + head[12:]
    return mac + ASKER_MAC + b"\x08\x00" + head + icmp


def _icmpv6(mac: bytes, source: IPv6Address, to: IPv6Address, body: bytes) -> bytes:
    pseudo = source.packed + to.packed + struct.pack(">IHBB", len(body), 0, 0, 58)
    body = body[:2] + checksum(pseudo + body).to_bytes(2, "big") + body[4:]
    return (
        mac
        + ASKER_MAC
        + b"\x86\xdd"
        + struct.pack(">IHBB", 6 << 28, len(body), 58, 255)
        + source.packed
        + to.packed
        + body
    )


def solicitation(target: IPv6Address) -> bytes:
    low = target.packed[13:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + low)
    body = bytes((135, 0, 0, 0)) + bytes(4) + target.packed + b"\x01\x01" + ASKER_MAC
    source = LINK_ASKER if target.is_link_local else ASKER_6
    return _icmpv6(b"\x33\x33\xff" + low, source, group, body)


def echo6(mac: bytes, target: IPv6Address) -> bytes:
    source = LINK_ASKER if target.is_link_local else ASKER_6
    return _icmpv6(mac, source, target, struct.pack(">BBHHH", 128, 0, 0, 7, 7))


def tells(frame: bytes) -> tuple[str, bytes] | None:
    """What an answer is, and for which address: ARP, echo or advertisement."""
    kind = frame[12:14]
    if kind == b"\x08\x06" and frame[20:22] == b"\0\x02":
        return "arp", frame[28:32]
    if kind == b"\x08\x00" and frame[23] == 1 and frame[34] == 0:
        return "echo", frame[26:30]
    if kind == b"\x86\xdd" and frame[20] == 58:
        if frame[54] == 129:
            return "echo", frame[22:38]
        if frame[54] == 136:
            return "advertisement", frame[62:78]
    return None


class Wire:
    """The other end of the pair."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind(("v1", 0))
        self._mac = bytes.fromhex(_mac("v0"))

    def hears(self, kind: str, target: str, within_s: float = SILENCE_S) -> bool:
        """Ask once, and listen."""
        address = ip_address(target)
        if isinstance(address, IPv4Address):
            frame = arp_request(address) if kind == "arp" else echo(self._mac, address)
        else:
            frame = solicitation(address) if kind == "advertisement" else echo6(self._mac, address)
        self._socket.send(frame)
        end = time.monotonic() + within_s
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data, where = self._socket.recvfrom(2048)
            except TimeoutError:
                return False
            if where[2] != socket.PACKET_OUTGOING and tells(data) == (kind, address.packed):
                return True
        return False

    def answers(self, target: str) -> bool:
        """Both on the link and to IP, or none; AssertionError if it is one of them."""
        link = "arp" if ip_address(target).version == 4 else "advertisement"
        heard = {kind: self.hears(kind, target) for kind in (link, "echo")}
        assert len(set(heard.values())) == 1, heard
        return heard[link]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(ip: "Ip") -> Iterator[Wire]:
    """Four virtual addresses on v0, and who asks for them at v1; none is guarded."""
    for target in (FOUR, OTHER_FOUR, SIX, LINK):
        ip(
            f"addr add {vip(target).address}/{vip(target).prefix_length} dev v0"
            + (" nodad" if ":" in target else "")
        )
    ip("addr add fd00::1/64 dev v0 nodad")
    for neighbour in (ASKER, ASKER_6, LINK_ASKER):
        ip(f"neigh replace {neighbour} lladdr {ASKER_MAC.hex(':')} dev v0 nud permanent")
    made = Wire()
    end = time.monotonic() + PATIENCE_S
    while not all(made.answers(target) for target in (FOUR, OTHER_FOUR, SIX, LINK)):
        assert time.monotonic() < end
    yield made
    made.close()
