"""Kinds of keyword, and converters of one word into a value, with keepalived's messages.

The first half converts: each takes the run, the statement and the word, and returns None after having
reported what is wrong.  Number syntax and message texts are those of
keepalived 2.2.7: decimal digits only, a leading `+` and leading blanks are
allowed, "" reads as 0, nothing may follow.

The second half makes keywords of the common kinds.  Messages may name
`{name}`, the name of the block, and `{word}`, the word that is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record, replace
from keepalived_py.config.document import Directive
from keepalived_py.config.draft import Draft
from keepalived_py.config.schema import FAILED, Converter, Keyword, Reader, Run
from keepalived_py.diagnostics.report import ErrorClass

T = TypeVar("T")

_INTEGER = re.compile(r"[ \t\v\f\r\n]*([+-]?[0-9]+)\Z")
_DIGITS = re.compile(r"[ \t\v\f\r\n]*\+?[0-9]+\Z")
_DIGITS_FIRST = re.compile(r"[ \t\v\f\r\n]*\+?([0-9]*)")
_BLANKS = " \t\v\f\r\n"
BOOLEANS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
MAX_INTERFACE_NAME = 15
UNSIGNED = 4294967295
LARGEST_INT = 2147483647
_LARGEST_LONG = 18446744073709551615
DECIMALS = 6
TIMER_SECONDS = 4294


def bad_number(run: Run, at: Directive, message: str) -> None:
    """Report a number that is none, or not in range."""
    run.error(message, at, code="invalid-number", error_class=ErrorClass.INVALID_NUMBER)


def integer(
    run: Run, at: Directive, word: str, low: int, high: int, *, signed: bool | None = None
) -> int | None:
    """A whole number from `low` to `high`.

    `signed`: keepalived reads it with its function for signed numbers, which has
    other messages; it does so for every range that begins below 0.
    """
    signed = low < 0 if signed is None else signed
    if not signed and word.lstrip(_BLANKS).startswith("-"):
        bad_number(run, at, f"negative number '{word}'")
        return None
    found = _INTEGER.match(word)
    if found is None and (word if signed else word.strip(_BLANKS)):
        bad_number(run, at, f"invalid number '{word}'")
        return None
    value = int(found[1]) if found is not None else 0
    if not (-LARGEST_INT - 1 <= value <= LARGEST_INT if signed else value <= UNSIGNED):
        bad_number(run, at, f"number '{word}' outside {'' if signed else 'unsigned '}integer range")
        return None
    if not low <= value <= high:
        bad_number(run, at, f"number '{word}' outside range [{low}, {high}]")
        return None
    return value


def decimal(run: Run, at: Directive, word: str, low_us: int, high_us: int) -> Micros | None:
    """A number of seconds with up to six decimals, in microseconds.

    More decimals are reported, and the rounded value is used, as keepalived does.
    It also reports what is no number and then uses the digits in front, if they are in range.
    """
    if word[:1] == "-":
        bad_number(run, at, f"negative number '{word}'")
        return None
    whole, _, places = word.partition(".")
    round_up = 0
    if len(places) > DECIMALS:
        bad_number(run, at, f"number '{word}' has too many decimal places")
        round_up = int(places[DECIMALS] >= "5")
        places = places[:DECIMALS]
    digits = whole + places.ljust(DECIMALS, "0")
    if _DIGITS.match(digits) is None:
        bad_number(run, at, f"invalid number '{word}'")
        value = int(_DIGITS_FIRST.match(digits)[1] or "0")  # type: ignore[index]  # matches anything
        return Micros(value) if low_us <= value <= high_us else None
    value = int(digits) + round_up
    if value > _LARGEST_LONG:
        bad_number(run, at, f"number '{word}' outside unsigned decimal range")
        return None
    if not low_us <= value <= high_us:
        bad_number(run, at, f"number '{word}' outside range [{_six(low_us)}, {_six(high_us)}]")
        return None
    return Micros(value)


def _six(value_us: int) -> str:
    return f"{value_us // 1_000_000}.{value_us % 1_000_000:06d}"


def address(text: str) -> Address | None:
    """An address as keepalived reads one: IPv6 if it holds a colon, else dotted IPv4."""
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return None


def connection_address(text: str) -> Address | None:
    """An address of a peer or source: what follows `-`, or `/` if there is none, is dropped; no interface."""
    return None if "%" in text else address(text.partition("-" if "-" in text else "/")[0])


def size(word: str) -> int:
    """How many bytes the word has in the file."""
    return len(word) if word.isascii() else len(word.encode("utf-8", "surrogateescape"))


def second(at: Directive) -> str:
    """The first argument, or ""."""
    return at.words[1] if len(at.words) > 1 else ""


def need(run: Run, at: Directive, position: int) -> str | None:
    """Word number `position` of the statement; without it keepalived stops (exit 2) and we return None."""
    if position < len(at.words):
        return at.words[position]
    run.missing_parameter(at, at.words[position - 1], position + 1)
    return None


def list_block(run: Run, at: Directive) -> None:
    """Report words between the keyword of a list and its `{`."""
    if len(at.words) > 1:
        message = f"Block {at.keyword} has extra parameters {at.words[1]} ..."
        run.error(message, at, word=1, code="extra-words", expected="{")


# Kinds of keyword ------------------------------------------------------------


def flag(name: str, attribute: str, value: object = True, **more: Any) -> Keyword[Any]:
    """A keyword without arguments that stores `value`."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        return value

    def show(found: object) -> Iterable[str]:
        return ("",) if found == value else ()

    more.setdefault("default", "off")
    more.setdefault("schema", {"type": "boolean"} if isinstance(value, bool) else {"const": value})
    return Keyword(name, convert=convert, attribute=attribute, show=show, **more)


