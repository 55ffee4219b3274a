"""What the checkers know of all virtual and real servers at one moment, as a file for readers.

It is JSON, open to everybody and moved into place whole.  Nobody needs it after a
power cut: it is not forced to the disk.  Readers never touch the process that checks.

With ten thousand real servers the file has some megabytes, and something in it changes
all the time.  So it is made in pieces, between which checks are started and heard as
ever; written by a thread; and made so seldom that its making takes no more than a
fiftieth of the processor (and never more than once a second).

A reader passes over what it does not know, and what is not there has its default, so
that versions may differ.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.base.errors import KeepalivedError
from keepalived_py.base.record import Record
from keepalived_py.core.checks.checking import Checking
from keepalived_py.core.checks.names import server_name, sorry_name
from keepalived_py.core.checks.orders import order_at
from keepalived_py.core.checks.pool import Pool, is_present
from keepalived_py.core.checks.view import View, kind_of, target_of
from keepalived_py.system.state_files import make_directory, replace_file

FILE = "checks.json"
LONGEST_FILE = 128 * 1024 * 1024
SHORTEST_INTERVAL_S = 1.0
# The making of the file may take this part of the processor.
_SHARE = 0.02
_SERVERS_AT_ONCE = 50
_LONGEST_TEXT = 200
_MOST_CHECKS = 50
_MODE = 0o644

R = TypeVar("R", bound=Record)
JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


class BadSnapshot(KeepalivedError):
    """This is no snapshot; the text says where it goes wrong."""


class CheckLine(Record):
    """A check.  `good`, `code`, `text`, `took_us` and `age_us` are of its last run, None before the first."""

    kind: str
    target: str = ""
    up: bool = True
    enabled: bool = True
    good: bool | None = None
    code: int | None = None
    text: str = ""
    took_us: int | None = None
    age_us: int | None = None


class ServerLine(Record):
    """A real server.  `present`: it is in the kernel's table.  `order`: "drained", "weight" or "".

    The numbers of connections are the kernel's, None where nobody asked it.
    """

    name: str
    alive: bool = False
    present: bool = False
    weight: int = 0
    configured: int = 0
    order: str = ""
    persistent: bool = False
    active: int | None = None
    inactive: int | None = None
    checks: tuple[CheckLine, ...] = ()


class VirtualLine(Record):
    """A virtual server.  `up`: it has its quorum.  `sorry`: its sorry server, "" without one."""

    name: str
    up: bool = False
    quorum: int = 1
    sorry: str = ""
    sorry_serves: bool = False
    servers: tuple[ServerLine, ...] = ()


class Snapshot(Record):
    """The whole file.  `at` is UTC in seconds."""

    at: float
    virtual_servers: tuple[VirtualLine, ...] = ()
    counters: Mapping[str, int] = {}


# -- to JSON ---------------------------------------------------------------------------


def virtual_json(pool: Pool) -> dict[str, JSON]:
    """A virtual server without its real servers."""
    sorry = sorry_name(pool.settings)
    return {
        "name": pool.name,
        "up": pool.quorum_up,
        "quorum": pool.settings.quorum,
        "sorry": sorry,
        "sorry_serves": bool(sorry) and pool.sorry_alive,
    }


def server_json(view: View, virtual: int, index: int) -> dict[str, JSON]:
    """The real server at `index` of the virtual server at `virtual`."""
    pool = view.pools[virtual]
    server = pool.servers[index]
    order = order_at(view.orders, pool, index)
    checkings = islice(view.checks_of(virtual, index), _MOST_CHECKS)
    return {
        "name": server_name(pool.settings, server.settings),
        "alive": server.alive,
        "present": is_present(pool, index),
        "weight": server.weight,
        "configured": server.settings.weight,
        "order": "" if order is None else "drained" if order.drained else "weight",
        "persistent": order is not None and order.persistent,
        "checks": [_check_json(checking, view.now) for checking in checkings],
    }


def _check_json(checking: Checking, now: Micros) -> dict[str, JSON]:
    made: dict[str, JSON] = {
        "kind": kind_of(checking.check),
        "target": target_of(checking),
        "up": checking.is_up,
        "enabled": checking.enabled,
    }
    result = checking.last
    if result is not None:
        made["good"] = result.good
        made["code"] = result.code
        made["text"] = result.text[:_LONGEST_TEXT]
        made["took_us"] = result.took_us
    if checking.last_at is not None:
        made["age_us"] = max(0, now - checking.last_at)
    return made


def plain(value: object) -> object:
    """A line or a whole snapshot as objects and lists for JSON, with every field."""
    if isinstance(value, Record):
        return {name: plain(getattr(value, name)) for name in type(value).fields}
    return [plain(each) for each in value] if isinstance(value, tuple) else value


def pieces(view: View, counters: Mapping[str, int], at: float) -> Iterator[str]:
    """The text of the file, some servers in each piece; each takes about a millisecond at most."""
    yield f'{{"at":{at:.3f},"counters":{_dumped(dict(counters))},"virtual_servers":['
    for virtual, pool in enumerate(view.pools):
        head = _dumped(virtual_json(pool))
        yield f'{"," if virtual else ""}\n{head[:-1]},"servers":['
        count = len(pool.servers)
        for begin in range(0, count, _SERVERS_AT_ONCE):
            some = range(begin, min(begin + _SERVERS_AT_ONCE, count))
            lines = (_dumped(server_json(view, virtual, index)) for index in some)
            yield ("," if begin else "") + "\n" + ",\n".join(lines)
        yield "]}"
    yield "]}\n"


def _dumped(value: JSON) -> str:
    return json.dumps(value, separators=(",", ":"))


# -- the writer ------------------------------------------------------------------------


class Writer:
    """Keeps the file at `path` up to date while something `changed`.  Make it inside its running loop."""

    def __init__(
        self,
        path: str,
        view: Callable[[], View],
        counters: Callable[[], Mapping[str, int]],
        failed: Callable[[str], object],
    ) -> None:
        self._path = path
        self._view, self._counters, self._failed = view, counters, failed
        self._changed = False
        self._refused = ""
        self._task: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Something in the view is new."""
        self._changed = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Write no more, and take the file away: whoever reads it would believe that checks go on."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        with suppress(OSError):
            os.unlink(self._path)

    async def _keep(self) -> None:
        while self._changed:
            self._changed = False
            cost_s = await self._write()
            await asyncio.sleep(max(SHORTEST_INTERVAL_S, cost_s / _SHARE))
        self._task = None

    async def _write(self) -> float:
        """Make and write the file; the time of the processor that its making took, in seconds."""
        text: list[str] = []
        cost_s = 0.0
        began = time.perf_counter()
        for piece in pieces(self._view(), self._counters(), time.time()):
            text.append(piece)
            cost_s += time.perf_counter() - began
            await asyncio.sleep(0)
            began = time.perf_counter()
        refused = await asyncio.to_thread(self._put, text)
        if refused and refused != self._refused:
            self._failed(f"Unable to write the state for readers to {self._path}: {refused}")
        self._refused = refused
        return cost_s

    def _put(self, text: list[str]) -> str:
        """Write the file; why it was not possible, "" if it was."""
        try:
            make_directory(os.path.dirname(self._path))
            replace_file(self._path, text, _MODE)
        except OSError as error:
            return error.strerror or str(error)
        return ""


