"""`keepalived-py transfer LEASE --to MEMBER`: hand what an instance or group holds to another member.

The order is kept by the cluster: from then on the member comes before all others for this
lease, whatever the priorities are, until `--release`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keepalived_py.cli import members
from keepalived_py.cli.members import EXIT_FAILED, Unusable, guarded
from keepalived_py.cli.words import EXIT_USAGE, Parser
from keepalived_py.status.raft_snapshot import Snapshot

_WAIT_S = 10.0


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py transfer",
        description="Hand what an instance or sync group of a cluster holds to a member, and keep it there.",
    )
    made.add_argument("lease", metavar="LEASE", help="the instance or the sync group")
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", metavar="MEMBER", help="who is to hold it, whatever the priorities are")
    what.add_argument("--release", action="store_true", help="priorities decide again")
    made.add_argument(
        "--wait",
        type=members.seconds,
        default=_WAIT_S,
        metavar="SECONDS",
        help=f"how long to wait until it is held there (default: {_WAIT_S:g}; 0: only give the order)",
    )
    members.add_place(made)
    return made


def run(words: Sequence[str]) -> int:
    """Give the order and wait; 0 if it is done, 1 with the reason if not."""
    options = parser().parse_args(words)
    return guarded(lambda: _release(options) if options.release else _transfer(options))


def _release(options: argparse.Namespace) -> int:
    directory = members.run_directory(options)
    known = members.status(directory)
    _need_lease(known, options.lease)
    members.need_quorum(known)
    members.ask(directory, {"do": "unpin", "lease": options.lease})
    print(f"{options.lease}: priorities decide again")
    return 0


def _transfer(options: argparse.Namespace) -> int:
    directory = members.run_directory(options)
    known = members.status(directory)
    _judge(known, options.lease, options.to)
    members.ask(directory, {"do": "transfer", "lease": options.lease, "to": options.to})
    if not options.wait:
        print(f"{options.lease}: {options.to} has been asked to take it")
        return 0
    done, known = members.wait_until(
        directory, lambda seen: _holder(seen, options.lease) == options.to, options.wait
    )
    if done:
        print(f"{options.lease} is held by {options.to}")
        return 0
    text = _why_not(known, options.lease, options.to)
    raise Unusable(
        f"{options.lease} is not held by {options.to} after {options.wait:g} s: {text}\n"
        f"The order stands; take it back with: keepalived-py transfer {options.lease} --release",
        EXIT_FAILED,
    )


def _judge(known: Snapshot, lease: str, member: str) -> None:
    """Raise Unusable for what cannot come true."""
    _need_lease(known, lease)
    found = known.member(member)
    if found is None:
        names = ", ".join(each.id for each in known.members)
        raise Unusable(f"The cluster has no member {member}; there are {names}", EXIT_USAGE)
    if found.witness:
        raise Unusable(f"{member} is a witness: it votes and never holds anything")
    if member in known.drained:
        raise Unusable(f"{member} is in maintenance: keepalived-py maintenance off {member}")
    members.need_quorum(known)
    if not found.live and member != known.own:
        raise Unusable(f"{member} is not there{_heard(found.heard_us_ago)}")


def _need_lease(known: Snapshot, lease: str) -> None:
    if known.witness:
        raise Unusable("A witness knows no leases: run this on another member")
    if known.lease(lease) is None:
        names = ", ".join(each.name for each in known.leases) or "none"
        raise Unusable(
            f"No lease is called {lease}; there are {names} (one for each instance outside groups,"
            " one for each sync group)",
            EXIT_USAGE,
        )


def _holder(known: Snapshot, lease: str) -> str | None:
    found = known.lease(lease)
    return None if found is None else found.holder


def _why_not(known: Snapshot, lease: str, member: str) -> str:
    found = known.member(member)
    if found is not None and not found.live and member != known.own:
        return f"{member} is not there{_heard(found.heard_us_ago)}"
    if known.live < known.majority:
        return "there is no quorum"
    own = known.lease(lease)
    if member == known.own and own is not None and not own.able:
        return f"{member} is not able to hold it (an interface is down, or a check fails)"
    holder = _holder(known, lease)
    held = f"{holder} holds it" if holder is not None else "nobody holds it"
    return f"{held}; {member} may be unable to (see its own `keepalived-py status`)"


def _heard(ago_us: int | None) -> str:
    return " (never heard of)" if ago_us is None else f" (last heard of {ago_us / 1_000_000:.1f} s ago)"
