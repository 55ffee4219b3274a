"""Patterns: what PCRE2 and Python write differently, and pages that come in pieces."""

import pytest

from keepalived_py.probes.pattern import Pattern, PatternSearch, Unusable


def found(written: str, text: bytes, *options: str) -> bool:
    search = PatternSearch(Pattern(written, frozenset(options)))
    search.feed(text)
    return search.found()


@pytest.mark.parametrize(
    ("written", "options", "text", "expected"),
    [
        ("ok", "", b"all ok", True),
        ("OK", "", b"all ok", False),
        ("OK", "caseless", b"all ok", True),
        ("a.b", "", b"a\nb", False),
        ("a.b", "dotall", b"a\nb", True),
        ("^b", "", b"a\nb", False),
        ("^b", "multiline", b"a\nb", True),
        (r"\n^", "multiline", b"a\n", False),
        (r"\n^", "multiline alt_circumflex", b"a\n", True),
        ("^", "multiline", b"", True),
        ("a b # c", "extended", b"ab", True),
        ("a$", "", b"a\n", True),
        ("a$", "dollar_endonly", b"a\n", False),
        ("a$", "dollar_endonly", b"a", True),
        (r"a\Z", "", b"a\n", True),
        (r"a\z", "", b"a\n", False),
        (r"a\hb", "", b"a\tb", True),
        (r"a[\h]b", "", b"a\xa0b", True),
        (r"a\Rb", "", b"a\r\nb", True),
        (r"a\Nb", "dotall", b"a\nb", False),
        (r"\Qa.(b\E$", "", b"a.(b", True),
        (r"\Qa.b\E", "", b"axb", False),
        (r"\x{41}", "", b"A", True),
        ("(?<n>a)(?P=n)", "", b"aa", True),
        (r"(?<n>a)\k<n>", "", b"aa", True),
        (r"(a)\g{1}", "", b"aa", True),
        ("[[:digit:]]x", "", b"5x", True),
        ("[[:digit:]]x", "", b":x", False),
        ("[]]x", "", b"]x", True),
        ("a[]b", "allow_empty_class", b"a]b", False),
        ("a[^]b", "allow_empty_class", b"a\nb", True),
        ("a{,3}", "", b"a{,3}", True),
        ("(a)(b)", "no_auto_capture", b"ab", True),
        (r"(a)\1", "", b"aa", True),
        ("^(a+)b", "firstline", b"x\nab", False),
        ("b", "firstline", b"x\nab", False),
        ("x", "firstline", b"x\nab", True),
        ("ä.b", "utf", "äüb".encode(), True),
        ("ä.b", "", "äüb".encode(), False),
        (r"^\w$", "ucp", "ä".encode(), True),
        (r"^\w$", "utf", "ä".encode(), False),
    ],
)
def test_a_pattern(written: str, options: str, text: bytes, expected: bool) -> None:
    assert found(written, text, *options.split()) is expected


def test_ungreedy_turns_greed_round() -> None:
    pattern = Pattern("a+?(b*)", frozenset({"ungreedy"}))
    match = pattern.find(b"aaabb", 0)
    assert match is not None
    assert match[0] == b"aaa"
    assert match[1] == b""


@pytest.mark.parametrize(
    "written", ["(?R)", "(?1)(a)", "(*ANYCRLF)a", r"a\Kb", r"\p{L}", "[[:^alpha:]]", "(", "(?|a|b)"]
)
def test_what_has_no_counterpart(written: str) -> None:
    with pytest.raises(Unusable, match=r"."):
        Pattern(written)


def test_options_without_counterpart() -> None:
    with pytest.raises(Unusable, match="alt_bsux"):
        Pattern("a", frozenset({"alt_bsux"}))


@pytest.mark.parametrize("size", [1000, 4096, 65536, 300_000])
def test_a_match_is_found_wherever_pieces_end(size: int) -> None:
    text = b"x" * 131_000 + b"begin" + b"y" * 100 + b"end" + b"z" * 100_000
    search = PatternSearch(Pattern("begin.*?end"))
    for at in range(0, len(text), size):
        search.feed(text[at : at + size])
    assert search.found()


def test_the_begin_is_only_at_the_begin() -> None:
    search = PatternSearch(Pattern("^x+y"))
    for _ in range(10):
        search.feed(b"x" * 30_000)
    search.feed(b"\nxy")
    assert not search.found()


def test_the_end_is_only_at_the_end() -> None:
    search = PatternSearch(Pattern("x$"))
    for _ in range(10):
        search.feed(b"x" * 65_536)
    search.feed(b"y")
    assert not search.found()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, None, True), (70_000, 70_000, True), (70_001, None, False), (0, 69_999, False), (0, 70_001, True)],
)
def test_where_a_match_may_begin(low: int, high: int | None, expected: bool) -> None:
    search = PatternSearch(Pattern("needle"), low, high)
    text = b"." * 70_000 + b"needle" + b"." * 80_000
    for at in range(0, len(text), 5000):
        search.feed(text[at : at + 5000])
    assert search.found() is expected


def test_memory_does_not_grow_with_the_page() -> None:
    search = PatternSearch(Pattern("(?s)begin.*end"))
    search.feed(b"begin")
    for _ in range(200):
        search.feed(b"x" * 50_000)
        assert sum(map(len, search._pieces)) < 200_000
    assert not search.found()
