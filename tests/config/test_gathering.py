"""What the scanner gathers itself comes out as if the parser had seen every brace."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.config import scan
from keepalived_py.config.document import Source, Statement, directive_of
from keepalived_py.config.syntax import parse

TEXTS = ["{", "}", "a 1", "b {", "c", "} d", "e { f }", "g { h {", "}}", 'i "{"']


def tree(statements: tuple[Statement, ...] | list[Statement]) -> list[object]:
    """The words of each statement, and of what is inside it."""
    found: list[object] = []
    for one in map(directive_of, statements):
        found.append(one.words)
        if one.body is not None:
            found.append((tree(one.body), one.unclosed, one.close_origin and one.close_origin.line))
    return found


def parsed(lines: list[str], levels: int) -> tuple[list[object], list[str]]:
    source = Source("k.conf", "\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "GATHERED_LEVELS", levels)
        document = parse([(text, source, line) for line, text in enumerate(lines, 1)])
    return tree(document.directives), [one.message for one in document.diagnostics]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TEXTS), max_size=30))
def test_the_depth_of_gathering_changes_nothing(lines: list[str]) -> None:
    most = parsed(lines, 50)  # everything is gathered, the parser sees runs and stray braces only
    assert parsed(lines, 3) == parsed(lines, 1) == most


def test_a_block_inside_a_block() -> None:
    assert parsed(["a {", "b 1", "c {", "d", "}", "}", "e"], 1)[0] == [
        ("a",),
        ([("b", "1"), ("c",), ([("d",)], False, 5)], False, 6),
        ("e",),
    ]