# -- from JSON -------------------------------------------------------------------------

_LINES: Mapping[str, type[Record]] = {
    "tuple[CheckLine, ...]": CheckLine,
    "tuple[ServerLine, ...]": ServerLine,
    "tuple[VirtualLine, ...]": VirtualLine,
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "bool | None": (bool, type(None)),
    "int | None": (int, type(None)),
}


def read(path: str) -> Snapshot:
    """The snapshot at `path`; raises OSError, or BadSnapshot for a file that is something else."""
    with open(path, "rb") as file:
        data = file.read(LONGEST_FILE + 1)
    if len(data) > LONGEST_FILE:
        raise BadSnapshot(f"{path} is longer than a snapshot can be")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise BadSnapshot(f"no JSON: {fault}") from fault
    return line_of(Snapshot, value)


def line_of(kind: type[R], value: object) -> R:
    """The line of this kind that a JSON value is; raises BadSnapshot."""
    if not isinstance(value, dict):
        raise BadSnapshot(f"{value!r:.40} is no object")
    annotated = kind.__annotations__
    made = {name: _field(name, annotated[name], value[name]) for name in kind.fields if name in value}
    missing = [name for name in kind.fields if name not in made and name not in kind.defaults]
    if missing:
        raise BadSnapshot(f"{', '.join(missing)} missing in {value!r:.40}")
    return kind(**made)


def _field(name: str, annotation: str, value: object) -> Any:
    line = _LINES.get(annotation)
    if line is not None:
        if not isinstance(value, list):
            raise BadSnapshot(f"{name}: {value!r:.40} is no list")
        return tuple(line_of(line, each) for each in value)
    if annotation == "Mapping[str, int]":
        if not isinstance(value, dict):
            raise BadSnapshot(f"{name}: {value!r:.40} is no object")
        return {key: _plain(key, "int", number) for key, number in value.items()}
    return _plain(name, annotation, value)


def _plain(name: str, annotation: str, value: object) -> object:
    types = _TYPES[annotation]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise BadSnapshot(f"{name}: {value!r:.40} is not {annotation}")
    return value
