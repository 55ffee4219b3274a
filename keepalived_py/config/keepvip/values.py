"""Typed values out of YAML nodes.

What a scalar means is decided by what the key wants, as in Go: `timeout: "1"`
is the number 1, `id: 7` the text 7.  Each function returns None after having
reported what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import TypeVar

from keepalived_py.base.record import Record
from keepalived_py.config.keepvip.tree import Fault, Mapping, Node, Scalar, Sequence
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity
from keepalived_py.model.cluster import Endpoint

T = TypeVar("T")

# Go's strconv.ParseBool takes these and nothing else.
TRUE = ("1", "t", "T", "TRUE", "true", "True")
FALSE = ("0", "f", "F", "FALSE", "false", "False")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z")
_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]:([0-9]{1,5})\Z")
_PLAIN = re.compile(r"([^:\[\]]*):([0-9]{1,5})\Z")
MOST_PORT = 65535
MOST_ITEMS = 5_000


class Found(Record):
    """The value of a key, and where the key and the value stand."""

    key: Origin
    value: Node


class Reading:
    """What one reading of a file collects."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.items = 0  # aliases can make few lines into very many items

    @property
    def failed(self) -> bool:
        """Whether there was a mistake that makes the file unusable."""
        return any(one.severity is Severity.ERROR for one in self.diagnostics)

    def error(
        self, message: str, at: Origin | None, code: str, *, expected: str = "", note: str = ""
    ) -> None:
        """Report what makes the file unusable."""
        notes = (note,) if note else ()
        self.diagnostics.append(
            Diagnostic(code, message, Severity.ERROR, at, ErrorClass.GENERAL, expected=expected, notes=notes)
        )

    def warn(
        self, message: str, at: Origin | None, code: str, *, suggestion: str = "", note: str = ""
    ) -> None:
        """Report what keep-vip takes silently; it never changes the exit code."""
        notes = (note,) if note else ()
        self.diagnostics.append(
            Diagnostic(code, message, Severity.WARNING, at, None, suggestion=suggestion, notes=notes)
        )


class Keys:
    """A mapping whose keys were checked against those it may have, read by name."""

    def __init__(self, reading: Reading, node: Mapping, title: str, names: Iterable[str]) -> None:
        self.reading = reading
        self.title = title
        self.origin = node.origin
        self.found: dict[str, Found] = {}
        known = {name.lower(): name for name in names}
        for key, value in _merged(reading, node):
            self._take(key, value, known)

    def _take(self, key: Node, value: Node, known: dict[str, str]) -> None:
        reading = self.reading
        if not isinstance(key, Scalar):
            reading.error(f"{self.title}: a key must be a word", key.origin, "wrong-type")
            return
        name = known.get(key.text.lower())
        if name is None:
            near = get_close_matches(key.text.lower(), list(known), n=1, cutoff=0.6)
            reading.warn(
                f"{self.title}: unknown key '{key.text}' has no effect",
                key.origin,
                "unknown-key",
                suggestion=known[near[0]] if near else "",
                note="" if near else f"known are {', '.join(known.values())}",
            )
        elif name in self.found:
            first = self.found[name].key
            note = f"first in line {first.line}; upper and lower case do not count"
            reading.error(f"{self.title}: key '{key.text}' twice", key.origin, "duplicate-key", note=note)
        else:
            self.found[name] = Found(key.origin, value)

    def get(self, name: str, read: Callable[[Reading, Node, str], T | None], default: T) -> T:
        """The value of `name`; `default` if it is not there, null or wrong."""
        found = self._value(name)
        value = None if found is None else read(self.reading, found, self._called(name))
        return default if value is None else value

    def need(self, name: str, read: Callable[[Reading, Node, str], T | None]) -> T | None:
        """The value of `name`, which must be there."""
        found = self._value(name)
        if found is not None:
            return read(self.reading, found, self._called(name))
        at = self.found[name].key if name in self.found else self.origin
        self.reading.error(f"{self.title}: '{name}' is missing", at, "missing-key")
        return None

    def at(self, name: str) -> Origin:
        """Where the value of `name` stands; the mapping itself if it is not there."""
        return self.found[name].value.origin if name in self.found else self.origin

    def _value(self, name: str) -> Node | None:
        found = self.found.get(name)
        if found is None or (isinstance(found.value, Scalar) and found.value.empty):
            return None
        return found.value

    def _called(self, name: str) -> str:
        return name if not self.title or self.title == TOP else f"{self.title}: {name}"


