"""A laboratory for clusters: members on a bridge, cuts between any two of them, a client that watches.

The client hears every member whatever is cut: cuts are made where a member
receives, by the hardware address of the other one, so that whoever holds an
address in its part of a split cluster is seen.  A loss of power takes the link
first and the processes then, and what the machine had in its memory is gone:
addresses, firewall rules, the run directory; what was on its disk stays.
"""

import contextlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from answers import MS, Answers, overlap_ns
from capture import AddressWatch
from cluster_files import Cluster, member
from daemons import Daemon, send
from lab import Timeout, wait
from program import environment
from space import Space, run, sweep

Cut = tuple[int, int]
# Longer than any promise that is tested: a member that starts keeps silent for one, as it may have given it.
VOTES_AFTER_S = 0.8
_TABLE = "labcut"


class ClusterLab:
    """One cluster; use `cluster_laboratory` to be sure that it is closed."""

    def __init__(
        self, directory: Path, cluster: Cluster, nodes: int = 0, interval_ms: float = 10, base: str = ""
    ) -> None:
        self.directory, self.cluster = directory, cluster
        self.count = nodes or max(cluster.members)
        self.nodes = tuple(range(1, self.count + 1))
        client = self.count + 1
        directory.mkdir(parents=True, exist_ok=True)
        self.space = (Space(nodes=client, base=base) if base else Space(nodes=client)).up()
        self.daemons: dict[int, Daemon] = {}
        self._ended: list[Daemon] = []
        self._dark: set[int] = set()
        self._fresh: set[int] = set()
        self._frozen: dict[int, list[int]] = {}
        self.cuts: set[Cut] = set()
        self._loss = 0
        self.answers = Answers(self.space, client, self.count, cluster.vips, interval_ms)
        self.watches = {n: AddressWatch(self.space, n) for n in self.nodes}

    # -- members ------------------------------------------------------------------

    def home(self, node: int) -> Path:
        """The directory of a member: its configuration, its data, its run directory."""
        return self.directory / member(node)

    def start(self, *nodes: int) -> None:
        """Start these members; all of the cluster when none is named."""
        for node in nodes or tuple(self.cluster.members):
            self.cluster.write(node, self.home(node))
            words = self.cluster.words(node, self.home(node))
            self.daemons[node] = Daemon(self.space.node(node), self.home(node), words)
            self._fresh.add(node)

    def settle(self) -> None:
        """Until everybody who was started is at work, and votes: for a while after a start nobody does."""
        for node in sorted(self._fresh - self.cluster.witnesses):
            self.wait(lambda node=node: self._is_up(node), 15, f"{member(node)} is at work")  # type: ignore[misc]
        if self._fresh:
            time.sleep(VOTES_AFTER_S)
        self._fresh.clear()

    def _is_up(self, node: int) -> bool:
        return node not in self.daemons or self.daemons[node].logged("Startup complete")

    def running(self) -> list[int]:
        """The members that run."""
        return [node for node, daemon in self.daemons.items() if daemon.alive()]

    def stop(self, node: int, wait_s: float = 8.0) -> int:
        """SIGTERM; the time just before.  With `wait_s` 0 it is not waited for."""
        daemon = self.daemons[node]
        now = daemon.send(signal.SIGTERM)
        if wait_s:
            daemon.wait_end(wait_s)
            self._forget(node)
        return now

    def kill(self, node: int) -> int:
        """SIGKILL for all processes of the member: its addresses stay behind; the time just before."""
        now = self.daemons[node].kill_all()
        self._forget(node)
        return now

    def power_off(self, node: int) -> int:
        """The link is cut, then all processes die, and all that the kernel knew is gone; the time just before."""
        now = time.time_ns()
        self._dark.add(node)
        self.space.cut(node)
        if node in self.daemons:
            self.kill(node)
        for line in self.space.addresses(node):
            if (own := line.split()[2]) != f"{self.space.address(node)}/16":
                self.space.ip(node, "addr", "del", own, "dev", "eth0")
        self._nft(node, "flush ruleset")
        self._filter(node)
        shutil.rmtree(self.home(node) / "run", ignore_errors=True)
        return now

    def power_on(self, node: int) -> None:
        """Undo `power_off`: the link is back, and the member starts."""
        self._dark.discard(node)
        self.space.heal(node)
        self.start(node)

    def freeze(self, node: int, everything: bool = True) -> int:
        """SIGSTOP for all processes of the member, or only for the one that elects; the time just before."""
        daemon = self.daemons[node]
        pids = daemon.everything() if everything else daemon.electing()
        self._frozen.setdefault(node, []).extend(pids)
        return send(pids, signal.SIGSTOP)

    def thaw(self, node: int) -> int:
        """Undo `freeze`; the time just before."""
        return send(self._frozen.pop(node, []), signal.SIGCONT)

    def reload(self, node: int, cluster: Cluster) -> None:
        """Give the member another file and SIGHUP."""
        cluster.write(node, self.home(node))
        self.daemons[node].send(signal.SIGHUP)

    def command(self, node: int, *words: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
        """Run one of the program's commands on the member, with its file."""
        path = str(self.cluster.path(self.home(node)))
        inside = ["nsenter", f"--net=/run/netns/{self.space.node(node)}"]
        return subprocess.run(
            [*inside, *self.cluster.program, *words, "-f", path],
            text=True, capture_output=True, timeout=timeout_s, env=environment(),
        )  # fmt: skip

    def _forget(self, node: int) -> None:
        self._frozen.pop(node, None)
        self._ended.append(self.daemons.pop(node))

    # -- the network ----------------------------------------------------------------

    def cut(self, cuts: Iterable[Cut]) -> None:
        """From now on `(a, b)`: a does not hear b.  Adds to what is cut already."""
        self.cuts |= set(cuts)
        self._filter_all()

    def part(self, *groups: Sequence[int]) -> None:
        """Members of different groups do not hear each other, in neither direction."""
        pairs = [(a, b) for one in groups for other in groups if one is not other for a in one for b in other]
        self.cut(pairs)

    def isolate(self, node: int) -> None:
        """This member hears no other one, and no other one hears it."""
        self.part([node], [other for other in self.nodes if other != node])

    def lose(self, percent: int) -> None:
        """Each member loses so many of the frames of each other member, at random."""
        self._loss = percent
        self._filter_all()

    def heal(self) -> None:
        """Nothing is cut and nothing lost."""
        self.cuts, self._loss = set(), 0
        self._filter_all()

    def _filter_all(self) -> None:
        for node in self.nodes:
            self._filter(node)

    def _filter(self, node: int) -> None:
        rules = [f"ether saddr {self.space.mac(b).hex(':')} drop" for a, b in sorted(self.cuts) if a == node]
        if self._loss:
            others = ", ".join(self.space.mac(b).hex(":") for b in self.nodes if b != node)
            rules.append(f"ether saddr {{ {others} }} numgen random mod 100 < {self._loss} drop")
        hook = 'type filter hook ingress device "eth0" priority -400; policy accept;'
        chain = "\n".join([f"table netdev {_TABLE} {{", "chain in {", hook, *rules, "}", "}"])
        self._nft(node, f"table netdev {_TABLE} {{}}\ndelete table netdev {_TABLE}\n{chain}\n")

    def _nft(self, node: int, text: str) -> None:
        run("nsenter", f"--net=/run/netns/{self.space.node(node)}", "nft", "-f", "-", text_in=text)

    # -- waiting ----------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """As `lab.wait`, with everybody's log in the failure's text."""
        try:
            wait(condition, timeout_s, what)
        except Timeout as missed:
            raise Timeout(f"{missed}\n{self.report()}") from None

    def wait_holder(self, *among: int, vip: int = 0, timeout_s: float = 15, for_ms: float = 400) -> int:
        """Until one node (of `among`, if given) alone has answered for a while; which."""
        self.wait(
            lambda: (self.answers.sole(vip, for_ms) or 0) in (among or self.nodes),
            timeout_s,
            f"one of {list(among or self.nodes)} answers for {self.cluster.vips[vip]} alone",
        )
        found = self.answers.sole(vip, for_ms)
        return found if found is not None else self.wait_holder(*among, vip=vip, timeout_s=timeout_s)

    def wait_nobody(self, vip: int = 0, timeout_s: float = 5) -> None:
        """Until nobody answers."""
        self.wait(lambda: not self.answers.holders(vip), timeout_s, f"nobody has {self.cluster.vips[vip]}")

    def restore(self) -> int:
        """Everything cut is joined, everybody runs, one of them holds the first address: which."""
        self.heal()
        for node in list(self._frozen):
            self.thaw(node)
        for node in list(self._dark):
            self._dark.discard(node)
            self.space.heal(node)
        for node in [node for node, daemon in self.daemons.items() if not daemon.alive()]:
            self._forget(node)
        missing = [node for node in self.cluster.members if node not in self.daemons]
        if missing:
            self.start(*missing)
        self.settle()
        return self.wait_holder()

    def holding(self) -> dict[str, list[int]]:
        """By address: the nodes whose kernel has it, whether they answer for it or not."""
        return {
            vip: [node for node in self.nodes if self.space.holds(node, vip)] for vip in self.cluster.vips
        }

    def kernel_double_ms(self, since_ns: int, until_ns: int, vip: int = 0) -> float:
        """How long two kernels had an address, answering or not: a frozen member keeps it, and is silent."""
        found = [
            (event.time_ns, node, event.added)
            for node, watch in self.watches.items()
            for event in list(watch.events)
            if event.address == self.cluster.vips[vip]
        ]
        return overlap_ns(found, since_ns, until_ns) / MS

    # -- reports ------------------------------------------------------------------------

    def report(self) -> str:
        """Who answers, whose kernel has which address, and what everybody logged last."""
        parts = [
            f"answering: {sorted(self.answers.holders())}; addresses: {self.holding()}; cuts: {self.cuts}"
        ]
        for node, daemon in self.daemons.items():
            parts.append(f"--- {member(node)} (alive={daemon.alive()})\n{daemon.tail(25)}")
        return "\n".join(parts)

    def close(self) -> None:
        """End everybody, close every ear, delete every namespace."""
        for node in list(self._frozen):
            self.thaw(node)
        for daemon in self.daemons.values():
            daemon.ask_to_end()
        for daemon in [*self.daemons.values(), *self._ended]:
            daemon.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.answers.close()
        for watch in self.watches.values():
            watch.close()
        self.space.down()


@contextmanager
def cluster_laboratory(
    directory: Path, cluster: Cluster, nodes: int = 0, interval_ms: float = 10, base: str = ""
) -> Iterator[ClusterLab]:
    """A laboratory that is closed whatever happens; leftovers of killed runs are swept first."""
    sweep()
    lab = ClusterLab(directory, cluster, nodes, interval_ms, base)
    try:
        yield lab
    finally:
        lab.close()
