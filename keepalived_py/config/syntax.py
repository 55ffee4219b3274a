"""Tokens to a tree of directives; and the one door into the lexical layer.

lark turns the grammar file into LALR(1) tables.  Importing lark and reading a
grammar costs some 50 ms, as much as everything else a check of a small file
does, so its tables are kept in `tables` next to a checksum of the grammar and
run here; while they do not fit the grammar file, lark makes them anew.  Since
the grammar is total there is no syntax exception; what is wrong with the
braces was noted by the scanner.
"""

import gc
import os
from binascii import crc32
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

from keepalived_py.config import tables
from keepalived_py.config.command_words import split_command
from keepalived_py.config.document import Directive, Document
from keepalived_py.config.reader import Reader
from keepalived_py.config.scan import Line, Piece, Scanner
from keepalived_py.diagnostics.report import Diagnostic

__all__ = ["make_tables", "parse", "read_document", "split_command"]

Rules = tuple[tuple[str, int], ...]
States = tuple[dict[str, int], ...]


def _grammar() -> bytes:
    """The grammar lies at the top of a checkout and inside the package once installed."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in (package, os.path.dirname(package)):
        try:
            with open(os.path.join(folder, "grammar", "keepalived.lark"), "rb") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise FileNotFoundError("grammar/keepalived.lark")


def make_tables(grammar: str) -> tuple[Rules, States]:
    """lark's tables for `grammar`: rules as (name, length), and the actions of each state.

    An action n >= 0 shifts (or goes) to state n, n < 0 reduces by rule -n - 1.
    States are numbered in the order in which they are reached, so the same
    grammar always gives the same tables.
    """
    from lark import Lark
    from lark.parsers.lalr_analysis import Shift

    made: Any = Lark(grammar, parser="lalr", lexer="basic").parser.parser
    found = made._parse_table
    rules = sorted(
        {rule for row in found.states.values() for act, rule in row.values() if act is not Shift}, key=str
    )
    number = {rule: -place - 1 for place, rule in enumerate(rules)}
    order = [found.start_states["start"]]
    for state in order:
        row = sorted(found.states[state].items())
        order.extend(dict.fromkeys(to for _, (act, to) in row if act is Shift and to not in order))
    states = tuple(
        {
            name: order.index(to) if act is Shift else number[to]
            for name, (act, to) in sorted(found.states[state].items())
        }
        for state in order
    )
    return tuple((str(rule.origin.name), len(rule.expansion)) for rule in rules), states


class _Inline(list[Any]):
    """The children of a rule that is no node of its own (its name begins with `_`)."""


def _join(children: Iterable[Any]) -> list[Directive]:
    """What the parser gives for a body, flat: runs are lists, blocks are directives."""
    body: list[Directive] = []
    for child in children:
        if isinstance(child, list):
            body.extend(child)
        else:
            body.append(child)
    return body


def _block(children: list[Any]) -> Directive:
    header: Directive = children[0]
    header.body = _join(children[1:-1])
    return header


_BUILDERS: dict[str, Callable[[list[Any]], Any]] = {
    "start": _join,
    "block": _block,
    "anonymous": _block,
    "stray": _join,
}


@cache
def _tables() -> tuple[Rules, States]:
    """The stored tables if they are of this grammar, else new ones."""
    grammar = _grammar()
    if crc32(grammar) == tables.GRAMMAR_CRC32:
        return tables.RULES, tables.STATES
    return make_tables(grammar.decode())


def _run(tokens: Iterable[tuple[str, Piece]]) -> list[Directive]:
    """Shift and reduce; a rule whose name begins with `_` hands its children to its parent."""
    rules, table = _tables()
    states = [0]
    values: list[Any] = []
    for kind, piece in chain(tokens, (("$END", None),)):
        action = table[states[-1]][kind]
        while action < 0:
            name, length = rules[-action - 1]
            if length != 1 or name[0] != "_":  # handing on one value changes nothing
                _reduce(name, length, values)
            del states[len(states) - length :]
            states.append(table[states[-1]][name])
            action = table[states[-1]].get(kind, 0)
        states.append(action)
        values.append(piece)
    result: list[Directive] = values[0]
    return result


def _reduce(name: str, length: int, values: list[Any]) -> None:
    """Put the value of a rule in the place of those of its parts."""
    first = len(values) - length
    gathered = values[first] if length else None
    if not isinstance(gathered, _Inline):
        gathered = _Inline(values[first : first + 1])
    for child in values[first + 1 :]:
        if isinstance(child, _Inline):
            gathered.extend(child)
        else:
            gathered.append(child)
    del values[first:]
    values.append(gathered if name[0] == "_" else _BUILDERS[name](gathered))


def parse(lines: Sequence[Line]) -> Document:
    """Logical lines to a document; never raises for what stands in them."""
    scanner = Scanner()
    directives = _run(scanner.tokens(lines))
    return Document(tuple(directives), tuple(scanner.diagnostics))


def read_document(path: str, config_id: str, all_config: bool = False) -> Document:
    """Read a configuration with everything it includes.

    `config_id` decides `@id` lines and is `${_INSTANCE}`; `all_config` is
    keepalived's `-e`: every include check is on.  Never raises for a user's
    mistake: see `Document.diagnostics`, `fatal` and `include_failed`.
    """
    collecting = gc.isenabled()
    gc.disable()  # hundreds of thousands of objects, no cycle among them
    try:
        reader = Reader(config_id, all_config)
        document = parse(reader.read(path))
    finally:
        if collecting:
            gc.enable()
    return Document(
        document.directives,
        _in_order((*reader.diagnostics, *document.diagnostics)),
        tuple(reader.files),
        reader.fatal,
        reader.include_failed,
    )


def _in_order(diagnostics: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """By line where all are of one file; what has no place comes last, as keepalived prints it."""
    if len({d.origin.file for d in diagnostics if d.origin}) > 1:
        return diagnostics
    return tuple(sorted(diagnostics, key=lambda d: d.origin.line if d.origin else 1 << 40))
