"""What should have stood there: the form of a keyword, the nearest of several words, a name that exists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from keepalived_py.base.record import replace
from keepalived_py.config.lint.advice import Subject
from keepalived_py.config.lint.causes import reference, with_causes
from keepalived_py.config.lint.scene import Chain, Scene
from keepalived_py.config.lint.scripts import OF_CHECKER, runs
from keepalived_py.config.similar import closest
from keepalived_py.diagnostics.report import Diagnostic

MOST_EXPLAINED = 5000
_FORM = frozenset({"missing-parameter", "missing-value", "invalid-number"})
_WORDS = re.compile(r"[\w+-]+(?:(?:, | or )[\w+-]+)+(?: or nothing)?|[\w+-]+ or nothing")

_DIGITS = re.compile(r"\d")


def explained(found: Sequence[Diagnostic], subject: Subject) -> list[Diagnostic]:
    """The diagnostics with what helps to mend them, and each consequence with its cause.

    Beyond the first few thousand nobody reads it.
    """
    if not any(one.error_class is not None or one.logged_only for one in found):
        return list(found)
    scene = Scene(subject.places)
    placed = [_with_script(one, subject) for one in found[:MOST_EXPLAINED]]
    return with_causes([_explained(one, scene) for one in placed], scene) + list(found[MOST_EXPLAINED:])


def _with_script(one: Diagnostic, subject: Subject) -> Diagnostic:
    """The violation of script security at the first script that it is about: keepalived names none."""
    if one.code != "script-security" or one.place is not None:
        return one
    checks = "check scripts" in one.message
    for run in runs(subject):
        if (run.at.keyword in OF_CHECKER) is checks:
            return replace(one, about=run.at.line_origin)
    return one


def _explained(one: Diagnostic, scene: Scene) -> Diagnostic:
    if one.own or one.suggestion:
        return one
    if one.code == "unknown-keyword":
        return _joined(one)
    missing = reference(one)
    if missing is not None:
        return _defined(one, scene, missing.keyword, missing.name)
    if one.code == "missing-brace":
        return replace(one, notes=(*one.notes, _without_brace(one, scene)))
    if one.code in _FORM and not one.expected:
        form = _form(scene.chain(one.place))
        return replace(one, expected=form) if form else one
    return _choice(one)


def _without_brace(one: Diagnostic, scene: Scene) -> str:
    """Which statement lacks its `{`: keepalived notices at the next one, but for lists at once."""
    at = one.origin
    source = scene.places.sources().get(at.file) if at is not None else None
    if at is None or source is None or one.logged_only:
        return "the list has no '{' behind it"
    above = ((line, source.line_text(line).strip()) for line in range(at.line - 1, 0, -1))
    line, text = next(((line, text) for line, text in above if text and text[0] not in "#!"), (0, ""))
    return f"'{text}' in line {line} opens a block and has no '{{' behind it"


def _joined(one: Diagnostic) -> Diagnostic:
    """A keyword that was written as several words."""
    words = one.origin.text.split() if one.origin else []
    for count in (4, 3, 2):
        near = "_".join(word.strip("_") for word in words[:count])
        if len(words) >= count and near in _names():
            return replace(one, suggestion=near, notes=(*one.notes, "it is one word"))
    return one


@cache
def _forms() -> dict[str, str]:
    table = import_module("keepalived_py.config.table")  # all blocks: paid for by a mistake only
    return {place.path: table.signature(place.keyword) for place in table.places() if not place.option}


@cache
def _names() -> frozenset[str]:
    return frozenset(path.rpartition("/")[2] for path in _forms())


def _form(chain: Chain) -> str:
    """How the statement at the end of the chain is written."""
    return _forms().get("/".join(one.keyword for one in chain), "")


def _choice(one: Diagnostic) -> Diagnostic:
    """The nearest of the words that would be right, where `expected` lists words."""
    if one.origin is None or not _WORDS.fullmatch(one.expected):
        return one
    word = one.origin.text[one.origin.column - 1 : one.origin.end_column - 1].strip('"')
    near = closest(word, re.split(r", | or ", one.expected.removesuffix(" or nothing")))
    return replace(one, suggestion=near) if near else one


def _defined(one: Diagnostic, scene: Scene, keyword: str, name: str) -> Diagnostic:
    """Where the thing that is missed is defined, or which name was meant."""
    block = scene.places.block(keyword, name)
    here = one.place
    if block is not None and here is not None:
        at = block.line_origin
        if at.file != here.file or at.line > here.line:
            note = f"{keyword} {name} is defined further down, in line {at.line} of {at.file}: move it up"
            return replace(one, notes=(*one.notes, note))
        return one
    near = closest(name, [each.words[1] for each in scene.places.blocks(keyword) if len(each.words) > 1])
    if not near or _DIGITS.sub("", near) == _DIGITS.sub("", name):
        return one  # VI_2 is no misspelt VI_1
    return replace(one, suggestion=near)
