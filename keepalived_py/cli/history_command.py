"""`keepalived-py history`: who has held what, since when and why, as the cluster remembers it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keepalived_py.cli import members
from keepalived_py.cli.members import guarded
from keepalived_py.cli.words import Parser


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py history",
        description="Show who has held what in the cluster, the latest last.",
    )
    made.add_argument("lease", nargs="?", metavar="LEASE", help="only this instance or sync group")
    made.add_argument("--json", action="store_true", help="for programs")
    members.add_place(made)
    return made


def run(words: Sequence[str]) -> int:
    """Print it; 1 with the reason if the member cannot be asked."""
    options = parser().parse_args(words)
    return guarded(lambda: _show(options))


def _show(options: argparse.Namespace) -> int:
    reply = members.ask(members.run_directory(options), {"do": "history"})
    found = reply.get("history")
    entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
    if options.lease is not None:
        entries = [entry for entry in entries if entry.get("lease") == options.lease]
    if options.json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
        return 0
    for entry in entries:
        print(_line(entry))
    if not entries:
        print("Nothing is remembered.")
    return 0


def _line(entry: Mapping[str, Any]) -> str:
    at = entry.get("at")
    stamp = "-" * 19
    if isinstance(at, int | float) and abs(at) < 1e11:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    token = f", token {entry.get('token', '?')}"
    held = f"{entry.get('lease', '?')} to {entry.get('member', '?')}{token}"
    reason = str(entry.get("reason", "")).removesuffix(token)
    return f"{stamp}  {held}: {reason}" if reason else f"{stamp}  {held}"
