"""The configuration of a cluster's members, from the few things that a scenario varies.

A `Cluster` says who the members are and what they hold; `text` gives the file of
one of them.  Three kinds of programs can be asked the same questions: `conf`
(keepalived.conf with a raft_cluster), `keepvip` (keep-vip's YAML), and `vrrp`
(keepalived.conf with VRRP, which the real keepalived runs too: it proves the
laboratory, and shows what an election without a quorum does).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VIP = "10.77.0.100"
PORT = 7400
# Of the VRRP that is compared with.
ADVERT_S = 0.2
OURS = (sys.executable, "-m", "keepalived_py")


def member(node: int) -> str:
    """The id of a node."""
    return f"n{node}"


def address(node: int) -> str:
    """The address of a node in the default network of a `Space`."""
    return f"10.77.0.{node}"


def block(name: str, *lines: str) -> list[str]:
    """`name { lines }`."""
    return [f"{name} {{", *(f"    {line}" for line in lines), "}"]


@dataclass(frozen=True, slots=True)
class Router:
    """A vrrp_instance; `priorities` by node, 100 where nothing is said; `lines` go in verbatim."""

    name: str = "VI_1"
    vrid: int = 51
    vip: str = VIP
    priorities: Mapping[int, int] = field(default_factory=dict)
    lines: Sequence[str] = ("nopreempt",)

    def text(self, node: int, election: Sequence[str]) -> list[str]:
        """The block of a node; `election` says how it is elected."""
        return block(
            f"vrrp_instance {self.name}",
            "state BACKUP",
            "interface eth0",
            f"virtual_router_id {self.vrid}",
            f"priority {self.priorities.get(node, 100)}",
            *election,
            *self.lines,
            *block("virtual_ipaddress", f"{self.vip}/16"),
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster.  `options` go into the raft_cluster block, `before` in front of the instances.

    `%MEMBER%` in any of them stands for the member's id.  `member_options` are put after a member's line.
    """

    kind: str = "conf"
    members: Sequence[int] = (1, 2, 3)
    witnesses: frozenset[int] = frozenset()
    timing: str = "lan"
    routers: Sequence[Router] = (Router(),)
    options: Sequence[str] = ()
    member_options: Mapping[int, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = OURS

    @property
    def vips(self) -> list[str]:
        """The virtual addresses."""
        return [router.vip for router in self.routers]

    def text(self, node: int, directory: Path) -> str:
        """The file of a node, whose own files are in `directory`."""
        make = {"conf": self._conf, "keepvip": self._keepvip, "vrrp": self._vrrp}[self.kind]
        return "\n".join([*make(node, directory), ""]).replace("%MEMBER%", member(node))

    def words(self, node: int, directory: Path) -> list[str]:
        """The command of a node; the key and the file are made by `write`."""
        path = str(self.path(directory))
        if self.kind == "keepvip":
            return [*self.program, "start", "-c", path]
        if node in self.witnesses:
            return [*self.program, "witness", "-f", path]
        pid = directory / "pid"
        places = ["-p", str(pid), "-r", f"{pid}.v", "-c", f"{pid}.c", "-b", f"{pid}.b"]
        return [*self.program, "-n", "-l", "-D", "-G", "-f", path, *places]

    def path(self, directory: Path) -> Path:
        """The file's place."""
        return directory / ("config.yaml" if self.kind == "keepvip" else "keepalived.conf")

    def write(self, node: int, directory: Path) -> None:
        """Write the file, and the cluster's key beside it."""
        directory.mkdir(parents=True, exist_ok=True)
        key = directory / "key"
        if not key.exists():
            key.touch(0o600)
            key.write_text("a5" * 32)
        self.path(directory).write_text(self.text(node, directory))

    def _conf(self, node: int, directory: Path) -> list[str]:
        cluster = block(
            "raft_cluster",
            "cluster_id lab",
            f"node_id {member(node)}",
            *(self._member(each) for each in self.members),
            f"key_file {directory / 'key'}",
            f"timing {self.timing}",
            f"data_directory {directory / 'data'}",
            f"run_directory {directory / 'run'}",
            *self.options,
        )
        return [*_HEAD, *cluster, *self.before, *self._routers(node, "election raft")]

    def _member(self, node: int) -> str:
        witness = " witness" if node in self.witnesses else ""
        more = f" {self.member_options[node]}" if node in self.member_options else ""
        return f"member {member(node)} {address(node)}:{PORT}{witness}{more}"

    def _vrrp(self, node: int, directory: Path) -> list[str]:
        return [*_HEAD, *self.before, *self._routers(node, "version 3", f"advert_int {ADVERT_S:g}")]

    def _routers(self, node: int, *election: str) -> list[str]:
        return [line for router in self.routers for line in router.text(node, election)]

    def _keepvip(self, node: int, directory: Path) -> list[str]:
        lines = [
            "cluster: lab",
            "interface: eth0",
            f"vip: {self.vips[0]}",
            "ChecksInterval: 1",
            *self.options,
        ]
        if self.checks:
            lines.append("checks:")
        for name, where in self.checks.items():
            lines += [f"  - name: {name}", "    protocol: tcp", f"    address: {where}", "    timeout: 1"]
        lines.append("members:")
        for each in self.members:
            lines += [f"  - id: {member(each)}", f"    address: {address(each)}:{PORT}"]
        return lines


_HEAD = block("global_defs", "router_id lab", "script_user root")
