"""keepalived.conf to keep-vip's YAML, and back, as far as one means what the other can say.

Both move one address between machines, but by different rules: VRRP by
priority between routers that only hear each other, keep-vip by a vote between
members that are all listed.  What has no counterpart is named in notes, each
with its line where there is one; nothing is left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, ip_address
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address
from keepalived_py.base.record import Record, replace
from keepalived_py.config.blocks.values import quoted
from keepalived_py.config.document import Directive, Statement, directive_of
from keepalived_py.model.cluster import (
    Backend,
    BalancerKind,
    Cluster,
    Endpoint,
    LoadBalancer,
    Member,
)
from keepalived_py.model.config import Configuration, Election, Instance
from keepalived_py.model.raft import PRESETS

SECOND = 1_000_000
DEFAULT_INTERVAL_S = 2
RAFT_PORT = 20000
FIRST_PRIORITY = 100
ANYWHERE = ("", "0.0.0.0", "::")

# Statements of an instance that are carried over, or hold in a cluster by themselves.
INSTANCE_KEYWORDS = frozenset(
    {
        "interface",
        "virtual_ipaddress",
        "unicast_peer",
        "unicast_src_ip",
        "mcast_src_ip",
        "garp_master_refresh",
        "garp_master_refresh_repeat",
        "nopreempt",
        "election",
    }
)
RAFT_KEYWORDS = frozenset({"member", "node_id", "key_file", "timing"})
SERVER_KEYWORDS = frozenset({"protocol", "real_server", "lvs_sched", "lb_algo"})


class Note(Record):
    """What could not be carried over; `place` is FILE:LINE, "" if it stands nowhere."""

    text: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


class Converted(Record):
    """The other form as text, and what is not in it; None if there is nothing to convert."""

    text: str | None
    notes: tuple[Note, ...] = ()


class Unknown(ValueError):
    """A member or an instance was asked for that is not there."""


# To keepalived.conf ----------------------------------------------------------


def to_keepalived(cluster: Cluster, member: str = "") -> Converted:
    """keepalived.conf for one member of the cluster (by its id; "": the first).

    Raises `Unknown` if there is no such member.
    """
    own = _member(cluster, member)
    notes: list[Note] = []
    blocks = [_instance(cluster, own, notes)]
    for balancer in cluster.load_balancers:
        blocks += _virtual_server(balancer, cluster, notes)
    if cluster.prometheus.enabled:
        notes.append(Note("prometheus: keepalived serves no metrics"))
    for check in cluster.checks:
        notes.append(
            Note(f"check {check.name or check.endpoint}: has no counterpart; a vrrp_script could do the like")
        )
    return Converted("\n".join("".join(f"{line}\n" for line in lines) for lines in blocks), tuple(notes))


def _member(cluster: Cluster, member_id: str) -> Member:
    for one in cluster.members:
        if member_id in ("", one.id):
            return one
    raise Unknown(f"there is no member '{member_id}', only {', '.join(one.id for one in cluster.members)}")


def _instance(cluster: Cluster, own: Member, notes: list[Note]) -> list[str]:
    """The VRRP instance: like a vote, it keeps a master that works, whatever its priority."""
    vrid = int(cluster.vip) % 256 or 1
    priority = max(1, FIRST_PRIORITY - cluster.members.index(own))
    others = [one for one in cluster.members if one is not own]
    notes.append(
        Note(f"virtual_router_id {vrid} is chosen: the last byte of the vip; nobody else may use it")
    )
    notes.append(Note(f"this is the file of member {own.id}; each member needs its own (--member ID)"))
    notes.append(Note("members: their ids and ports have no counterpart; VRRP does not vote"))
    lines = [
        f"vrrp_instance {quoted(cluster.name or 'cluster')} {{",
        "    state BACKUP",
        "    nopreempt",
        f"    interface {cluster.interface}",
        f"    virtual_router_id {vrid}",
        f"    priority {priority}",
        "    advert_int 1",
        f"    garp_master_refresh {cluster.checks_interval_us // SECOND}",
        f"    unicast_src_ip {own.address}",
    ]
    if others:
        lines += ["    unicast_peer {", *(f"        {one.address}" for one in others), "    }"]
    return [*lines, "    virtual_ipaddress {", f"        {cluster.vip}/32", "    }", "}"]


def _virtual_server(balancer: LoadBalancer, cluster: Cluster, notes: list[Note]) -> list[list[str]]:
    """The IPVS service for a balancer; none if no backend has an address."""
    title = f"load balancer {balancer.name or balancer.bind}"
    address = _address(balancer.bind.host)
    if balancer.bind.host in ANYWHERE:
        address = cluster.vip
        notes.append(Note(f"{title}: {balancer.bind} is every address; IPVS needs one, the vip is taken"))
    servers: list[str] = []
    for backend in balancer.backends:
        found = _address(backend.endpoint.host)
        if found is None:
            notes.append(Note(f"{title}: {backend.endpoint} has no IP address, IPVS needs one: left out"))
        else:
            servers += [f"    real_server {found} {backend.endpoint.port} {{", "        weight 1", "    }"]
    if address is None or not servers:
        notes.append(Note(f"{title}: left out, it has no address that IPVS could use"))
        return []
    if balancer.kind is BalancerKind.HTTP:
        notes.append(Note(f"{title}: IPVS shares out connections, not HTTP requests"))
    notes.append(Note(f"{title}: names have no counterpart; NAT needs the way back through this machine"))
    protocol = "UDP" if balancer.kind is BalancerKind.UDP else "TCP"
    head = [
        f"virtual_server {address} {balancer.bind.port} {{",
        "    lvs_sched rr",
        "    lvs_method NAT",
        f"    protocol {protocol}",
    ]
    return [[*head, *servers, "}"]]


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


# To keep-vip -----------------------------------------------------------------


def to_cluster(
    configuration: Configuration, statements: Iterable[Statement], instance: str = ""
) -> tuple[Cluster | None, tuple[Note, ...]]:
    """The cluster that an instance (by name; "": the first) describes, and what is not in it.

    `statements` are those the configuration was made of: they tell what else
    was written, and where.  Raises `Unknown` if there is no such instance.
    """
    chosen = _chosen(configuration, instance)
    if chosen is None:
        return None, (Note("there is no vrrp_instance: nothing that a cluster could be made of"),)
    elected = chosen.election is Election.RAFT
    notes = list(_left_out(statements, chosen.name, elected=elected))
    vip = _vip(chosen, notes)
    if vip is None:
        return None, (*notes, Note(f"vrrp_instance {chosen.name} has no IPv4 address: keep-vip needs one"))
    members = _voters(configuration.raft, notes) if elected else _members(chosen, notes)
    cluster = Cluster(
        name=chosen.name,
        interface=chosen.interface,
        vip=vip,
        checks_interval_us=_interval(chosen, notes),
        members=members,
        load_balancers=tuple(_balancers(configuration.virtual_servers, notes)),
    )
    return (_as_elected(cluster, configuration.raft) if elected else cluster), tuple(notes)


def _as_elected(cluster: Cluster, raft: Any) -> Cluster:
    """With what this program alone reads in keep-vip's file."""
    timing = next((name for name, found in PRESETS.items() if found == raft.timing), cluster.timing)
    return replace(cluster, key_file=raft.key_file, timing=timing)


