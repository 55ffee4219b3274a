"""`keepalived-py facts`: this machine as a check needs to know it, as JSON.

Run it on the machine the configuration is for (no root needed) and give the
output to `keepalived-py check --facts FILE` anywhere else.  It holds all
interfaces with their addresses, all users and groups, iproute2's names, some
features of the kernel, and modes and owners of the files that the
configuration names, with every folder on the way.  It holds no content of a file.
"""

from __future__ import annotations

import argparse
import asyncio
import grp
import json
import os
import pwd
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from keepalived_py.cli.words import Parser
from keepalived_py.config.facts import FORMAT
from keepalived_py.config.host import NAME_TABLES, FileStatus, RealHost

EXIT_UNUSABLE = 1
DEFAULT_FOLDER = "/etc/keepalived"
DEFAULT_FILE = f"{DEFAULT_FOLDER}/keepalived.conf"
# Settings of the kernel that a keyword may need, whether or not the configuration has it today.
KERNEL_FILES = ("/proc/sys/net/ipv4/igmp_link_local_mcast_reports",)
_MOST_FILES = 20_000


def parser() -> argparse.ArgumentParser:
    """The command's own options."""
    made = Parser(
        prog="keepalived-py facts",
        description="Print what a check needs to know about this machine, for check --facts.",
    )
    made.add_argument(
        "folder", nargs="*", help=f"list these folders wholly (always: {DEFAULT_FOLDER}); or single files"
    )
    made.add_argument(
        "-f", "--use-file", metavar="FILE", help=f"look up what FILE names (default: {DEFAULT_FILE})"
    )
    return made


def run(words: Sequence[str]) -> int:
    """Print the facts; 1 if the named file cannot be read."""
    options = parser().parse_args(words)
    host = RecordingHost()
    path = options.use_file or DEFAULT_FILE
    if os.path.exists(path):
        _read(path, host)
    elif options.use_file:
        print(f"{path}: No such file or directory", file=sys.stderr)
        return EXIT_UNUSABLE
    found = facts(host, [DEFAULT_FOLDER, *options.folder])
    print(json.dumps(found, indent=1, ensure_ascii=True))
    return 0


class RecordingHost(RealHost):
    """The real machine, which remembers the files it was asked about and knows all its name tables."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, None] = {}
        self.hosts: dict[str, bool] = {}

    def interface_exists(self, name: str) -> bool:
        """Always: a missing interface must not end the reading before scripts are asked for."""
        return True

    def status(self, path: str) -> FileStatus | None:
        self.asked[path] = None
        return super().status(path)

    def real_path(self, path: str) -> str:
        self.asked[path] = None
        return super().real_path(path)

    def resolves(self, name: str) -> bool:
        self.hosts[name] = super().resolves(name)
        return self.hosts[name]

    def name_table(self, table: str) -> dict[str, int]:
        """All names of one of iproute2's tables."""
        self.kernel_name(table, "")
        return self._names[table]


def _read(path: str, host: RecordingHost) -> None:
    """Let the check and its advice ask for what they need; what is wrong does not matter here."""
    from keepalived_py.config.checked import checked

    checked(path, config_id=host.host_name().partition(".")[0], host=host)


def facts(host: RecordingHost, folders: Iterable[str]) -> dict[str, Any]:
    """The description of this machine, as the JSON has it."""
    files: dict[str, Any] = {}
    links: dict[str, str] = {}
    for path in (*host.asked, *KERNEL_FILES):
        _along(path, files, links)
    return {
        "format": FORMAT,
        "host_name": host.host_name(),
        "interfaces": interfaces(),
        "users": {user.pw_name: [user.pw_uid, user.pw_gid] for user in pwd.getpwall()},
        "groups": {group.gr_name: group.gr_gid for group in grp.getgrall()},
        "hosts": host.hosts,
        "processors": host.processors(),
        "search_path": list(host.search_path()),
        "folders": [folder for folder in dict.fromkeys(folders) if _listed(folder, files, links)],
        "files": files,
        "links": links,
        "name_tables": {table: host.name_table(table) for table in NAME_TABLES},
        "kernel": kernel(),
    }


def _along(path: str, files: dict[str, Any], links: dict[str, str]) -> None:
    """Note the file and every folder and link on the way to it."""
    if "\0" in path or not path.startswith("/"):
        return
    real = ""
    for part in path.split("/"):
        if part:
            step = f"{real}/{part}"
            real = os.path.realpath(step)
            real = "" if real == "/" else real
            if real != step:
                links[step] = real or "/"
                _along(real, files, links)
            files.setdefault(real or "/", _status(real or "/"))
    files.setdefault("/", _status("/"))


def _status(path: str) -> dict[str, Any] | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return {"mode": f"{found.st_mode:o}", "uid": found.st_uid, "gid": found.st_gid}


def _listed(folder: str, files: dict[str, Any], links: dict[str, str]) -> bool:
    """Note all that lies below `folder`; whether it is complete, so that what is not noted is not there."""
    folder = os.path.abspath(folder)
    _along(folder, files, links)
    failed: list[OSError] = []
    for where, below, names in os.walk(folder, onerror=failed.append):
        for name in (*below, *names):
            _along(f"{where}/{name}", files, links)
        if len(files) > _MOST_FILES:
            return False
    return not failed and os.path.isdir(folder)


def interfaces() -> dict[str, Any]:
    """All interfaces of this network namespace, with their addresses."""
    return asyncio.run(_interfaces())


async def _interfaces() -> dict[str, Any]:
    from keepalived_py.system.netlink import Kernel

    opened = Kernel()
    await opened.open()
    try:
        found = await opened.interfaces()
    finally:
        await opened.close()
    host = RealHost()
    return {
        str(name): {
            "up": one.up,
            "loopback": host.interface_is_loopback(name),
            "multicast": one.multicast,
            "kind": _kind(name),
            "mtu": one.mtu,
            "addresses": [f"{each.address}/{each.prefix_length}" for each in one.addresses],
        }
        for name, one in found.items()
    }


def _kind(name: str) -> str:
    """What the driver calls the device (`vlan`, `vrf`, `macvlan`, ...); "" for plain ones."""
    try:
        with open(f"/sys/class/net/{name}/uevent", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    return next((line.partition("=")[2] for line in lines if line.startswith("DEVTYPE=")), "")


def kernel() -> dict[str, Any]:
    """Which parts of the kernel that keepalived uses are there."""
    return {
        "release": os.uname().release,
        "ipv6": os.path.exists("/proc/net/if_inet6"),
        "ip_vs": os.path.exists("/proc/net/ip_vs") or _module("ip_vs"),
        "nf_tables": os.path.exists("/sys/module/nf_tables") or _module("nf_tables"),
        "macvlan": os.path.exists("/sys/module/macvlan") or _module("macvlan"),
        "ip_nonlocal_bind": _setting("/proc/sys/net/ipv4/ip_nonlocal_bind"),
    }


def _module(name: str) -> bool:
    """Whether the kernel could load the module, or has it built in."""
    folder = f"/lib/modules/{os.uname().release}"
    for listing in ("modules.dep", "modules.builtin"):
        try:
            with open(f"{folder}/{listing}", encoding="utf-8", errors="replace") as file:
                if any(f"/{name}.ko" in line.partition(":")[0] for line in file):
                    return True
        except OSError:
            continue
    return False


def _setting(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
