"""The walk that turns statements into drafts of the model, by the table of keywords.

It follows keepalived's parser, including the way it goes wrong: brackets and
contexts are two separate stacks.  A known block pushes both; an unknown one (or
a `{` after a value keyword) pushes only a bracket, so its content is read in
the enclosing context and its `}` closes that context.  A block keyword without
`{` pushes only a context.  One misspelt block name therefore gives the same
cascade of messages as the real program; while the two stacks differ in height,
what is wrong with keywords and braces is noted as a consequence of the mistake
that made them differ (`Diagnostic.cause`).

Large files repeat themselves (`weight 1`), so what a plain statement means is
remembered by block and text (`Run.known`), unless something was said about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.config.document import Directive, Statement, directive_of
from keepalived_py.config.schema import (
    BASELINE,
    BLOCK_BRACE,
    FAILED,
    LEAVES,
    MOST_EXPLAINED,
    Block,
    Keyword,
    Reader,
    Run,
)
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity


class _Context:
    """An open block: its schema, the draft being filled, and how it ends."""

    __slots__ = ("at", "block", "blocks", "close", "given", "memo", "target")

    def __init__(
        self,
        run: Run,
        block: Block[Any],
        target: Any,
        at: Directive | None = None,
        close: Reader[Any] | None = None,
    ) -> None:
        self.block = block
        self.target = target
        self.at = at
        self.close = close
        self.given: dict[str, Statement] | None = getattr(target, "given", None)
        known = run.known.get(id(block))
        if known is None:
            # The block itself is kept too: were it freed, another one could get its id.
            known = run.known[id(block)] = ({}, _blocks_of(block), block)
        self.memo, self.blocks, _ = known


_NOTHING_KNOWN: tuple[dict[str, tuple[str, Any]], None, None] = ({}, None, None)


def _blocks_of(block: Block[Any]) -> dict[str, Keyword[Any]]:
    """The keywords of `block` that open one, as far as there is nothing to be said about them."""
    return {
        name: keyword
        for name, keyword in block.keywords.items()
        if keyword.block is not None
        and not (block.entry or keyword.removed or keyword.deprecation or keyword.since > BASELINE)
    }


def _mute(inner: Block[Any]) -> Block[Any]:
    """`inner` for a block that nobody takes: its keywords are known, and do nothing."""
    return replace(
        inner,
        keywords={
            name: Keyword(
                name, required=keyword.required, block=_mute(keyword.inner()) if keyword.block else None
            )
            for name, keyword in inner.keywords.items()
            if not (keyword.removed or keyword.since > BASELINE)
        },
        entry=_ignore if inner.entry else None,
    )


def _ignore(run: Run, target: Any, at: Directive) -> None:
    """Read nothing out of an entry."""


class _Bracket:
    """An open `{`: the statements still to come inside it."""

    __slots__ = ("owner", "rest")

    def __init__(self, rest: Iterator[Statement], owner: Directive | None) -> None:
        self.rest = rest
        self.owner = owner


class _Walk:
    """The two stacks and the one step that moves them."""

    def __init__(self, run: Run, root: Block[Any], target: Any) -> None:
        self.run = run
        self.contexts = [_Context(run, root, target)]
        self.brackets: list[_Bracket] = []
        self.last: dict[str, Any] = {}  # by keyword, what its last block was read into

    def walk(self, directives: Sequence[Statement]) -> None:
        """Read everything; stops early after a missing required argument."""
        self.brackets.append(_Bracket(iter(directives), None))
        while self.brackets and not self.run.stopped:
            bracket = self.brackets[-1]
            if self._plain(bracket):
                continue
            self.brackets.pop()
            if bracket.owner is not None:
                self._closed(bracket.owner)
                if self.run.cause is not None:
                    self._level()
        self.run.cause = None
        while len(self.contexts) > 1 and not self.run.stopped:
            self._leave()

    def _plain(self, bracket: _Bracket) -> bool:
        """Read on in `bracket`; False when it is at its end, True when a stack has moved."""
        context = self.contexts[-1]
        memo, target, given, blocks = context.memo, context.target, context.given, context.blocks
        rest = bracket.rest
        for statement in rest:
            if isinstance(statement, tuple):
                known = memo.get(statement[0])
                if known is not None:
                    setattr(target, known[0], known[1])
                    if given is not None:
                        given[known[0]] = statement
                    continue
                self._statement(directive_of(statement))
            elif len(statement.words) > 1 and statement.words[0] in blocks:
                self._open(context, blocks[statement.words[0]], statement)
            else:
                self._statement(statement)
            if self.run.stopped or bracket.rest is not rest:
                return True
            if self.brackets[-1] is not bracket or self.contexts[-1] is not context:
                return True
        return False

    def _level(self) -> None:
        """Once the stacks agree again, what follows is no consequence any more."""
        if len(self.contexts) == max(len(self.brackets), 1):
            self.run.cause = None

    def _statement(self, directive: Directive) -> None:
        context = self.contexts[-1]
        name = directive.keyword
        if name == "}" and directive.body is None:
            self._brace(directive)
            return
        if context.block.entry is not None:
            self._entry(context, directive)
            return
        if not directive.words:
            self._stray(directive, None)
            return
        keyword = context.block.keywords.get(name)
        if name == BLOCK_BRACE and directive.body is None:
            self._quoted_brace(directive)
            return
        if keyword is None or keyword.removed:
            self._unknown(context, directive, keyword)
            return
        if keyword.since > self.run.compat:
            said = self._newer(keyword, directive)
            if keyword.block is not None and self.run.strict:
                self._stray(directive, said)
                return
            if len(directive.words) < 2 and keyword.required:
                return
        if keyword.deprecation:
            self.run.error(
                keyword.deprecation, directive, word=0, code="deprecated", error_class=ErrorClass.DEPRECATED
            )
        if keyword.block is not None:
            self._open(context, keyword, directive)
        else:
            self._value(context, keyword, directive)

    def _value(self, context: _Context, keyword: Keyword[Any], directive: Directive) -> None:
        run = self.run
        if self._lacks_argument(keyword, directive):
            if run.stopped:
                return
        elif keyword.convert is not None:
            said = len(run.diagnostics)
            value = keyword.convert(run, context.target, directive)
            if value is not FAILED:
                setattr(context.target, keyword.attribute, value)
                if context.given is not None:
                    context.given[keyword.attribute] = directive
                heard = keyword.deprecation or keyword.since > run.compat
                if keyword.pure and not heard and len(run.diagnostics) == said:
                    context.memo[directive.raw] = keyword.attribute, value
        elif keyword.read is not None:
            keyword.read(run, context.target, directive)
        self._stray(directive, None)

    def _lacks_argument(self, keyword: Keyword[Any], directive: Directive) -> bool:
        """Whether the first argument is not there although it must be; then that has been said."""
        if len(directive.words) > 1 or not (keyword.required or keyword.missing):
            return False
        if keyword.required:
            self.run.missing_parameter(directive, keyword.name, 2)
        else:
            self.run.error(keyword.missing, directive, code="missing-value")
        return True

    def _entry(self, context: _Context, directive: Directive) -> None:
        read = context.block.entry
        assert read is not None
        if directive.words:
            read(self.run, context.target, directive)
        if directive.body is not None:
            self.run.uneven = True
            read(self.run, context.target, Directive((BLOCK_BRACE,), BLOCK_BRACE, directive.open_origin))
            self.brackets.append(_Bracket(iter(directive.body), directive))

    def _open(self, context: _Context, keyword: Keyword[Any], directive: Directive) -> None:
        run = self.run
        if self._lacks_argument(keyword, directive):
            return
        target = context.target
        run.at_end = directive.body is None and self._next_place() is None
        quoted = directive.words[-1] == BLOCK_BRACE  # a "{" in quotes; keepalived takes it for the brace
        if quoted:
            run.quoted_braces = True
            directive = directive.without_last_word()
        if keyword.open is not None:
            target = keyword.open(run, context.target, directive)
            if target is None:
                if directive.body is None and not run.stopped:
                    self._skip() if quoted else self._refused(keyword, directive)
                elif run.quoted_braces:
                    self._ends_early(directive)
                return
            if target is LEAVES:
                if directive.body is not None:
                    self.contexts.pop()  # keepalived does nothing more about it
                    run.cause = run.cause or run.diagnostics[-1]
                return
        self.last[keyword.name] = target
        inner = keyword.inner()
        if directive.body is not None and self._all_known(inner, target, directive):
            if keyword.close is not None:
                directive.ended_by = None
                keyword.close(run, target, directive)
            return
        context = _Context(run, inner, target, directive, keyword.close)
        if directive.body is not None:
            self.brackets.append(_Bracket(iter(directive.body), directive))
        else:
            run.uneven = True
            if not quoted:
                self._without_brace(inner, directive)
        self.contexts.append(context)

    def _quoted_brace(self, directive: Directive) -> None:
        """A "{" in quotes where none may stand."""
        self.run.uneven = True
        self._unexpected(directive)

    def _unexpected(self, at: Directive) -> Diagnostic:
        return self.run.error(
            "Unexpected '{' - ignoring",
            at,
            code="unexpected-brace",
            error_class=ErrorClass.UNEXPECTED_BRACE,
        )

    def _without_brace(self, inner: Block[Any], directive: Directive) -> None:
        if inner.entry is None:
            self._missing_brace()
            return
        self.run.log("Missing '{' at beginning of configuration block", directive, code="missing-brace")

    def _skip(self) -> None:
        """Pass over what follows, to the `}` that has no `{` of its own."""
        for statement in self.brackets[-1].rest:
            if isinstance(statement, Directive) and statement.body is None and statement.keyword == "}":
                return

    def _ends_early(self, directive: Directive) -> None:
        """A block is passed over by counting braces, those in quotes as well: it may end before its `}`."""
        open_blocks = [_Bracket(iter(directive.body or ()), directive)]
        level = 1
        while open_blocks:
            for statement in open_blocks[-1].rest:
                inner = directive_of(statement)
                for word in inner.words:
                    level += (word == BLOCK_BRACE) - (word == "}")
                    if level == 0:
                        self.brackets += open_blocks
                        return
                if inner.body is not None:
                    level += 1
                    open_blocks.append(_Bracket(iter(inner.body), inner))
                    break
            else:
                open_blocks.pop()
                level -= 1
                if level == 0:
                    self.brackets += open_blocks
                    return
        for _ in range(level):
            self._skip()

    def _refused(self, keyword: Keyword[Any], directive: Directive) -> None:
        """A block without `{` that is refused: its lines are read all the same, into the last of its kind."""
        inner = keyword.inner()
        place = self._next_place()
        if place is not None and place.keyword == BLOCK_BRACE and place.body is None:
            next(self.brackets[-1].rest)
            self._skip()
            return
        if inner.entry is not None or not inner.keywords:
            return
        self._missing_brace()
        target = self.last.get(keyword.name)
        if target is None:
            self.contexts.append(_Context(self.run, _mute(inner), None))
        else:
            self.contexts.append(_Context(self.run, inner, target, directive, keyword.close))

    def _all_known(self, inner: Block[Any], target: Any, directive: Directive) -> bool:
        """Whether every line of a block is remembered; then it has been stored, without stack or context.

        Large files have tens of thousands of innermost blocks that are all alike.
        """
        memo = self.run.known.get(id(inner), _NOTHING_KNOWN)[0]
        if not memo or directive.unclosed:
            return False
        found = []
        for statement in directive.body or ():
            known = memo.get(statement[0]) if type(statement) is tuple else None
            if known is None:
                return False
            found.append((known, statement))
        given: dict[str, Statement] | None = getattr(target, "given", None)
        for (attribute, value), statement in found:
            setattr(target, attribute, value)
            if given is not None:
                given[attribute] = statement
        return True

    def _missing_brace(self) -> None:
        """keepalived notices at the next line; at the end of the file it says nothing."""
        place = self._next_place()
        if place is None:
            return
        if place.keyword == BLOCK_BRACE and place.body is None:  # a "{" in quotes is as good
            next(self.brackets[-1].rest)
            return
        said = self.run.error(
            "Missing '{' at beginning of configuration block",
            place,
            code="missing-brace",
            error_class=ErrorClass.MISSING_BRACE,
        )
        self.run.cause = self.run.cause or said

    def _next_place(self) -> Directive | None:
        """Where the next statement or brace stands; None at the end of the file."""
        bracket = self.brackets[-1]
        for following in bracket.rest:
            directive = directive_of(following)
            if directive.words or directive.body is not None:  # nothing is left of a line `"...`
                bracket.rest = chain((following,), bracket.rest)
                return directive
        if bracket.owner is None or bracket.owner.unclosed:
            return None
        return Directive(("}",), "}", _end_of(bracket.owner))

    def _unknown(self, context: _Context, directive: Directive, keyword: Keyword[Any] | None) -> None:
        name = directive.keyword
        suggestion = note = ""
        if keyword is not None:
            note = f"keepalived took {name} out in version {keyword.removed}"
        elif self.run.cause is None and len(self.run.diagnostics) < MOST_EXPLAINED:
            from keepalived_py.config.similar import meant  # paid only when there is a mistake

            known = tuple(one.name for one in context.block.keywords.values() if not one.removed)
            suggestion, note = meant(name, context.block.name, known)
        said = self.run.error(
            f"Unknown keyword '{name}'",
            directive,
            word=0,
            code="removed-keyword" if keyword is not None else "unknown-keyword",
            error_class=ErrorClass.UNKNOWN_KEYWORD,
            suggestion=suggestion,
            notes=tuple(filter(None, (note, keyword.help if keyword is not None else ""))),
        )
        self._stray(directive, said)

    def _newer(self, keyword: Keyword[Any], directive: Directive) -> Diagnostic:
        """It is understood, but the version whose verdict is wanted does not know it."""
        self.run.newer = self.run.newer or keyword.block is not None
        return self.run.error(
            f"Unknown keyword '{keyword.name}'",
            directive,
            word=0,
            code="newer-keyword",
            error_class=ErrorClass.UNKNOWN_KEYWORD,
            severity=Severity.WARNING,
            notes=(f"keepalived has it since {keyword.since}; {self.run.compat} refuses it",),
        )

    def _stray(self, directive: Directive, cause: Diagnostic | None) -> None:
        """A `{` where none may stand: report it and read its content where we are."""
        if directive.body is None:
            return
        before = self.run.cause
        self.run.cause = before or cause
        said = self._unexpected(Directive(("{",), "{", directive.open_origin))
        self.run.cause = self.run.cause or said
        self.brackets.append(_Bracket(iter(directive.body), directive))

    def _brace(self, directive: Directive) -> None:
        """A `}` that the lexical layer found no `{` for."""
        self.run.uneven = True
        self.run.quoted_braces = self.run.quoted_braces or directive.raw != "}"
        if len(self.contexts) > 1:
            self._leave(directive)
            self._level()
            return
        self.run.error(
            "Unknown keyword '}'", directive, code="unknown-keyword", error_class=ErrorClass.UNKNOWN_KEYWORD
        )

    def _closed(self, owner: Directive) -> None:
        if owner.unclosed:
            return
        if len(self.contexts) > 1:
            self._leave(owner)
            return
        brace = Directive(("}",), "}", _end_of(owner))
        self._brace(brace)

    def _leave(self, by: Directive | None = None) -> None:
        """The innermost context ends; `by` is the block whose brace it was, or a brace of no block."""
        context = self.contexts.pop()
        if context.close is not None and context.at is not None:
            context.at.ended_by = None if by is context.at else by
            context.close(self.run, context.target, context.at)


def _end_of(owner: Directive) -> Origin:
    """The place of the `}` of a block, as near as the document tells."""
    return owner.close_origin or owner.line_origin


def walk(run: Run, root: Block[Any], target: Any, directives: Sequence[Statement]) -> None:
    """Read `directives` by the schema `root` into `target`; mistakes go to `run`."""
    _Walk(run, root, target).walk(directives)