def _chosen(configuration: Configuration, name: str) -> Instance | None:
    for one in configuration.instances:
        if name in ("", one.name):
            return one
    if name:
        names = ", ".join(one.name for one in configuration.instances)
        raise Unknown(f"there is no vrrp_instance '{name}', only {names or 'none'}")
    return None


def _vip(instance: Instance, notes: list[Note]) -> IPv4Address | None:
    found: IPv4Address | None = None
    for one in (*instance.addresses, *instance.excluded_addresses):
        if found is None and isinstance(one.address, IPv4Address):
            found = one.address
            if one.prefix_length != 32:
                notes.append(Note(f"address {found}: its prefix length becomes 32"))
            if one.interface != instance.interface:
                notes.append(Note(f"address {found}: stands on {instance.interface}, not on {one.interface}"))
        else:
            notes.append(Note(f"address {one.address}: keep-vip moves one IPv4 address only"))
    return found


def _members(instance: Instance, notes: list[Note]) -> tuple[Member, ...]:
    peers = [peer.address for peer in instance.unicast_peers]
    if not peers:
        notes.append(Note("members: multicast VRRP does not know its peers; list them all by hand"))
    elif instance.source is None:
        notes.append(Note("members: unicast_src_ip does not tell this machine's own address; add it"))
    addresses = [*((instance.source,) if instance.source is not None else ()), *peers]
    if addresses:
        notes.append(Note(f"members: ids are made up, and port {RAFT_PORT}, at which they speak Raft"))
    if len(addresses) == 2:
        notes.append(Note("members: two cannot spare one; a cluster that votes needs three"))
    return tuple(Member(f"server{number}", one, RAFT_PORT) for number, one in enumerate(addresses, start=1))


