"""What should have stood there: the form of a keyword, the nearest of several words, a name that exists."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module

from keepalived_py.base.record import replace
from keepalived_py.config.lint.causes import reference, with_causes
from keepalived_py.config.lint.places import Places
from keepalived_py.config.lint.scene import Chain, Scene
from keepalived_py.config.similar import closest
from keepalived_py.diagnostics.report import Diagnostic

_FORM = frozenset({"missing-parameter", "missing-value", "invalid-number"})
_WORDS = re.compile(r"[\w+-]+(?:(?:, | or )[\w+-]+)+(?: or nothing)?|[\w+-]+ or nothing")

_DIGITS = re.compile(r"\d")


def explained(found: Sequence[Diagnostic], places: Places) -> list[Diagnostic]:
    """The diagnostics with what helps to mend them, and each consequence with its cause."""
    if not any(one.error_class is not None or one.logged_only for one in found):
        return list(found)
    scene = Scene(places)
    return with_causes([_explained(one, scene) for one in found], scene)


def _explained(one: Diagnostic, scene: Scene) -> Diagnostic:
    if one.own or one.suggestion:
        return one
    missing = reference(one)
    if missing is not None:
        return _defined(one, scene, missing.keyword, missing.name)
    if one.code in _FORM and not one.expected:
        form = _form(scene.chain(one.place))
        return replace(one, expected=form) if form else one
    return _choice(one)


@cache
def _forms() -> dict[str, str]:
    table = import_module("keepalived_py.config.table")  # all blocks: paid for by a mistake only
    return {place.path: table.signature(place.keyword) for place in table.places() if not place.option}


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
