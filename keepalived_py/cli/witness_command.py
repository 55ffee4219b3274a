"""`keepalived-py witness -f FILE`: be the member that votes and never holds anything.

It runs in the foreground, for any user, without root.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keepalived_py.base.logs import Level, Log, LogSettings
from keepalived_py.cli.members import load_here
from keepalived_py.cli.words import EXIT_USAGE, Parser

if TYPE_CHECKING:
    from keepalived_py.config.load import Loaded
    from keepalived_py.model.raft import RaftCluster

EXIT_CONFIGURATION = 2


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py witness",
        description="Run a member that votes and never holds anything, in the foreground, by any user.",
    )
    made.add_argument(
        *("-f", "--use-file"),
        metavar="FILE",
        required=True,
        help="a configuration whose own member is a witness",
    )
    made.add_argument("-D", "--log-detail", action="store_true", help="more detailed log messages")
    made.add_argument("-S", "--syslog", action="store_true", help="log to syslog too")
    made.add_argument(
        "--log-encoder",
        default="console",
        choices=("console", "json"),
        help="how log lines are written (console)",
    )
    return made


def run(words: Sequence[str]) -> int:
    """Be a witness until SIGTERM or SIGINT; 0 then, 1, 2 or 6 if that is impossible."""
    options = parser().parse_args(words)
    path = os.path.abspath(options.use_file)
    if not os.access(path, os.R_OK):
        print(f"{options.use_file}: cannot be read", file=sys.stderr)
        return EXIT_USAGE
    from keepalived_py.daemon import witness

    log = Log(
        LogSettings(
            ident="Keepalived_witness",
            syslog=options.syslog,
            console=True,
            detail=int(options.log_detail),
            level=Level.DEBUG,
            json=options.log_encoder == "json",
        )
    )

    def load() -> RaftCluster:
        loaded = load_here(path)
        _say(loaded, log)
        return _witness(loaded, options.use_file)

    return witness.run(load, log)


def _say(loaded: Loaded, log: Log) -> None:
    from keepalived_py.daemon.reload import log_lines

    for line in log_lines(loaded.diagnostics):
        log.warn(line)


def _witness(loaded: Loaded, path: str) -> RaftCluster:
    """The cluster, if the own member is a witness of it; raises Unusable."""
    from keepalived_py.daemon.witness import Unusable
    from keepalived_py.model.raft import RaftCluster

    if loaded.start_exit_code is not None:
        raise Unusable(f"{path} cannot be used: see above", loaded.start_exit_code)
    raft = loaded.configuration.raft
    if not isinstance(raft, RaftCluster):
        raise Unusable(
            f"{path} configures no cluster that elects by quorum (raft_cluster)", EXIT_CONFIGURATION
        )
    if not raft.member(raft.own).witness:
        raise Unusable(
            f"{raft.own} is no witness in {path}: write `witness` behind its member line (on every member),"
            " or start keepalived-py without `witness`",
            EXIT_CONFIGURATION,
        )
    return raft
