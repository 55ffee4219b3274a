"""Write the manual pages out of the tables that the program itself reads.

    python scripts/make_man.py          write man/*.5 and man/*.8
    python scripts/make_man.py --check  only say (exit 1) if one of them is not up to date

The prose stands in man/*.in; a line `@OPTIONS@`, `@COMMANDS@` or `@KEYWORDS@` is
replaced by what the table has.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from keepalived_py.cli import commands
from keepalived_py.cli.options import SPECS, OptionSpec, Value
from keepalived_py.config.schema import Keyword
from keepalived_py.config.table import Place, places, remarks, signature

MAN = Path(__file__).parents[1] / "man"


def escaped(text: str) -> str:
    """Text as roff takes it: no escape, no request, hyphens that can be searched for."""
    made = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("'", "\\(aq")
    return f"\\&{made}" if made[:1] in (".", "'") else made


def options() -> Iterator[str]:
    """The command line of the daemon."""
    for spec in SPECS:
        if not spec.hidden:
            yield ".TP"
            yield f".B {_option(spec)}"
            yield escaped(f"{spec.help}." + (" Without effect so far." if spec.without_effect else ""))


def _option(spec: OptionSpec) -> str:
    value = escaped(spec.metavar)
    shown = {Value.NONE: "", Value.REQUIRED: f"=\\fI{value}\\fB", Value.OPTIONAL: f"[=\\fI{value}\\fB]"}
    short = f"\\-{spec.short}, " if spec.short else ""
    return f"{short}\\-\\-{escaped(spec.long)}{shown[spec.value]}"


def command_list() -> Iterator[str]:
    """The commands that are the first word of a command line."""
    for name, command in commands.COMMANDS.items():
        yield ".TP"
        yield f".B keepalived\\-py {escaped(name)} \\fI{escaped(command.arguments)}\\fB"
        yield escaped(f"{command.help}.")


def keywords() -> Iterator[str]:
    """All blocks, each with its keywords."""
    section = None
    for place in places():
        block = _section(place)
        if block != section:
            yield f".SS {escaped(block) or 'Top level'}"
            section = block
        yield ".TP"
        yield f".B {escaped(signature(place.keyword))}"
        yield escaped(". ".join([_sentence(place.keyword), *map(escaped_dot, remarks(place.keyword))]) + ".")


def escaped_dot(text: str) -> str:
    """A remark without a full stop of its own."""
    return text.rstrip(".")


def _sentence(keyword: Keyword[object]) -> str:
    text = (keyword.help or keyword.name).rstrip(".")
    return text[:1].upper() + text[1:]


def _section(place: Place) -> str:
    return place.block


def page(template: Path) -> str:
    """The page of one template."""
    parts = {"@OPTIONS@": options, "@COMMANDS@": command_list, "@KEYWORDS@": keywords}
    lines: list[str] = []
    for line in template.read_text().splitlines():
        lines.extend(parts[line]() if line in parts else [line])
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Write or check all pages; returns the exit code."""
    stale = []
    for template in sorted(MAN.glob("*.in")):
        target = template.with_suffix("")
        text = page(template)
        if target.exists() and target.read_text() == text:
            continue
        stale.append(target.name)
        if "--check" not in sys.argv:
            target.write_text(text)
    if "--check" in sys.argv and stale:
        print(f"not up to date: {', '.join(stale)} (run scripts/make_man.py)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
