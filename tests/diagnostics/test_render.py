"""The three output styles."""

import json

from keepalived_py.diagnostics.fold import folded
from keepalived_py.diagnostics.origin import Origin
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Diagnostic, ErrorClass, Severity

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


def test_sarif_has_what_the_schema_requires() -> None:
    fixed = Diagnostic("x", "bad", Severity.WARNING, PLACE, fix="priority", notes=("why",))
    document = json.loads(render([WRONG, fixed, Diagnostic("y", "no place")], "sarif"))
    assert document["version"] == "2.1.0" and document["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert run["tool"]["driver"]["name"] and len(rules) == len(set(rules)) == 3
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        for place in result.get("locations", []):
            region = place["physicalLocation"]["region"]
            assert region["startLine"] >= 1 and 1 <= region["startColumn"] <= region["endColumn"]
            assert place["physicalLocation"]["artifactLocation"]["uri"] == "a.conf"
    first, second, third = run["results"]
    assert first["relatedLocations"][0]["message"]["text"] == "included from here"
    (change,) = second["fixes"][0]["artifactChanges"]
    assert change["replacements"][0]["insertedContent"]["text"] == "priority"
    assert "locations" not in third
    assert json.loads(render([], "sarif"))["runs"][0]["results"] == []


def at(line: int, text: str = "") -> Origin:
    return Origin("k.conf", line, 1, 1 + len(text), text)


def test_consequences_are_folded_into_their_cause() -> None:
    cause = Diagnostic("unknown-keyword", "Unknown keyword 'vrrp_instanc'", origin=at(3))
    follows = [
        Diagnostic(
            "unknown-keyword",
            f"Unknown keyword 'w{line}'",
            origin=at(line),
            error_class=ErrorClass.UNKNOWN_KEYWORD,
            cause=cause,
        )
        for line in (4, 5, 7, 8, 9)
    ]
    full = render([cause, *follows], "full")
    assert "follows from this: lines 4-5, 7-9" in full and "w4" not in full
    assert render([cause, *follows], "keepalived").count("\n") == 6
    assert len(json.loads(render([cause, *follows], "json"))["consequences"]) == 5


def test_what_a_brace_spoils_is_folded_but_not_a_misspelt_word() -> None:
    brace = Diagnostic(
        "brace-too-many", "b", origin=at(5), error_class=None, own=True, spoils=("k.conf", 5, 9)
    )
    words = [
        Diagnostic(
            "unknown-keyword",
            f"Unknown keyword '{word}'",
            origin=at(line),
            suggestion=near,
            error_class=ErrorClass.UNKNOWN_KEYWORD,
        )
        for line, word, near in ((6, "priority", ""), (7, "vrrp_instanc", "vrrp_instance"), (12, "later", ""))
    ]
    found = [one.diagnostic.message for one in folded([brace, *words])]
    assert found == ["b", "Unknown keyword 'vrrp_instanc'", "Unknown keyword 'later'"]


def test_two_messages_about_one_value_are_one() -> None:
    number = Diagnostic(
        "invalid-number", "number '0' outside range [1, 2]", origin=at(3, "persistence_timeout 0")
    )
    keyword = Diagnostic(
        "invalid-value", "persistence_timeout invalid", origin=at(3, "persistence_timeout 0")
    )
    full = render([number, keyword], "full")
    assert full.count("error[") == 1 and "persistence_timeout invalid" not in full


def test_terminal_is_safe_and_long_lines_are_cut() -> None:
    text = "x" * 500 + "\x1b[31mbad" + "y" * 500
    shown = render([Diagnostic("x", "m\x1b[2J", origin=Origin("k.conf", 1, 501, 509, text))], "full")
    assert "\x1b" not in shown and max(map(len, shown.splitlines())) < 200
