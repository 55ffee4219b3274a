"""The whole keyword table, seen from outside.

Everything that speaks about keywords without reading a file (the manual page,
`explain`, completion, the JSON Schema) walks through here.  A keyword's path is
the names of the blocks around it and its own, parted by slashes:
`vrrp_instance/track_script/weight`.  A line of a list has the path of the list
and `<entry>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_py.base.record import Record
from keepalived_py.config.blocks import root
from keepalived_py.config.schema import BASELINE, Block, Keyword

ENTRY = "<entry>"


class Place(Record):
    """A keyword at its path.

    `option`: it begins no statement, but stands behind another word or is a line of a list.
    """

    path: str
    keyword: Keyword[Any]
    option: bool = False

    @property
    def block(self) -> str:
        """The path of the block (or statement) it belongs to; "" at top level."""
        return self.path.removesuffix(self.keyword.name).rstrip("/")


def places() -> Iterator[Place]:
    """Every keyword of the language, each right before those of its block."""
    return _of_block(root.ROOT, "")


def _of_block(block: Block[Any], path: str) -> Iterator[Place]:
    if block.entry_help:
        yield Place(f"{path}/{ENTRY}", entry_of(block), option=True)
    listed = block.entry is not None
    for keyword in block.keywords.values():
        yield from _of_keyword(keyword, path, option=listed)


def _of_keyword(keyword: Keyword[Any], path: str, *, option: bool) -> Iterator[Place]:
    own = f"{path}/{keyword.name}" if path else keyword.name
    yield Place(own, keyword, option)
    for one in keyword.options:
        yield from _of_keyword(one, own, option=True)
    if keyword.block is not None:
        yield from _of_block(keyword.inner(), own)


def entry_of(block: Block[Any]) -> Keyword[Any]:
    """A line of a list as a keyword of its own: `entry_help` is its arguments and its meaning."""
    arguments, _, meaning = block.entry_help.partition(": ")
    return Keyword(ENTRY, None, arguments, help=meaning)


def found(words: str) -> list[Place]:
    """The places called `words`: a whole path, or the end of one."""
    wanted = words.strip("/")
    every = list(places())
    exact = [one for one in every if one.path == wanted]
    return exact or [one for one in every if one.path.endswith(f"/{wanted}")]


def signature(keyword: Keyword[Any]) -> str:
    """The keyword with its arguments, as it is written."""
    if keyword.name == ENTRY:
        return keyword.arguments
    braces = "" if keyword.block is None or "{" in keyword.arguments else _braces(keyword.inner())
    return " ".join(filter(None, (keyword.name, keyword.arguments, braces)))


def _braces(inner: Block[Any]) -> str:
    words = entry_of(inner).arguments if inner.entry is not None else ""
    return f"{{ {words} ... }}" if words else "{ ... }"


def sentence(keyword: Keyword[Any]) -> str:
    """What it means, as a sentence."""
    text = (keyword.help or f"See {keyword.alias}").rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def default_of(keyword: Keyword[Any]) -> str:
    """The default, with its unit if it is a number."""
    return f"{keyword.default} {keyword.unit}" if _measured(keyword) else keyword.default


def _measured(keyword: Keyword[Any]) -> bool:
    return bool(keyword.unit) and keyword.default[-1:].isdigit()


def remarks(keyword: Keyword[Any]) -> list[str]:
    """What is to be known beside the help: default, unit, age, better names."""
    lines = []
    if keyword.default:
        lines.append(f"Default: {default_of(keyword)}")
    if keyword.unit and not _measured(keyword):
        lines.append(f"Unit: {keyword.unit}")
    if keyword.removed:
        lines.append(f"Taken out of keepalived in {keyword.removed}")
    if keyword.extension:
        lines.append("Only in keepalived-py")
    if keyword.since > BASELINE:
        lines.append(f"Since keepalived {keyword.since}")
    if keyword.alias and keyword.alias not in keyword.help:
        lines.append(f"Another name of {keyword.alias}")
    if keyword.deprecation:
        lines.append(f"Deprecated: {keyword.deprecation}")
    if keyword.meaningless:
        lines.append(f"Without meaning here: {keyword.meaningless}")
    return lines