def _voters(raft: Any, notes: list[Note]) -> tuple[Member, ...]:
    """The members of the quorum; keep-vip knows no witnesses and no names of hosts."""
    found = []
    for one in raft.members:
        address = _address(one.endpoint.host)
        if address is None:
            notes.append(Note(f"member {one.id}: {one.endpoint} has no IP address, by which it is known"))
            continue
        if one.witness:
            notes.append(Note(f"member {one.id}: a witness would hold the address like all others; left out"))
            continue
        found.append(Member(str(one.id), address, one.endpoint.port))
    return tuple(found)


def _interval(instance: Instance, notes: list[Note]) -> Micros:
    """keep-vip announces the address at every check, as garp_master_refresh does."""
    seconds = instance.garp.refresh_us // SECOND
    if seconds:
        return Micros(seconds * SECOND)
    notes.append(Note(f"ChecksInterval: {DEFAULT_INTERVAL_S} s are chosen"))
    return Micros(DEFAULT_INTERVAL_S * SECOND)


def _balancers(servers: Sequence[Any], notes: list[Note]) -> Iterator[LoadBalancer]:
    """One for each service at an address with a port."""
    number = 0
    for server in servers:
        protocol = server.protocol.value if server.protocol is not None else "TCP"
        if server.address is None or not server.port or protocol == "SCTP":
            notes.append(Note(f"virtual_server {_service(server)}: keep-vip balances TCP and UDP ports only"))
            continue
        number += 1
        if server.scheduler.value != "rr":
            notes.append(
                Note(f"virtual_server {_service(server)}: {server.scheduler.value} becomes round robin")
            )
        kind = BalancerKind.UDP if protocol == "UDP" else BalancerKind.TCP
        backends = tuple(
            Backend(f"backend{index}", Endpoint(str(one.address), one.port or server.port))
            for index, one in enumerate(server.real_servers, start=1)
        )
        yield LoadBalancer(f"balancer{number}", Endpoint(str(server.address), server.port), kind, backends)


def _service(server: Any) -> str:
    if server.address is not None:
        return f"{server.address} {server.port or 'without port'}"
    return f"fwmark {server.mark}" if server.mark is not None else f"group {server.group}"


def _left_out(statements: Iterable[Statement], instance: str, *, elected: bool) -> Iterator[Note]:
    """A note for every statement without a counterpart; what is inside such a block is not named again."""
    for one in map(directive_of, statements):
        if one.keyword == "virtual_server":
            title = " ".join(one.words)
            yield from _inside(one, title, SERVER_KEYWORDS)
            yield from _of_real_servers(one, title)
        elif one.keyword == "vrrp_instance" and one.words[1:2] == (instance,):
            yield from _inside(one, f"vrrp_instance {instance}", INSTANCE_KEYWORDS)
        elif one.keyword == "raft_cluster" and elected:
            yield from _inside(one, one.keyword, RAFT_KEYWORDS)
        elif one.keyword == "vrrp_instance":
            yield Note(f"{' '.join(one.words)}: a keep-vip file has one address only", _place(one))
        elif one.keyword and one.keyword != "}":
            yield Note(f"{' '.join(one.words)}: has no counterpart", _place(one))


def _of_real_servers(server: Directive, title: str) -> Iterator[Note]:
    for one in map(directive_of, server.body or ()):
        if one.keyword == "real_server":
            yield from _inside(one, f"{title}, {' '.join(one.words)}", frozenset())


def _inside(block: Directive, title: str, known: frozenset[str]) -> Iterator[Note]:
    for one in map(directive_of, block.body or ()):
        if one.keyword and one.keyword not in known:
            yield Note(f"{title}: {_without_secret(one)} has no counterpart", _place(one))


def _without_secret(statement: Directive) -> str:
    """The statement for a note; what a block holds may be a password and is not shown."""
    return statement.keyword if statement.body is not None else " ".join(statement.words)


def _place(statement: Directive) -> str:
    origin = statement.line_origin
    return f"{origin.file}:{origin.line}"