TOP = "configuration"


def _merged(reading: Reading, node: Mapping) -> list[tuple[Node, Node]]:
    """The pairs of a mapping, with those of `<<` behind unless it has them itself."""
    own = [pair for pair in node.pairs if not _merges(pair[0])]
    names = {key.text.lower() for key, _ in own if isinstance(key, Scalar)}
    for key, value in node.pairs:
        if not _merges(key):
            continue
        sources = value.items if isinstance(value, Sequence) else [value]
        for source in sources:
            if not isinstance(source, Mapping):
                reading.error("'<<' needs a mapping", value.origin, "wrong-type")
                continue
            for pair in source.pairs:
                if isinstance(pair[0], Scalar) and pair[0].text.lower() not in names:
                    names.add(pair[0].text.lower())
                    own.append(pair)
    return own


def _merges(key: Node) -> bool:
    return isinstance(key, Scalar) and key.text == "<<" and not key.quoted


def _scalar(reading: Reading, node: Node, name: str, wanted: str) -> str | None:
    if isinstance(node, Scalar):
        return node.text
    kind = "a list" if isinstance(node, Sequence) else "a mapping"
    reading.error(f"{name} is {kind}", node.origin, "wrong-type", expected=wanted)
    return None


def text(reading: Reading, node: Node, name: str) -> str | None:
    """Any scalar, as it is written."""
    return _scalar(reading, node, name, "text")


def integer(reading: Reading, node: Node, name: str) -> int | None:
    """A whole number, in any base that Go knows."""
    found = _scalar(reading, node, name, "a whole number")
    if found is None:
        return None
    try:
        return int(found, 10 if re.fullmatch(r"[+-]?0+[0-9]*", found) else 0)
    except ValueError:
        reading.error(
            f"{name} '{found}' is not a number", node.origin, "wrong-type", expected="a whole number"
        )
        return None


def boolean(reading: Reading, node: Node, name: str) -> bool | None:
    """true or false."""
    found = _scalar(reading, node, name, "true or false")
    if found is None or found in TRUE or found in FALSE:
        return None if found is None else found in TRUE
    reading.error(f"{name} '{found}' is not a boolean", node.origin, "wrong-type", expected="true or false")
    return None


def endpoint(reading: Reading, node: Node, name: str) -> Endpoint | None:
    """HOST:PORT; an IPv6 address stands in brackets."""
    found = _scalar(reading, node, name, "HOST:PORT")
    if found is None:
        return None
    match = _BRACKETED.match(found) or _PLAIN.match(found)
    if match is None or (match[1] and not (":" in match[1] or _HOST.match(match[1]))):
        reading.error(
            f"{name} '{found}' is not HOST:PORT", node.origin, "invalid-value", expected="HOST:PORT"
        )
        return None
    if not 0 < int(match[2]) <= MOST_PORT:
        reading.error(
            f"{name}: port {match[2]} does not exist", node.origin, "invalid-value", expected="1 to 65535"
        )
        return None
    return Endpoint(match[1], int(match[2]))


def remote(reading: Reading, node: Node, name: str) -> Endpoint | None:
    """HOST:PORT of something to connect to: the host must be said."""
    found = endpoint(reading, node, name)
    if found is not None and not found.host:
        reading.error(f"{name} '{found}' has no host", node.origin, "invalid-value", expected="HOST:PORT")
        return None
    return found


def mappings(reading: Reading, node: Node, name: str) -> list[Mapping] | None:
    """A list of mappings; what is none is reported and left out.

    Raises `Fault` if all lists together have become too long.
    """
    if not isinstance(node, Sequence):
        reading.error(
            f"{name} is not a list", node.origin, "wrong-type", expected="a list, each item with '- '"
        )
        return None
    reading.items += len(node.items)
    if reading.items > MOST_ITEMS:
        raise Fault(f"{name}: more than {MOST_ITEMS} items in all lists", node.origin)
    found = []
    for item in node.items:
        if isinstance(item, Mapping):
            found.append(item)
        else:
            reading.error(
                f"{name}: an item is not a mapping", item.origin, "wrong-type", expected="key: value"
            )
    return found


def mapping(reading: Reading, node: Node, name: str) -> Mapping | None:
    """A mapping."""
    if isinstance(node, Mapping):
        return node
    reading.error(f"{name} is not a mapping", node.origin, "wrong-type", expected="key: value")
    return None
