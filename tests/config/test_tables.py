"""The stored parser tables are those that lark makes of the grammar file."""

from binascii import crc32
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.config import syntax, tables
from keepalived_py.config.document import directive_of

GRAMMAR = Path(__file__).parents[2] / "grammar" / "keepalived.lark"


@pytest.fixture
def other_checksum(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tables, "GRAMMAR_CRC32", tables.GRAMMAR_CRC32 ^ 1)
    syntax._tables.cache_clear()
    syntax._configuration.cache_clear()
    yield
    syntax._tables.cache_clear()
    syntax._configuration.cache_clear()


def test_stored_tables_are_of_this_grammar() -> None:
    assert crc32(GRAMMAR.read_bytes()) == tables.GRAMMAR_CRC32
    assert syntax.make_tables(GRAMMAR.read_text()) == (tables.RULES, tables.STATES)


@pytest.mark.usefixtures("other_checksum")
def test_of_another_grammar_they_are_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the stored tables unusable, a document comes out all the same."""
    monkeypatch.setattr(tables, "STATES", ())
    path = tmp_path / "k.conf"
    path.write_text("a {\n b 1\n c {\n }\n}\n}\n{\n d\n")
    found = syntax.read_document(str(path), "")
    first, stray, second = map(directive_of, found.directives)
    assert (first.words, stray.words, second.words) == (("a",), ("}",), ())
    assert first.body is not None and second.body is not None
    assert [directive_of(one).words for one in first.body] == [("b", "1"), ("c",)]
    assert [directive_of(one).words for one in second.body] == [("d",)]
