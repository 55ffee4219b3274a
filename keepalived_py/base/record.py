"""Immutable values that cost nothing to declare.

The model of a configuration has some sixty kinds of record, and a check of a
small file must be over in the time in which `dataclasses` compiles a dozen
classes (it writes source text and executes it, more than a millisecond for
each).  A `Record` declares its fields like a dataclass and type checkers treat
it as one; its methods are written once, here, and work on any fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar, dataclass_transform

R = TypeVar("R", bound="Record")
T = TypeVar("T")


class _Fresh:
    """A default that is made anew for each value."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def fresh(make: Callable[[], T]) -> T:
    """The default of a field of a `Struct` that must not be shared: `names: list[str] = fresh(list)`."""
    made: Any = _Fresh(make)
    return made  # type: ignore[no-any-return]  # it stands for what it will make


class _RecordType(type):
    """Turns annotations into slots and keeps their defaults beside them."""

    fields: tuple[str, ...]
    defaults: dict[str, Any]
    _hidden: frozenset[str]
    _fresh: frozenset[str]
    _plan: tuple[tuple[str, Callable[[Any, Any], None]], ...]

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], secret: tuple[str, ...] = ()
    ) -> _RecordType:
        own = tuple(namespace.get("__annotations__", ()))
        fields: tuple[str, ...] = ()
        defaults: dict[str, Any] = {}
        hidden: frozenset[str] = frozenset(secret)
        for base in bases:
            if isinstance(base, _RecordType):
                fields += base.fields
                defaults.update(base.defaults)
                hidden |= base._hidden
        for field in own:
            if field in ("fields", "defaults"):
                raise TypeError(f"a record cannot have a field called {field}")
            if field in namespace:
                defaults[field] = namespace.pop(field)
        namespace["__slots__"] = own
        made = super().__new__(mcs, name, bases, namespace)
        made.fields = fields + own
        made.defaults = defaults
        made._hidden = hidden
        made._fresh = frozenset(field for field, value in defaults.items() if type(value) is _Fresh)
        made._plan = tuple((field, getattr(made, field).__set__) for field in made.fields)
        return made

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], secret: tuple[str, ...] = ()
    ) -> None:
        super().__init__(name, bases, namespace)


def _fill(made: Any, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Give all fields of `made` their values, as the `__init__` of a dataclass does."""
    kind: Any = type(made)
    fields, fresh_fields = kind.fields, kind._fresh
    if values:
        if len(values) > len(fields):
            raise TypeError(f"{kind.__name__} takes {len(fields)} values, not {len(values)}")
        named = {**named, **dict(zip(fields, values, strict=False))}
    every = {**kind.defaults, **named} if named else kind.defaults
    if len(every) != len(fields):
        _wrong_fields(kind, every)
    for field, put in kind._plan:
        value = every[field]
        if field in fresh_fields and type(value) is _Fresh:
            value = value.make()
        put(made, value)


def _wrong_fields(kind: Any, every: dict[str, Any]) -> None:
    unknown = [name for name in every if name not in kind.fields]
    if unknown:
        raise TypeError(f"{kind.__name__} has no use for {', '.join(unknown)}")
    missing = next(name for name in kind.fields if name not in every)
    raise TypeError(f"{kind.__name__} needs a value for {missing!r}")


@dataclass_transform()
class Struct(metaclass=_RecordType):
    """A mutable value with the fields its class annotates, and with no others."""

    def __init__(self, *values: Any, **named: Any) -> None:
        _fill(self, values, named)

    def __repr__(self) -> str:
        return _text(self)


@dataclass_transform(frozen_default=True)
class Record(metaclass=_RecordType):
    """A frozen value with the fields its class annotates.

    `class Address(Record): text: str; bits: int = 32`.  Defaults must be
    immutable values.  Fields named in `class X(Record, secret=("password",))`
    are left out of the text form.  Equal class and fields: equal value, equal hash.
    """

    def __init__(self, *values: Any, **named: Any) -> None:
        _fill(self, values, named)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in type(self).fields)

    def __hash__(self) -> int:
        return hash((type(self), *values_of(self)))

    def __repr__(self) -> str:
        return _text(self)

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), tuple(values_of(self))


def _text(made: Any) -> str:
    kind: Any = type(made)
    shown = (f"{field}={getattr(made, field)!r}" for field in kind.fields if field not in kind._hidden)
    return f"{kind.__name__}({', '.join(shown)})"


def values_of(record: Record) -> Iterator[Any]:
    """The values of all fields, in the order of declaration."""
    return (getattr(record, field) for field in type(record).fields)


def replace(record: R, **changes: Any) -> R:
    """A copy of `record` with some fields changed; raises TypeError for a field it does not have."""
    kind = type(record)
    made = kind.__new__(kind)
    for field, put in kind._plan:
        put(made, changes.pop(field) if field in changes else getattr(record, field))
    if changes:
        raise TypeError(f"{kind.__name__} has no field {', '.join(changes)}")
    return made
