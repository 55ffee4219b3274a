"""The three output styles."""

import json

from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Diagnostic

MAIN = Origin("k.conf", 3, 1, 8, "include a.conf")
PLACE = Origin("a.conf", 12, 5, 13, "    priorty 100", MAIN)
WRONG = Diagnostic("unknown-keyword", "Unknown keyword 'priorty'", origin=PLACE, suggestion="priority")


def test_keepalived_lines_once() -> None:
    own = Diagnostic("block-not-closed", "ours", error_class=None, own=True)
    bare = Diagnostic("missing-brace", "There are 1 missing '}'s or extra '{'s")
    assert render([WRONG, WRONG, own, bare], "keepalived") == (
        "(a.conf: Line 12) Unknown keyword 'priorty'\nThere are 1 missing '}'s or extra '{'s\n"
    )


def test_full() -> None:
    assert render([WRONG], "full").splitlines() == [
        "a.conf:12:5: error[unknown-keyword]: Unknown keyword 'priorty'",
        "   12 |     priorty 100",
        "      |     ^^^^^^^^",
        "  did you mean 'priority'?",
        "  included from k.conf:3",
    ]
    assert "\x1b[1;31merror" in render([WRONG], "full", colour=True)


def test_password_is_masked() -> None:
    place = Origin("k.conf", 1, 1, 17, '{ auth_pass secret } auth_pass "x y"')
    text = render([Diagnostic("x", "bad", origin=place)], "full")
    assert "secret" not in text and "x y" not in text
    assert "{ auth_pass ****** } auth_pass *****" in text


def test_json() -> None:
    value = json.loads(render([WRONG], "json"))
    assert value["line"] == 12 and value["end_column"] == 13 and value["include_chain"] == ["k.conf:3"]
