"""Network namespaces of one laboratory: nodes on a bridge, and nothing else.

A `Space` owns `kl-<pid>-<n>-sw` (the bridge) and `kl-<pid>-<n>-r1..rK` (the
nodes, each with a veth named eth0).  The owner's pid stands in the name, so the
leftovers of a run that was killed can be told from those of a living one and
are swept away by the next run.  IPv6 is off inside, unless asked for: nothing
but the programs under test speaks on the wire.
"""

import ctypes
import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_PREFIX = "kl"
_NETNS_DIR = "/run/netns"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count(1)


def run(*words: str, text_in: str | None = None, check: bool = True) -> str:
    """Run one command and return what it printed; RuntimeError with its words when it fails."""
    done = subprocess.run(words, input=text_in, text=True, capture_output=True, timeout=30)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """The calling thread (only this one) is in `namespace`; sockets made here stay there."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"{_NETNS_DIR}/{namespace}", os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        yield
    finally:
        _enter(before)
        os.close(before)


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def sweep() -> None:
    """Delete the namespaces of runs whose owner is dead."""
    names = os.listdir(_NETNS_DIR) if os.path.isdir(_NETNS_DIR) else []
    for name in names:
        found = re.fullmatch(rf"{_PREFIX}-(\d+)-\d+-\w+", name)
        if found and not _alive(int(found[1])):
            for pid in run("ip", "netns", "pids", name, check=False).split():
                os.kill(int(pid), 9)
            run("ip", "netns", "del", name, check=False)


def _ipv6(scope: str, **values: int) -> None:
    """Set parameters of one interface (or `all`, `default`) in the namespace the thread is in."""
    for name, value in values.items():
        path = f"/proc/sys/net/ipv6/conf/{scope}/{name}"
        if os.path.exists(path):
            with open(path, "w") as knob:
                knob.write(str(value))


def _quiet_ipv6() -> None:
    for scope in ("all", "default"):
        _ipv6(scope, disable_ipv6=1)


@dataclass(slots=True)
class Space:
    """`nodes` namespaces on one bridge; node n owns 10.<net>.0.n/16 on its eth0.

    With `ipv6` it also owns fe80::n/64 and fd77::n/64, usable at once.
    """

    nodes: int = 2
    net: int = 77
    ipv6: bool = False
    base: str = field(default_factory=lambda: f"{_PREFIX}-{os.getpid()}-{next(_numbers)}")

    @property
    def switch(self) -> str:
        """The namespace of the bridge."""
        return f"{self.base}-sw"

    def node(self, number: int) -> str:
        """The namespace of node `number` (from 1)."""
        return f"{self.base}-r{number}"

    def address(self, number: int) -> str:
        """The node's own address on eth0, without prefix."""
        return f"10.{self.net}.0.{number}"

    def mac(self, number: int) -> bytes:
        """The node's fixed hardware address, so that frames of two laboratories can be compared."""
        return bytes((2, 0, 0, 0, 0, number))

    def up(self) -> "Space":
        """Create everything; on a failure nothing is left."""
        try:
            self._make()
        except BaseException:
            self.down()
            raise
        return self

    def _make(self) -> None:
        for name in self._names():
            run("ip", "netns", "add", name)
            with inside(name):
                _quiet_ipv6()
        bridge = "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set br0 up\n"
        run("ip", "-n", self.switch, "-batch", "-", text_in=bridge)
        for number in range(1, self.nodes + 1):
            self._plug(number)

    def _plug(self, number: int) -> None:
        name = self.node(number)
        run("ip", "link", "add", f"p{number}", "netns", self.switch, "type", "veth",
            "peer", "name", "eth0", "netns", name)  # fmt: skip
        run("ip", "-n", self.switch, "link", "set", f"p{number}", "master", "br0", "up")
        mac = ":".join(f"{octet:02x}" for octet in self.mac(number))
        batch = (
            f"link set lo up\nlink set eth0 address {mac}\n"
            f"addr add {self.address(number)}/16 dev eth0\nlink set eth0 up\n"
        )
        if self.ipv6:
            with inside(name):
                for scope in ("all", "default", "eth0"):
                    # Nobody makes up addresses (addr_gen_mode 1) or asks whether one is taken.
                    _ipv6(scope, addr_gen_mode=1, accept_dad=0, disable_ipv6=0)
            batch += "".join(
                f"addr add {prefix}::{number}/64 dev eth0 nodad\n" for prefix in ("fe80", "fd77")
            )
        run("ip", "-n", name, "-batch", "-", text_in=batch)

    def addresses(self, number: int) -> list[str]:
        """`ip -o -4 addr` of the node's eth0, without the index and the lifetimes, in kernel order."""
        lines = run("ip", "-n", self.node(number), "-o", "-4", "addr", "show", "dev", "eth0").splitlines()
        return [" ".join(line.split("\\")[0].split()[1:]) for line in lines]

    def holds(self, number: int, address: str) -> bool:
        """Whether `address` (without prefix) stands on the node's eth0."""
        return any(f" {address}/" in f"{line} " for line in self.addresses(number))

    def ip(self, number: int, *words: str) -> str:
        """Run `ip` on the node."""
        return run("ip", "-n", self.node(number), *words)

    def cut(self, number: int) -> None:
        """Take the node's port off the bridge: its link stays up, but nobody hears it."""
        run("ip", "-n", self.switch, "link", "set", f"p{number}", "nomaster")

    def heal(self, number: int) -> None:
        """Undo `cut`."""
        run("ip", "-n", self.switch, "link", "set", f"p{number}", "master", "br0")

    def _names(self) -> list[str]:
        return [self.switch, *(self.node(number) for number in range(1, self.nodes + 1))]

    def down(self) -> None:
        """Delete everything that exists; never raises for what is already gone."""
        for name in self._names():
            run("ip", "netns", "del", name, check=False)
