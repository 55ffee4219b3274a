"""Machines that are not this one: a description made on another host, or none at all.

`FactsHost` answers from a JSON file that `keepalived-py facts` wrote on the
machine the configuration is for; `NoHost` answers so that nothing that depends
on a machine can be wrong.  Both keep note of what they could not know, for
`skipped`: a check that left something out must say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_interface
from typing import Any, Protocol, TypeVar, runtime_checkable

from keepalived_py.base.names import Address
from keepalived_py.base.record import Record
from keepalived_py.config.host import NAME_TABLES, FileStatus, Secret, User

T = TypeVar("T")

FORMAT = 1
_KINDS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
NETWORK_ADMINISTRATOR = User("root", 0, 0)  # keepalived runs as root, whoever gathers or checks
# What a file is taken for that nobody has looked at: root's own, and a program.
PLAUSIBLE = FileStatus(0o100755, 0, 0)
PLAUSIBLE_FOLDER = FileStatus(0o040755, 0, 0)
PLAUSIBLE_MTU = 1500
_SOME_ID = 1000
_SOME_NUMBER = 1
_SOME_FOLDER = "/usr/bin"
_KERNELS = ("/proc/", "/sys/")  # a setting of the kernel is there unless we know better
MOST_PROCESSORS = 1024  # CPU_SETSIZE: no processor that can be named is refused
_MOST_NAMES = 8


class LocalAddress(Record):
    """An address of an interface and the length of its prefix."""

    address: Address
    prefix_length: int

    def covers(self, other: Address) -> bool:
        """Whether `other` lies in the network of this address."""
        if self.address.version != other.version:
            return False
        host_bits = self.address.max_prefixlen - self.prefix_length
        return int(self.address) >> host_bits == int(other) >> host_bits


@runtime_checkable
class KnowsAddresses(Protocol):
    """A host that can also say which addresses its interfaces have."""

    def local_addresses(self, interface: str) -> tuple[LocalAddress, ...] | None:
        """The addresses of the interface; None if they are not known."""


class FactsError(ValueError):
    """The file is no description of a machine; the message says where it is wrong."""


class Unknown:
    """Names that were asked for and are not known, by kind."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, None]] = {}

    def note(self, kind: str, name: str) -> None:
        self.names.setdefault(kind, {})[name] = None

    def lines(self) -> tuple[str, ...]:
        """A line for each kind: `scripts and other files: /a, /b`."""
        return tuple(f"{kind}: {_listed(_ends(names))}" for kind, names in self.names.items())


def _ends(names: Iterable[str]) -> tuple[str, ...]:
    """The names without those of folders on the way to others."""
    on_the_way = {folder for name in names if name.startswith("/") for folder in _above(name)}
    return tuple(name for name in names if name not in on_the_way)


def _listed(names: tuple[str, ...]) -> str:
    rest = len(names) - _MOST_NAMES
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{shown} and {rest} more" if rest > 0 else shown


INTERFACES, USERS, FILES, NAMES = "interfaces", "users and groups", "scripts and other files", "kernel names"
HOSTS = "names of hosts"


class NoHost:
    """`Host` without a machine: what is relied on exists and is in order.

    A file is relied on if it shall be run, which is when its real path is asked
    for; one that might stand in the way of something is not there, but the
    folders above it are.
    """

    def __init__(self) -> None:
        self.unknown = Unknown()
        self._programs: set[str] = set()
        self._folders: set[str] = set()

    def skipped(self) -> tuple[str, ...]:
        """What was asked for and could not be checked."""
        return self.unknown.lines()

    def interface_exists(self, name: str) -> bool:
        if name:
            self.unknown.note(INTERFACES, name)
        return bool(name)

    def interface_is_loopback(self, name: str) -> bool:
        return name == "lo"

    def interface_mtu(self, name: str) -> int:
        return PLAUSIBLE_MTU

    def user(self, name: str) -> User | None:
        if name == "root":
            return NETWORK_ADMINISTRATOR
        self.unknown.note(USERS, name)
        return User(name, _SOME_ID, _SOME_ID)

    def group_id(self, name: str) -> int | None:
        if name == "root":
            return 0
        self.unknown.note(USERS, name)
        return _SOME_ID

    def own_user(self) -> User:
        return NETWORK_ADMINISTRATOR

    def status(self, path: str) -> FileStatus | None:
        if path in self._folders:
            return PLAUSIBLE_FOLDER
        self._folders.update(_above(path))
        if path not in self._programs and not path.startswith((f"{_SOME_FOLDER}/", *_KERNELS)):
            return None
        self.unknown.note(FILES, path)
        return PLAUSIBLE

    def real_path(self, path: str) -> str:
        self._programs.add(path)
        return path

    def search_path(self) -> tuple[str, ...]:
        return (_SOME_FOLDER,)

    def host_name(self) -> str:
        return ""

    def resolves(self, name: str) -> bool:
        if _numeric(name):
            return _is_number_of_host(name)
        self.unknown.note(HOSTS, name)
        return True

    def secret(self, path: str, most: int) -> Secret | None:
        self.unknown.note(FILES, path)
        return None

    def addresses(self) -> tuple[Address, ...] | None:
        return None

    def processors(self) -> int:
        return MOST_PROCESSORS

    def interface_is_vrf(self, name: str) -> bool:
        self.unknown.note(INTERFACES, name)
        return True

    def interface_is_other_than(self, name: str, kind: str) -> bool:
        """A name that was relied on is a plain interface; any other is still free."""
        return name in self.unknown.names.get(INTERFACES, {})

    def kernel_name(self, table: str, name: str) -> int | None:
        known = NAME_TABLES.get(table, {}).get(name)
        if known is not None or name[:1].isdecimal():
            return known
        self.unknown.note(NAMES, f"{name} ({table})")
        return _SOME_NUMBER


