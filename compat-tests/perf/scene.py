"""What the measures share: who runs beside whom, configurations of many routers, and reading a capture.

An interface has room for 250 virtual router ids, so more routers need more
interfaces: `eth1` and so on, each on a bridge of its own.  On the bridge's side the port of
node N on interface K is `p<K><N>`, which a capture takes for node 10 K + N.
"""

import contextlib
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from capture import Frame
from lab import Lab, laboratory, master_down_s
from space import run

Figures = dict[str, float]
Measured = dict[str, Figures]
Key = tuple[int, int]

PER_INTERFACE = 250


@dataclass(frozen=True, slots=True)
class Routers:
    """`count` virtual routers with an address each; `advert_s` below 1 needs VRRPv3.

    `lines` go into each instance, `general` into global_defs, `before` in front of the first instance.
    """

    count: int = 1
    advert_s: float = 1.0
    addresses: int = 1
    lines: tuple[str, ...] = ()
    general: tuple[str, ...] = ()
    before: str = ""

    @property
    def version(self) -> int:
        """The protocol's version."""
        return 3 if self.advert_s < 1 else 2

    @property
    def keys(self) -> set[Key]:
        """Interface number and VRID of each router."""
        return {(n // PER_INTERFACE, n % PER_INTERFACE + 1) for n in range(self.count)}

    def text(self, priority: int, state: str = "BACKUP") -> str:
        """The whole file of one node."""
        head = ["global_defs {", "    router_id lab", "    script_user root"]
        head += [*(f"    {line}" for line in self.general), "}", self.before]
        return "\n".join([*head, *(self._router(k, v, priority, state) for k, v in sorted(self.keys)), ""])

    def _router(self, interface: int, vrid: int, priority: int, state: str) -> str:
        lines = [
            f"vrrp_instance V{interface}_{vrid} {{",
            f"    state {state}",
            f"    interface eth{interface}",
            f"    virtual_router_id {vrid}",
            f"    priority {priority}",
            f"    version {self.version}",
            f"    advert_int {self.advert_s:g}",
            *(f"    {line}" for line in self.lines),
            "    virtual_ipaddress {",
            *(f"        10.{78 + n}.{interface}.{vrid}/32" for n in range(self.addresses)),
            "    }",
            "}",
        ]
        return "\n".join(lines)

    def down_s(self, priority: int) -> float:
        """Master_Down_Interval (RFC 3768 and RFC 9568, section 6.1)."""
        return 3 * self.advert_s + self.skew_s(priority)

    def skew_s(self, priority: int) -> float:
        """Skew_Time: of VRRPv2 from one second, of VRRPv3 from the advert interval."""
        if self.version == 2:
            return master_down_s(priority) - 3
        return (256 - priority) / 256 * self.advert_s


def more_interfaces(lab: Lab, routers: Routers) -> None:
    """Make `eth1`... of all nodes, as many as `routers` need."""
    switch = lab.space.switch
    for number in range(1, max(k for k, _ in routers.keys) + 1):
        run("ip", "-n", switch, "link", "add", f"br{number}", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", switch, "link", "set", f"br{number}", "up")
        for node in range(1, lab.space.nodes + 1):
            name, port, device = lab.space.node(node), f"p{number}{node}", f"eth{number}"
            run("ip", "link", "add", port, "netns", switch, "type", "veth", "peer", "name", device,
                "netns", name)  # fmt: skip
            run("ip", "-n", switch, "link", "set", port, "master", f"br{number}", "up")
            run("ip", "-n", name, "addr", "add", f"10.{99 + number}.0.{node}/16", "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")


def key_of(frame: Frame) -> Key:
    """Interface number and VRID of an advert."""
    return frame.node // 10, frame.vrid


def live_adverts(frames: Iterable[Frame], node: int) -> Iterator[Frame]:
    """Adverts of the node's instances that are MASTER, on all its interfaces."""
    return (
        frame
        for frame in frames
        if frame.node % 10 == node and not frame.is_arp and not frame.is_neighbour_advert and frame.priority
    )


def masters(lab: Lab, since_ns: int, node: int) -> set[Key]:
    """The virtual routers that `node` was heard to be MASTER of."""
    return {key_of(one) for one in live_adverts(list(lab.capture.frames), node) if one.time_ns >= since_ns}


@contextlib.contextmanager
def laboratories(kinds: list[str], nodes: int = 2) -> Iterator[dict[str, Lab]]:
    """A laboratory for each program."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kl-bench-")))
        yield {kind: stack.enter_context(laboratory(place / kind, nodes)) for kind in kinds}


def in_turn(kinds: list[str], work: Callable[[str, Lab], Figures], nodes: int = 2) -> Measured:
    """Run `work` for one program after the other: what uses a whole core would disturb the other one."""
    results: Measured = {}
    for kind in kinds:
        with laboratories([kind], nodes) as labs:
            results[kind] = work(kind, labs[kind])
    return results


def side_by_side(kinds: list[str], work: Callable[[str, Lab], Figures]) -> Measured:
    """Run `work` for every program at the same time; an error in one of them ends the measure."""
    results: Measured = {}
    errors: list[BaseException] = []

    def one(kind: str, lab: Lab) -> None:
        try:
            results[kind] = work(kind, lab)
        except BaseException as error:
            errors.append(error)

    with laboratories(kinds) as labs:
        threads = [threading.Thread(target=one, args=item) for item in labs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return results
