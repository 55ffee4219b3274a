"""Every variant of the protocol as one virtual router each, so that one pair of daemons plays all of them at once.

A variant says what its block contains and what theory expects of it: who wins,
and how long a silent or a resigning master stays unreplaced (RFC 3768 section
6.1, RFC 9568 section 6.1).  Priorities and advert intervals are the caller's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capture import Frame
from lab import SECOND_NS, Lab
from space import run

PASS = ("authentication {", "    auth_type PASS", "    auth_pass abcdefgh", "}")
AH = ("authentication {", "    auth_type AH", "    auth_pass secret12", "}")


@dataclass(frozen=True, slots=True)
class Variant:
    """One virtual router; `lines` go into its block, `first` only into that of node 1.

    `second_s` is node 2's advert interval where it has one of its own: what it must wait for
    node 1 is counted in node 1's, which it learns (version 3).
    """

    name: str
    vrid: int
    version: int = 2
    family: int = 4
    lines: Sequence[str] = ()
    unicast: bool = False
    first: Sequence[str] = ()
    address_count: int = 1
    second_s: float | None = None

    @property
    def addresses(self) -> list[str]:
        """The virtual addresses, without prefix."""
        form = "10.77.{}.{}" if self.family == 4 else "fe80::{}:{}"
        return [form.format(self.vrid, n) for n in range(1, self.address_count + 1)]

    @property
    def has_ah(self) -> bool:
        """Whether adverts are sealed by an authentication header."""
        return "    auth_type AH" in self.lines

    @property
    def advert_s(self) -> float:
        """Advertisement_Interval in seconds: version 2 knows whole ones only."""
        return 1.0 if self.version == 2 else 0.4

    def skew_s(self, priority: int) -> float:
        """Skew_Time in seconds."""
        return (256 - priority) / 256 * (1.0 if self.version == 2 else self.advert_s)

    def master_down_s(self, priority: int) -> float:
        """Master_Down_Interval in seconds."""
        return 3 * self.advert_s + self.skew_s(priority)

    def text(self, me: int, peers: Sequence[int], priority: int) -> str:
        """The block of node `me`."""
        length = 24 if self.family == 4 else 64
        body = [
            "interface eth0",
            f"virtual_router_id {self.vrid}",
            f"version {self.version}",
            f"priority {priority}",
            f"advert_int {self.advert_s if me == 1 or self.second_s is None else self.second_s:g}",
            "garp_master_delay 1",
            "garp_lower_prio_delay 1",
            *(f"{line}" for line in self.lines),
            *(self.first if me == 1 else ()),
            *(self._unicast(me, peers) if self.unicast else ()),
            "virtual_ipaddress {",
            *(f"    {address}/{length}" for address in self.addresses),
            "}",
        ]
        return "\n".join([f"vrrp_instance {self.name} {{", *(f"    {line}" for line in body), "}", ""])

    def _unicast(self, me: int, peers: Sequence[int]) -> list[str]:
        others = [f"    {own(peer, self.family)}" for peer in peers]
        return [f"unicast_src_ip {own(me, self.family)}", "unicast_peer {", *others, "}"]


VARIANTS = (
    Variant("v2", 1),
    Variant("v2_pass", 2, lines=PASS, address_count=3),
    Variant("v2_ah", 3, lines=AH),
    Variant("v3", 4, version=3, address_count=20),
    Variant("v3_ipv6", 5, version=3, family=6, address_count=3),
    Variant("v2_ipv6", 6, family=6),
    Variant("unicast_v2", 7, unicast=True),
    Variant("unicast_v2_ah", 8, unicast=True, lines=AH),
    Variant("unicast_v3", 9, version=3, unicast=True),
    Variant("unicast_v3_old", 10, version=3, unicast=True, first=("old_unicast_checksum",)),
    Variant("unicast_ipv6", 11, version=3, family=6, unicast=True),
    Variant("vmac", 12, lines=("use_vmac",)),
    Variant("vmac_v3", 13, version=3, lines=("use_vmac",)),
    Variant("vmac_base", 14, version=3, lines=("use_vmac", "vmac_xmit_base")),
    Variant("vmac_ipv6", 15, version=3, family=6, lines=("use_vmac",)),
    Variant("vmac_ipv6_base", 16, version=3, family=6, lines=("use_vmac", "vmac_xmit_base")),
    Variant("vmac_unicast", 17, version=3, unicast=True, lines=("use_vmac",)),
    Variant("learned", 18, version=3, second_s=1.5),
    Variant("learned_ipv6", 19, version=3, family=6, second_s=1.5),
)


def own(node: int, family: int) -> str:
    """The node's address on eth0."""
    return f"10.77.0.{node}" if family == 4 else f"fd77::{node}"


def file(me: int, peers: Sequence[int], priority: int, variants: Sequence[Variant] = VARIANTS) -> str:
    """The configuration of node `me` with a block for every variant."""
    head = "global_defs {\n    router_id lab\n    nftables\n}\n\n"
    return head + "".join(variant.text(me, peers, priority) for variant in variants)


def held(lab: Lab, node: int) -> set[str]:
    """Every address of the node, on whatever device, without prefix."""
    lines = run("ip", "-n", lab.space.node(node), "-o", "addr").splitlines()
    return {line.split()[3].split("/")[0] for line in lines}


def settled(lab: Lab, node: int, variants: Sequence[Variant] = VARIANTS) -> bool:
    """Whether `node` alone advertises and holds every variant's addresses."""
    for variant in variants:
        seldom = max(variant.advert_s, variant.second_s or 0)
        if lab.masters(variant.vrid, 2 * seldom) != {node}:
            return False
    return holds_all(lab, node, variants) and holds_none(lab, 3 - node, variants)


def holds_all(lab: Lab, node: int, variants: Sequence[Variant] = VARIANTS) -> bool:
    """Whether the node holds every address of every variant."""
    return {one for variant in variants for one in variant.addresses} <= held(lab, node)


def holds_none(lab: Lab, node: int, variants: Sequence[Variant] = VARIANTS) -> bool:
    """Whether the node holds no address of any variant."""
    return not {one for variant in variants for one in variant.addresses} & held(lab, node)


def gaps(
    lab: Lab,
    last: Callable[[Variant], Frame],
    node: int,
    theory_s: Callable[[Variant], float],
    variants: Sequence[Variant] = VARIANTS,
) -> dict[str, float]:
    """By variant: seconds that the first advert of `node` after `last` came later than `theory_s` says."""
    found = {}
    for variant in variants:
        before = last(variant)
        first = lab.capture.adverts(node, before.time_ns + 1, variant.vrid)[0]
        found[variant.name] = round((first.time_ns - before.time_ns) / SECOND_NS - theory_s(variant), 4)
    return found
