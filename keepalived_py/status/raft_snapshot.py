"""What one member of a cluster knows of the cluster at one moment, as a file for readers.

Readers (the commands, the metrics) never touch the process that elects: they
take this file, and its age tells them how much it is worth.  It is JSON, open
to everybody, and moved into place whole, so that a reader sees the old or the
new one and never half of one.  Nobody needs it after a power cut: it is not
forced to the disk.

A reader checks every field; what it does not know it passes over, and what is
not there has its default, so that versions may differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.base.record import Record, values_of
from keepalived_py.system.state_files import replace_file

FILE = "raft.json"
LONGEST_FILE = 1024 * 1024
_MODE = 0o644

R = TypeVar("R", bound=Record)
JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


class BadSnapshot(KeepalivedError):
    """This is no snapshot; the text says where it goes wrong."""


class MemberLine(Record):
    """A member as this one sees it; `heard_us_ago` None: never, or it is this one."""

    id: str
    address: str = ""
    witness: bool = False
    live: bool = False
    heard_us_ago: int | None = None
    guarded: bool = False


class LeaseLine(Record):
    """A lease.  `state`: follower, candidate or leader.  `left_us`: only where `mine`."""

    name: str
    holder: str | None = None
    mine: bool = False
    state: str = "follower"
    token: int = 0
    left_us: int | None = None
    priority: int = 0
    able: bool = False


class CheckLine(Record):
    """A port that is looked at, and whether it accepted a connection the last time."""

    name: str
    address: str = ""
    good: bool = False


class Snapshot(Record):
    """The whole file.  `at` is UTC in seconds.

    `gate`: the kernel ends leases by itself.  `no_quorum`: drop or keep.
    `pinned` pairs leases with the member that comes first for them.  `vip`: keep-vip's address,
    None if the configuration is not keep-vip's.
    """

    at: float
    cluster: str
    own: str
    witness: bool = False
    term: int = 0
    log_index: int = 0
    log_leader: str | None = None
    gate: bool = False
    no_quorum: str = "drop"
    members: tuple[MemberLine, ...] = ()
    leases: tuple[LeaseLine, ...] = ()
    pinned: tuple[tuple[str, str], ...] = ()
    drained: tuple[str, ...] = ()
    checks: tuple[CheckLine, ...] = ()
    vip: str | None = None
    counters: tuple[tuple[str, int], ...] = ()

    def lease(self, name: str) -> LeaseLine | None:
        """The lease of that name."""
        return next((lease for lease in self.leases if lease.name == name), None)

    def member(self, name: str) -> MemberLine | None:
        """The member of that name."""
        return next((member for member in self.members if member.id == name), None)

    @property
    def live(self) -> int:
        """How many members are there, this one included."""
        return sum(member.live or member.id == self.own for member in self.members)

    @property
    def majority(self) -> int:
        """How many of them must agree."""
        return len(self.members) // 2 + 1


# -- to and from JSON --------------------------------------------------------------


def to_json(snapshot: Snapshot) -> dict[str, JSON]:
    """The snapshot as the value of the file."""
    made: dict[str, JSON] = dict(zip(Snapshot.fields, values_of(snapshot), strict=True))
    made["members"] = [_line(line) for line in snapshot.members]
    made["leases"] = [_line(line) for line in snapshot.leases]
    made["checks"] = [_line(line) for line in snapshot.checks]
    made["pinned"] = dict(snapshot.pinned)
    made["drained"] = list(snapshot.drained)
    made["counters"] = dict(snapshot.counters)
    vip = made.pop("vip")
    made["keepvip"] = None if vip is None else {"vip": vip}
    return made


def _line(line: Record) -> dict[str, JSON]:
    return dict(zip(type(line).fields, values_of(line), strict=True))


def counted(counters: Mapping[str, int | Mapping[str, int]]) -> dict[str, int]:
    """Counters as the snapshot has them: what is counted by reason has the reason in its name."""
    made: dict[str, int] = {}
    for name, value in counters.items():
        if isinstance(value, int):
            made[name] = value
        else:
            made |= {f"{name}_{reason}": count for reason, count in value.items()}
    return made


def from_json(value: object) -> Snapshot:
    """The snapshot that `value` is; raises BadSnapshot."""
    found = _mapping(value, "the snapshot")
    fields = _fields(Snapshot, found, _SCALARS)
    for name, kind in _LINES.items():
        if name in found:
            fields[name] = tuple(_record(kind, each, name) for each in _list(found[name], name))
    if "drained" in found:
        fields["drained"] = tuple(
            _checked(each, "str", "drained") for each in _list(found["drained"], "drained")
        )
    for name, what in (("pinned", "str"), ("counters", "int")):
        if name in found:
            pairs = _mapping(found[name], name).items()
            fields[name] = tuple((key, _checked(each, what, name)) for key, each in pairs)
    if found.get("keepvip") is not None:
        fields["vip"] = _checked(_mapping(found["keepvip"], "keepvip").get("vip"), "str", "vip")
    return _made(Snapshot, fields, "the snapshot")


_SCALARS = frozenset(
    {"at", "cluster", "own", "witness", "term", "log_index", "log_leader", "gate", "no_quorum"}
)
_LINES: Mapping[str, type[Record]] = {"members": MemberLine, "leases": LeaseLine, "checks": CheckLine}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (float, int),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
}


def _record(kind: type[R], value: object, where: str) -> R:
    return _made(kind, _fields(kind, _mapping(value, where), frozenset(kind.fields)), where)


def _fields(kind: type[Record], found: Mapping[str, object], wanted: frozenset[str]) -> dict[str, Any]:
    annotated = kind.__annotations__
    return {name: _checked(found[name], annotated[name], name) for name in found if name in wanted}


def _made(kind: type[R], fields: dict[str, Any], where: str) -> R:
    missing = [name for name in kind.fields if name not in fields and name not in kind.defaults]
    if missing:
        raise BadSnapshot(f"{where}: {', '.join(missing)} missing")
    return kind(**fields)


def _checked(value: object, kind: str, where: str) -> Any:
    """`value`, if it is of the kind that an annotation names; a truth value is no number."""
    kinds = _KINDS[kind]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise BadSnapshot(f"{where}: {value!r:.40} is not {kind}")
    return value


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadSnapshot(f"{where}: {value!r:.40} is no object")
    return value


def _list(value: object, where: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise BadSnapshot(f"{where}: {value!r:.40} is no list")
    return value


# -- the file ------------------------------------------------------------------------


def write(path: str, snapshot: Snapshot | Mapping[str, JSON]) -> None:
    """Put the snapshot, or its JSON, where readers find it; raises OSError."""
    value = to_json(snapshot) if isinstance(snapshot, Snapshot) else snapshot
    replace_file(path, (json.dumps(value, separators=(",", ":")), "\n"), _MODE)


def read(path: str) -> Snapshot:
    """The snapshot at `path`; raises OSError, or BadSnapshot for a file that is something else."""
    with open(path, "rb") as file:
        data = file.read(LONGEST_FILE + 1)
    if len(data) > LONGEST_FILE:
        raise BadSnapshot(f"{path} is longer than a snapshot can be")
    return parse(data)


def parse(data: bytes) -> Snapshot:
    """The snapshot that these bytes of a file are; raises BadSnapshot."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise BadSnapshot(f"no JSON: {fault}") from fault
    return from_json(value)
