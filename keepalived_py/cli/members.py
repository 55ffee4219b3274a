"""How the commands find a member that runs on this machine, and talk to it.

Its run directory is named on the command line, or stands in its configuration, or
is the only one there is.
"""

from __future__ import annotations

import argparse
import glob
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from keepalived_py.base.errors import KeepalivedError
from keepalived_py.cli.options import DEFAULT_CONFIGURATION
from keepalived_py.cli.words import EXIT_USAGE
from keepalived_py.election.raft import control
from keepalived_py.status import raft_snapshot
from keepalived_py.status.raft_snapshot import BadSnapshot, Snapshot

if TYPE_CHECKING:
    from keepalived_py.config.load import Loaded

RUN_DIRECTORIES = "/run/keepalived-py/*/*"
EXIT_FAILED = 1
EXIT_PERMISSION = 4
# An order is answered when most members have it on their disks.
_ANSWER_S = 5.0
_LOOK_AGAIN_S = 0.05


class Unusable(KeepalivedError):
    """The command cannot do its work; the text says why and what to do.  `code` is its exit code."""

    def __init__(self, text: str, code: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.code = code


class Ambiguous(Unusable):
    """Several members run here, and none of them was named."""


def add_place(made: argparse.ArgumentParser) -> None:
    """The options that say which member is meant."""
    where = made.add_mutually_exclusive_group()
    where.add_argument(
        *("-f", "--use-file"),
        metavar="FILE",
        help=f"the member's configuration (default: {DEFAULT_CONFIGURATION} if it has a cluster,"
        " else the only member that runs here)",
    )
    where.add_argument("--run-directory", metavar="FOLDER", help="where the member's control socket is")


def seconds(text: str) -> float:
    """A number of seconds for argparse; raises ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 86400")
    return found


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a command; what makes it impossible goes to stderr.  Returns the exit code."""
    try:
        return work()
    except Unusable as fault:
        print(fault, file=sys.stderr)
        return fault.code


# -- where it is -------------------------------------------------------------------


def run_directory(options: argparse.Namespace) -> str:
    """The directory of the member that the options mean; raises Unusable."""
    if options.run_directory is not None:
        return str(options.run_directory)
    if options.use_file is not None:
        return _of_file(options.use_file)
    if os.access(DEFAULT_CONFIGURATION, os.R_OK):
        found = _configured(DEFAULT_CONFIGURATION)
        if found:
            return found
    return _only_one()


def _of_file(path: str) -> str:
    if not os.access(path, os.R_OK):
        raise Unusable(f"{path}: cannot be read", EXIT_USAGE)
    found = _configured(path)
    if found is None:
        raise Unusable(
            f"{path} configures no cluster that elects by quorum, or cannot be used here"
            f" (keepalived-py -t -f {path} tells)",
            EXIT_USAGE,
        )
    if not found:
        raise Unusable(f"{path} sets no run_directory, so nobody can be asked", EXIT_USAGE)
    return found


def load_here(path: str) -> Loaded:
    """The configuration at `path`, read on this machine as it is now."""
    from keepalived_py.cli.hosts import host_for
    from keepalived_py.cli.words import node_id
    from keepalived_py.config.load import load
    from keepalived_py.config.schema import NEWEST

    host = host_for()
    return load(path, config_id=node_id(None, host), host=host, compat=NEWEST)


def _configured(path: str) -> str | None:
    """The run directory that a configuration names ("": none); None if it has no cluster."""
    from keepalived_py.model.raft import RaftCluster

    raft = load_here(path).configuration.raft
    return raft.run_directory if isinstance(raft, RaftCluster) else None


def _only_one() -> str:
    found = [
        path
        for path in sorted(glob.glob(RUN_DIRECTORIES))
        if any(os.path.exists(os.path.join(path, name)) for name in (control.FILE, raft_snapshot.FILE))
    ]
    if not found:
        raise Unusable(
            "No member of a cluster runs on this machine (or it has another run directory:"
            " name it with --run-directory, or its configuration with -f)"
        )
    if len(found) > 1:
        # A member that was killed leaves its directory behind.
        found = [path for path in found if control.is_served(os.path.join(path, control.FILE))] or found
    if len(found) > 1:
        listed = "\n  ".join(found)
        raise Ambiguous(
            f"Several members run on this machine: choose one with --run-directory\n  {listed}", EXIT_USAGE
        )
    return found[0]


# -- talking to it -------------------------------------------------------------------


def ask(directory: str, request: Mapping[str, str], timeout_s: float = _ANSWER_S) -> dict[str, Any]:
    """The reply to a request that was granted; raises Unusable for every other outcome."""
    path = os.path.join(directory, control.FILE)
    try:
        reply = control.ask(path, request, timeout_s)
    except control.NotRunning as fault:
        raise Unusable(f"The member is not running: {fault}") from fault
    except control.NotAllowed as fault:
        raise Unusable(f"Not permitted: {fault}; run this as root", EXIT_PERMISSION) from fault
    except control.NoAnswer as fault:
        raise Unusable(f"The member runs, but does not answer: {fault}") from fault
    if not reply["ok"]:
        raise Unusable(str(reply.get("error", "refused, without a reason")))
    return reply


def status(directory: str) -> Snapshot:
    """What the member knows now; raises Unusable."""
    reply = ask(directory, {"do": "status"})
    try:
        return raft_snapshot.from_json(reply)
    except BadSnapshot as fault:
        raise Unusable(f"The member's answer cannot be understood: {fault}") from fault


def need_quorum(known: Snapshot) -> None:
    """Raise Unusable if the cluster cannot decide anything."""
    if known.live < known.majority:
        raise Unusable(
            f"No quorum: {known.live} of {len(known.members)} members are there, {known.majority} are needed."
            " Nothing can be ordered until more of them are"
        )


def wait_until(directory: str, reached: Callable[[Snapshot], bool], limit_s: float) -> tuple[bool, Snapshot]:
    """Look until something is so, or `limit_s` is over: whether it is, and the last that was known.

    Raises Unusable.
    """
    deadline = time.monotonic() + limit_s
    while True:
        known = status(directory)
        if reached(known):
            return True, known
        if time.monotonic() >= deadline:
            return False, known
        time.sleep(_LOOK_AGAIN_S)
