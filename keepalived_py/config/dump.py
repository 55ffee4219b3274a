"""The model back as a keepalived.conf, in one canonical form.

Walks the keyword table with a configuration instead of a file: each keyword
shows the value of its attribute, each block its records, in the order of the
table.  What has its default is left out, unless something elsewhere in the file
could change that default (`Keyword.inherited`).  Reading the text again gives an
equal configuration.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from keepalived_py.base.record import Record
from keepalived_py.config.blocks import root
from keepalived_py.config.schema import Block, Keyword
from keepalived_py.model.config import Configuration

INDENT = "    "


def dump(configuration: Configuration, *, secrets: bool = True) -> str:
    """`configuration` as text; empty for one that says nothing.

    Without `secrets`, passwords and keys are replaced by asterisks, as many as they have characters.
    """
    return "".join(f"{line}\n" for line in _inside(root.ROOT, configuration, "", secrets))


def shown(keyword: Keyword[Any], record: Any) -> list[str]:
    """The words behind `keyword` in each of the lines that write it for `record`; none if none is needed."""
    value = valued(record, keyword.attribute)
    if keyword.show is None or (not keyword.inherited and _default(record, keyword.attribute, value)):
        return []
    return list(keyword.show(value))


def written_keywords(block: Block[Any]) -> Iterator[Keyword[Any]]:
    """The keywords of `block` that a dump may use."""
    for keyword in block.keywords.values():
        if keyword.attribute and not (keyword.alias or keyword.removed):
            yield keyword


def _inside(block: Block[Any], record: Any, indent: str, secrets: bool) -> Iterator[str]:
    """The lines between the braces of `block`."""
    for keyword in written_keywords(block):
        if keyword.block is not None:
            yield from _blocks(keyword, valued(record, keyword.attribute), indent, secrets)
            continue
        for words in shown(keyword, record):
            text = words if secrets or not keyword.secret else "*" * len(words)
            yield f"{indent}{keyword.name} {text}".rstrip(" ")


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


def _blocks(keyword: Keyword[Any], value: Any, indent: str, secrets: bool) -> Iterator[str]:
    """The blocks that write `value`: one for a list of entries, else one for each record."""
    inner = keyword.inner()
    show = inner.show_entry
    if show is not None and inner.show_header is None:
        if value:
            yield from _braces(keyword.name, "", map(show, value), indent)
        return
    for record in records(inner, value):
        header = inner.show_header(record) if inner.show_header is not None else ""
        lines = map(show, record.entries) if show is not None else _inside(inner, record, "", secrets)
        yield from _braces(keyword.name, header, lines, indent)


def records(block: Block[Any], value: Any) -> list[Any]:
    """The records in `value` that `block` describes: one block is written for each."""
    every = () if value is None else value if isinstance(value, tuple) else (value,)
    return [one for one in every if block.record is None or isinstance(one, block.record)]


def _braces(name: str, header: str, lines: Iterable[str], indent: str) -> Iterator[str]:
    yield f"{indent}{' '.join(filter(None, (name, header)))} {{"
    for line in lines:
        yield f"{indent}{INDENT}{line}"
    yield f"{indent}}}"
