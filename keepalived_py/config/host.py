"""What reading a configuration needs to know about the machine.

keepalived looks up interfaces, users and script files while it parses.  All of
that goes through `Host`, so that a test can describe a machine in one line.
"""

import grp
import os
import pwd
from functools import cached_property
from typing import Protocol

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

    def scope(self, name: str) -> int | None:
        """The number of an address scope, by name or number (iproute2's rt_scopes)."""


BUILT_IN_SCOPES = {"global": 0, "nowhere": 255, "host": 254, "link": 253, "site": 200}
IFF_LOOPBACK = 0x8


class RealHost:
    """`Host` answered by the running system.

    Made anew for each reading: what it has learned of an interface stays as it was.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def interface_exists(self, name: str) -> bool:
        return bool(name) and "/" not in name and os.path.isdir(f"/sys/class/net/{name}")

    def interface_is_loopback(self, name: str) -> bool:
        return bool(self._number(f"{name}/flags") & IFF_LOOPBACK)

    def interface_mtu(self, name: str) -> int:
        return self._number(f"{name}/mtu")

    def _number(self, attribute: str) -> int:
        """An interface's attribute in sysfs; hundreds of instances ask for the same one."""
        if attribute not in self._numbers:
            self._numbers[attribute] = _number(f"/sys/class/net/{attribute}")
        return self._numbers[attribute]

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
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return None
        return FileStatus(found.st_mode, found.st_uid, found.st_gid)

    def real_path(self, path: str) -> str:
        return os.path.realpath(path)

    def search_path(self) -> tuple[str, ...]:
        return tuple(os.environ.get("PATH", "/bin:/usr/bin").split(":"))

    def host_name(self) -> str:
        return os.uname().nodename

    def scope(self, name: str) -> int | None:
        return parse_scope(name, self._scopes)

    @cached_property
    def _scopes(self) -> dict[str, int]:
        scopes = dict(BUILT_IN_SCOPES)
        for folder in ("/etc/iproute2", "/usr/share/iproute2"):
            try:
                with open(f"{folder}/rt_scopes", encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except OSError:
                continue
            scopes.update(_table(text))
        return scopes


def parse_scope(name: str, scopes: dict[str, int]) -> int | None:
    """A scope by its name in `scopes`, or by number (decimal, 0octal, 0xhex) 0..255."""
    if name in scopes:
        return scopes[name]
    try:
        number = int(name, 8 if name[:1] == "0" and name.isdigit() else 0)
    except ValueError:
        return None
    return number if 0 <= number <= 255 else None


def _number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(), 0)
    except (OSError, ValueError):
        return 0


def _table(text: str) -> dict[str, int]:
    names: dict[str, int] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) == 2:
            try:
                names[words[1]] = int(words[0], 0)
            except ValueError:
                continue
    return names
