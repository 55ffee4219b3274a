"""Write the manual pages out of the tables that the program itself reads.

    python scripts/make_man.py          write man/*.5 and man/*.8
    python scripts/make_man.py --check  only say (exit 1) if one of them is not up to date

The prose stands in man/*.in; a line `@OPTIONS@`, `@COMMANDS@` or `@KEYWORDS@` is
replaced by what the table has.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from keepalived_py.cli import commands
from keepalived_py.cli.options import SPECS, OptionSpec, Value
from keepalived_py.config.schema import Keyword
from keepalived_py.config.table import ENTRY, places, remarks, sentence, signature

MAN = Path(__file__).parents[1] / "man"
TOP = "top level"
# The parts of a signature that are to be replaced by something, which a page prints in italics.
_OPERAND = re.compile(r"<[^<>]*>")


def escaped(text: str) -> str:
    """Text as roff takes it: no escape, no request, characters that can be searched for and copied."""
    made = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("'", "\\(aq")
    made = made.replace("^", "\\(ha").replace("~", "\\(ti").replace("`", "\\(ga")
    return f"\\&{made}" if made[:1] in (".", "'") else made


def words(text: str) -> str:
    """A signature: words in bold, operands in italics, what joins them as it is."""
    parts = []
    at = 0
    for found in _OPERAND.finditer(text):
        parts += [_bold(text[at : found.start()]), f"\\fI{escaped(found[0][1:-1])}\\fR"]
        at = found.end()
    return "".join([*parts, _bold(text[at:])])


def _bold(text: str) -> str:
    pieces = re.split(r"([\[\]|{} ]+|\.\.\.)", text)
    return "".join(
        escaped(one) if number % 2 else f"\\fB{escaped(one)}\\fR" if one else ""
        for number, one in enumerate(pieces)
    )


# The command line ------------------------------------------------------------


def options() -> Iterator[str]:
    """The command line of the daemon."""
    for spec in SPECS:
        if not spec.hidden:
            text = escaped(f"{spec.help}." + (" Without effect so far." if spec.without_effect else ""))
            yield from (".TP", _option(spec), text)


def _option(spec: OptionSpec) -> str:
    value = f"\\fI{escaped(spec.metavar)}\\fR"
    shown = {Value.NONE: "", Value.REQUIRED: f"={value}", Value.OPTIONAL: f"[={value}]"}
    short = f"\\fB\\-{spec.short}\\fR, " if spec.short else ""
    return f"{short}\\fB\\-\\-{escaped(spec.long)}\\fR{shown[spec.value]}"


def command_list() -> Iterator[str]:
    """The commands that are the first word of a command line, each with its own options."""
    for name, help in commands.COMMANDS.items():
        parser = commands.parser_of(name)
        listed = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
        yield from (
            f".SS {escaped(name)}",
            f"\\fBkeepalived\\-py {escaped(name)}\\fR {_synopsis(listed)}".strip(),
        )
        yield from (".PP", escaped(f"{(parser.description or help).rstrip('.')}."))
        for action in listed:
            yield from (".TP", _action(action), escaped(f"{_capital(action.help or '')}."))
        if parser.epilog:
            yield from (".PP", escaped(parser.epilog))


def _synopsis(actions: list[argparse.Action]) -> str:
    """What may follow the command."""
    parts = ["[\\fIOPTION\\fR ...]"] if any(action.option_strings for action in actions) else []
    for action in actions:
        if not action.option_strings:
            name = f"\\fI{escaped(_value(action))}\\fR"
            several = f"{name} ..." if action.nargs == "*" else name
            parts.append(f"[{several}]" if action.nargs in ("?", "*") else name)
    return " ".join(parts)


def _action(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"\\fI{escaped(_value(action))}\\fR"
    names = ", ".join(f"\\fB{escaped(name)}\\fR" for name in action.option_strings)
    return names if action.nargs == 0 else f"{names} \\fI{escaped(_value(action))}\\fR"


def _value(action: argparse.Action) -> str:
    if action.metavar is None and action.choices is not None:
        return "|".join(action.choices)
    return str(action.metavar or action.dest.upper())


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".")


# Keywords --------------------------------------------------------------------


def keywords() -> Iterator[str]:
    """All blocks, each with its keywords; a block that is like another one only names it."""
    sections: dict[str, list[Keyword[object]]] = {}
    for place in places():
        sections.setdefault(place.block, []).append(place.keyword)
    seen: dict[tuple[str, ...], str] = {}
    for name, listed in sections.items():
        lines = tuple(line for keyword in listed for line in _keyword(keyword))
        yield f".SS {escaped(name or TOP)}"
        first = seen.setdefault(lines, name) if len(listed) > 1 else name
        yield from lines if first == name else (f"As in \\fB{escaped(first)}\\fR.",)


def _keyword(keyword: Keyword[object]) -> Iterator[str]:
    notes = " ".join(f"{remark.rstrip('.')}." for remark in remarks(keyword))
    yield ".TP"
    yield words(signature(keyword)) if keyword.name != ENTRY else f"each line: {words(signature(keyword))}"
    yield escaped(sentence(keyword))
    if notes:
        yield escaped(notes)


def page(template: Path) -> str:
    """The page of one template."""
    parts = {"@OPTIONS@": options, "@COMMANDS@": command_list, "@KEYWORDS@": keywords}
    lines: list[str] = []
    for line in template.read_text().splitlines():
        lines.extend(parts[line]() if line in parts else [line])
    return "".join(f"{line}\n" for line in lines)


def stale() -> Iterator[tuple[Path, str]]:
    """The pages that are not what the tables say, with what they should be."""
    for template in sorted(MAN.glob("*.in")):
        target, text = template.with_suffix(""), page(template)
        if not target.exists() or target.read_text() != text:
            yield target, text


def main() -> int:
    """Write or check all pages; returns the exit code."""
    found = list(stale())
    if "--check" in sys.argv:
        for target, _ in found:
            print(f"man/{target.name} is not up to date: make man", file=sys.stderr)
        return 1 if found else 0
    for target, text in found:
        target.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
