"""A record of the model while it is being written.

A draft has the fields of its record as ordinary attributes; one that was not
written reads as the record's default (or None if it has none).  Lists and
other drafts may stand in it; `build` turns all of it into the immutable record.
`header` is the statement that opened the block, `given` the statement that
gave each field its value: that is how a message about the whole finds its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from keepalived_py.base.record import Record
from keepalived_py.config.document import Directive, Statement, directive_of

R = TypeVar("R", bound=Record)


_kinds: dict[tuple[type, type[Record]], type] = {}


def _kind(draft: type, record_type: type[Record]) -> type:
    """The class of drafts of one record: what was not written is found there, among the defaults."""
    found = _kinds.get((draft, record_type))
    if found is None:
        defaults = {name: record_type.defaults.get(name) for name in record_type.fields}
        found = type(f"{draft.__name__} of {record_type.__name__}", (draft,), defaults)
        _kinds[draft, record_type] = found
    return found


class Draft(Generic[R]):
    """The fields of one record, as far as they were written."""

    def __init__(self, record_type: type[R], header: Directive, **values: Any) -> None:
        self.__class__ = _kind(type(self), record_type)
        given: dict[str, Statement] = {}
        values.update(record_type=record_type, header=header, given=given)
        self.__dict__ = values

    if TYPE_CHECKING:
        record_type: type[R]
        header: Directive
        given: dict[str, Statement]

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def written(self, name: str) -> bool:
        """Whether the field was given a value."""
        return name in self.__dict__

    def at(self, name: str) -> Directive:
        """The statement that gave the field its value; the block's header if none did."""
        statement = self.given.get(name)
        return self.header if statement is None else directive_of(statement)

    def add(self, name: str, value: Any, statement: Statement | None = None) -> None:
        """Append to the list that is the field's value."""
        self.__dict__.setdefault(name, []).append(value)
        if statement is not None:
            self.given[name] = statement

    def build(self, **changes: Any) -> R:
        """The record, with `changes` on top; raises TypeError if a field without default is missing."""
        fields = self.record_type.fields
        values = {
            name: built(value)
            for name, value in self.__dict__.items()
            if name in fields and name not in changes
        }
        return self.record_type(**{**values, **changes})


def built(value: Any) -> Any:
    """`value` with drafts in it built and lists turned into tuples."""
    if isinstance(value, Draft):
        return value.build()
    if isinstance(value, list):
        return tuple(built(one) for one in value)
    return value
