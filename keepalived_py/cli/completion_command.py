"""`keepalived-py completion SHELL`: a script that teaches the shell our options, commands and keywords.

shtab writes it, from an argparse view of the whole command line: the table of
the daemon's options and the parsers of the commands.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import shtab

from keepalived_py.cli.commands import COMMANDS, parser_of
from keepalived_py.cli.options import SPECS, OptionSpec, Value
from keepalived_py.cli.words import Parser

SHELLS = ("bash", "zsh", "tcsh")
PROGRAM = "keepalived-py"
# Without a keyword `explain` lists them all.  The path of an option may hold blanks and brackets.
KEYWORDS = {
    "bash": "_keepalived_py_keywords",
    "zsh": "_keepalived_py_keywords",
    "tcsh": "`keepalived-py explain`",
}
PREAMBLE = {
    "bash": """
_keepalived_py_keywords() {
    local IFS=$'\\n'
    compgen -W "$(keepalived-py explain 2>/dev/null | grep -v '[<>]')" -- "$1"
}
""",
    "zsh": """
_keepalived_py_keywords() {
    local -a found
    found=(${(f)"$(keepalived-py explain 2>/dev/null)"})
    compadd -a found
}
""",
}
FILES = ("FILE", "FACTS", "FOLDER")


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog=f"{PROGRAM} completion",
        description="Print the completion script of a shell.",
        epilog="For bash: keepalived-py completion bash > /etc/bash_completion.d/keepalived-py",
    )
    made.add_argument("shell", choices=SHELLS, help="whose script")
    return made


def run(words: Sequence[str]) -> int:
    """Print the script; always 0."""
    options = parser().parse_args(words)
    print(shtab.complete(program(), options.shell, preamble=PREAMBLE.get(options.shell, "")))
    return 0


def program() -> argparse.ArgumentParser:
    """The whole command line, as argparse sees one."""
    made = argparse.ArgumentParser(prog=PROGRAM, add_help=False)
    for spec in SPECS:
        if not spec.hidden:
            _add(made, spec)
    commands = made.add_subparsers(dest="command")
    for name, help in COMMANDS.items():
        own = parser_of(name)
        _complete_values(own)
        commands.add_parser(name, help=help, parents=[own], add_help=False)
    return made


def _add(made: argparse.ArgumentParser, spec: OptionSpec) -> None:
    names = [f"-{spec.short}"] if spec.short else []
    names.append(f"--{spec.long}")
    if spec.value is Value.NONE:
        made.add_argument(*names, action="store_true", help=spec.help)
        return
    nargs = "?" if spec.value is Value.OPTIONAL else None
    # The words of a choice; a range of numbers is none.
    words = spec.metavar.split("|") if "|" in spec.metavar and ".." not in spec.metavar else None
    action = made.add_argument(*names, nargs=nargs, metavar=spec.metavar, choices=words, help=spec.help)
    _complete(action)


def _complete_values(made: argparse.ArgumentParser) -> None:
    for action in made._actions:
        _complete(action)


def _complete(action: argparse.Action) -> None:
    """What the shell may offer for a value beside the words of a choice."""
    if action.metavar in FILES or action.dest in ("file", "folder"):
        action.complete = shtab.FILE  # type: ignore[attr-defined]  # how shtab wants to be told
    elif action.dest == "keyword":
        action.complete = KEYWORDS  # type: ignore[attr-defined]
