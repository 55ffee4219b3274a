"""Which statement, in which blocks, a diagnostic is about.

Only asked when there is something to be said: then every statement of the
configuration is looked through once.
"""

from __future__ import annotations

from collections.abc import Sequence

from keepalived_py.config.document import Directive, Statement, directive_of
from keepalived_py.config.lint.places import Places
from keepalived_py.diagnostics.origin import Origin

Chain = tuple[Directive, ...]  # from the outermost block to the statement itself
_MOST_LINES_BACK = 200
_MOST_IN_LINE = 50


class Scene:
    """The statements of a configuration by file and line."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self._begin: dict[tuple[str, int], list[tuple[Chain, Statement]]] = {}
        self._end: dict[tuple[str, int], Chain] = {}
        self._read(places.directives, ())

    def _read(self, statements: Sequence[Statement], around: Chain) -> None:
        for one in statements:
            if isinstance(one, tuple):
                self._begin.setdefault((one[1].name, one[2]), []).append((around, one))
                continue
            at = one.line_origin
            self._begin.setdefault((at.file, at.line), []).append((around, one))
            if one.body is None:
                continue
            chain = (*around, one)
            self._read(one.body, chain)
            if one.close_origin is not None:
                self._end[one.close_origin.file, one.close_origin.line] = chain

    def chain(self, at: Origin | None) -> Chain:
        """The blocks around a place and its statement; () if there is none.

        A line that is no statement (what it stands for was refused) belongs to
        the block that the lines above it belong to.
        """
        if at is None:
            return ()
        here = self._begin.get((at.file, at.line))
        if here:
            around, one = next((each for each in here[:_MOST_IN_LINE] if _spans(each[1], at)), here[0])
            return (*around, directive_of(one))
        if (at.file, at.line) in self._end:
            return self._end[at.file, at.line]
        for line in range(at.line - 1, max(0, at.line - _MOST_LINES_BACK), -1):
            if (at.file, line) in self._end:
                return self._end[at.file, line][:-1]
            above = self._begin.get((at.file, line))
            if above:
                around, one = above[-1]
                return (*around, one) if isinstance(one, Directive) and one.body is not None else around
        return ()

    def block(self, at: Origin | None) -> Directive | None:
        """The innermost block at a place, also where it stands at the block's own header."""
        return next((one for one in reversed(self.chain(at)) if one.body is not None), None)


def _spans(one: Statement, at: Origin) -> bool:
    place = directive_of(one).line_origin
    return place.column <= at.column < max(place.end_column, place.column + 1)
