"""`keepalived-py rs`: real servers of the daemon that runs here, and orders about them.

rs list [VS [RS]]      what they are, what their checks found, who is connected
rs drain VS RS         weight 0: connections may end, none begins
rs weight VS RS N      N in place of the configured weight
rs enable VS RS        as configured again
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keepalived_py.base.record import replace
from keepalived_py.cli.members import EXIT_PERMISSION, Unusable, guarded, load_here, seconds
from keepalived_py.cli.words import EXIT_USAGE, Parser
from keepalived_py.health.orders import CONTROL_FILE, MOST_WEIGHT, RUN_ROOT, places
from keepalived_py.status.checks_snapshot import (
    BadSnapshot,
    CheckLine,
    ServerLine,
    VirtualLine,
    line_of,
    plain,
)
from keepalived_py.system import control_socket

_ANSWER_S = 10.0
_LOOK_AGAIN_S = 0.2


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py rs",
        description="Show real servers and their checks; drain them, or set their weights."
        " VS and RS are written as in the file (quoted: '10.0.0.1 80'), as in log lines"
        " ([10.0.0.1]:tcp:80), as 10.0.0.1:80, or by a beginning that means only one;"
        " VS also as 'FWM 7' or a group's name.",
    )
    subcommands = made.add_subparsers(dest="do", required=True, metavar="list|drain|enable|weight")
    shown = subcommands.add_parser("list", help="real servers, their weights, connections and checks")
    shown.add_argument("virtual", nargs="?", default="", metavar="VS", help="only this virtual server")
    shown.add_argument("server", nargs="?", default="", metavar="RS", help="only this real server of it")
    shown.add_argument("--json", action="store_true", help="as JSON")
    drain = subcommands.add_parser("drain", help="weight 0, whatever checks say, so that connections end")
    drain.add_argument(
        "--wait",
        type=seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long at most until there is no active connection (default: do not wait)",
    )
    enable = subcommands.add_parser("enable", help="the configured weight again")
    weight = subcommands.add_parser("weight", help="another weight in place of the configured one")
    for order in (drain, enable, weight):
        order.add_argument("virtual", metavar="VS", help="the virtual server")
        order.add_argument("server", metavar="RS", help="the real server")
    weight.add_argument("weight", type=_weight, metavar="N", help=f"from 0 to {MOST_WEIGHT}")
    for order in (drain, weight):
        order.add_argument(
            "--persist", action="store_true", help="over reloads and restarts, until changed or enabled"
        )
    for one in (shown, drain, enable, weight):
        _add_place(one)
    return made


def run(words: Sequence[str]) -> int:
    """Show, or give the order; 0 if that was possible, 1 with the reason if not."""
    options = parser().parse_args(words)
    return guarded(lambda: _list(options) if options.do == "list" else _order(options))


def _weight(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MOST_WEIGHT):
        raise argparse.ArgumentTypeError(f"{text} is not a weight from 0 to {MOST_WEIGHT}")
    return int(text)


# -- where the daemon is ---------------------------------------------------------------


def _add_place(made: argparse.ArgumentParser) -> None:
    where = made.add_mutually_exclusive_group()
    where.add_argument(
        *("-f", "--use-file"),
        metavar="FILE",
        help="the daemon's configuration, if several run here that differ by instance or net_namespace",
    )
    where.add_argument("--run-directory", metavar="FOLDER", help="where the daemon's control socket is")


def _socket(options: argparse.Namespace) -> str:
    """The control socket of the daemon that is meant; raises Unusable."""
    if options.run_directory is not None:
        return os.path.join(options.run_directory, CONTROL_FILE)
    if options.use_file is not None:
        if not os.access(options.use_file, os.R_OK):
            raise Unusable(f"{options.use_file}: cannot be read", EXIT_USAGE)
        general = load_here(options.use_file).configuration.globals
        return os.path.join(places(general, general.net_namespace).run_directory, CONTROL_FILE)
    return _only_one()


def _only_one() -> str:
    found = sorted(
        path for depth in ("", "*") for path in glob.glob(os.path.join(RUN_ROOT, depth, CONTROL_FILE))
    )
    if len(found) > 1:  # a daemon that was killed leaves its socket behind
        found = [path for path in found if control_socket.is_served(path)] or found[:1]
    if not found:
        raise Unusable(
            f"No daemon with virtual servers runs on this machine (there is no {CONTROL_FILE} in {RUN_ROOT})"
        )
    if len(found) > 1:
        listed = "\n  ".join(os.path.dirname(path) for path in found)
        raise Unusable(f"Several daemons run here: choose one with --run-directory\n  {listed}", EXIT_USAGE)
    return found[0]


def _ask(path: str, request: Mapping[str, object]) -> dict[str, Any]:
    """The reply to a request that was granted; raises Unusable for every other outcome."""
    try:
        reply = control_socket.ask(path, request, _ANSWER_S)
    except control_socket.NotRunning as fault:
        raise Unusable(f"No daemon with virtual servers is running: {fault}") from fault
    except control_socket.NotAllowed as fault:
        raise Unusable(f"Not permitted: {fault}; run this as root", EXIT_PERMISSION) from fault
    except control_socket.NoAnswer as fault:
        raise Unusable(f"The daemon runs, but does not answer: {fault}") from fault
    if not reply["ok"]:
        raise Unusable(str(reply.get("error", "refused, without a reason")))
    return reply


# -- the list ----------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    known = _virtuals(_socket(options), options.virtual, options.server)
    if options.json:
        print(json.dumps([plain(line) for line in known], indent=2, ensure_ascii=False))
        return 0
    if not known:
        print("There are no virtual servers")
    for line in known:
        print("\n".join(_told(line)))
    return 0


def _virtuals(path: str, virtual: str, server: str) -> list[VirtualLine]:
    """All that the daemon tells of these, page by page; raises Unusable."""
    found: dict[int, VirtualLine] = {}
    begin: object = [0, 0]
    while begin is not None:
        reply = _ask(path, {"do": "list", "virtual": virtual, "server": server, "begin": begin})
        try:
            for each in reply["virtual_servers"]:
                line, at = line_of(VirtualLine, each), each["at"]
                before = found[at].servers if at in found else ()
                found[at] = replace(line, servers=before + line.servers)
            begin = reply["next"]
        except (BadSnapshot, KeyError, TypeError) as fault:
            raise Unusable(f"The daemon's answer cannot be understood: {fault}") from fault
    return list(found.values())


def _told(line: VirtualLine) -> Iterator[str]:
    serves = f", sorry server {line.sorry} serves" if line.sorry_serves else ""
    yield f"{line.name}  {'up' if line.up else 'down'}, quorum {line.quorum}{serves}"
    width = max((len(server.name) for server in line.servers), default=0)
    for server in line.servers:
        yield f"  {server.name:{width}}  {_state(server)}"
        yield from (f"      {_check(check)}" for check in server.checks)


def _state(server: ServerLine) -> str:
    words = [f"{'up' if server.alive else 'down':4}  weight {server.weight}"]
    if server.weight != server.configured:
        words[0] += f" (configured {server.configured})"
    if server.order:
        until = "until changed" if server.persistent else "until reload"
        words.append(f"{'drained' if server.order == 'drained' else 'weight ordered'} {until}")
    if not server.present:
        words.append("not in the IPVS table")
    elif server.active is not None:
        words.append(f"{server.active} active, {server.inactive} inactive")
    return ", ".join(words)


def _check(check: CheckLine) -> str:
    words = [check.kind]
    if check.target:
        words.append(check.target)
    words.append("ok" if check.up else "failed")
    if not check.enabled:
        words.append("suspended")
    if check.text or check.code is not None:
        words.append(check.text or str(check.code))
    if check.took_us is not None:
        words.append(f"in {check.took_us / 1000:.1f} ms")
    words.append("not run yet" if check.age_us is None else f"{check.age_us / 1_000_000:.1f} s ago")
    return "  ".join(words)


# -- orders --------------------------------------------------------------------------------


def _order(options: argparse.Namespace) -> int:
    path = _socket(options)
    request: dict[str, object] = {"do": options.do, "virtual": options.virtual, "server": options.server}
    if options.do == "weight":
        request["weight"] = options.weight
    request["persist"] = getattr(options, "persist", False)
    reply = _ask(path, request)
    try:
        virtual, server = line_of(VirtualLine, reply["virtual"]), line_of(ServerLine, reply["server"])
    except (BadSnapshot, KeyError) as fault:
        raise Unusable(f"The daemon's answer cannot be understood: {fault}") from fault
    print(f"{server.name} of {virtual.name}: {_state(server)}")
    if reply.get("quorum"):
        print(f"{virtual.name} has {reply['quorum']} its quorum by this ({virtual.quorum})")
    if reply.get("unwritten"):
        raise Unusable(
            f"The order stands, but only until reload: it could not be written to {reply['unwritten']}"
        )
    if options.do == "drain" and options.wait:
        _wait(path, virtual.name, server.name, options.wait)
    return 0


def _wait(path: str, virtual: str, server: str, limit_s: float) -> None:
    """Until nobody is connected any more; raises Unusable."""
    deadline = time.monotonic() + limit_s
    while True:
        found = [each for line in _virtuals(path, virtual, server) for each in line.servers]
        active = sum(each.active or 0 for each in found)
        if any(each.present and each.active is None for each in found):
            raise Unusable("The daemon cannot read the IPVS table: nobody knows who is connected")
        if not active:
            print("No connection is active")
            return
        if time.monotonic() >= deadline:
            raise Unusable(f"{active} connections are active after {limit_s:g} s. The order stands")
        time.sleep(_LOOK_AGAIN_S)
