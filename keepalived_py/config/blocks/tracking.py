"""`track_*` lists in instances and groups: what they watch, and what it does to the priority.

An entry is `NAME [weight N [reverse|noreverse]]`.  Without a weight, that of
the tracked object counts.  The object must stand above in the file.
"""

from __future__ import annotations

from typing import Any

from keepalived_py.base.names import InterfaceName, ScriptName
from keepalived_py.base.record import Record
from keepalived_py.config.blocks import lists, values
from keepalived_py.config.blocks.line_options import known_interface
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run
from keepalived_py.model.tracking import (
    TrackedBfd,
    TrackedCheck,
    TrackedFile,
    TrackedInterface,
    TrackedProcess,
    TrackedScript,
)

TOP_WEIGHT = 253


class Kind(Record):
    """One of the lists: where its objects are, and keepalived's words about its mistakes.

    `limit`: weights are read up to it.  `soft`: +/-254 is then made 253.
    `drops`: an unknown word behind the weight makes the entry useless.
    `extension`: keepalived has no such list.
    """

    keyword: str
    attribute: str
    objects: str
    record: type[Record]
    unknown: str
    option: str
    no_weight: str
    bad_weight: str
    bad_option: str
    words: tuple[str, ...] = ("reverse", "noreverse")
    limit: int = 254
    soft: bool = False
    drops: bool = False
    extension: bool = False


INTERFACE = Kind(
    "track_interface",
    "track_interfaces",
    "",
    TrackedInterface,
    "({owner}) tracked interface {name} doesn't exist",
    "({owner}) unknown track_interface {name} option {word} - ignoring",
    "({owner}) weight without value specified for track_interface {name} - ignoring",
    "({owner}) weight {word} for {name} must be between [-253..253] inclusive. Ignoring...",
    "({owner}) unknown track_interace {name} weight option {word} - ignoring",
    words=("reverse",),
    soft=True,
)
SCRIPT = Kind(
    "track_script",
    "track_scripts",
    "scripts",
    TrackedScript,
    "({owner}) track script {name} not found, ignoring...",
    "({owner}) unknown track script option {word} - ignoring",
    "({owner}) weight without value specified for track script {name} - ignoring",
    "({owner}) track script {name}: weight must be between [-253..253] inclusive, ignoring...",
    "({owner}) unknown track_script {name} weight option {word} - ignoring",
    soft=True,
)
CHECK = Kind(
    "track_check",
    "track_checks",
    "checks",
    TrackedCheck,
    "({owner}) track check {name} not found, ignoring...",
    "({owner}) unknown track check option {word} - ignoring",
    "({owner}) weight without value specified for track check {name} - ignoring",
    "({owner}) track check {name}: weight must be between [-253..253] inclusive, ignoring...",
    "({owner}) unknown track_check {name} weight option {word} - ignoring",
    soft=True,
    extension=True,
)
FILE = Kind(
    "track_file",
    "track_files",
    "track_files",
    TrackedFile,
    "({owner}) track file {name} not found, ignoring...",
    "({owner}) unknown track file option {word} - ignoring",
    "({owner}) weight without value specified for track file {name} - ignoring",
    "({owner}) weight for track file {name} must be in [-254..254] inclusive. Ignoring...",
    "({owner}) unknown track file {name} weight option {word} - ignoring",
    drops=True,
)
PROCESS = Kind(
    "track_process",
    "track_processes",
    "track_processes",
    TrackedProcess,
    "({owner}) track process {name} not found, ignoring...",
    "({owner}) unknown track process option {word} - ignoring",
    "({owner}) weight without value specified for track process {name} - ignoring",
    "({owner}) weight for track process {name} must be in [-254..254] inclusive. Ignoring...",
    "({owner}) unknown track_process {name} weight option {word} - ignoring",
)
BFD = Kind(
    "track_bfd",
    "track_bfds",
    "bfd_instances",
    TrackedBfd,
    "({owner}) track bfd {name} not found, ignoring...",
    "({owner}) unknown track bfd {name} option {word} - ignoring",
    "({owner}) weight without value specified for track bfd {name} - ignoring",
    "({owner}) weight for track bfd {name} must be in [-253..253] inclusive. Ignoring...",
    "({owner}) unknown track bfd {name} weight option {word} - ignoring",
    limit=TOP_WEIGHT,
    drops=True,
)
_HELP = {
    "track_interface": "interfaces whose loss is a fault, or changes the priority by a weight",
    "track_script": "scripts whose result is a fault, or changes the priority by a weight",
    "track_check": "servers whose check is a fault if it fails, or changes the priority by a weight",
    "track_file": "files whose number is a fault, or changes the priority by a weight",
    "track_process": "processes whose absence is a fault, or changes the priority by a weight",
    "track_bfd": "BFD sessions whose loss is a fault, or changes the priority by a weight",
}


