"""Kinds of keyword, and converters of one word into a value, with keepalived's messages.

The first half converts: each takes the run, the statement and the word, and returns None after having
reported what is wrong.  Number syntax and message texts are those of
keepalived 2.2.7: decimal digits only, a leading `+` and leading blanks are
allowed, "" reads as 0, nothing may follow.

The second half makes keywords of the common kinds.  Messages may name
`{name}`, the name of the block, and `{word}`, the word that is wrong.
"""

import re
from collections.abc import Callable, Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import FAILED, Converter, Keyword, Reader, Run
from keepalived_py.diagnostics.report import ErrorClass

T = TypeVar("T")

_INTEGER = re.compile(r"[ \t\v\f\r\n]*([+-]?[0-9]+)?\Z")
_DECIMAL = re.compile(r"[ \t\v\f\r\n]*([+-]?)([0-9]*)(?:\.([0-9]*))?\Z")
BOOLEANS = {"on": True, "true": True, "yes": True, "off": False, "false": False, "no": False}
MAX_INTERFACE_NAME = 15
UNSIGNED = 4294967295
TIMER_SECONDS = 4294


def bad_number(run: Run, at: Directive, message: str) -> None:
    """Report a number that is none, or not in range."""
    run.error(message, at, code="invalid-number", error_class=ErrorClass.INVALID_NUMBER)


def integer(run: Run, at: Directive, word: str, low: int, high: int) -> int | None:
    """A whole number from `low` to `high`."""
    found = _INTEGER.match(word)
    if found is None:
        bad_number(run, at, f"invalid number '{word}'")
        return None
    value = int(found[1] or "0")
    if low >= 0 and word.lstrip().startswith("-"):
        bad_number(run, at, f"negative number '{word}'")
        return None
    if not low <= value <= high:
        bad_number(run, at, f"number '{word}' outside range [{low}, {high}]")
        return None
    return value


def decimal(run: Run, at: Directive, word: str, low_us: int, high_us: int) -> Micros | None:
    """A number of seconds with up to six decimals, in microseconds.

    More decimals are reported, and the rounded value is used, as keepalived does.
    """
    found = _DECIMAL.match(word)
    if found is None or not (found[2] or found[3]):
        if word.strip():
            bad_number(run, at, f"invalid number '{word}'")
            return None
        value, places = 0, ""
    else:
        places = found[3] or ""
        whole = int(found[2] or "0") * 1_000_000
        value = whole + round(int((places + "0000000")[:7]) / 10)
        if found[1] == "-":
            bad_number(run, at, f"negative number '{word}'")
            return None
    if not low_us <= value <= high_us:
        bad_number(run, at, f"number '{word}' outside range [{_six(low_us)}, {_six(high_us)}]")
        return None
    if len(places) > 6:
        bad_number(run, at, f"number '{word}' has too many decimal places")
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
    """An address of a peer or source: everything from `-` or `/` on is dropped."""
    return address(re.split(r"[-/]", text, maxsplit=1)[0])


def second(at: Directive) -> str:
    """The first argument, or ""."""
    return at.words[1] if len(at.words) > 1 else ""


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
    **more: Any,
) -> Keyword[Any]:
    """A keyword with one whole number, stored times `scale`.

    `message` follows a number that is not usable; `zero` is the message with
    which 0 becomes 1.
    """

    def convert(run: Run, target: Any, at: Directive) -> object:
        word = at.words[1]
        value = integer(run, at, word, low, high)
        if value is None:
            if message:
                run.error(_fill(message, target, word), at, word=1)
            return FAILED
        if zero and value == 0:
            run.error(_fill(zero, target, word), at, word=1)
            value = 1
        return value * scale

    def show(found: int | None) -> Iterable[str]:
        return () if found is None else (str(found // scale),)

    more.setdefault("required", True)
    more.setdefault("schema", {"type": "integer", "minimum": low * scale, "maximum": high * scale})
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
    more.setdefault("schema", {"type": "integer", "minimum": low_us, "maximum": high_us})
    shown = f"<DEC {seconds_text(low_us)}..{seconds_text(high_us)}>"
    return Keyword(name, None, shown, convert=convert, attribute=attribute, show=show_seconds, **more)


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
