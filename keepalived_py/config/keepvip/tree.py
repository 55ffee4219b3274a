"""YAML as a tree whose every node knows its place.

The tree is made from the parser's events, so that depth and size are bounded
before anything is built: `[[[[...` cannot exhaust the stack, and an alias is
the node it stands for, never a copy of it.  Only the first document counts.
"""

from __future__ import annotations

from typing import Any

import yaml

from keepalived_py.base.record import Struct, fresh
from keepalived_py.diagnostics.origin import Origin

DEEPEST = 32
MOST_NODES = 100_000


class Scalar(Struct):
    """A plain value as text; `quoted` if it stood in quotes or as a block."""

    origin: Origin
    text: str
    quoted: bool = False

    @property
    def empty(self) -> bool:
        """Whether it is YAML's null."""
        return not self.quoted and self.text in ("", "~", "null", "Null", "NULL")


class Sequence(Struct):
    origin: Origin
    items: list[Node] = fresh(list)


class Mapping(Struct):
    """Keys and values in the order of the file; a key may stand there twice."""

    origin: Origin
    pairs: list[tuple[Node, Node]] = fresh(list)


Node = Scalar | Sequence | Mapping


class Fault(Exception):
    """The text is not YAML, or more than we take."""

    def __init__(self, message: str, origin: Origin, note: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.origin = origin
        self.note = note


def read(text: str, file: str) -> tuple[Node | None, Origin | None]:
    """The first document (None if there is none), and where a second one begins.

    Raises `Fault` for text that is not YAML.
    """
    reader = _Reader(text, file)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        problem = fault.problem or fault.context or "not valid"
        raise Fault(problem, reader.place(mark), fault.context or "") from fault
    except yaml.reader.ReaderError as fault:
        number = fault.character if isinstance(fault.character, int) else ord(fault.character)
        raise Fault(
            f"the character #x{number:04x} is not allowed", reader.at_offset(fault.position)
        ) from fault


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.lines = text.splitlines()
        self.file = file
        self.nodes = 0
        self.anchors: dict[str, Node] = {}
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml: the slow one
        self.events = yaml.parse(text, Loader=loader)

    def place(self, start: Any, end: Any = None) -> Origin:
        """The origin of a mark of the parser."""
        if start is None:
            return self.origin(0, 0)
        same_line = end is not None and end.line == start.line
        return self.origin(start.line, start.column, end.column if same_line else None)

    def origin(self, line: int, column: int, end: int | None = None) -> Origin:
        """A place by numbers from 0; without an end it goes to the end of the line."""
        text = self.lines[line] if line < len(self.lines) else ""
        stop = len(text.rstrip()) if end is None else end
        return Origin(self.file, line + 1, column + 1, max(stop, column) + 1, text)

    def at_offset(self, offset: int) -> Origin:
        """The place of byte `offset`."""
        before = self.text.encode("utf-8", "surrogatepass")[:offset].decode("utf-8", "ignore")
        line = before.count("\n")
        return self.origin(line, len(before) - before.rfind("\n") - 1)

    def document(self) -> tuple[Node | None, Origin | None]:
        found: Node | None = None
        seen = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    return found, self.place(event.start_mark, event.end_mark)
                seen = True
            elif isinstance(event, yaml.NodeEvent):
                found = self.node(event, 0)
        return found, None

    def node(self, event: Any, depth: int) -> Node:
        origin = self.place(event.start_mark, event.end_mark)
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise Fault(f"more than {MOST_NODES} values", origin)
        if depth > DEEPEST:
            raise Fault(f"nested more than {DEEPEST} levels deep", origin)
        if isinstance(event, yaml.AliasEvent):
            known = self.anchors.get(event.anchor or "")
            if known is None:
                raise Fault(f"alias '*{event.anchor}' names nothing above", origin)
            return known
        made: Node
        if isinstance(event, yaml.ScalarEvent):
            made = Scalar(origin, event.value, bool(event.style))
        else:
            made = self.collection(event, origin, depth)
        if event.anchor:
            self.anchors[event.anchor] = made
        return made

    def collection(self, event: Any, origin: Origin, depth: int) -> Node:
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(inner, depth + 1))
            return Sequence(origin, items)
        pairs = []
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key = self.node(inner, depth + 1)
            pairs.append((key, self.node(next(self.events), depth + 1)))
        return Mapping(origin, pairs)