def switch(name: str, attribute: str, message: str, **more: Any) -> Keyword[Any]:
    """A keyword with an optional boolean; without argument it means true."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        word = second(at) if len(at.words) > 1 else "on"
        if word in BOOLEANS:
            return BOOLEANS[word]
        run.error(_fill(message, target, word), at, word=1, expected="on, off, true, false, yes or no")
        return FAILED

    more.setdefault("default", "off")
    more.setdefault("schema", {"type": "boolean"})
    return Keyword(name, None, "[<BOOL>]", convert=convert, attribute=attribute, show=show_bool, **more)


def show_flag(found: object) -> Iterable[str]:
    """The bare keyword for what is true."""
    return ("",) if found else ()


def show_bool(found: bool | None) -> Iterable[str]:
    """`on` or `off`; nothing if neither was said."""
    return () if found is None else ("on" if found else "off",)


def show_text(found: object) -> Iterable[str]:
    """The value's own text, quoted where it needs to be; nothing for None."""
    return () if found is None else (quoted(str(found)),)


def show_seconds(found: int | None) -> Iterable[str]:
    """Microseconds as seconds with as many decimals as it takes."""
    return () if found is None else (seconds_text(found),)


def seconds_text(value_us: int) -> str:
    """`1500000` is "1.5", `2000000` is "2"."""
    whole, rest = divmod(value_us, 1_000_000)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def quoted(word: str) -> str:
    """A word as an ordinary line takes it: in quotes if it is empty or would be cut or be a comment."""
    return f'"{word}"' if not word or re.search(r"[\s{}#!]", word) else word


