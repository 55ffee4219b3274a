"""Numbers and names as the C library and iproute2's files give them.

`strtoul` is C's: blanks and a sign in front, 0octal and 0xhex with base 0, and
it stops where the number ends.  Messages are those of keepalived 2.2.7.
"""

from __future__ import annotations

from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.config.document import Directive
from keepalived_py.config.host import LARGEST_NUMBERS, OCTET, Host
from keepalived_py.config.schema import Run
from keepalived_py.diagnostics.report import ErrorClass
from keepalived_py.model.network import Realms

BLANKS = " \t\v\f\r\n"
LARGEST = 2**64 - 1
UNSIGNED = 0xFFFFFFFF
_NUMBERS = {
    0: lazy_pattern(r"[ \t\v\f\r\n]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)"),
    10: lazy_pattern(r"[ \t\v\f\r\n]*([+-]?)([0-9]+)"),
    16: lazy_pattern(r"[ \t\v\f\r\n]*([+-]?)((?:0[xX](?=[0-9a-fA-F]))?[0-9a-fA-F]+)"),
}


def strtoul(text: str, base: int) -> tuple[int, str, bool]:
    """The number at the start of `text`, what stands behind it, and whether it was too large.

    Without a number: 0 and the whole text.  A negative one wraps around, as in C.
    """
    found = _NUMBERS[base].match(text)
    if found is None:
        return 0, text, False
    digits = found[2]
    octal = base == 0 and digits[0] == "0" and digits.isdecimal()
    value = int(digits, 8 if octal else base)
    if value > LARGEST:
        return LARGEST, text[found.end() :], True
    return (-value & LARGEST if found[1] == "-" else value), text[found.end() :], False


def unsigned(
    run: Run, at: Directive, position: int, word: str, high: int, *, base: int = 10, bits: int = 32
) -> int | None:
    """The whole number `word`, which stands at `position`, from 0 to `high`.

    None after having said what is wrong.
    """
    value, rest, too_large = strtoul(word.lstrip(BLANKS), base)
    if word.lstrip(BLANKS).startswith("-"):
        fault = f"negative number '{word}'"
    elif rest:
        fault = f"invalid number '{word}'"
    elif too_large or value >> bits:
        size = "unsigned integer" if bits == 32 else "unsigned 64 bit"
        fault = f"number '{word}' outside {size} range"
    elif value > high:
        fault = f"number '{word}' outside range [0, {high}]"
    else:
        return value
    run.error(
        fault,
        at,
        word=position,
        code="invalid-number",
        error_class=ErrorClass.INVALID_NUMBER,
        expected=f"a whole number from 0 to {high}",
    )
    return None


def named_number(host: Host, table: str, word: str) -> int | None:
    """The number that `word` is, or that its name has in one of iproute2's tables; None if neither."""
    value, rest, _ = strtoul(word, 0)
    if not rest and word:
        value &= UNSIGNED
        return value if value <= LARGEST_NUMBERS.get(table, OCTET) else None
    return host.kernel_name(table, word)


def realms(host: Host, word: str) -> Realms | None:
    """`[SOURCE/]DESTINATION`, each a number or a name."""
    first, slash, second = word.partition("/")
    found = [named_number(host, "rt_realms", one) for one in ((first, second) if slash else ("0", first))]
    source, destination = found
    return None if source is None or destination is None else Realms(source, destination)
