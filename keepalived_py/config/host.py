"""What reading a configuration needs to know about the machine.

keepalived looks up interfaces, users and script files while it parses.  All of
that goes through `Host`, so that a test can describe a machine in one line.
"""

from __future__ import annotations

import _socket  # the whole of `socket` costs much more than what is needed of it here
import grp
import os
import pwd
import stat
import struct
from array import array
from fcntl import ioctl
from ipaddress import IPv4Address, IPv6Address
from sys import byteorder
from typing import Protocol

from keepalived_py.base.names import Address
from keepalived_py.base.record import Record


class User(Record):
    """A user of the machine with the primary group."""

    name: str
    uid: int
    gid: int


class FileStatus(Record):
    """Owner and `st_mode` of one file or directory."""

    mode: int
    uid: int
    gid: int


class Secret(Record, secret=("content",)):
    """The beginning of a file that only its owner should read; `fault`: why there is nothing of it."""

    mode: int = 0
    content: bytes = b""
    fault: str = ""


class Host(Protocol):
    """The questions asked while a configuration is read.  None of them raises."""

    def interface_exists(self, name: str) -> bool:
        """Whether a network interface of this name exists in our network namespace."""

    def interface_is_loopback(self, name: str) -> bool:
        """Whether the interface has the flag LOOPBACK."""

    def interface_mtu(self, name: str) -> int:
        """The interface's MTU in bytes; 0 if unknown."""

    def user(self, name: str) -> User | None:
        """The user called `name`."""

    def group_id(self, name: str) -> int | None:
        """The number of the group called `name`."""

    def own_user(self) -> User:
        """Who we are."""

    def status(self, path: str) -> FileStatus | None:
        """Owner and mode of what `path` leads to (symbolic links followed)."""

    def real_path(self, path: str) -> str:
        """`path` with all symbolic links resolved."""

    def search_path(self) -> tuple[str, ...]:
        """The directories of PATH."""

    def host_name(self) -> str:
        """The full name of this machine."""

    def resolves(self, name: str) -> bool:
        """Whether the name of a host is known here (or is a number that C takes for an address)."""

    def addresses(self) -> tuple[Address, ...] | None:
        """The addresses of all interfaces of our network namespace; None if they are not known."""

    def secret(self, path: str, most: int) -> Secret | None:
        """The mode and the first `most` bytes of a plain file; None if nothing is known about it."""

    def processors(self) -> int:
        """How many processors are running."""

    def interface_is_vrf(self, name: str) -> bool:
        """Whether the interface is a VRF device."""

    def interface_is_other_than(self, name: str, kind: str) -> bool:
        """Whether there is such an interface, and it is no `kind` (macvlan, ipvlan)."""

    def kernel_name(self, table: str, name: str) -> int | None:
        """The number that `name` has in `table`, a key of `NAME_TABLES`; None if it is not in there."""


# What is known without iproute2's files.  Sources: linux/rtnetlink.h, and the names keepalived builds in.
NAME_TABLES: dict[str, dict[str, int]] = {
    "rt_tables": {"default": 253, "main": 254, "local": 255},
    "rt_protos": {
        "none": 0,
        "redirect": 1,
        "kernel": 2,
        "boot": 3,
        "static": 4,
        "gated": 8,
        "ra": 9,
        "mrt": 10,
        "zebra": 11,
        "bird": 12,
        "babel": 42,
        "dnrouted": 13,
        "xorp": 14,
        "ntk": 15,
        "dhcp": 16,
    },
    "rt_scopes": {"global": 0, "nowhere": 255, "host": 254, "link": 253, "site": 200},
    "rt_dsfield": {},
    "rt_realms": {},
    "group": {},
    "protocols": {},
}
LARGEST_NUMBERS = {"rt_tables": 0xFFFFFFFF, "group": 0x7FFFFFFF}
OCTET = 255
IPROUTE2_FOLDERS = ("/etc/iproute2", "/usr/share/iproute2")
IFF_LOOPBACK = 0x8
_SIOCGIFCONF = 0x8912
_SIOCGIFFLAGS = 0x8913
_SIOCGIFMTU = 0x8921
_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
_DRIVER_INFO_BYTES = 196
_DRIVER_NAME = slice(4, 36)
_NAME_BYTES = 16
_REQUEST_BYTES = 40
_IN_ADDRESS = _NAME_BYTES + 4  # in struct ifreq: behind the name, the family and the port
MOST_ADDRESSES = 4096


