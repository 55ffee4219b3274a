"""Tokens to a tree of directives; and the one door into the lexical layer.

lark's LALR(1) parser does the work, on tables that lark made of the grammar
file.  Importing all of lark and having it read a grammar costs more than
everything else a check of a small file does, so only its parser is imported
and the tables are kept in `tables`, next to a checksum of the grammar; when
they do not fit the grammar file, lark makes them anew.  Since the grammar is
total there is no syntax exception; what is wrong with the braces was noted by
the scanner.
"""

from __future__ import annotations

import os
import sys
from binascii import crc32
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from keepalived_py.base.collection import no_collection
from keepalived_py.config import tables
from keepalived_py.config.command_words import split_command
from keepalived_py.config.document import Directive, Document, Line, Statement
from keepalived_py.config.reader import Reader
from keepalived_py.config.scan import Piece, Scanner
from keepalived_py.diagnostics.report import Diagnostic

__all__ = ["make_tables", "parse", "read_document", "split_command"]

# A rule is its name and the symbols it is made of.
Rules = tuple[tuple[str, tuple[str, ...]], ...]
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
    return tuple(
        (str(rule.origin.name), tuple(str(symbol.name) for symbol in rule.expansion)) for rule in rules
    ), states


class _Inline(list[Any]):
    """The children of a rule that is no node of its own (its name begins with `_`)."""


class _Token:
    """One token: its terminal and what the scanner found; lark asks for `type` alone."""

    __slots__ = ("piece", "type")

    def __init__(self, kind: str) -> None:
        self.type = kind
        self.piece: Piece = None


def _inline(children: list[Any]) -> Any:
    """Hand the children on; a single one stays as it is."""
    first = children[0]
    if isinstance(first, _Inline):
        first.extend(children[1:])
        return first
    return first if len(children) == 1 else _Inline(children)


def _join(children: Iterable[Any]) -> list[Statement]:
    """What the parser gives for a body, flat: runs are lists, blocks are directives."""
    body: list[Statement] = []
    for child in children:
        if isinstance(child, _Inline):
            body.extend(_join(child))
        elif isinstance(child, list):
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


def _import_parser() -> Any:
    """lark's LALR parser without the rest of lark (grammar reader, Earley, trees).

    `import lark` loads all of it.  The parser's modules are imported below an
    empty package of that name, which makes room for the real one afterwards.
    """
    if "lark" in sys.modules:
        import lark.parsers.lalr_parser as parser

        return parser
    found = PathFinder.find_spec("lark")
    assert found is not None
    package = ModuleType("lark")
    package.__path__ = found.submodule_search_locations or []
    sys.modules["lark"] = package
    try:
        import lark.parsers.lalr_parser as parser
    finally:
        del sys.modules["lark"]
    return parser


def _callbacks(rules: Sequence[Any]) -> dict[Any, Callable[[Any], Any]]:
    """What each rule makes of its children, and each terminal of its token."""
    made: dict[Any, Callable[[Any], Any]] = {rule: _BUILDERS.get(rule.origin.name, _inline) for rule in rules}
    for kind in ("RUN", "OPEN", "LB", "CLOSE"):
        made[kind] = lambda token: token.piece
    return made


@cache
def _configuration() -> tuple[Any, Any]:
    """lark's class of a running parser, and what it runs: our tables and callbacks."""
    parser = _import_parser()
    from lark.grammar import NonTerminal, Rule, Terminal
    from lark.parsers.lalr_analysis import IntParseTable, Reduce, Shift
    from lark.parsers.lalr_parser_state import ParseConf, ParserState

    names, states = _tables()
    origins = {name for name, _ in names}
    rules = [
        Rule(NonTerminal(name), [NonTerminal(x) if x in origins else Terminal(x) for x in expansion], place)
        for place, (name, expansion) in enumerate(names)
    ]
    table: Any = IntParseTable(  # type: ignore[no-untyped-call]
        {
            place: {
                name: (Shift, action) if action >= 0 else (Reduce, rules[-action - 1])
                for name, action in row.items()
            }
            for place, row in enumerate(states)
        },
        {"start": 0},
        {"start": states[0]["start"]},
    )
    assert parser.ParserState is ParserState
    return ParserState, ParseConf(table, _callbacks(rules), "start")


def parse(lines: Sequence[Line]) -> Document:
    """Logical lines to a document; never raises for what stands in them."""
    parser, configuration = _configuration()
    feed = parser(configuration, None).feed_token
    # The parser takes the piece out of a token at once, so one token of a kind is enough.
    tokens = {kind: _Token(kind) for kind in ("RUN", "OPEN", "LB", "CLOSE", "$END")}

    def take(kind: str, piece: Piece) -> None:
        token = tokens[kind]
        token.piece = piece
        feed(token)

    scanner = Scanner(take)
    scanner.scan(lines)
    statements: list[Statement] = feed(tokens["$END"], True)
    return Document(tuple(statements), tuple(scanner.diagnostics))


def read_document(path: str, config_id: str, all_config: bool = False) -> Document:
    """Read a configuration with everything it includes.

    `config_id` decides `@id` lines and is `${_INSTANCE}`; `all_config` is
    keepalived's `-e`: every include check is on.  Never raises for a user's
    mistake: see `Document.diagnostics`, `fatal` and `include_failed`.
    """
    with no_collection():
        reader = Reader(config_id, all_config)
        document = parse(reader.read(path))
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