def number(
    name: str,
    attribute: str,
    low: int,
    high: int,
    message: str,
    *,
    scale: int = 1,
    zero: str = "",
    signed: bool | None = None,
    **more: Any,
) -> Keyword[Any]:
    """A keyword with one whole number, stored times `scale`.

    `message` follows a number that is not usable; `zero` is the message with
    which 0 becomes 1.
    """

    def convert(run: Run, target: Any, at: Directive) -> object:
        word = at.words[1]
        value = integer(run, at, word, low, high, signed=signed)
        if value is None:
            if message:
                run.error(_fill(message, target, word), at, word=1)
            return FAILED
        if zero and value == 0:
            run.error(_fill(zero, target, word), at, word=1)
            value = 1
        return value * scale

    def show(found: int | None) -> Iterable[str]:
        """What it has from elsewhere may be more than can be written here."""
        return (str(found // scale),) if found is not None and low <= found // scale <= high else ()

    more.setdefault("required", True)
    more.setdefault("schema", {"type": "integer", "minimum": low, "maximum": high})
    shown = f"<INT {low}..{high}>"
    return Keyword(name, None, shown, convert=convert, attribute=attribute, show=show, **more)


def seconds(
    name: str, attribute: str, low_us: int, high_us: int, message: str, *, zero: str = "", **more: Any
) -> Keyword[Any]:
    """A keyword with a number of seconds, stored in microseconds.

    `zero`: the message with which 0 becomes 1 s.
    """

    def convert(run: Run, target: Any, at: Directive) -> object:
        value = decimal(run, at, at.words[1], low_us, high_us)
        if value is None:
            if message:
                run.error(_fill(message, target, at.words[1]), at, word=1)
            return FAILED
        if zero and value == 0:
            run.error(_fill(zero, target, at.words[1]), at, word=1)
            return Micros(1_000_000)
        return value

    more.setdefault("required", True)
    more.setdefault("unit", "s")
    more.setdefault("schema", seconds_schema(low_us, high_us))
    shown = f"<DEC {seconds_text(low_us)}..{seconds_text(high_us)}>"
    return Keyword(name, None, shown, convert=convert, attribute=attribute, show=show_seconds, **more)


def seconds_schema(low_us: int, high_us: int) -> dict[str, Any]:
    """The JSON Schema of a number of seconds, as the file has it; bounds in microseconds."""
    low, high = (
        value // 1_000_000 if value % 1_000_000 == 0 else value / 1_000_000 for value in (low_us, high_us)
    )
    return {"type": "number", "minimum": low, "maximum": high}


def text(name: str, attribute: str, *, missing: str = "", **more: Any) -> Keyword[Any]:
    """A keyword with one word.  `missing`: keepalived's message instead of stopping without it."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        return at.words[1]

    more.setdefault("arguments", "<STRING>")
    more.setdefault("required", not missing)
    more.setdefault("schema", {"type": "string"})
    return Keyword(name, convert=convert, attribute=attribute, missing=missing, show=show_text, **more)


def choice(name: str, attribute: str, choices: dict[str, Any], message: str, **more: Any) -> Keyword[Any]:
    """A keyword with one word of a fixed set; each word has its value."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        word = at.words[1]
        if word in choices:
            return choices[word]
        run.error(_fill(message, target, word), at, word=1, expected=" or ".join(choices))
        return FAILED

    def show(found: object) -> Iterable[str]:
        return tuple(word for word, value in choices.items() if value == found)[:1]

    more.setdefault("required", True)
    more.setdefault("schema", {"enum": list(choices)})
    shown = "|".join(choices)
    return Keyword(name, None, shown, convert=convert, attribute=attribute, show=show, **more)


def converted(
    name: str, attribute: str, convert: Converter[Any], arguments: str, **more: Any
) -> Keyword[Any]:
    """A keyword with a converter of its own, whose value is written as its text unless `show` is given."""
    more.setdefault("show", show_text)
    more.setdefault("required", True)
    return Keyword(name, None, arguments, convert=convert, attribute=attribute, **more)


def path(name: str, attribute: str, **more: Any) -> Keyword[Any]:
    """A keyword with the name of a file or folder."""
    return text(name, attribute, arguments=more.pop("arguments", "<PATH>"), **more)


def interface(name: str, attribute: str, **more: Any) -> Keyword[Any]:
    """A keyword with the name of a network interface, which need not exist."""
    return text(name, attribute, arguments=more.pop("arguments", "<IF>"), **more)


def words(name: str, attribute: str, **more: Any) -> Keyword[Any]:
    """A keyword with one word or more, stored as a tuple."""

    def convert(run: Run, target: Any, at: Directive) -> object:
        return at.words[1:]

    more.setdefault("arguments", "<STRING> ...")
    more.setdefault("schema", {"type": "array", "items": {"type": "string"}})
    more.setdefault("required", not more.get("missing"))
    return Keyword(name, convert=convert, attribute=attribute, show=show_words, **more)


def show_words(found: Iterable[object] | None) -> Iterable[str]:
    """All words behind one keyword; nothing for none."""
    shown = " ".join(quoted(str(one)) for one in found or ())
    return (shown,) if shown else ()


def option(name: str, arguments: str = "", help: str = "", **more: Any) -> Keyword[Any]:
    """A word that may stand behind a keyword on its line, for those who read about keywords."""
    return Keyword(name, None, arguments, help=help, **more)


def inside(group: str, record: type[Record], *keywords: Keyword[Any]) -> list[Keyword[Any]]:
    """The same keywords, stored in the record at the attribute `group` of the draft."""
    return [_inside(group, record, keyword) for keyword in keywords]


def part(target: Any, group: str, record: type[Record]) -> Draft[Any]:
    """The draft of a part of `target`; made when it is first written to."""
    found = target.__dict__.get(group)
    if found is None:
        found = Draft(record, target.header)
        setattr(target, group, found)
    return found  # type: ignore[no-any-return]  # nothing else is ever put there


def _inside(group: str, record: type[Record], keyword: Keyword[Any]) -> Keyword[Any]:
    convert, inner, attribute = keyword.convert, keyword.read, keyword.attribute

    def read(run: Run, target: Any, at: Directive) -> None:
        owner = part(target, group, record)
        if convert is not None:
            value = convert(run, owner, at)
            if value is not FAILED:
                setattr(owner, attribute, value)
                owner.given[attribute] = at
        elif inner is not None:
            inner(run, owner, at)

    return replace(keyword, read=read, convert=None, attribute=attribute and f"{group}.{attribute}")


def custom(
    name: str,
    read: Callable[[Run, T, Directive], None],
    arguments: str = "",
    *,
    required: bool = True,
    **more: Any,
) -> Keyword[T]:
    """A keyword with a reader of its own."""
    reader: Reader[T] = read
    return Keyword(name, reader, arguments, required=required, **more)


def _fill(message: str, target: object, word: str) -> str:
    return message.replace("{name}", str(getattr(target, "name", ""))).replace("{word}", word)
