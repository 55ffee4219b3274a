"""Where in the files something was written, and which advice is switched off there.

Lints judge the model, which has no places; the statements are found again here
by block, name and keyword.  As in keepalived, the last of equal statements
counts, and the first of equal blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from keepalived_py.config.document import Directive, Source, Statement, directive_of
from keepalived_py.diagnostics.origin import Origin

_SWITCH = re.compile(r"[#!].*?\bkeepalived-py:\s*ignore\s+([\w-]+(?:[\s,]+[\w-]+)*)")
_COMMENT = re.compile(r"\s*[#!]")


class Places:
    """The statements of a configuration by what they are about."""

    def __init__(self, directives: Sequence[Statement]) -> None:
        self.directives = directives
        self._named: dict[tuple[str, str], Directive] = {}
        for one in directives:
            if isinstance(one, Directive) and one.body is not None:
                name = one.words[1] if len(one.words) > 1 else ""
                self._named.setdefault((one.keyword, name), one)

    def block(self, keyword: str, name: str = "") -> Directive | None:
        """The top-level block `keyword name`."""
        return self._named.get((keyword, name))

    def blocks(self, keyword: str) -> Iterator[Directive]:
        """All top-level blocks of this keyword that have a body."""
        return (one for (found, _), one in self._named.items() if found == keyword)

    def everything(self) -> Iterator[Directive]:
        """All top-level blocks, also those of one name."""
        return (one for one in self.directives if isinstance(one, Directive) and one.body is not None)

    def instance(self, name: str) -> Directive | None:
        """The block of a `vrrp_instance`."""
        return self.block("vrrp_instance", name)

    def sources(self) -> dict[str, Source]:
        """The files that statements come from, by name."""
        found: dict[str, Source] = {}
        _collect(self.directives, found)
        return found


def _collect(statements: Sequence[Statement], found: dict[str, Source]) -> None:
    for one in statements:
        if isinstance(one, Directive):
            if one.body:
                _collect(one.body, found)
        else:
            found.setdefault(one[1].name, one[1])


def inside(block: Directive | None, *path: str) -> Directive | None:
    """The statement that `path` leads to, keyword by keyword; the last one of equal keywords."""
    for keyword in path:
        found = [one for one in statements(block) if one.keyword == keyword]
        if not found:
            return None
        block = found[-1]
    return block


def statements(block: Directive | None) -> Iterator[Directive]:
    """The statements of a block."""
    return map(directive_of, (block.body or ()) if block is not None else ())


def entries(block: Directive | None, *lists: str) -> Iterator[Directive]:
    """The entries of the lists of a block, such as `virtual_ipaddress`."""
    for one in statements(block):
        if one.keyword in lists:
            yield from statements(one)


def nearest(block: Directive | None, *paths: str) -> Origin | None:
    """The place of the first of the `paths` (`a/b`) that is written, else that of the block."""
    if block is None:
        return None
    for path in paths:
        found = inside(block, *path.split("/"))
        if found is not None:
            return found.line_origin
    return block.line_origin


def entry_place(block: Directive | None, name: str, *lists: str) -> Origin | None:
    """The place of the entry that begins with `name` in one of the lists, else that of the block."""
    for one in entries(block, *lists):
        if one.keyword == name:
            return one.line_origin
    return None if block is None else block.line_origin


class Switches:
    """The comments that switch advice off: `# keepalived-py: ignore CODE`.

    They hold for their line; one that stands alone holds for the next statement.
    """

    def __init__(self, sources: dict[str, Source]) -> None:
        self._lines = {
            name: source.text.split("\n")
            for name, source in sources.items()
            if "keepalived-py:" in source.text
        }

    def off(self, code: str, origin: Origin | None) -> bool:
        """Whether advice with this code is switched off at the place."""
        if origin is None or origin.file not in self._lines:
            return False
        lines = self._lines[origin.file]
        at = origin.line - 1
        if at >= len(lines) or code in _codes(lines[at]):
            return at < len(lines)
        while at > 0 and _COMMENT.match(lines[at - 1]):
            at -= 1
            if code in _codes(lines[at]):
                return True
        return False


def _codes(line: str) -> list[str]:
    found = _SWITCH.search(line)
    return re.split(r"[\s,]+", found[1]) if found else []
