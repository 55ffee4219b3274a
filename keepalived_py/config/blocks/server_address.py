"""Addresses of servers as keepalived reads them, and the old forms of an IPv4 netmask."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from keepalived_py.base.names import Address
from keepalived_py.config.blocks.values import address, integer
from keepalived_py.config.document import Directive
from keepalived_py.config.schema import Run

MAX_PORT = 65535
_BYTE = "(0|[1-9][0-9]{0,2})"
_DOTTED = re.compile(rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}")
_PART = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+\Z")


def bare_address(text: str) -> Address | None:
    """The address in front of a `-` (or else of a `/`): IPv6 if the whole text has a colon."""
    if "-" in text or "/" in text:
        front = text.split("-" if "-" in text else "/", 1)[0]
        if (":" in front) != (":" in text):
            return None
    else:
        front = text
    dotted = _DOTTED.fullmatch(front)
    if dotted is not None:  # by far the usual case, and five times as fast as ipaddress
        first, second, third, fourth = map(int, dotted.groups())
        if first > 255 or second > 255 or third > 255 or fourth > 255:
            return None
        return IPv4Address(first << 24 | second << 16 | third << 8 | fourth)
    return None if "%" in front else address(front)


def shown(found: Address) -> str:
    """The address as inet_ntop writes it: the last four bytes of a mapped one as IPv4."""
    if found.version == 6 and int(found) >> 32 in (0, 0xFFFF) and int(found) >> 16:
        mapped = "ffff:" if int(found) >> 32 else ""
        return f"::{mapped}{IPv4Address(int(found) & 0xFFFFFFFF)}"
    return str(found)


def port_number(run: Run, at: Directive, word: str | None) -> int | None:
    """A port; 0 if there is none or it is written with zeros only; None (reported) if it is none."""
    if word is None or not word.lstrip("0"):
        return 0
    return integer(run, at, word, 1, MAX_PORT)


def server_address(run: Run, at: Directive, index: int = 1) -> tuple[Address, int] | None:
    """The address at word `index` and the port behind it; None if one is wrong (the port is reported)."""
    words = at.words
    port = port_number(run, at, words[index + 1] if len(words) > index + 1 else None)
    found = None if port is None else bare_address(words[index])
    return None if found is None or port is None else (found, port)


def numeric_ipv4(text: str) -> IPv4Address | None:
    """An IPv4 address as inet_aton reads it: 1 to 4 parts, decimal, octal or hexadecimal."""
    parts = text.split(".")
    if len(parts) > 4 or not all(_PART.fullmatch(part) for part in parts):
        return None
    try:
        numbers = [_c_number(part) for part in parts]
    except ValueError:  # an 8 or 9 in an octal number
        return None
    *first, last = numbers
    if any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        return None
    return IPv4Address(sum(number << (24 - 8 * i) for i, number in enumerate(first)) + last)


def _c_number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)
