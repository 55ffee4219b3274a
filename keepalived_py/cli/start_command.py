"""`keepalived-py start -c FILE`: the command line of keep-vip's systemd unit.

The options are those of keep-vip.  The file is keep-vip's YAML, whatever its name.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from keepalived_py.cli.words import Parser
from keepalived_py.config.host import RealHost
from keepalived_py.config.load import load_cluster
from keepalived_py.diagnostics.render import render

DEFAULT_FILE = "/etc/keep-vip/config.yaml"


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py start", description="Run with keep-vip's YAML, as its systemd unit calls it."
    )
    made.add_argument(
        "-c",
        "--config",
        default=DEFAULT_FILE,
        metavar="FILE",
        help=f"keep-vip's configuration (default: {DEFAULT_FILE})",
    )
    made.add_argument(
        "--log-level",
        default="debug",
        choices=("debug", "info", "warn", "error"),
        help="read, but of no effect",
    )
    made.add_argument(
        "--log-encoder", default="console", choices=("console", "json"), help="read, but of no effect"
    )
    return made


def run(words: Sequence[str]) -> int:
    """Read the file and say what is wrong with it; the exit code tells why it is not run."""
    options = parser().parse_args(words)
    loaded = load_cluster(options.config, host=RealHost())
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    sys.stderr.write(render(loaded.diagnostics, "full", colour))
    return loaded.start_exit_code or 0
