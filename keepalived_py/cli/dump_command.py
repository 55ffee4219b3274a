"""`keepalived-py dump [FILE]`: the configuration as it is understood, in one canonical form.

What was corrected, dropped or inherited is written as it will be used.  What
is wrong with the file goes to stderr; where it could not be started with,
nothing is dumped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from keepalived_py.cli.hosts import host_for
from keepalived_py.cli.options import DEFAULT_CONFIGURATION
from keepalived_py.cli.words import EXIT_USAGE, Parser, node_id
from keepalived_py.config.dump import MASK, dump
from keepalived_py.config.facts import FactsError
from keepalived_py.config.json_form import to_json
from keepalived_py.config.load import EXIT_SECURITY, Loaded, is_yaml, load
from keepalived_py.diagnostics.render import render
from keepalived_py.diagnostics.report import Severity

EXIT_UNUSABLE = 5
MASKED = f"# Secrets are written as {MASK}; dump --secrets shows them.\n"


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py dump",
        description="Print a configuration as it is understood, with all that is inherited written out.",
    )
    add = made.add_argument
    add(
        "file",
        nargs="?",
        default=DEFAULT_CONFIGURATION,
        metavar="FILE",
        help=f"a configuration; keep-vip's if it ends in .yaml or .yml (default: {DEFAULT_CONFIGURATION})",
    )
    add("--json", action="store_true", help="as JSON; the command schema prints its schema")
    add("--secrets", action="store_true", help="with passwords and keys, not with asterisks in their place")
    machine = made.add_mutually_exclusive_group()
    machine.add_argument(
        "--facts", metavar="FACTS", help="for the machine that this file of `keepalived-py facts` describes"
    )
    machine.add_argument("--no-host", action="store_true", help="leave out what depends on the machine")
    add(
        *("-i", "--config-id"),
        metavar="ID",
        help="what @ID lines are compared with (default: the host name)",
    )
    add("-e", "--all-config", action="store_true", help="a missing included file is an error")
    return made


def run(words: Sequence[str]) -> int:
    """Print the configuration; 1 if it cannot be read, 5 if it could not be started with."""
    options = parser().parse_args(words)
    try:
        host = host_for(options.facts, options.no_host)
    except FactsError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE
    loaded = load(
        options.file, config_id=node_id(options.config_id, host), host=host, all_config=options.all_config
    )
    _report(loaded)
    if is_yaml(options.file):
        return _cluster(loaded, options)
    if loaded.start_exit_code is not None:
        unreadable = loaded.start_exit_code == EXIT_SECURITY
        reason = "cannot be read" if unreadable else "not dumped, since keepalived would not start with it"
        print(f"{options.file}: {reason}", file=sys.stderr)
        return EXIT_USAGE if unreadable else EXIT_UNUSABLE
    if options.json:
        _print_json(to_json(loaded.configuration, secrets=options.secrets))
        return 0
    text = dump(loaded.configuration, secrets=options.secrets)
    hidden = not options.secrets and text != dump(loaded.configuration)
    sys.stdout.write((MASKED if hidden else "") + text)
    return 0


def _cluster(loaded: Loaded, options: argparse.Namespace) -> int:
    """keep-vip's configuration, in its own form."""
    from keepalived_py.config.keepvip.writer import to_values, to_yaml  # the YAML library

    cluster = loaded.configuration.cluster
    if cluster is None:
        return EXIT_USAGE if loaded.start_exit_code == EXIT_SECURITY else EXIT_UNUSABLE
    if options.json:
        _print_json(to_values(cluster))
    else:
        sys.stdout.write(to_yaml(cluster))
    return 0


def _print_json(found: object) -> None:
    print(json.dumps(found, indent=2, ensure_ascii=False))


def _report(loaded: Loaded) -> None:
    """Mistakes only: they are why the dump may have less in it than the file."""
    errors = [one for one in loaded.diagnostics if one.severity is Severity.ERROR and not one.logged_only]
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    sys.stderr.write(render(errors, "full", colour))
