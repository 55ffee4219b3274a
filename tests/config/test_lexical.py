"""The lexical layer: case files (text, then words and messages under dashes), includes, bounds."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from keepalived_py.config.document import Directive, Document, Statement, directive_of
from keepalived_py.config.syntax import read_document, split_command

CASES = sorted((Path(__file__).parent / "cases").glob("*.case"))


def shown(statements: Sequence[Statement], indent: str = "") -> list[str]:
    lines = []
    for directive in map(directive_of, statements):
        lines.append(indent + "|".join(directive.words) + (" {" if directive.body is not None else ""))
        if directive.body is not None:
            lines += [*shown(directive.body, indent + "  "), indent + "}"]
    return lines


def complaints(document: Document) -> list[str]:
    return [f"! {d.origin.line if d.origin else 0} {d.message}" for d in document.diagnostics]


def read(folder: Path, text: str | bytes) -> Document:
    path = folder / "main.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(str(path), "n1")


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_case(case: Path, tmp_path: Path) -> None:
    text, expected = case.read_text().split("----\n")
    document = read(tmp_path, text)
    assert [*shown(document.directives), *complaints(document)] == expected.splitlines()


def test_include_is_relative_and_keeps_its_chain(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.conf").write_text("include c.conf\nb\n")
    (tmp_path / "d" / "c.conf").write_text("\n  c {\n")
    document = read(tmp_path, "$F=d/{b,x}\ninclude $F.conf\ninclude ${F}.conf\n}\n")
    assert "c {" in shown(document.directives)
    header = next(d for d in map(directive_of, document.directives) if d.keyword == "c")
    origin = header.line_origin
    assert (origin.file, origin.line, origin.column) == ("c.conf", 2, 3)
    assert origin.included_from is not None and origin.included_from.file == "d/b.conf"
    assert [d.message for d in document.diagnostics] == [
        "Config files missing '$F.conf'.",
        'Some config files missing: "d/{b,x}.conf".',
    ]


@pytest.mark.parametrize(
    ("line", "failed", "messages"),
    [
        ("include no.conf", False, 1),
        ("includer no.conf", False, 1),
        ("includem no.conf", True, 1),
        ("includew no.conf", True, 1),
        ("includeb no.conf", False, 1),
        ("include no*.conf", False, 0),
        ("includem no*.conf", False, 0),
        ("includew no*.conf", True, 1),
        ("includea no*.conf", True, 1),
        ("includeb {main.con,no}f", True, 1),
        ("include .", False, 1),
        ("includer .", True, 1),
        ("includew no{a,b}.conf", False, 1),
        ("includem nodir/*.conf", True, 1),
        ("include {main,no}.conf", False, 1),
        ("include_check\ninclude no.conf", False, 1),
        ("global_defs {\ninclude_check\n}\ninclude no.conf", True, 1),
        ("global_defs {\ninclude_check match\n}\ninclude no.conf", True, 1),
        ("global_defs {\ninclude_check brace_match\n}\ninclude no.conf", False, 1),
        ("global_defs {\ninclude_check\ninclude_check -match\n}\ninclude no.conf", False, 1),
    ],
)
def test_include_variants(tmp_path: Path, line: str, failed: bool, messages: int) -> None:
    (tmp_path / "main.conf").write_text("")
    document = read(tmp_path, line)
    found = [d for d in document.diagnostics if d.code == "include-failed"]
    assert (document.include_failed, len(found)) == (failed, messages)


def test_include_loop_is_reported(tmp_path: Path) -> None:
    document = read(tmp_path, "include main.conf\nx\n")
    assert shown(document.directives) == ["x"]
    assert document.diagnostics[0].code == "include-loop"


def test_missing_main_file() -> None:
    document = read_document("/nonexistent/k.conf", "n1")
    assert document.fatal and document.diagnostics[0].message == "Config files missing '/nonexistent/k.conf'."


def test_words_know_their_place(tmp_path: Path) -> None:
    block = read(tmp_path, 'a {\n\tkey  "x y" z # c\n}').directives[0]
    assert isinstance(block, Directive)
    assert block.body is not None and block.close_origin is not None
    key = directive_of(block.body[0])
    places = [key.word_origin(i) for i in range(3)]
    assert [(p.column, p.end_column) for p in places] == [(2, 5), (7, 12), (13, 14)]
    assert block.close_origin.line == 3


@pytest.mark.parametrize(
    "text",
    [
        "$A=$A\n$A\n",
        "$B=${B}x\n${B}\n",
        "$M= \\\n ${M} \\\n ${M}\n$M\n",
        "".join(f"$A{i}= \\\n ${{A{i + 1}}} \\\n ${{A{i + 1}}}\n" for i in range(40)) + "$A0\n",
        pytest.param("~SEQ(N, 1, 999999999999) x\n", marks=pytest.mark.slow),
        "~SEQ(N,1,9999) " * 20 + "x\n",
    ],
)
def test_expansion_is_bounded(tmp_path: Path, text: str) -> None:
    begin = time.monotonic()
    read(tmp_path, text)
    assert time.monotonic() - begin < 20


def test_odd_bytes(tmp_path: Path) -> None:
    document = read(tmp_path, b"a\xa0b\x0cc\r\nd\xff\n\xc2\xa0e f\n$x\0y\n#" + b"x" * 1100 + b"\nlast")
    assert [len(d.words) for d in map(directive_of, document.directives)] == [2, 1, 2, 1, 1, 1]
    assert {d.code for d in document.diagnostics} == {"line-too-long", "not-utf8", "nul-byte"}
    assert all(d.own for d in document.diagnostics)


@pytest.mark.parametrize(
    ("line", "argv", "rest"),
    [
        ("script /bin/true a b", ("/bin/true",), ("a", "b")),
        ('script "/bin/true a b"', ("/bin/true", "a", "b"), ()),
        ("script \"/bin/true 'a b' c\"", ("/bin/true", "a b", "c"), ()),
        ('script "/bin/true \\"a b\\" c"', ("/bin/true", "a b", "c"), ()),
        ("script '/bin/true \"a b\" c' u", ("/bin/true", "a b", "c"), ("u",)),
        ('script "/bin/true \\x414 \\101"', ("/bin/true", "A4", "A"), ()),
        ('script "/bin/true a\\ b"', ("/bin/true", "a b"), ()),
        ('script "/bin/true it\'s"', (), ()),
        ("script", (), ()),
    ],
)
def test_command_lines(line: str, argv: tuple[str, ...], rest: tuple[str, ...]) -> None:
    assert split_command(line) == (argv, rest)
