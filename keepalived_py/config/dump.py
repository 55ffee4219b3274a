"""The model back as a keepalived.conf, in one canonical form.

Walks the keyword table with a configuration instead of a file: each keyword
shows the value of its attribute, each block its records, in the order of the
table.  What has its default is left out, unless something elsewhere in the file
could change that default (`Keyword.inherited`).  Reading the text again gives an
equal configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from keepalived_py.base.record import Record
from keepalived_py.config.blocks import root
from keepalived_py.config.schema import BASELINE, Block, Keyword
from keepalived_py.model.config import Configuration

INDENT = "    "
MASK = "********"


def dump(configuration: Configuration, *, secrets: bool = True) -> str:
    """`configuration` as text; empty for one that says nothing.

    Without `secrets`, asterisks stand for passwords and keys, whatever their length.
    """
    return "".join(f"{line}\n" for line in _inside(root.ROOT, configuration, None, "", secrets))


def shown(keyword: Keyword[Any], record: Any, around: Any = None, *, secrets: bool) -> list[str]:
    """The words behind `keyword` in each of the lines that write it for `record`; none if none is needed.

    `around` is the record of the block around it.
    """
    value = valued(record, keyword.attribute)
    if keyword.show is None or (_default(record, keyword.attribute, value) and _alone(keyword, around)):
        return []
    lines = list(keyword.show(value))
    return [masked(line) for line in lines] if keyword.secret and not secrets else lines


def _alone(keyword: Keyword[Any], around: Any) -> bool:
    """Whether the default is the default whatever else is written.

    A keyword that others do not know is not to be written for nothing, so the block around is asked,
    or the globals where that is the whole file.
    """
    if not keyword.inherited or not (keyword.extension or keyword.since > BASELINE):
        return not keyword.inherited
    name = keyword.attribute
    owner = around.globals if isinstance(around, Configuration) else around
    return name in getattr(type(owner), "fields", ()) and _default(owner, name, getattr(owner, name))


def masked(words: str) -> str:
    """The secret is the last word; what stands before it (the number of a key) tells nothing."""
    *before, _ = (words if words[-1:] != '"' else words.partition('"')[0] + "x").split(" ")
    return " ".join([*before, MASK])


def written_keywords(block: Block[Any]) -> Iterator[Keyword[Any]]:
    """The keywords of `block` that a dump may use."""
    for keyword in block.keywords.values():
        if keyword.attribute and not (keyword.alias or keyword.removed):
            yield keyword


def _inside(block: Block[Any], record: Any, around: Any, indent: str, secrets: bool) -> Iterator[str]:
    """The lines between the braces of `block`."""
    for keyword in written_keywords(block):
        if keyword.block is not None:
            if not _default(record, keyword.attribute, valued(record, keyword.attribute)):
                yield from _blocks(keyword, record, indent, secrets)
            continue
        for words in shown(keyword, record, around, secrets=secrets):
            yield f"{indent}{keyword.name} {words}".rstrip(" ")


def valued(record: Any, attribute: str) -> Any:
    """The value at `attribute`, which may lead through records (`mail.server`); None where one is None."""
    for name in attribute.split("."):
        if record is None:
            return None
        record = getattr(record, name) if name else record
    return record


def _default(record: Any, attribute: str, value: Any) -> bool:
    """Whether the value is what it would be had nothing been written."""
    outer, _, name = attribute.rpartition(".")
    owner = valued(record, outer) if outer else record
    return isinstance(owner, Record) and name in type(owner).defaults and type(owner).defaults[name] == value


def _blocks(keyword: Keyword[Any], around: Any, indent: str, secrets: bool) -> Iterator[str]:
    """The blocks of `keyword` inside `around`: one for a list of entries, else one for each record."""
    inner, value = keyword.inner(), valued(around, keyword.attribute)
    show = inner.show_entry
    if show is not None and inner.show_header is None:
        if value:
            yield from _braces(keyword.name, "", map(show, value), indent)
        return
    for record in records(inner, value):
        header = inner.show_header(record) if inner.show_header is not None else ""
        if show is not None:
            listed = entry_lines(keyword, record, secrets=secrets)
        else:
            listed = list(_inside(inner, record, around, "", secrets))
        if listed or record is not around:  # else it is a part of the record that has nothing to say
            yield from _braces(keyword.name, header, listed, indent)


def entry_lines(keyword: Keyword[Any], record: Any, *, secrets: bool) -> list[str]:
    """The lines of a list that is written for `record`."""
    inner = keyword.inner()
    assert inner.show_entry is not None
    lines = [inner.show_entry(one) for one in inner.entries_of(record)]
    return [masked(line) for line in lines] if keyword.secret and not secrets else lines


def records(block: Block[Any], value: Any) -> list[Any]:
    """The records in `value` that `block` describes: one block is written for each."""
    every = () if value is None else value if isinstance(value, tuple) else (value,)
    return [one for one in every if block.record is None or isinstance(one, block.record)]


def _braces(name: str, header: str, lines: Iterable[str], indent: str) -> Iterator[str]:
    yield f"{indent}{' '.join(filter(None, (name, header)))} {{"
    for line in lines:
        yield f"{indent}{INDENT}{line}"
    yield f"{indent}}}"