class RealHost:
    """`Host` answered by the running system.

    Made anew for each reading: what it has learned of an interface or a file
    stays as it was, since thousands of statements may ask the same.  Interfaces
    are those of the network namespace that this process is in now; /sys would
    show those of the namespace it was mounted in.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], int] = {}
        self._names: dict[str, dict[str, int]] = {}
        self._interfaces: dict[str, bool] = {}
        self._statuses: dict[str, FileStatus | None] = {}
        self._real_paths: dict[str, str] = {}

    def interface_exists(self, name: str) -> bool:
        if name not in self._interfaces:
            self._interfaces[name] = _exists(name)
        return self._interfaces[name]

    def interface_is_loopback(self, name: str) -> bool:
        return bool(self._number(name, _SIOCGIFFLAGS) & IFF_LOOPBACK)

    def interface_mtu(self, name: str) -> int:
        return self._number(name, _SIOCGIFMTU)

    def _number(self, name: str, request: int) -> int:
        """The kernel's answer to an interface request."""
        key = (name, request)
        if key not in self._numbers:
            self._numbers[key] = _ask(name, request)
        return self._numbers[key]

    def user(self, name: str) -> User | None:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return User(name, entry.pw_uid, entry.pw_gid)

    def group_id(self, name: str) -> int | None:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            return None

    def own_user(self) -> User:
        return User("", os.geteuid(), os.getegid())

    def status(self, path: str) -> FileStatus | None:
        if path not in self._statuses:
            self._statuses[path] = _status(path)
        return self._statuses[path]

    def real_path(self, path: str) -> str:
        if path not in self._real_paths:
            self._real_paths[path] = os.path.realpath(path)
        return self._real_paths[path]

    def search_path(self) -> tuple[str, ...]:
        return tuple(os.environ.get("PATH", "/bin:/usr/bin").split(":"))

    def host_name(self) -> str:
        return os.uname().nodename

    def resolves(self, name: str) -> bool:
        import socket  # few configurations ask, and the others must not pay for it

        try:
            return bool(socket.getaddrinfo(name, None))
        except (OSError, ValueError):
            return False

    def addresses(self) -> tuple[Address, ...] | None:
        return (*_ipv4_addresses(), *_ipv6_addresses())

    def secret(self, path: str, most: int) -> Secret | None:
        try:
            with open(path, "rb", opener=_no_waiting) as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(most) if stat.S_ISREG(mode) else b""
        except (OSError, ValueError) as fault:
            return Secret(fault=fault.strerror or "" if isinstance(fault, OSError) else str(fault))
        return Secret(mode, content)

    def processors(self) -> int:
        return os.cpu_count() or 1

    def interface_is_vrf(self, name: str) -> bool:
        return _driver(name) == "vrf"

    def interface_is_other_than(self, name: str, kind: str) -> bool:
        found = self.interface_exists(name)
        return found and _driver(name) != kind

    def kernel_name(self, table: str, name: str) -> int | None:
        if table not in self._names:
            self._names[table] = _read_names(table)
        return self._names[table].get(name)


def _ipv4_addresses() -> tuple[IPv4Address, ...]:
    """What SIOCGIFCONF of netdevice(7) lists: every IPv4 address, with that of its interface."""
    room = array("B", bytes(_REQUEST_BYTES * MOST_ADDRESSES))
    asked = struct.pack("iP", len(room), room.buffer_info()[0])
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        length = struct.unpack_from("i", ioctl(any_socket.fileno(), _SIOCGIFCONF, asked))[0]
    except OSError:
        return ()
    finally:
        any_socket.close()
    content = room.tobytes()
    places = range(_IN_ADDRESS, length, _REQUEST_BYTES)
    return tuple(IPv4Address(content[place : place + 4]) for place in places)


def _ipv6_addresses() -> tuple[IPv6Address, ...]:
    """The first word of each line of if_inet6, as proc_net(5) has it."""
    lines = _text("/proc/self/net/if_inet6").splitlines()
    return tuple(IPv6Address(bytes.fromhex(line.split()[0])) for line in lines)


def _no_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _status(path: str) -> FileStatus | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return FileStatus(found.st_mode, found.st_uid, found.st_gid)


def names_in(table: str, text: str) -> dict[str, int]:
    """The names that `table` has when `text` is its file: the first of equal names counts.

    A built-in name is there unless the file calls its number something else.
    """
    found: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if table == "protocols":  # `tcp 6 TCP # comment`, with as many aliases as one likes
            words = line.partition("#")[0].split()
            for name in (words[0], *words[2:]) if len(words) > 1 and words[1].isdecimal() else ():
                found.setdefault(name, int(words[1]))
        elif len(words) == 2:
            number = _c_number(words[0])
            if number is not None and number <= LARGEST_NUMBERS.get(table, OCTET):
                found.setdefault(words[1], number)
    numbers = set(found.values())
    for name, number in NAME_TABLES[table].items():
        if number not in numbers:
            found.setdefault(name, number)
    return found


def _read_names(table: str) -> dict[str, int]:
    if table == "protocols":
        return names_in(table, _text("/etc/protocols"))
    files = (f"{folder}/{table}" for folder in IPROUTE2_FOLDERS)
    return names_in(table, next((text for text in map(_text, files) if text), ""))


def _text(path: str) -> str:
    """What a small file holds; "" if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _c_number(word: str) -> int | None:
    """A decimal, 0octal or 0xhex number that is not negative."""
    try:
        number = int(word, 8 if word[:1] == "0" and word.isdecimal() else 0)
    except ValueError:
        return None
    return number if number >= 0 else None


def _exists(name: str) -> bool:
    try:
        _socket.if_nametoindex(name)
    except (OSError, ValueError):
        return False
    return True


def _ask(name: str, request: int) -> int:
    """What struct ifreq of netdevice(7) says behind the name; 0 if there is no such interface."""
    answer = _answer(name, request, b"")
    size = 2 if request == _SIOCGIFFLAGS else 4
    return int.from_bytes(answer[_NAME_BYTES : _NAME_BYTES + size], byteorder)


def _driver(name: str) -> str:
    """What ethtool(8) calls the interface's driver, for virtual ones their kind; "" if not known."""
    info = array("B", struct.pack("=I", _ETHTOOL_GDRVINFO).ljust(_DRIVER_INFO_BYTES, b"\0"))
    address, _ = info.buffer_info()
    if not _answer(name, _SIOCETHTOOL, struct.pack("P", address)):
        return ""
    return info.tobytes()[_DRIVER_NAME].split(b"\0")[0].decode("ascii", "replace")


def _answer(name: str, request: int, more: bytes) -> bytes:
    """What an interface request leaves behind, with `more` behind the name; nothing if it is refused."""
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) >= _NAME_BYTES:
        return b""
    asked = raw.ljust(_NAME_BYTES, b"\0") + more
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        return ioctl(any_socket.fileno(), request, asked.ljust(_REQUEST_BYTES, b"\0"))
    except OSError:
        return b""
    finally:
        any_socket.close()
