"""A small network inside this machine: namespaces, a bridge, and an ear on the bridge.

Every node is a network namespace with one interface `eth0`; the other ends of
the veth pairs are ports of a bridge that lives in a namespace of its own, so
nothing of it touches the host.  Names carry the process id of whoever made
them: two runs never meet, and what a killed run left behind can be told from
what a living one uses.
"""

import contextlib
import ctypes
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

PREFIX = "kapy"
BRIDGE = "br0"
ETH_P_ALL = 0x0003
ETH_P_IP = 0x0800
ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
PROTOCOL_VRRP = 112
PROTOCOL_ICMPV6 = 58
_NEIGHBOUR_ADVERT = 136
_TARGET_MAC = 2
CLONE_NEWNET = 0x40000000
# Asks the kernel to stamp every packet (linux/socket.h); the socket module does not name it.
SO_TIMESTAMPNS = 35


class NetworkError(Exception):
    """The network could not be made; the text says which command failed and how."""


def ip(*arguments: str) -> None:
    """Run iproute2's `ip`; NetworkError with its own words if it fails."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise NetworkError(f"ip {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the demonstration."""

    name: str
    namespace: str
    address: str
    link_local: str


def remove_leftovers() -> None:
    """Delete the namespaces of earlier runs whose process is no longer there."""
    root = Path("/run/netns")
    for path in root.glob(f"{PREFIX}*") if root.is_dir() else ():
        owner = re.match(rf"{PREFIX}(\d+)-", path.name)
        if owner and not Path("/proc", owner[1]).exists():
            with contextlib.suppress(NetworkError):
                ip("netns", "del", path.name)


@contextlib.contextmanager
def network(names: tuple[str, ...]) -> Iterator[tuple[str, list[Node]]]:
    """Give (the bridge's namespace, the nodes); everything is deleted again on the way out."""
    remove_leftovers()
    hub = f"{PREFIX}{os.getpid()}-hub"
    nodes = [
        Node(name, f"{PREFIX}{os.getpid()}-{name}", f"192.0.2.{number}", f"fe80::{number}")
        for number, name in enumerate(names, start=1)
    ]
    try:
        _make_hub(hub)
        for node in nodes:
            _attach(node, hub)
        yield hub, nodes
    finally:
        for namespace in (hub, *(node.namespace for node in nodes)):
            with contextlib.suppress(NetworkError):
                ip("netns", "del", namespace)


def _make_hub(hub: str) -> None:
    ip("netns", "add", hub)
    # Snooping would learn the multicast group only after the first reports; a plain bridge floods at once.
    ip("-n", hub, "link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
    ip("-n", hub, "link", "set", BRIDGE, "addrgenmode", "none", "up")


def _attach(node: Node, hub: str) -> None:
    port = f"to-{node.name}"
    ip("netns", "add", node.namespace)
    ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", node.namespace)
    ip("-n", hub, "link", "set", port, "master", BRIDGE, "addrgenmode", "none", "up")
    ip("-n", node.namespace, "link", "set", "lo", "up")
    ip("-n", node.namespace, "link", "set", "eth0", "addrgenmode", "none", "up")
    ip("-n", node.namespace, "address", "add", f"{node.address}/24", "dev", "eth0")
    ip("-n", node.namespace, "address", "add", f"{node.link_local}/64", "dev", "eth0", "nodad")


@dataclass(frozen=True, slots=True)
class AdvertSeen:
    """A VRRP advert on the bridge, at the kernel's time (seconds since the epoch)."""

    at: float
    source: str
    version: int
    vrid: int
    priority: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArpSeen:
    """A gratuitous ARP, or an unsolicited neighbour advertisement, on the bridge: `address` is at `mac`."""

    at: float
    address: str
    mac: str


Seen = AdvertSeen | ArpSeen


class Ear(threading.Thread):
    """Listens on the bridge until `close`; `tell` is called in this thread for each packet of interest."""

    def __init__(self, namespace: str, tell: Callable[[Seen], None]) -> None:
        super().__init__(name="ear", daemon=True)
        self._namespace = namespace
        self._tell = tell
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._failure: OSError | None = None

    def open(self) -> None:
        """Start, and return when the socket hears; OSError if it could not be opened."""
        self.start()
        self._ready.wait(5)
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """End the thread (takes up to 0.2 s)."""
        self._closing.set()
        if self.is_alive():
            self.join(2)

    def run(self) -> None:
        try:
            packets = self._open_in_namespace()
        except OSError as error:
            self._failure = error
            self._ready.set()
            return
        self._ready.set()
        with packets:
            self._listen(packets)

    def _open_in_namespace(self) -> socket.socket:
        _enter(self._namespace)
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        packets.bind((BRIDGE, ETH_P_ALL))
        packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        packets.settimeout(0.2)
        return packets

    def _listen(self, packets: socket.socket) -> None:
        while not self._closing.is_set():
            try:
                frame, ancillary, _, _ = packets.recvmsg(2048, 64)
            except TimeoutError:
                continue
            seen = understand(frame, _stamp(ancillary))
            if seen:
                self._tell(seen)


def _enter(namespace: str) -> None:
    """Move the calling thread, and it alone, into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, CLONE_NEWNET):
            error = ctypes.get_errno()
            raise OSError(error, f"setns({namespace}): {os.strerror(error)}")
    finally:
        os.close(handle)


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("@ll", data[: struct.calcsize("@ll")])
            return float(seconds) + float(nanoseconds) / 1e9
    # Only a packet that was queued before the stamps were asked for comes without one.
    return time.time()


def understand(frame: bytes, at: float) -> Seen | None:
    """An Ethernet frame as what it says, None if it is neither an advert nor tells where an address is."""
    kind, packet = int.from_bytes(frame[12:14], "big"), frame[14:]
    if kind == ETH_P_IP:
        return _advert(packet, at)
    if kind == ETH_P_IPV6:
        return _of_ipv6(packet, at)
    return _gratuitous_arp(packet, at) if kind == ETH_P_ARP else None


def _advert(packet: bytes, at: float) -> AdvertSeen | None:
    header = (packet[0] & 0x0F) * 4 if packet else 0
    if len(packet) < header + 8 or header < 20 or packet[9] != PROTOCOL_VRRP:
        return None
    vrrp = packet[header:]
    addresses = tuple(str(IPv4Address(vrrp[8 + 4 * i : 12 + 4 * i])) for i in range(min(vrrp[3], 20)))
    return AdvertSeen(at, str(IPv4Address(packet[12:16])), vrrp[0] >> 4, vrrp[1], vrrp[2], addresses)


def _of_ipv6(packet: bytes, at: float) -> Seen | None:
    if len(packet) < 48:
        return None
    source, message = str(IPv6Address(packet[8:24])), packet[40:]
    if packet[6] == PROTOCOL_VRRP:
        places = range(8, 8 + 16 * min(message[3], 20), 16)
        addresses = tuple(str(IPv6Address(message[place : place + 16])) for place in places)
        return AdvertSeen(at, source, message[0] >> 4, message[1], message[2], addresses)
    told = packet[6] == PROTOCOL_ICMPV6 and message[0] == _NEIGHBOUR_ADVERT and len(message) >= 32
    if not told or packet[24] != 0xFF or message[24] != _TARGET_MAC:
        return None
    return ArpSeen(at, str(IPv6Address(message[8:24])), message[26:32].hex(":"))


def _gratuitous_arp(packet: bytes, at: float) -> ArpSeen | None:
    if len(packet) < 28 or packet[14:18] != packet[24:28]:
        return None
    return ArpSeen(at, str(IPv4Address(packet[14:18])), packet[8:14].hex(":"))