class _Entry:
    """One line being read; the owner's draft is `target`."""

    __slots__ = ("at", "kind", "run", "target")

    def __init__(self, kind: Kind, run: Run, target: Any, at: Directive) -> None:
        self.kind, self.run, self.target, self.at = kind, run, target, at

    def complain(self, text: str, word: int, code: str = "invalid-value", **more: Any) -> None:
        words = self.at.words
        shown = words[word] if word < len(words) else ""
        message = text.replace("{owner}", str(self.target.name)).replace("{name}", words[0])
        self.run.error(message.replace("{word}", shown), self.at, word=word, code=code, **more)

    def weight(self, weight: int, reverse: bool) -> tuple[int, bool] | None:
        """The weight written on the line, else the ones given; None if the entry is useless."""
        kind, words = self.kind, self.at.words
        if len(words) < 2:
            return weight, reverse
        if words[1] != "weight":
            self.complain(kind.option, 1, "unknown-option", expected="weight")
            return None
        if len(words) < 3:
            self.complain(kind.no_weight, 1, "missing-value")
            return None
        weight = self._number(weight)
        if len(words) < 4:
            return weight, reverse
        if words[3] in kind.words:
            return weight, words[3] == "reverse"
        self.complain(kind.bad_option, 3, "unknown-option", expected=" or ".join(kind.words))
        return None if kind.drops else (weight, reverse)

    def _number(self, otherwise: int) -> int:
        kind = self.kind
        value = values.integer(self.run, self.at, self.at.words[2], -kind.limit, kind.limit)
        if value is None:
            self.complain(kind.bad_weight, 2, expected="a whole number from -253 to 253")
            return otherwise
        if kind.soft and abs(value) > TOP_WEIGHT:
            self.complain("({owner}) weight for {name} cannot be +/-254. Setting to +/-253", 2)
            return TOP_WEIGHT if value > 0 else -TOP_WEIGHT
        return value

    def duplicate(self) -> bool:
        name = self.at.words[0]
        if not any(one.name == name for one in getattr(self.target, self.kind.attribute)):
            return False
        self.complain(f"({{owner}}) duplicate {self.kind.keyword} {{name}} - ignoring", 0, "duplicate")
        return True

    def store(self, record: Record) -> None:
        self.target.add(self.kind.attribute, record, self.at)


def _interface(run: Run, target: Any, at: Directive) -> None:
    entry = _Entry(INTERFACE, run, target, at)
    name = at.words[0]
    if not known_interface(run, at, name):
        entry.complain(INTERFACE.unknown, 0, "unknown-interface", expected="an interface of this machine")
    elif not entry.duplicate():
        found = entry.weight(0, False)
        if found is not None:
            entry.store(TrackedInterface(InterfaceName(name), *found))


def _named(kind: Kind) -> Any:
    """The reader of entries that name an object defined above."""

    def read(run: Run, target: Any, at: Directive) -> None:
        entry = _Entry(kind, run, target, at)
        name = at.words[0]
        known = getattr(run.written, kind.objects).get(name)
        if known is None or (kind is BFD and not known.vrrp):
            entry.complain(kind.unknown, 0, "unknown-name", expected="a name defined above")
            return
        if entry.duplicate():
            return
        found = entry.weight(known.weight, known.reverse)
        if found is not None:
            entry.store(kind.record(ScriptName(name), *found))

    return read


def _show(kind: Kind) -> Any:
    both = "noreverse" in kind.words

    def show(entry: Any) -> str:
        sense = " reverse" if entry.reverse else " noreverse" if both else ""
        return f"{values.quoted(entry.name)} weight {entry.weight}{sense}"

    return show


def _options(kind: Kind) -> dict[str, Keyword[Any]]:
    """What may stand on a line, for whoever describes the language."""
    most = TOP_WEIGHT if kind.soft else kind.limit
    default = "0" if kind is INTERFACE else "that of the definition"
    described: list[Keyword[Any]] = [
        Keyword(
            "weight",
            arguments=f"<INT -{most}..{most}>",
            default=default,
            help="added to the priority; 0: a failure is a fault",
            attribute="weight",
            schema={"type": "integer", "minimum": -most, "maximum": most},
        ),
        Keyword(
            "reverse",
            default="off" if kind is INTERFACE else default,
            help="the weight counts the other way round",
            attribute="reverse",
            schema={"type": "boolean"},
        ),
    ]
    if "noreverse" in kind.words:
        described.append(
            Keyword("noreverse", default=default, help="the weight counts as it stands", alias="reverse")
        )
    return {keyword.name: keyword for keyword in described}


def _entry_words(kind: Kind) -> str:
    """How a line of the list is written."""
    first = "<IF>" if kind is INTERFACE else "<NAME>"
    return f"{first} [weight <INT> [{'|'.join(kind.words)}]]"


def _block(kind: Kind) -> Block[Any]:
    return Block(
        kind.keyword,
        _options(kind),
        entry=_interface if kind is INTERFACE else _named(kind),
        record=kind.record,
        show_entry=_show(kind),
        entry_help=f"{_entry_words(kind)}: what is tracked, and what its state does to the priority",
    )


def _keyword(kind: Kind) -> Keyword[Any]:
    return Keyword(
        kind.keyword,
        arguments=f"{{ {_entry_words(kind)} ... }}",
        help=_HELP[kind.keyword],
        block=_block(kind),
        open=lists.opened,
        attribute=kind.attribute,
        extension=kind.extension,
    )


KEYWORDS: tuple[Keyword[Any], ...] = tuple(map(_keyword, (INTERFACE, SCRIPT, CHECK, FILE, PROCESS, BFD)))
