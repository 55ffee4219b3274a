"""`keepalived-py status`: who leads, who is there, who holds what, and which servers serve.

The running member of a cluster is asked.  If it does not answer, or may not be asked by this user,
the snapshot it wrote last is shown, with its age.  Virtual servers (`cli.checks_status`) are shown
whether or not there is a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

from keepalived_py.cli import checks_status, members
from keepalived_py.cli.members import EXIT_PERMISSION, Unusable, guarded
from keepalived_py.cli.words import Parser
from keepalived_py.status import checks_snapshot, raft_snapshot
from keepalived_py.status.checks_snapshot import Snapshot as ChecksSnapshot
from keepalived_py.status.raft_snapshot import BadSnapshot, LeaseLine, MemberLine, Snapshot

# A snapshot is written twice a second; one that is much older was left behind.
_OLD_S = 3.0
_STATES = {"leader": "holds", "candidate": "asks", "follower": "-"}


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py status",
        description="Show what runs here: the members, leases and log of the cluster, and virtual servers.",
    )
    made.add_argument("--json", action="store_true", help="for programs")
    members.add_place(made)
    return made


def run(words: Sequence[str]) -> int:
    """Print it; 0 if the daemon runs, as far as this user can see, 1 if not (what it left is shown then)."""
    options = parser().parse_args(words)
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    servers = checks_status.known(options)
    known: Snapshot | None = None
    trouble: Unusable | None = None
    try:
        known, trouble = _known(members.run_directory(options))
    except members.Ambiguous:
        raise
    except Unusable:
        if not servers:
            raise
    if options.json:
        made: dict[str, object] = {} if known is None else {**raft_snapshot.to_json(known)}
        if servers:
            made["checks_of_servers"] = [checks_snapshot.plain(one) for one in servers]
        print(json.dumps(made, indent=2, ensure_ascii=False))
    else:
        parts = [] if known is None else ["\n".join(table(known))]
        print("\n\n".join([*parts, *("\n".join(_servers(one)) for one in servers)]))
    if known is None or trouble is None:
        return 0
    age_s = max(0.0, time.time() - known.at)
    print(f"\n{trouble}\nShown is what it wrote {age_s:.1f} s ago.", file=sys.stderr)
    return 0 if trouble.code == EXIT_PERMISSION and age_s <= _OLD_S else 1


def _known(directory: str) -> tuple[Snapshot, Unusable | None]:
    """What is known, and why the member could not be asked; raises Unusable if nothing is known."""
    try:
        return members.status(directory), None
    except Unusable as fault:
        try:
            return raft_snapshot.read(os.path.join(directory, raft_snapshot.FILE)), fault
        except (OSError, BadSnapshot):
            raise fault from None


# -- for people --------------------------------------------------------------------


def table(known: Snapshot) -> Iterator[str]:
    """The lines for a terminal of eighty columns."""
    role = ", a witness" if known.witness else ""
    yield f"Cluster {known.cluster}, member {known.own}{role}"
    enough = known.live >= known.majority
    quorum = f"{known.live} of {len(known.members)} members, {known.majority} needed"
    yield f"  quorum       {'yes' if enough else 'NO'} ({quorum}; without one: {known.no_quorum})"
    yield f"  log          term {known.term}, index {known.log_index}, leader {known.log_leader or 'none'}"
    if not known.witness:
        gate = (
            "the kernel ends leases by itself"
            if known.gate
            else "no: a process that hangs keeps its addresses"
        )
        yield f"  gate         {gate}"
    if known.drained:
        yield f"  maintenance  {', '.join(known.drained)}"
    yield ""
    yield from _aligned(
        ("MEMBER", "ADDRESS", "STATE", "HEARD", "REMARKS"),
        [_member(known, member) for member in known.members],
    )
    if known.leases:
        yield ""
        yield from _aligned(
            ("LEASE", "HOLDER", "HERE", "LEFT", "TOKEN", "PRIORITY", "REMARKS"),
            [_lease(known, lease) for lease in known.leases],
        )
    if known.checks:
        yield ""
        yield from _aligned(
            ("CHECK", "ADDRESS", "STATE"),
            [(check.name, check.address, "good" if check.good else "FAILS") for check in known.checks],
        )


def _servers(known: ChecksSnapshot) -> Iterator[str]:
    yield checks_status.headline(known)
    yield ""
    yield from _aligned(*_headed(checks_status.virtuals(known)))
    if failing := checks_status.failures(known):
        yield ""
        yield from _aligned(*_headed(failing))


def _headed(rows: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], Sequence[tuple[str, ...]]]:
    return rows[0], rows[1:]


def _member(known: Snapshot, member: MemberLine) -> tuple[str, ...]:
    own = member.id == known.own
    heard = "" if own else "never" if member.heard_us_ago is None else _duration(member.heard_us_ago)
    remarks = [
        *(["this one"] if own else []),
        *(["witness"] if member.witness else []),
        *(["maintenance"] if member.id in known.drained else []),
        *(["no gate"] if not (member.guarded or member.witness) and (own or member.live) else []),
    ]
    return member.id, member.address, "there" if own or member.live else "GONE", heard, ", ".join(remarks)


def _lease(known: Snapshot, lease: LeaseLine) -> tuple[str, ...]:
    pinned = dict(known.pinned).get(lease.name)
    remarks = [
        *([f"pinned to {pinned}"] if pinned is not None else []),
        *(["not able"] if not lease.able and not known.witness else []),
    ]
    left = _duration(lease.left_us) if lease.left_us is not None else ""
    return (
        lease.name,
        lease.holder or "NOBODY",
        _STATES.get(lease.state, lease.state),
        left,
        str(lease.token),
        str(lease.priority),
        ", ".join(remarks),
    )


def _duration(micros: int) -> str:
    return f"{micros / 1000:.0f} ms" if micros < 1_000_000 else f"{micros / 1_000_000:.1f} s"


def _aligned(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
