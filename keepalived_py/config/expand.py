"""Comments, `@id`, `$NAME=`, `$NAME`/`${NAME}`, `~SEQ`, `~LST`: one line of text to its logical lines.

Substitution is textual and happens at use, again and again, so a value may be
a keyword, a whole `keyword {`, an `@id`, several lines, or name a parameter
that is defined later.  Comments are removed before and after substitution:
`a${_HASH}b` loses its end.  keepalived never returns from `$A=$A`; here every
line has a bounded number of rounds and the whole reading a bounded amount of
expansion, and what exceeds them is reported and dropped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from keepalived_py.base.pattern import lazy_pattern
from keepalived_py.base.record import Struct, fresh

BLANKS = " \t\r\f\v\n"
MAX_LINE_BYTES = 1023
MAX_ROUNDS = 64
MAX_DEPTH = 24
MAX_EXPANSION = 200_000
COSTLY = 96  # bytes: a line of parameters that is much longer has been expanded, and will be again

_DEFINITION = lazy_pattern(r"\$([A-Za-z_][A-Za-z0-9_]*)=[ \t]*(.*)", re.DOTALL)
_USE = lazy_pattern(r"\$\{([A-Za-z_][A-Za-z0-9_]*)([ \t][^{}]*)?\}|\$([A-Za-z_][A-Za-z0-9_]*)(?=[ \t,)]|$)")
_CONDITION = lazy_pattern(r"@(\^?)([^\s]*)\s*(.*)", re.DOTALL | re.ASCII)
_SEQ = lazy_pattern(r"~(SEQx?|LST)\s*\(([^)]*)\)\s*(.*)", re.DOTALL | re.ASCII)
_SETS = lazy_pattern(r"\s*(?:\{([^}]*)\}|([^,{}]*))\s*(?:,|$)")
_COMMENT = lazy_pattern(r'\\.|"(?:[^"\\]|\\.)*(?:"|\\?$)|[#!].*', re.DOTALL)
# What a quote does while comments are removed: a backslash hides the character behind it.
_QUOTES = lazy_pattern(r'\\.|"', re.DOTALL)

Complain = Callable[[str, str], None]


def _keep(match: re.Match[str]) -> str:
    found = match.group()
    if found[0] == "\\":
        return found[1] if found[1] in "#!" else found
    return found if found[0] == '"' else ""


def strip_comment(text: str) -> str:
    """`text` without its comment and outer blanks; `\\#` and `\\!` outside quotes become plain."""
    goes_on = text.endswith("\\") and (len(text) - len(text.rstrip("\\"))) % 2
    if goes_on:
        text = text[:-1]
    if "#" in text or "!" in text:
        text = _COMMENT.sub(_keep, text)
    # A backslash at the end moves up to the last word, even out of a comment.
    return text.strip(BLANKS) + "\\" if goes_on else text.strip(BLANKS)


def open_quote(text: str) -> bool:
    """Whether a quote has no partner, as removing comments sees it: a backslash hides what is behind it."""
    return bool(sum(found == '"' for found in _QUOTES.findall(text)) % 2)


def number(word: str) -> int | None:
    """A `~SEQ` number: decimal, 0x hex or 0 octal, with a sign; None if it is none."""
    match = re.fullmatch(r"\s*([+-]?)(0[xX][0-9a-fA-F]{1,16}|0[0-7]{0,21}|[1-9][0-9]{0,18})\s*", word)
    if match is None:
        return None
    digits = match.group(2)
    base = 16 if digits[:2].lower() == "0x" else 8 if digits[0] == "0" else 10
    value = int(digits, base)
    return -value if match.group(1) == "-" else value


def sequence(numbers: list[int]) -> range | None:
    """The values of `~SEQ(VAR, [START, [STEP,]] END)`; None if the step goes nowhere."""
    end = numbers[-1]
    start = numbers[0] if len(numbers) > 1 else (-1 if end < 0 else 1)
    step = numbers[1] if len(numbers) > 2 else (1 if end >= start else -1)
    if step == 0 or (end - start) * step < 0:
        return None
    return range(start, end + (1 if step > 0 else -1), step)


def list_sets(arguments: str) -> list[list[str]] | None:
    """The names and the value sets of `~LST(...)`; None if the form is wrong."""
    sets: list[list[str]] = []
    position = 0
    while position < len(arguments):
        match = _SETS.match(arguments, position)
        if match is None or match.end() == position:
            return None
        braced, plain = match.groups()
        values = braced.split(",") if braced is not None else [plain]
        sets.append([value.strip(BLANKS) for value in values])
        position = match.end()
    return sets


class Expander(Struct):
    """Parameters known so far, and the rules that turn one line into logical lines.

    `complain(code, message)` reports a mistake of the line being expanded;
    `folder` is `${_PWD}`.
    """

    config_id: str
    complain: Complain
    folder: str = ""
    values: dict[str, str] = fresh(dict)
    budget: int = MAX_EXPANSION

    def define(self, text: str) -> bool:
        """Take `text` as a definition if it is one.  Several lines are joined by LF."""
        if text[:1] != "$":
            return False
        match = _DEFINITION.match(text)
        if match is None:
            return False
        lines = [line for part in match.group(2).split("\n") if (line := part.strip(BLANKS))]
        self.values[match.group(1)] = "\n".join(lines)
        return True

    def lines(self, text: str, depth: int = 0) -> Iterator[str]:
        """The logical lines that `text` (one line) stands for."""
        conditional = True
        for _ in range(MAX_ROUNDS):
            if not self._spend(depth, 1 + (len(text) // COSTLY) ** 2 if "$" in text else 1):
                return
            text = text if self._is_definition(text) else strip_comment(text)
            if text[:1] == "@" and conditional:
                text, conditional = self._condition(text), False
                continue
            if not text or self.define(text):
                return
            if text.startswith(("~SEQ", "~LST")):
                yield from self._repeat(text, depth)
                return
            changed = self._substitute(text) if "$" in text else text
            if changed == text:
                yield text
                return
            if "\n" in changed:
                for line in changed.split("\n"):
                    yield from self.lines(line, depth + 1)
                return
            text = changed
        self.complain("expansion-loop", f"Parameter refers to itself - ignoring '{text[:60]}'")

    def _is_definition(self, text: str) -> bool:
        return "\n" in text and text[:1] == "$"

    def _spend(self, depth: int, cost: int = 1) -> bool:
        """Every step costs; False when the line is nested too deep or all is spent."""
        left = self.budget
        self.budget -= cost
        if left > 0 >= self.budget:
            self.complain("expansion-too-large", "Parameters expand to too many lines - ignoring the rest")
        elif depth == MAX_DEPTH:
            self.budget = min(self.budget, 1000)  # one loop must not cost as much as a whole file
            self.complain("expansion-loop", "Parameters are nested too deep - ignoring")
        return self.budget > 0 and depth < MAX_DEPTH

    def _condition(self, text: str) -> str:
        match = _CONDITION.match(text)
        assert match is not None  # the pattern matches whatever follows an `@`
        negated, name, rest = match.groups()
        wanted = (name != self.config_id) if negated else (name == self.config_id)
        return rest if wanted else ""

    def _substitute(self, text: str) -> str:
        changed = _USE.sub(lambda match: self._value(match, text), text)
        if max((len(line) for line in changed.split("\n")), default=0) > MAX_LINE_BYTES:
            return text
        return changed

    def _value(self, match: re.Match[str], text: str) -> str:
        name = match.group(1) or match.group(3)
        value = self.values.get(name)
        if value is None:
            value = self._predefined(name, (match.group(2) or "").strip(BLANKS))
        if value is None or ("\n" in value and match.end() != len(text)):
            return match.group()
        return value

    def _predefined(self, name: str, argument: str) -> str | None:
        match name:
            case "_PWD":
                return self.folder
            case "_INSTANCE":
                return self.config_id
            case "_HASH":
                return "#"
            case "_BANG":
                return "!"
            case "_ENV":
                return os.environ.get(argument, "").split("\n")[0]
            case "_RANDOM":
                return self._draw(argument.split())
        return None

    def _draw(self, bounds: list[str]) -> str:
        import random  # paid only where a configuration draws a number

        limits = [int(word) for word in bounds[:2] if word.isascii() and word.isdecimal() and len(word) < 10]
        low, high = (limits[0], limits[1]) if len(limits) == 2 else (0, limits[0] if limits else 32767)
        return str(random.randint(min(low, high), max(low, high)))

    def _repeat(self, text: str, depth: int) -> Iterator[str]:
        match = _SEQ.match(text)
        kind = text[:4]
        if match is None:
            if kind == "~SEQ" and "(" in text:
                self.complain("bad-sequence", f"~SEQ parameter strings too long '{text}'")
            self._refuse(kind, text)
            return
        arguments = self._substitute(match.group(2)) if "$" in match.group(2) else match.group(2)
        if match.group(1) == "LST":
            rounds = self._list_rounds(arguments, text)
        else:
            rounds = self._number_rounds(arguments, match.group(1) == "SEQx", text)
        for bound in rounds or ():
            self.values.update(bound)
            if not self._spend(depth):
                return
            yield from self.lines(match.group(3), depth + 1)

    def _refuse(self, kind: str, text: str) -> None:
        self.complain("bad-sequence", f"Invalid {kind} specification '{text}'")

    def _number_rounds(self, arguments: str, as_hex: bool, text: str) -> Iterator[dict[str, str]] | None:
        name, *words = arguments.split(",")
        numbers = [number(word) for word in words]
        known = [value for value in numbers if value is not None]
        values: range | None = None
        if not 1 <= len(numbers) <= 3 or len(known) != len(numbers):
            self.complain("bad-sequence", f"Invalid ~SEQ definition '{text}'")
        elif (values := sequence(known)) is None:
            self.complain("bad-sequence", f"Invalid ~SEQ values '{text}'")
        elif as_hex and min(values[0], values[-1]) < 0:
            values = None
            self.complain("bad-sequence", f"~SEQx is only valid for positive numbers '{text}'")
        if values is None:
            self._refuse("~SEQ", text)
            return None
        return ({name.strip(BLANKS): f"{value:x}" if as_hex else str(value)} for value in values)

    def _list_rounds(self, arguments: str, text: str) -> Iterator[dict[str, str]] | None:
        sets = list_sets(arguments)
        if sets is None or len(sets) < 2:
            self._refuse("~LST", text)
            return None
        names = sets[0]
        if any(len(values) > len(names) for values in sets[1:]):
            self.complain("bad-sequence", f"~LST specification has too many values '{text}'")
            self._refuse("~LST", text)
            return None
        return (
            {name: values[i] if i < len(values) else "" for i, name in enumerate(names)}
            for values in sets[1:]
        )