def _numeric(name: str) -> bool:
    """Whether no DNS need be asked about the name."""
    return bool(name) and not name.strip("0123456789.:")


def _is_number_of_host(name: str) -> bool:
    """What inet_aton(3) takes: up to four decimal numbers, the last one filling what is left."""
    *octets, last = name.split(".")
    if len(octets) > 3 or not all(part.isdecimal() for part in (*octets, last)):
        return False
    return all(int(part) < 256 for part in octets) and int(last) < 256 ** (4 - len(octets))


class FactsHost:
    """`Host` answered by a description of a machine.

    A name that the description does not mention is not there; a program is unknown
    unless the description has it or lists its whole folder.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        """Raises FactsError if a member is not what it must be."""
        interfaces = _items(facts, "interfaces", dict)
        files: dict[str, Any] = _member(facts, "files", dict, {})
        self._host_name = _member(facts, "host_name", str, "")
        self._interfaces = {name: _interface(name, found) for name, found in interfaces.items()}
        self._users = {name: _user(name, ids) for name, ids in _items(facts, "users", list).items()}
        self._groups = _items(facts, "groups", int)
        self._files = {path: _status(path, found) for path, found in files.items()}
        self._links = _items(facts, "links", str)
        self._folders = _list(facts, "folders", str)
        self._search_path = _list(facts, "search_path", str)
        self._tables = _tables(facts)
        self._hosts = _items(facts, "hosts", bool)
        self._processors = _member(facts, "processors", int, MOST_PROCESSORS)
        self.kernel: dict[str, Any] = _member(facts, "kernel", dict, {})
        self.unknown = Unknown()
        self._programs: set[str] = set()
        self._on_the_way: set[str] = set()

    def skipped(self) -> tuple[str, ...]:
        """What was asked for and the description does not tell."""
        return self.unknown.lines()

    def interface_exists(self, name: str) -> bool:
        return name in self._interfaces

    def interface_is_loopback(self, name: str) -> bool:
        return name in self._interfaces and self._interfaces[name].loopback

    def interface_mtu(self, name: str) -> int:
        return self._interfaces[name].mtu if name in self._interfaces else 0

    def local_addresses(self, interface: str) -> tuple[LocalAddress, ...] | None:
        """The addresses of the interface; None if there is no such interface."""
        return self._interfaces[interface].addresses if interface in self._interfaces else None

    def user(self, name: str) -> User | None:
        return self._users.get(name)

    def group_id(self, name: str) -> int | None:
        return self._groups.get(name)

    def own_user(self) -> User:
        return NETWORK_ADMINISTRATOR

    def status(self, path: str) -> FileStatus | None:
        real = self._followed(path)
        if real in self._files:
            return self._files[real]
        if path in self._on_the_way:
            return PLAUSIBLE_FOLDER
        self._on_the_way.update(_above(path))
        wanted = path in self._programs or path.rpartition("/")[0] in self._search_path
        wanted = wanted or path.startswith(_KERNELS)
        if not wanted or any(self._absent(folder) for folder in _above(real)):
            return None
        self.unknown.note(FILES, path)
        return PLAUSIBLE

    def _absent(self, folder: str) -> bool:
        """Whether nothing can be below `folder` but what is described."""
        return folder in self._folders or self._files.get(folder, PLAUSIBLE) is None

    def real_path(self, path: str) -> str:
        """Follow the links that the description has, from the root down."""
        real = self._followed(path)
        self._programs.update((path, real))
        return real

    def _followed(self, path: str) -> str:
        if not path.startswith("/"):
            return path
        real = ""
        for part in path.split("/"):
            if part == "..":
                real = real.rpartition("/")[0]
            elif part not in ("", "."):
                real = self._links.get(f"{real}/{part}", f"{real}/{part}").rstrip("/")
        return real or "/"

    def search_path(self) -> tuple[str, ...]:
        return self._search_path

    def host_name(self) -> str:
        return self._host_name

    def resolves(self, name: str) -> bool:
        if name in self._hosts:
            return self._hosts[name]
        if _numeric(name):
            return _is_number_of_host(name)
        self.unknown.note(HOSTS, name)
        return True

    def secret(self, path: str, most: int) -> Secret | None:
        self.unknown.note(FILES, path)
        return None

    def addresses(self) -> tuple[Address, ...] | None:
        found = tuple(one.address for each in self._interfaces.values() for one in each.addresses)
        return found or None

    def processors(self) -> int:
        return self._processors

    def interface_is_vrf(self, name: str) -> bool:
        return name in self._interfaces and self._interfaces[name].kind == "vrf"

    def interface_is_other_than(self, name: str, kind: str) -> bool:
        return name in self._interfaces and self._interfaces[name].kind != kind

    def kernel_name(self, table: str, name: str) -> int | None:
        return self._tables.get(table, NAME_TABLES.get(table, {})).get(name)


def _above(path: str) -> Iterator[str]:
    """The folders that a path leads through, the nearest first."""
    while path not in ("", "/"):
        path = path.rpartition("/")[0] or "/"
        yield path


class _Interface(Record):
    mtu: int
    loopback: bool
    kind: str
    addresses: tuple[LocalAddress, ...]


# Reading the description ------------------------------------------------------


def facts_of(text: str, name: str) -> FactsHost:
    """The machine that the JSON `text` of the file `name` describes; raises FactsError."""
    import json  # paid only by who describes a machine

    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FactsError(f"{name} is no JSON: {error}") from error
    try:
        if not isinstance(found, dict):
            raise FactsError("an object is expected, as `keepalived-py facts` prints it")
        if found.get("format") != FORMAT:
            raise FactsError(f'"format" must be {FORMAT}, as `keepalived-py facts` prints it')
        return FactsHost(found)
    except FactsError as error:
        raise FactsError(f"{name}: {error}") from error


def read_facts(path: str) -> FactsHost:
    """The machine described in the file `path`; raises FactsError, also if it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise FactsError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FactsError(f"{path} is no UTF-8 text") from error
    return facts_of(text, path)


