"""What a keyword is, and the walk that turns directives into written values.

A `Block` holds `Keyword`s; each keyword is declared once, with its arguments,
default, unit and one line of help, and with a `read` that stores its value in
the block's record.  The walk follows keepalived's parser, including the way it
goes wrong: brackets and contexts are two separate stacks.  A known block
pushes both; an unknown one (or a `{` after a value keyword) pushes only a
bracket, so its content is read in the enclosing context and its `}` closes
that context.  A block keyword without `{` pushes only a context.  One misspelt
block name therefore gives the same cascade of messages as the real program.

Nothing raises: a mistake becomes a `Diagnostic` in `Run` and reading goes on,
except after a missing required argument, where keepalived stops at once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from keepalived_py.base.record import Record, Struct, fresh
from keepalived_py.config.document import Directive
from keepalived_py.config.host import Host
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity

T = TypeVar("T")

BLOCK_BRACE = "{"


class Run(Struct):
    """What one reading collects: diagnostics, keywords without effect, whether it stopped."""

    host: Host
    diagnostics: list[Diagnostic] = fresh(list)
    without_effect: list[str] = fresh(list)
    stopped: bool = False

    def error(
        self,
        message: str,
        at: Directive | None = None,
        *,
        code: str = "invalid-value",
        error_class: ErrorClass | None = ErrorClass.GENERAL,
        severity: Severity = Severity.ERROR,
        suggestion: str = "",
        expected: str = "",
    ) -> None:
        """Record a mistake that keepalived prints at `-t`; `at` None: it names no line."""
        origin = at.line_origin if at is not None else None
        self.diagnostics.append(
            Diagnostic(code, message, severity, origin, error_class, expected, suggestion)
        )

    def log(self, message: str, at: Directive | None = None, *, code: str = "note") -> None:
        """Record a line that keepalived only logs; it never changes the exit code."""
        origin = at.line_origin if at is not None else None
        self.diagnostics.append(Diagnostic(code, message, Severity.WARNING, origin, None, logged_only=True))

    def missing_parameter(self, at: Directive, keyword: str, position: int) -> None:
        """A required word is not there: keepalived stops at once with exit 2."""
        message = (
            f"*** Configuration line starting `{at.keyword}` is missing a parameter "
            f"after keyword `{keyword}` at word position {position}"
        )
        self.diagnostics.append(
            Diagnostic(
                "missing-parameter", message, Severity.ERROR, at.line_origin, ErrorClass.GENERAL, stops=True
            )
        )
        self.stopped = True

    def no_effect(self, block: str, at: Directive) -> None:
        """Note that a valid keyword was used that does nothing yet."""
        place = f"{at.line_origin.file}: line {at.line_origin.line}"
        owner = f"{block}: " if block else ""
        self.without_effect.append(f"{owner}{at.keyword} ({place})")


Reader = Callable[[Run, T, Directive], None]
Opener = Callable[[Run, T, Directive], Any]


class Keyword(Record, Generic[T]):
    """One keyword of one block.

    `read` stores a value.  A keyword with `block` opens a context instead:
    `open` makes the record its content is stored in, None refuses the whole
    block (its content is then skipped unread), and `close` runs at its `}`.
    `required`: without a first argument keepalived stops with exit 2.
    """

    name: str
    read: Reader[T] | None = None
    arguments: str = ""
    default: str = ""
    unit: str = ""
    help: str = ""
    since: str = ""
    required: bool = False
    block: "Block[Any] | None" = None
    open: Opener[T] | None = None
    close: Reader[Any] | None = None


class Block(Record, Generic[T]):
    """A named set of keywords, or (with `entry`) a list with one entry per line.

    `fallback` finds keywords that are not declared here but valid all the same.
    """

    name: str
    keywords: dict[str, Keyword[T]] = fresh(dict)
    entry: Reader[T] | None = None
    fallback: Callable[[str], "Keyword[Any] | None"] | None = None

    def find(self, name: str) -> "Keyword[Any] | None":
        """The keyword called `name`, or None if it is not valid in this block."""
        found = self.keywords.get(name)
        if found is None and self.fallback is not None:
            return self.fallback(name)
        return found


def block(name: str, keywords: Sequence[Keyword[T]]) -> Block[T]:
    """A block out of its keywords; raises ValueError if one is declared twice."""
    table = {keyword.name: keyword for keyword in keywords}
    if len(table) != len(keywords):
        raise ValueError(f"a keyword of {name} is declared twice")
    return Block(name, table)


class _Context(Struct):
    """An open block: its schema, the record being filled, and how it ends."""

    block: Block[Any]
    target: Any
    at: Directive | None = None
    close: Reader[Any] | None = None


class _Bracket(Struct):
    """An open `{`: the statements still to come inside it."""

    rest: Iterator[Directive]
    owner: Directive | None


class _Walk:
    """The two stacks and the one step that moves them."""

    def __init__(self, run: Run, root: Block[Any], target: Any) -> None:
        self.run = run
        self.contexts = [_Context(root, target)]
        self.brackets: list[_Bracket] = []

    def walk(self, directives: Sequence[Directive]) -> None:
        """Read everything; stops early after a missing required argument."""
        self.brackets.append(_Bracket(iter(directives), None))
        while self.brackets and not self.run.stopped:
            bracket = self.brackets[-1]
            directive = next(bracket.rest, None)
            if directive is not None:
                self._statement(directive)
                continue
            self.brackets.pop()
            if bracket.owner is not None:
                self._closed(bracket.owner)
        while len(self.contexts) > 1 and not self.run.stopped:
            self._leave()

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
            self._stray(directive)
            return
        keyword = context.block.find(name)
        if keyword is None:
            self._unknown(context, directive)
        elif keyword.block is not None:
            self._open(context, keyword, directive)
        else:
            self._value(context, keyword, directive)

    def _value(self, context: _Context, keyword: Keyword[Any], directive: Directive) -> None:
        if keyword.required and len(directive.words) < 2:
            self.run.missing_parameter(directive, keyword.name, 2)
            return
        if keyword.read is not None:
            keyword.read(self.run, context.target, directive)
        self._stray(directive)

    def _entry(self, context: _Context, directive: Directive) -> None:
        read = context.block.entry
        assert read is not None
        if directive.words:
            read(self.run, context.target, directive)
        if directive.body is not None:
            read(self.run, context.target, Directive((BLOCK_BRACE,), BLOCK_BRACE, directive.line_origin))
            self.brackets.append(_Bracket(iter(directive.body), directive))

    def _open(self, context: _Context, keyword: Keyword[Any], directive: Directive) -> None:
        if keyword.required and len(directive.words) < 2:
            self.run.missing_parameter(directive, keyword.name, 2)
            return
        target = context.target
        if keyword.open is not None:
            target = keyword.open(self.run, context.target, directive)
            if target is None:
                return
        assert keyword.block is not None
        if directive.body is None:
            if keyword.block.entry is not None:
                self.run.log("Missing '{' at beginning of configuration block", directive)
            else:
                self.run.error(
                    "Missing '{' at beginning of configuration block",
                    directive,
                    code="missing-brace",
                    error_class=ErrorClass.MISSING_BRACE,
                )
        else:
            self.brackets.append(_Bracket(iter(directive.body), directive))
        self.contexts.append(_Context(keyword.block, target, directive, keyword.close))

    def _unknown(self, context: _Context, directive: Directive) -> None:
        name = directive.keyword
        self.run.error(
            f"Unknown keyword '{name}'",
            directive,
            code="unknown-keyword",
            error_class=ErrorClass.UNKNOWN_KEYWORD,
            suggestion=closest(name, context.block.keywords),
        )
        self._stray(directive)

    def _stray(self, directive: Directive) -> None:
        """A `{` where none may stand: report it and read its content where we are."""
        if directive.body is None:
            return
        self.run.error(
            "Unexpected '{' - ignoring",
            directive,
            code="unexpected-brace",
            error_class=ErrorClass.UNEXPECTED_BRACE,
        )
        self.brackets.append(_Bracket(iter(directive.body), directive))

    def _brace(self, directive: Directive) -> None:
        """A `}` that the lexical layer found no `{` for."""
        if len(self.contexts) > 1:
            self._leave()
            return
        self.run.error(
            "Unknown keyword '}'", directive, code="unknown-keyword", error_class=ErrorClass.UNKNOWN_KEYWORD
        )

    def _closed(self, owner: Directive) -> None:
        if owner.unclosed:
            return
        if len(self.contexts) > 1:  # nothing will be said, so nobody needs its place
            self._leave()
            return
        brace = Directive(("}",), "}", _end_of(owner))
        self._brace(brace)

    def _leave(self) -> None:
        context = self.contexts.pop()
        if context.close is not None and context.at is not None:
            context.close(self.run, context.target, context.at)


def _end_of(owner: Directive) -> Origin:
    """The place of the `}` of a block, as near as the document tells."""
    return owner.close_origin or owner.line_origin


def walk(run: Run, root: Block[Any], target: Any, directives: Sequence[Directive]) -> None:
    """Read `directives` by the schema `root` into `target`; mistakes go to `run`."""
    _Walk(run, root, target).walk(directives)


def closest(name: str, names: dict[str, Keyword[Any]]) -> str:
    """The known keyword most like `name`, or "" if none is near."""
    import difflib  # paid only when there is a mistake to explain

    near = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    return near[0] if near else ""
