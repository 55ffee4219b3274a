"""The sub-commands: the first word of the command line, when it is one of these.

keepalived takes no words, only options, so no command line of its own is
touched.  A command's module is imported when it is asked for; its `run` takes
the words behind the name and returns the exit code, its `parser` knows what
these words may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser

# Each is the module `cli/NAME_command.py`.
COMMANDS = {
    "check": "Check files, and several of them as one cluster",
    "facts": "Print what a check needs to know about this machine, for check --facts",
    "explain": "Say what a keyword of the configuration means",
    "dump": "Print the configuration as it is understood",
    "schema": "Print the JSON Schema of what dump --json prints",
    "convert": "Turn keepalived.conf into keep-vip's YAML, or the other way round",
    "completion": "Print the completion script of a shell",
    "start": "Run with keep-vip's YAML, as its systemd unit calls it",
    "witness": "Run a member that votes and never holds anything",
    "status": "Show virtual servers, and the members and leases of a cluster",
    "transfer": "Hand a lease over to another member",
    "maintenance": "Have a member hold nothing, or compete again",
    "genhash": "Print the digest of a page, for HTTP_GET and SSL_GET",
    "history": "Show who has held what in a cluster",
    "rs": "Show real servers and their checks; drain them, or set their weights",
}


def is_command(words: Sequence[str]) -> bool:
    """Whether a command line names a command."""
    return bool(words) and words[0] in COMMANDS


def run(words: Sequence[str]) -> int:
    """Run the command that `words` begin with; returns its exit code."""
    name, *rest = words
    code: int = _module(name).run(rest)
    return code


def parser_of(name: str) -> ArgumentParser:
    """What may stand behind the command `name`."""
    made: ArgumentParser = _module(name).parser()
    return made


def _module(name: str) -> Any:
    return import_module(f"keepalived_py.cli.{name}_command")
