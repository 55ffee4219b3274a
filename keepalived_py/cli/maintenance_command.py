"""`keepalived-py maintenance on|off [MEMBER]`: have a member hold nothing, for as long as it takes.

The cluster remembers it, over restarts of that member too.  It goes on voting.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keepalived_py.cli import members
from keepalived_py.cli.members import Unusable, guarded
from keepalived_py.cli.words import EXIT_USAGE, Parser
from keepalived_py.status.raft_snapshot import Snapshot

_WAIT_S = 10.0


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py maintenance",
        description="Have a member of a cluster hold nothing (on), or compete again (off).",
    )
    made.add_argument("state", choices=("on", "off"), help="whether it is to be in maintenance")
    made.add_argument("member", nargs="?", metavar="MEMBER", help="which one (default: this one)")
    made.add_argument(
        "--wait",
        type=members.seconds,
        default=_WAIT_S,
        metavar="SECONDS",
        help=f"how long to wait until it holds nothing (default: {_WAIT_S:g}; 0: only give the order)",
    )
    members.add_place(made)
    return made


def run(words: Sequence[str]) -> int:
    """Give the order; 0 if it is done, 1 with the reason if not."""
    options = parser().parse_args(words)
    return guarded(lambda: _order(options))


def _order(options: argparse.Namespace) -> int:
    directory = members.run_directory(options)
    known = members.status(directory)
    member = options.member or known.own
    if known.member(member) is None:
        names = ", ".join(each.id for each in known.members)
        raise Unusable(f"The cluster has no member {member}; there are {names}", EXIT_USAGE)
    members.need_quorum(known)
    on = options.state == "on"
    members.ask(directory, {"do": "drain" if on else "undrain", "member": member})
    if on and options.wait:
        _wait(directory, member, options.wait)
    print(f"{member} is in maintenance" if on else f"{member} competes again")
    return 0


def _wait(directory: str, member: str, limit_s: float) -> None:
    done, known = members.wait_until(directory, lambda seen: not _held(seen, member), limit_s)
    if not done:
        raise Unusable(
            f"{member} still holds {', '.join(_held(known, member))} after {limit_s:g} s."
            f" The order stands; take it back with: keepalived-py maintenance off {member}"
        )


def _held(known: Snapshot, member: str) -> list[str]:
    return [lease.name for lease in known.leases if lease.holder == member]
