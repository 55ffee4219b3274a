"""What the syntax stage hands to the schemas: directives made of words.

The lexical layer (comments, includes, definitions, braces) is gone here; what
a keyword means is not yet known.
"""

from dataclasses import dataclass

from keepalived_py.diagnostics.origin import Origin


@dataclass(slots=True, eq=False)
class Directive:
    """One statement, with its block if it opened one.

    `words` are split by the rule for ordinary lines (only double quotes; quotes
    removed).  `raw` is the statement's text after expansion and comment removal:
    command lines are split again from it.  `line_origin` spans the statement;
    `word_origin(i)` finds the span of a word, computed only when somebody asks.
    `body` is None if no `{` followed.  `unclosed`: the block had no `}`.
    """

    words: tuple[str, ...]
    raw: str
    line_origin: Origin
    body: "list[Directive] | None" = None
    unclosed: bool = False

    @property
    def keyword(self) -> str:
        """The first word ("" for a block without a name)."""
        return self.words[0] if self.words else ""
