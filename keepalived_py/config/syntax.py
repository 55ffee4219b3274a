"""Tokens to a tree of directives, with lark; and the one door into the lexical layer.

lark's LALR engine runs the grammar file over the tokens of `scan`.  The lexer
class below is only an adapter: it passes tokens on, the text was cut before.
Since the grammar is total there is no syntax exception; what is wrong with the
braces was noted by the scanner.

lark costs about 45 ms to import, so it is imported when the first
configuration is read and not with this module.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from keepalived_py.config.command_words import split_command
from keepalived_py.config.document import Directive, Document
from keepalived_py.config.reader import Reader
from keepalived_py.config.scan import Line, Piece, Scanner
from keepalived_py.diagnostics.report import Diagnostic

__all__ = ["parse", "read_document", "split_command"]


def _grammar_text() -> str:
    """The grammar lies at the top of a checkout and inside the package once installed."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package, package.parent):
        path = folder / "grammar" / "keepalived.lark"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError("grammar/keepalived.lark")


def _join(children: Iterable[Any]) -> list[Directive]:
    """Flatten what the parser gives for a body: runs are lists in tokens, blocks are directives."""
    body: list[Directive] = []
    for item in children:
        child = item if isinstance(item, Directive | list) else item.value
        if isinstance(child, list):
            body.extend(child)
        else:
            body.append(child)
    return body


@cache
def _parser() -> Callable[[Iterable[tuple[str, Piece]]], list[Directive]]:
    """Build the parser once per process."""
    from lark import Lark, Token, Transformer
    from lark.lexer import Lexer

    class TokenStream(Lexer):
        """lark's lexer interface over tokens that exist already."""

        def __init__(self, lexer_conf: Any) -> None:
            pass

        def lex(self, tokens: Any) -> Iterator[Token]:  # type: ignore[override]
            for kind, piece in tokens:
                token = Token(kind, "")  # a Token is a str: the piece must not become its text
                token.value = piece
                yield token

    class Build(Transformer[Token, list[Directive]]):
        """Reductions to directives; called inline by the parser, no tree is kept."""

        def start(self, children: list[Any]) -> list[Directive]:
            return _join(children)

        def block(self, children: list[Any]) -> Directive:
            header: Directive = children[0].value
            header.body = _join(children[1:-1])
            return header

        anonymous = block

        def stray(self, children: list[Any]) -> list[Directive]:
            return _join(children)

    engine = Lark(_grammar_text(), parser="lalr", lexer=TokenStream, transformer=Build())

    def run(tokens: Any) -> list[Directive]:
        result: Any = engine.parse(tokens)
        return list(result)

    return run


def parse(lines: Sequence[Line]) -> Document:
    """Logical lines to a document; never raises for what stands in them."""
    scanner = Scanner()
    directives = _parser()(scanner.tokens(lines))
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
