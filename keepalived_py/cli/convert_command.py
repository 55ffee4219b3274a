"""`keepalived-py convert FILE`: keepalived.conf as keep-vip's YAML, or the other way round.

The result goes to stdout, what has no counterpart to stderr.  Only the file
counts: the machine it is for need not be this one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from keepalived_py.cli.words import EXIT_USAGE, Parser
from keepalived_py.config.convert import Converted, Unknown, to_cluster, to_keepalived
from keepalived_py.config.facts import NoHost
from keepalived_py.config.load import interpret, is_yaml, load
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Diagnostic, Severity

EXIT_UNUSABLE = 5


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py convert",
        description="Turn keepalived.conf into keep-vip's YAML, or the other way round.",
    )
    made.add_argument("file", metavar="FILE", help="*.yaml and *.yml are keep-vip's, all others keepalived's")
    made.add_argument("--to", choices=("keepvip", "keepalived"), help="the other format, if not given")
    made.add_argument("--member", default="", metavar="ID", help="whose keepalived.conf (default: the first)")
    made.add_argument("--instance", default="", metavar="NAME", help="which instance (default: the first)")
    return made


def run(words: Sequence[str]) -> int:
    """Print the other form; 1 for a wrong command line, 5 if FILE has errors or nothing to convert."""
    options = parser().parse_args(words)
    from_yaml = is_yaml(options.file)
    if options.to == ("keepvip" if from_yaml else "keepalived"):
        print(f"{options.file} is in that format already", file=sys.stderr)
        return EXIT_USAGE
    try:
        done = _from_keepvip(options) if from_yaml else _from_keepalived(options)
    except Unknown as fault:
        print(f"{options.file}: {fault}", file=sys.stderr)
        return EXIT_USAGE
    if done is None:
        return EXIT_UNUSABLE
    for note in done.notes:
        print(f"not carried over: {note}" if note.place else f"note: {note}", file=sys.stderr)
    if done.text is None:
        return EXIT_UNUSABLE
    sys.stdout.write(done.text)
    return 0


def _from_keepvip(options: argparse.Namespace) -> Converted | None:
    loaded = load(options.file, config_id="", host=NoHost())
    _report(loaded.diagnostics)
    cluster = loaded.configuration.cluster
    return None if cluster is None else to_keepalived(cluster, options.member)


def _from_keepalived(options: argparse.Namespace) -> Converted | None:
    from keepalived_py.config.syntax import read_document

    document = read_document(options.file, os.uname().nodename.partition(".")[0], True)
    if document.fatal or document.include_failed:
        _report(document.diagnostics)
        print(f"{options.file}: cannot be read", file=sys.stderr)
        return None
    loaded = interpret(document.directives, document.diagnostics, NoHost())
    _report(loaded.diagnostics)
    if loaded.start_exit_code is not None:
        print(f"{options.file}: not converted, since keepalived would not start with it", file=sys.stderr)
        return None
    cluster, notes = to_cluster(loaded.configuration, document.directives, options.instance)
    if cluster is None:
        return Converted(None, notes)
    from keepalived_py.config.keepvip.writer import to_yaml

    return Converted(to_yaml(cluster), notes)


def _report(found: Sequence[Diagnostic]) -> None:
    """Mistakes only: what merely makes the result less good is in the notes."""
    errors = [one for one in found if one.severity is Severity.ERROR and not one.logged_only]
    sys.stderr.write(render(errors, "full", False))
