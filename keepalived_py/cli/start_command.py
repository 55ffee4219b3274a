"""`keepalived-py start -c FILE`: the command line of keep-vip's systemd unit.

The options are those of keep-vip, and so is what is different from the daemon's own way
to start: it stays in the foreground, logs to its standard output and to nothing else, and the
file is keep-vip's YAML, whatever its name.  Its pid files are in the member's run
directory, so that it is never taken for a keepalived on the same machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from keepalived_py.base.logs import Level, Log, LogSettings
from keepalived_py.cli.words import Parser
from keepalived_py.config.host import RealHost
from keepalived_py.config.load import Loaded, load_cluster
from keepalived_py.model.raft import RaftCluster

DEFAULT_FILE = "/etc/keep-vip/config.yaml"
EXIT_PERMISSION = 4
_STDOUT = 1
_PID_FILES = ("keepalived", "checkers", "vrrp", "bfd", "keepalived_status")


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
        help="what matters less is not logged (default: debug)",
    )
    made.add_argument(
        "--log-encoder",
        default="console",
        choices=("console", "json"),
        help="how log lines are written (default: console)",
    )
    return made


def run(words: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; the exit code of the daemon."""
    from keepalived_py.daemon import start

    options = parser().parse_args(words)
    path = os.path.abspath(options.config)
    refusal = start.missing_permission()
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return EXIT_PERMISSION
    level = Level[options.log_level.upper()]
    log = Log(
        LogSettings(
            syslog=False,
            console=True,
            detail=int(level is Level.DEBUG),
            level=level,
            json=options.log_encoder == "json",
        ),
        console_fd=_STDOUT,
    )
    settings = start.RunSettings(
        command_line=("keepalived-py", "start", *words),
        path=path,
        load=_load,
        log=log,
        foreground=True,
        pid_files=_pid_files(path),
    )
    return start.run(settings)


def _load(path: str) -> Loaded:
    return load_cluster(path, host=RealHost())


def _pid_files(path: str) -> dict[str, str]:
    """In the run directory; where there is none, or the file is of no use, the usual places."""
    from keepalived_py.system.state_files import make_directory

    loaded = _load(path)
    raft = loaded.configuration.raft
    if loaded.start_exit_code is not None or not isinstance(raft, RaftCluster) or not raft.run_directory:
        return {}
    try:
        # Here, because the daemon's umask would shut others out of the snapshot in it.
        make_directory(raft.run_directory)
    except OSError:  # the daemon meets it again, and says so
        return {}
    return {name: os.path.join(raft.run_directory, f"{name}.pid") for name in _PID_FILES}