def _value(value: Any, kind: type[T], place: str) -> T:
    """`value` if it is of `kind` (a bool is no number); raises FactsError."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FactsError(f'"{place}" must be {_KINDS[kind]}')
    return value


def _member(facts: Mapping[str, Any], name: str, kind: type[T], default: T, place: str = "") -> T:
    return _value(facts[name], kind, f"{place}{name}") if name in facts else default


def _items(facts: Mapping[str, Any], name: str, kind: type[T]) -> dict[str, T]:
    """The members of the object called `name`, all of one kind."""
    found: dict[str, Any] = _member(facts, name, dict, {})
    return {key: _value(value, kind, f"{name}.{key}") for key, value in found.items()}


def _list(facts: Mapping[str, Any], name: str, kind: type[T], place: str = "") -> tuple[T, ...]:
    found: list[Any] = _member(facts, name, list, [], place)
    return tuple(_value(value, kind, f"{place}{name}[{at}]") for at, value in enumerate(found))


def _interface(name: str, found: dict[str, Any]) -> _Interface:
    place = f"interfaces.{name}."
    return _Interface(
        _member(found, "mtu", int, PLAUSIBLE_MTU, place),
        _member(found, "loopback", bool, False, place),
        _member(found, "kind", str, "", place),
        tuple(_local_address(text, place) for text in _list(found, "addresses", str, place)),
    )


def _local_address(text: str, place: str) -> LocalAddress:
    try:
        return local_address(text)
    except ValueError as error:
        raise FactsError(f'"{place}addresses": {text} is no ADDRESS/LENGTH') from error


def local_address(text: str) -> LocalAddress:
    """`10.1.0.1/16` as a value; raises ValueError if it is no such thing."""
    found = ip_interface(text)
    return LocalAddress(found.ip, found.network.prefixlen)


def _user(name: str, ids: list[Any]) -> User:
    if len(ids) != 2:
        raise FactsError(f'"users.{name}" must be [uid, gid]')
    return User(name, *(_value(number, int, f"users.{name}") for number in ids))


def _status(path: str, found: Any) -> FileStatus | None:
    """A file's mode (octal digits) and owner; null is a file that is not there."""
    if found is None:
        return None
    place = f"files.{path}."
    members: dict[str, Any] = _value(found, dict, f"files.{path}")
    digits = _member(members, "mode", str, "", place)
    try:
        mode = int(digits, 8)
    except ValueError as error:
        raise FactsError(f'"{place}mode" must be octal digits in a string, such as "100755"') from error
    return FileStatus(mode, _member(members, "uid", int, 0, place), _member(members, "gid", int, 0, place))


def _tables(facts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    tables = _items(facts, "name_tables", dict)
    return {
        table: {name: _value(number, int, f"name_tables.{table}.{name}") for name, number in names.items()}
        for table, names in tables.items()
    }
