"""What is played: random virtual servers, and random changes of their configuration.

Up to four virtual servers: by address, by mark, and two that use one group, with
the same protocol (and then the same services) or not.  Each has servers of its
own, so that what stands in a shared service can be told apart.
"""

from ipaddress import IPv4Address
from random import Random
from typing import NamedTuple

from keepalived_py.base.record import replace
from keepalived_py.model.globals import Globals, Lvs, LvsFlush
from keepalived_py.model.scripts import Command
from keepalived_py.model.virtual_server import (
    AddressRange,
    FirewallMark,
    Forwarding,
    ForwardingMethod,
    GroupEntry,
    Protocol,
    RealServer,
    Scheduler,
    ServerGroup,
    SorryServer,
    VirtualServer,
)

GROUP = "shared"
KINDS = 4
BY_MARK, FIRST_OF_GROUP = 1, 2
SERVERS = 5
WEIGHTS = (0, 1, 1, 1, 2, 3, 10)
ENTRIES: tuple[GroupEntry, ...] = (
    AddressRange(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), 80),
    AddressRange(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.3"), 80),
    AddressRange(IPv4Address("192.0.2.9"), IPv4Address("192.0.2.9"), 81),
    FirewallMark(7),
    FirewallMark(8, 4),
)


class CheckPlan(NamedTuple):
    """A check of a server; `number` tells it from the others of that server."""

    number: int
    alpha: bool


class Plan(NamedTuple):
    """A virtual server; `checks` are those of each real server.  `place` counts those of its group."""

    kind: int
    virtual: VirtualServer
    checks: tuple[tuple[CheckPlan, ...], ...]
    place: int = 0


class Scene(NamedTuple):
    """A configuration."""

    plans: tuple[Plan, ...]
    group: ServerGroup
    general: Globals


def draw(random: Random) -> Scene:
    """A configuration to begin with."""
    lvs = Lvs(
        flush_on_stop=random.choice((None, None, None, LvsFlush.ALL, LvsFlush.OWN_SERVICES)),
        rs_init_notifies=random.random() < 0.3,
    )
    return _drawn(random, Globals(lvs=lvs), random.choice((Protocol.TCP, Protocol.UDP)), None)


def changed(random: Random, scene: Scene) -> Scene:
    """A configuration in which anything may be different, but is not always."""
    protocols = [plan.virtual.protocol for plan in scene.plans if plan.kind == FIRST_OF_GROUP + 1]
    second = protocols[0] if protocols and random.random() < 0.8 else random.choice(list(Protocol))
    return _drawn(random, scene.general, second, scene)


def _drawn(random: Random, general: Globals, second: Protocol | None, old: Scene | None) -> Scene:
    """`second` is the protocol of the second virtual server of the group; the first one's is TCP."""
    before = {} if old is None else {plan.kind: plan for plan in old.plans}
    kinds = [kind for kind in range(KINDS) if random.random() < 0.7] or [0]
    if old is not None and random.random() < 0.7:
        kinds = [plan.kind for plan in old.plans]
    group = old.group if old is not None and random.random() < 0.6 else _group(random)
    shared = _service(random)
    if old is not None and random.random() < 0.7:
        shared = next((_service_of(plan) for plan in old.plans if plan.kind >= FIRST_OF_GROUP), shared)
    plans = [_plan(random, kind, before.get(kind), shared, second) for kind in kinds]
    places = iter(range(KINDS))
    return Scene(
        tuple(plan if plan.virtual.group is None else plan._replace(place=next(places)) for plan in plans),
        group,
        general,
    )


def _group(random: Random) -> ServerGroup:
    wide = random.random() < 0.5
    entries = [entry for entry in ENTRIES[2:] if random.random() < 0.5]
    return ServerGroup(GROUP, (*entries, ENTRIES[1 if wide else 0]))


class _ServiceDraw(NamedTuple):
    scheduler: Scheduler
    persistence_s: int | None


def _service(random: Random) -> _ServiceDraw:
    return _ServiceDraw(
        random.choice((Scheduler.ROUND_ROBIN, Scheduler.WEIGHTED_LEAST_CONNECTION)),
        random.choice((None, None, 50)),
    )


def _service_of(plan: Plan) -> _ServiceDraw:
    return _ServiceDraw(plan.virtual.scheduler, plan.virtual.persistence_timeout_s)


# -- one virtual server ------------------------------------------------------------------


