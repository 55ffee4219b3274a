"""The part of `keepalived-py status` that tells of virtual servers.

It is read from the file that the process of the checks keeps for readers, so nobody is
asked and every user may look.  What is well is one line; a check that fails has a line of its own with
what it found.  `keepalived-py rs list` tells the rest.
"""

from __future__ import annotations

import argparse
import glob
import os
import time
from collections.abc import Iterator

from keepalived_py.cli.members import load_here
from keepalived_py.health.orders import RUN_ROOT, places
from keepalived_py.status import checks_snapshot
from keepalived_py.status.checks_snapshot import BadSnapshot, CheckLine, ServerLine, Snapshot, VirtualLine

_MOST_FAILURES = 50
Rows = list[tuple[str, ...]]


def known(options: argparse.Namespace) -> list[Snapshot]:
    """What the daemons that are meant have written; a file that cannot be read tells nothing."""
    made: list[Snapshot] = []
    for directory in _directories(options):
        try:
            made.append(checks_snapshot.read(os.path.join(directory, checks_snapshot.FILE)))
        except (OSError, BadSnapshot):
            continue
    return made


def _directories(options: argparse.Namespace) -> list[str]:
    if options.run_directory is not None:
        return [options.run_directory]
    if options.use_file is not None and not os.access(options.use_file, os.R_OK):
        return []
    if options.use_file is not None:
        general = load_here(options.use_file).configuration.globals
        return [places(general, general.net_namespace).run_directory]
    return sorted({RUN_ROOT, *glob.glob(os.path.join(RUN_ROOT, "*"))})


# -- for people ------------------------------------------------------------------------


def headline(snapshot: Snapshot) -> str:
    """How old it is, and whether somebody else changes the table."""
    healed = snapshot.counters.get("healed", 0)
    words = f", the IPVS table put right {healed} times" if healed else ""
    return f"Virtual servers, as of {max(0.0, time.time() - snapshot.at):.1f} s ago{words}"


def virtuals(snapshot: Snapshot) -> Rows:
    """A head and a row for each virtual server."""
    head = ("VIRTUAL SERVER", "STATE", "SERVERS", "QUORUM", "REMARKS")
    return [head, *(_virtual(line) for line in snapshot.virtual_servers)]


def _virtual(line: VirtualLine) -> tuple[str, ...]:
    alive = sum(server.alive for server in line.servers)
    ordered = [server for server in line.servers if server.order]
    drained = sum(server.order == "drained" for server in ordered)
    remarks = [
        *([f"sorry server {line.sorry} serves"] if line.sorry_serves else []),
        *([f"{drained} drained"] if drained else []),
        *([f"{len(ordered) - drained} with an ordered weight"] if len(ordered) > drained else []),
    ]
    count = f"{alive} of {len(line.servers)}"
    return line.name, "up" if line.up else "DOWN", count, str(line.quorum), ", ".join(remarks)


def failures(snapshot: Snapshot) -> Rows:
    """A head and a row for each check that fails; [] if none does."""
    found = list(_failing(snapshot))
    rows = [_failure(*one) for one in found[:_MOST_FAILURES]]
    if len(found) > _MOST_FAILURES:
        rows.append((f"and {len(found) - _MOST_FAILURES} more", "", "", "", "see: keepalived-py rs list"))
    return [("SERVER", "OF", "CHECK", "LAST RUN", "FOUND"), *rows] if rows else []


def _failing(snapshot: Snapshot) -> Iterator[tuple[VirtualLine, ServerLine, CheckLine]]:
    for virtual in snapshot.virtual_servers:
        for server in virtual.servers:
            for check in server.checks:
                if not check.up:
                    yield virtual, server, check


def _failure(virtual: VirtualLine, server: ServerLine, check: CheckLine) -> tuple[str, ...]:
    ago = "not yet" if check.age_us is None else f"{check.age_us / 1_000_000:.1f} s before"
    words = [check.text or ("" if check.code is None else str(check.code))]
    if check.took_us is not None:
        words.append(f"in {check.took_us / 1000:.1f} ms")
    found = " ".join(word for word in words if word)
    return server.name, virtual.name, check.kind, ago, found
