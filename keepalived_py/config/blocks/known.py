"""Every other valid keyword: known by block, name, arguments and arity, without effect yet.

`known.tsv` lists them: block, keyword, kind (value, block, list), arguments,
what a missing first argument does (`stop`: exit 2, `error`: a message, `ok`,
`no`: there is none) and that message.  Numbers, ranges, word choices and
booleans are checked from the arguments column, so that a typing mistake in a
block that does nothing yet is still found.
"""

import os
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from keepalived_py.config.blocks import values
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Block, Keyword, Run
from keepalived_py.diagnostics.report import ErrorClass

_RANGE = re.compile(r"\[?<(INT|DEC|TIMER) (-?[0-9.]+)\.\.(-?[0-9.]+)>")
_CHOICE = re.compile(r"[A-Za-z0-9.]+(\|[A-Za-z0-9.]+)+\Z")

DEPRECATED = {
    "vrrp_vmac_garp_intvl": 'Keyword "vrrp_vmac_garp_intvl" is deprecated - please use "vrrp_garp_extra_if"',
    "vmac_garp_intvl": 'Keyword "vmac_garp_intvl" is deprecated - please use "garp_extra_if"',
    "nb_get_retry": "nb_get_retry is deprecated - please use 'retry'",
    "vrrp_iptables": (
        "iptables not supported, using nftables instead. "
        "Please replace 'vrrp_iptables and 'vrrp_ipsets' with 'nftables' config option"
    ),
}


class Unread:
    """The record of a block whose values nothing uses yet; it only has a name for messages."""

    __slots__ = ("name",)

    def __init__(self, name: str = "") -> None:
        self.name = name


@cache
def _table() -> dict[str, dict[str, tuple[str, str, str, str]]]:
    with open(os.path.join(os.path.dirname(__file__), "known.tsv"), encoding="utf-8") as file:
        text = file.read()
    table: dict[str, dict[str, tuple[str, str, str, str]]] = {}
    for line in text.splitlines():
        block, name, kind, arguments, missing, message = (line.split("\t") + [""])[:6]
        table.setdefault(block, {})[name] = (kind, arguments, missing, message)
    return table


def names(block: str) -> frozenset[str]:
    """All keywords that are valid in `block` ("/" is the top level)."""
    return frozenset(_table().get(block, ()))


def fallback(block: str) -> Callable[[str], Keyword[Any] | None]:
    """A finder of the keywords of `block` that are valid but have no effect yet."""

    def find(name: str) -> Keyword[Any] | None:
        return _keyword(block, name)

    return find


@cache
def _keyword(block: str, name: str) -> Keyword[Any] | None:
    row = _table().get(block, {}).get(name)
    if row is None:
        return None
    kind, arguments, missing, message = row
    required = missing == "stop"
    if kind == "value":
        return Keyword(name, _reader(block, arguments, message), arguments, required=required)
    path = name if block == "/" else f"{block}/{name}"
    inner: Block[Any] = Block(path, entry=_ignore) if kind == "list" else Block(path, fallback=fallback(path))
    return Keyword(name, arguments=arguments, required=required, block=inner, open=_opener(block, message))


def _ignore(run: Run, target: object, at: Directive) -> None:
    """An entry of a list that has no effect yet."""


def _opener(block: str, message: str) -> Callable[[Run, Any, Directive], Any]:
    def opened(run: Run, target: object, at: Directive) -> Unread | None:
        if message and len(at.words) < 2:
            run.error(message, at)
            return None
        _note(run, block, target, at)
        return Unread(values.second(at))

    return opened


def _note(run: Run, block: str, target: object, at: Directive) -> None:
    """Say once that this has no effect: not again for what stands inside such a block."""
    if not isinstance(target, Unread):
        run.no_effect("" if block == "/" else block, at)


def _reader(block: str, arguments: str, message: str) -> Callable[[Run, Any, Directive], None]:
    check = _checker(arguments)

    def read(run: Run, target: object, at: Directive) -> None:
        _note(run, block, target, at)
        if at.keyword in DEPRECATED:
            run.error(DEPRECATED[at.keyword], at, code="deprecated", error_class=ErrorClass.DEPRECATED)
        elif len(at.words) < 2:
            if message:
                run.error(message, at, code="missing-value")
        elif check is not None:
            check(run, at)

    return read


def _checker(arguments: str) -> Callable[[Run, Directive], None] | None:
    """How to check the first argument, from its description."""
    ranged = _RANGE.match(arguments)
    if ranged is not None:
        return _range_checker(ranged)
    if arguments == "<INT>":
        return lambda run, at: _require(run, at, values.integer(run, at, at.words[1], 0, values.UNSIGNED))
    if arguments == "<TIMER>":
        return lambda run, at: _require(run, at, values.decimal(run, at, at.words[1], 1, 2**64))
    if arguments == "[<BOOL>]":
        return _choice_checker(frozenset(values.BOOLEANS))
    if arguments == "<IPADDR>":
        return _address_checker
    if arguments == "<IF max 15>":
        return _name_checker
    if _CHOICE.match(arguments.split(" ")[0]):
        return _choice_checker(frozenset(arguments.split(" ")[0].split("|")))
    return None


def _range_checker(found: re.Match[str]) -> Callable[[Run, Directive], None]:
    kind, low, high = found.groups()

    def check(run: Run, at: Directive) -> None:
        word = at.words[1]
        if kind == "INT":
            _require(run, at, values.integer(run, at, word, int(low), int(high)))
        else:
            bounds = (round(float(low) * 1_000_000), round(float(high) * 1_000_000))
            _require(run, at, values.decimal(run, at, word, *bounds))

    return check


def _require(run: Run, at: Directive, value: int | None) -> None:
    if value is None:
        run.error(f"{at.keyword} '{at.words[1]}' invalid - ignoring", at)


def _choice_checker(choices: frozenset[str]) -> Callable[[Run, Directive], None]:
    def check(run: Run, at: Directive) -> None:
        if at.words[1] not in choices:
            run.error(
                f"Invalid {at.keyword} parameter {at.words[1]}", at, expected=", ".join(sorted(choices))
            )

    return check


def _address_checker(run: Run, at: Directive) -> None:
    if values.connection_address(at.words[1]) is None:
        run.error(f"Invalid {at.keyword} address {at.words[1]} - ignoring", at)


def _name_checker(run: Run, at: Directive) -> None:
    if len(at.words[1]) > values.MAX_INTERFACE_NAME:
        run.error(f"Interface name {at.words[1]} is too long - ignoring", at)
