"""Converters: one word of a statement into a value, with keepalived's messages.

Each takes the run, the statement and the word, and returns None after having
reported what is wrong.  Number syntax and message texts are those of
keepalived 2.2.7: decimal digits only, a leading `+` and leading blanks are
allowed, "" reads as 0, nothing may follow.
"""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TypeVar

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Keyword, Reader, Run
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


def flag(name: str, attribute: str, value: object = True, *, help: str = "", since: str = "") -> Keyword[T]:
    """A keyword without arguments that stores `value`."""

    def read(run: Run, target: T, at: Directive) -> None:
        setattr(target, attribute, value)

    return Keyword(name, read, help=help, since=since, default="off")


def switch(name: str, attribute: str, message: str, *, help: str = "", since: str = "") -> Keyword[T]:
    """A keyword with an optional boolean; without argument it means true."""

    def read(run: Run, target: T, at: Directive) -> None:
        word = second(at) if len(at.words) > 1 else "on"
        if word in BOOLEANS:
            setattr(target, attribute, BOOLEANS[word])
        else:
            run.error(_fill(message, target, word), at)

    return Keyword(name, read, "[on|off]", "off", help=help, since=since)


def number(
    name: str,
    attribute: str,
    low: int,
    high: int,
    message: str,
    *,
    scale: int = 1,
    zero: str = "",
    default: str = "",
    unit: str = "",
    help: str = "",
    since: str = "",
) -> Keyword[T]:
    """A keyword with one whole number, stored times `scale`.

    `message` follows a number that is not usable; `zero` is the message with
    which 0 becomes 1.
    """

    def read(run: Run, target: T, at: Directive) -> None:
        word = at.words[1]
        value = integer(run, at, word, low, high)
        if value is None:
            run.error(_fill(message, target, word), at)
            return
        if zero and value == 0:
            run.error(_fill(zero, target, word), at)
            value = 1
        setattr(target, attribute, value * scale)

    return Keyword(name, read, f"<INT {low}..{high}>", default, unit, help, since, required=True)


def seconds(
    name: str,
    attribute: str,
    low_us: int,
    high_us: int,
    message: str,
    *,
    default: str = "",
    help: str = "",
    since: str = "",
) -> Keyword[T]:
    """A keyword with a number of seconds, stored in microseconds."""

    def read(run: Run, target: T, at: Directive) -> None:
        value = decimal(run, at, at.words[1], low_us, high_us)
        if value is None:
            run.error(_fill(message, target, at.words[1]), at)
        else:
            setattr(target, attribute, value)

    arguments = f"<DEC {_six(low_us)}..{_six(high_us)}>"
    return Keyword(name, read, arguments, default, "s", help, since, required=True)


def text(name: str, attribute: str, *, missing: str = "", help: str = "", since: str = "") -> Keyword[T]:
    """A keyword with one word.  `missing`: keepalived's message instead of stopping without it."""

    def read(run: Run, target: T, at: Directive) -> None:
        if len(at.words) < 2:
            run.error(missing, at)
        else:
            setattr(target, attribute, at.words[1])

    return Keyword(name, read, "<STRING>", help=help, since=since, required=not missing)


def custom(
    name: str,
    read: Callable[[Run, T, Directive], None],
    arguments: str = "",
    *,
    required: bool = True,
    help: str = "",
    default: str = "",
    since: str = "",
) -> Keyword[T]:
    """A keyword with a reader of its own."""
    reader: Reader[T] = read
    return Keyword(name, reader, arguments, default, help=help, since=since, required=required)


def _fill(message: str, target: object, word: str) -> str:
    return message.replace("{name}", getattr(target, "name", "")).replace("{word}", word)
