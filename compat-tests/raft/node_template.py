"""One member as a command, for harnesses that start any program by a command line with the member's data.

    python node_template.py --kind conf --ip 10.77.0.11 --port 20000 \\
        --peers 10.77.0.12:20000,10.77.0.13:20000 --vips 10.77.0.100 --device eth0 --directory DIR

Writes the member's file into DIR (data and run directories are beside it) and
becomes the daemon.  Members are named by their place in the order of all
addresses, so that every one of them writes the same list.  Several addresses
become one instance each, whose best member is another one.
"""

import argparse
import os
import sys
from ipaddress import ip_address
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster_files import OURS, block

ROOT = Path(__file__).resolve().parents[2]


def _members(options: argparse.Namespace) -> list[str]:
    peers = [peer for peer in options.peers.split(",") if peer]
    return sorted(
        [f"{options.ip}:{options.port}", *peers], key=lambda one: ip_address(one.rpartition(":")[0])
    )


def conf(options: argparse.Namespace) -> list[str]:
    """keepalived.conf with a raft_cluster."""
    members, home = _members(options), options.directory
    place = members.index(f"{options.ip}:{options.port}")
    lines = block("global_defs", "router_id lab", "script_user root") + block(
        "raft_cluster",
        "cluster_id lab",
        f"node_id n{place + 1}",
        *(f"member n{number} {member}" for number, member in enumerate(members, 1)),
        f"key_file {home / 'key'}",
        f"timing {options.timing}",
        f"data_directory {home / 'data'}",
        f"run_directory {home / 'run'}",
    )
    vips = options.vips.split(",")
    for number, vip in enumerate(vips):
        best = len(vips) > 1 and number % len(members) == place
        lines += block(
            f"vrrp_instance VI_{number + 1}",
            "state BACKUP",
            f"interface {options.device}",
            f"virtual_router_id {51 + number}",
            f"priority {150 if best else 100}",
            "election raft",
            *(() if len(vips) > 1 else ("nopreempt",)),
            *block("virtual_ipaddress", f"{vip}/32"),
        )
    return lines


def keepvip(options: argparse.Namespace) -> list[str]:
    """keep-vip's YAML; only the first address."""
    lines = ["cluster: lab", f"interface: {options.device}", f"vip: {options.vips.split(',')[0]}"]
    lines += ["ChecksInterval: 1", f"dataDirectory: {options.directory / 'data'}", "members:"]
    if options.timing != "lan":
        lines.insert(0, f"timing: {options.timing}")
    for number, member in enumerate(_members(options), 1):
        lines += [f"  - id: n{number}", f"    address: {member}"]
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=("conf", "keepvip"), default="conf")
    parser.add_argument("--timing", default="lan")
    for name in ("--ip", "--port", "--peers", "--vips", "--device"):
        parser.add_argument(name, required=True)
    parser.add_argument("--directory", required=True, type=Path)
    return parser.parse_args()


def main() -> None:
    """Write the file and become the daemon."""
    options = _options()
    home: Path = options.directory.resolve()
    options.directory = home
    home.mkdir(parents=True, exist_ok=True)
    key = home / "key"
    if not key.exists():
        key.touch(0o600)
        key.write_text("a5" * 32)
    if options.kind == "conf":
        path = home / "keepalived.conf"
        path.write_text("\n".join([*conf(options), ""]))
        pid = home / "pid"
        words = [
            "-n",
            "-l",
            "-D",
            "-f",
            str(path),
            "-p",
            str(pid),
            "-r",
            f"{pid}.v",
            "-c",
            f"{pid}.c",
            "-b",
            f"{pid}.b",
        ]
    else:
        path = home / "config.yaml"
        path.write_text("\n".join([*keepvip(options), ""]))
        words = ["start", "-c", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    os.execve(OURS[0], [*OURS, *words], environment)


if __name__ == "__main__":
    main()