def _plan(
    random: Random, kind: int, before: Plan | None, shared: _ServiceDraw, second: Protocol | None
) -> Plan:
    old = {} if before is None else dict(zip(before.virtual.real_servers, before.checks, strict=True))
    method = _method(random)
    if before is not None and random.random() < 0.8:
        method = before.virtual.method
    numbers = sorted(random.sample(range(1, SERVERS + 1), random.randint(1, SERVERS)))
    if before is not None and random.random() < 0.6:
        numbers = [int(server.address) & 0xFF for server in before.virtual.real_servers]
    known = {int(server.address) & 0xFF: server for server in old}
    servers: list[RealServer] = []
    checks: list[tuple[CheckPlan, ...]] = []
    for number in numbers:
        had = known.get(number)
        keep = had is not None and had.method == method and random.random() < 0.7
        servers.append(had if had is not None and keep else _server(random, kind, number, method))
        kept = old.get(had) if had is not None and random.random() < 0.7 else None
        checks.append(_checks(random) if kept is None else kept)
    virtual = _virtual(random, kind, tuple(servers), shared, second, method)
    if before is not None and random.random() < 0.6:
        virtual = _like(before.virtual, virtual)
    return Plan(kind, virtual, tuple(checks))


def _like(old: VirtualServer, new: VirtualServer) -> VirtualServer:
    """The new one, but its sorry server and quorum are the old one's where they still fit."""
    sorry = old.sorry_server
    if sorry is not None:
        inhibit = next(
            (one.inhibit_on_failure for one in new.real_servers if one.address == sorry.address),
            sorry.inhibit,
        )
        first = new.real_servers[0]
        sorry = SorryServer(sorry.address, first.port, first.method, inhibit)
    total = sum(server.weight for server in new.real_servers)
    quorum = min(old.quorum, total)
    return replace(new, sorry_server=sorry, quorum=quorum, hysteresis=min(old.hysteresis, max(quorum - 1, 0)))


def _virtual(
    random: Random,
    kind: int,
    servers: tuple[RealServer, ...],
    shared: _ServiceDraw,
    second: Protocol | None,
    method: ForwardingMethod,
) -> VirtualServer:
    by_group = kind >= FIRST_OF_GROUP
    service = shared if by_group else _service(random)
    total = sum(server.weight for server in servers)
    quorum = min(random.choice((1, 1, 2, 3, 5)), total)
    return VirtualServer(
        address=IPv4Address("198.51.100.1") if kind == 0 else None,
        port=80 if kind == 0 else 0,
        mark=5 if kind == BY_MARK else None,
        group=GROUP if by_group else None,
        ip_family=None if kind == 0 else 4,
        protocol=None if kind == BY_MARK else second if kind > FIRST_OF_GROUP else Protocol.TCP,
        scheduler=service.scheduler,
        persistence_timeout_s=service.persistence_s,
        method=method,
        smtp_alert=random.random() < 0.3,
        omega=random.random() < 0.5,
        quorum_up=_command(random, f"quorum_up {kind}"),
        quorum_down=_command(random, f"quorum_down {kind}"),
        quorum=quorum,
        hysteresis=random.randint(0, max(quorum - 1, 0)),
        sorry_server=_sorry(random, kind, servers) if random.random() < 0.6 else None,
        real_servers=servers,
    )


def _command(random: Random, text: str) -> Command | None:
    return Command((text,), 0, 0) if random.random() < 0.6 else None


def _method(random: Random) -> ForwardingMethod:
    return ForwardingMethod(random.choice((Forwarding.NAT, Forwarding.NAT, Forwarding.DIRECT)))


def _port(kind: int, method: ForwardingMethod) -> int:
    """As configurations are corrected: who does not rewrite packets has the port of the service."""
    if kind >= FIRST_OF_GROUP or method.forwarding is Forwarding.NAT:
        return 8080
    return 80 if kind == 0 else 0


def _address(kind: int, number: int) -> IPv4Address:
    return IPv4Address(f"10.0.{kind}.{number}")


def _server(random: Random, kind: int, number: int, method: ForwardingMethod) -> RealServer:
    return RealServer(
        _address(kind, number),
        _port(kind, method),
        random.choice(WEIGHTS),
        method,
        upper_threshold=random.choice((0, 0, 100)),
        inhibit_on_failure=random.random() < 0.4,
        notify_up=_command(random, f"up {kind} {number}"),
        notify_down=_command(random, f"down {kind} {number}"),
        smtp_alert=random.random() < 0.5,
    )


def _sorry(random: Random, kind: int, servers: tuple[RealServer, ...]) -> SorryServer:
    if random.random() < 0.3:
        twin = random.choice(servers)
        return SorryServer(twin.address, twin.port, twin.method, twin.inhibit_on_failure)
    number = random.choice((9, 9, 8))
    return SorryServer(_address(kind, number), servers[0].port, servers[0].method, random.random() < 0.5)


def _checks(random: Random) -> tuple[CheckPlan, ...]:
    count = random.choice((0, 1, 1, 1, 2, 3))
    return tuple(CheckPlan(number, random.random() < 0.4) for number in random.sample(range(4), count))
