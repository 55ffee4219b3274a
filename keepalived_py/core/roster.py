"""All instances of a node: an immutable mapping that is cheap to change in one place.

An advert changes one instance of perhaps a thousand, and earlier nodes must
stay as they were (the shell works a step out ahead of time and may throw it
away).  So the states stand in shards of about the square root of their number:
a changed copy shares all shards but one.  Beside each state stands its
earliest deadline, beside each shard the earliest of those, and at the top the
earliest of all: asking for it costs nothing, and finding what is overdue only
looks into shards that have something.
"""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Self

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName
from keepalived_py.core.vrrp.state import InstanceState, earliest

WIDTH = 32
NEVER = 1 << 62

Shard = tuple[InstanceState, ...]
Dues = tuple[int, ...]


def _due(state: InstanceState) -> int:
    at = earliest(state)
    return NEVER if at is None else at


class Instances(Mapping[InstanceName, InstanceState]):
    """States by name, in the order of the configuration."""

    __slots__ = ("_dues", "_first", "_firsts", "_places", "_shards")

    _places: Mapping[InstanceName, int]
    _shards: tuple[Shard, ...]
    _dues: tuple[Dues, ...]
    _firsts: Dues
    _first: int

    def __init__(self, states: Mapping[InstanceName, InstanceState]) -> None:
        every = tuple(states.values())
        self._places = {name: place for place, name in enumerate(states)}
        self._shards = tuple(every[at : at + WIDTH] for at in range(0, len(every), WIDTH))
        self._dues = tuple(tuple(map(_due, shard)) for shard in self._shards)
        self._firsts = tuple(map(min, self._dues))
        self._first = min(self._firsts, default=NEVER)

    def __getitem__(self, name: InstanceName) -> InstanceState:
        place = self._places[name]
        return self._shards[place // WIDTH][place % WIDTH]

    def __iter__(self) -> Iterator[InstanceName]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    @property
    def next_deadline(self) -> Micros | None:
        """The earliest deadline of any instance."""
        return None if self._first == NEVER else Micros(self._first)

    def due_by(self, until: Micros | int) -> int:
        """How many have a deadline at `until` or before."""
        if self._first > until:
            return 0
        return sum(
            due <= until
            for number, first in enumerate(self._firsts)
            if first <= until
            for due in self._dues[number]
        )

    def overdue(self, now: Micros) -> list[tuple[Micros, InstanceName]]:
        """Who has a deadline at `now` or before, the longest overdue first, in the file's order at a tie."""
        found = [
            (Micros(due), state.settings.name)
            for number, first in enumerate(self._firsts)
            if first <= now
            for due, state in zip(self._dues[number], self._shards[number], strict=True)
            if due <= now
        ]
        found.sort(key=itemgetter(0))
        return found

    def changed_since(self, before: "Instances") -> Iterator[InstanceName]:
        """Whose states may be other ones than in `before`, which has the same instances."""
        for old, new in zip(before._shards, self._shards, strict=True):
            if old is not new:
                for one, other in zip(old, new, strict=True):
                    if one is not other:
                        yield other.settings.name

    def with_one(self, name: InstanceName, state: InstanceState) -> Self:
        """The same instances, but for this one."""
        place = self._places[name]
        number, at = place // WIDTH, place % WIDTH
        shards, dues, firsts = list(self._shards), list(self._dues), list(self._firsts)
        shard, shard_dues = list(shards[number]), list(dues[number])
        shard[at] = state
        shard_dues[at] = _due(state)
        shards[number] = tuple(shard)
        dues[number] = tuple(shard_dues)
        firsts[number] = min(shard_dues)
        return self._made(tuple(shards), tuple(dues), tuple(firsts))

    def with_many(self, changed: Mapping[InstanceName, InstanceState]) -> Self:
        """The same instances, but for those `changed`."""
        if len(changed) < 2:
            return self.with_one(*next(iter(changed.items()))) if changed else self
        opened: dict[int, tuple[list[InstanceState], list[int]]] = {}
        for name, state in changed.items():
            number, at = divmod(self._places[name], WIDTH)
            if number not in opened:
                opened[number] = list(self._shards[number]), list(self._dues[number])
            opened[number][0][at] = state
            opened[number][1][at] = _due(state)
        shards, dues, firsts = list(self._shards), list(self._dues), list(self._firsts)
        for number, (states, own_dues) in opened.items():
            shards[number], dues[number] = tuple(states), tuple(own_dues)
            firsts[number] = min(own_dues)
        return self._made(tuple(shards), tuple(dues), tuple(firsts))

    def _made(self, shards: tuple[Shard, ...], dues: tuple[Dues, ...], firsts: Dues) -> Self:
        made = type(self).__new__(type(self))
        made._places = self._places
        made._shards = shards
        made._dues = dues
        made._firsts = firsts
        made._first = min(firsts)
        return made


NOBODY = Instances({})


class Draft(Mapping[InstanceName, InstanceState]):
    """Instances opened for change; `changed` are those that were set since."""

    __slots__ = ("_base", "changed")

    def __init__(self, base: Instances) -> None:
        self._base = base
        self.changed: dict[InstanceName, InstanceState] = {}

    def __getitem__(self, name: InstanceName) -> InstanceState:
        state = self.changed.get(name)
        return self._base[name] if state is None else state

    def __setitem__(self, name: InstanceName, state: InstanceState) -> None:
        self.changed[name] = state

    def __iter__(self) -> Iterator[InstanceName]:
        yield from self._base
        for name in self.changed:
            if name not in self._base:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self.changed or name in self._base

    def close(self) -> Instances:
        """The instances with all changes; a name that is new makes new places."""
        if all(name in self._base for name in self.changed):
            return self._base.with_many(self.changed)
        return Instances(dict(self.items()))
