"""What the routers of a scenario are configured to be.

A `Cluster` is what they must agree on to be one virtual router: version,
family, way of sending, password, VRIDs, and in version 2 the interval (RFC 3768
section 7.1 has adverts with another one dropped).  Everything else is drawn
for each router, and drawn again for each reload.  A `Layout` says which VRID
has which addresses; a reload may move them from one to another.

Members of a sync group are alike in priority and preemption: a group whose
members disagree may stay in BACKUP for ever (keepalived does the same).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

from keepalived_py.base.clock import MILLISECOND, SECOND, Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.model.config import (
    AuthType,
    CheckScript,
    Command,
    Configuration,
    Globals,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
    VirtualAddress,
)
from keepalived_py.model.network import Prefix, Route
from keepalived_py.model.tracking import (
    TrackedBfd,
    TrackedFile,
    TrackedProcess,
    TrackedScript,
    TrackFile,
    TrackProcess,
)
from keepalived_py.model.vrrp import UnicastPeer
from keepalived_py.simulation.faults import RouterName, Trouble

INTERFACE = InterfaceName("eth0")
SCRIPT = ScriptName("check")
FILE, PROCESS, BFD = "file", "process", "bfd"
GROUP = GroupName("group")
OWNER = 255
FILE_NUMBER = 10
VERSION_3_INTERVALS = (100 * MILLISECOND, 250 * MILLISECOND, SECOND, 2 * SECOND)

Layout = Mapping[int, tuple[VirtualAddress, ...]]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What all routers of a scenario have in common.

    `intervals`: what a router's advert interval is drawn from.  `tracked`: which kinds of object
    exist, by the trouble that makes them bad.  `curt`: with several intervals routers may leave a lower
    priority unanswered, else they may advertise once more when they give way.  Both at once have no end:
    a third router takes the last advert's shorter interval for the slow master's, and claims the addresses.
    """

    sources: Mapping[RouterName, Address]
    owners: frozenset[RouterName]
    version: int
    family: int
    unicast: bool
    vrids: tuple[int, ...]
    intervals: tuple[Micros, ...]
    auth_type: AuthType
    grouped: bool
    tracked: frozenset[Trouble]
    preempt_delays: bool
    startup_delay_us: Micros
    closed: bool
    curt: bool
    routed: bool
    address_count: int


def draw_cluster(random: Random, names: list[RouterName]) -> Cluster:
    """What the routers called `names` have in common."""
    version = random.choice((2, 2, 3, 3, 3))
    family = 6 if version == 3 and random.random() < 0.4 else 4
    shape = random.choice(("one", "one", "two", "group"))
    tracked = random.sample(_TRACKABLE, random.choice((0, 0, 1, 1, 2)))
    return Cluster(
        sources={name: _source(family, name) for name in names},
        owners=_draw_owners(random, names),
        version=version,
        family=family,
        unicast=random.random() < 0.3,
        vrids=(51,) if shape == "one" else (51, 52),
        intervals=_draw_intervals(random, version),
        auth_type=AuthType.PASS if version == 2 and random.random() < 0.4 else AuthType.NONE,
        grouped=shape == "group",
        tracked=frozenset(tracked),
        preempt_delays=random.random() < 0.15,
        startup_delay_us=Micros(random.randint(1, 3) * SECOND if random.random() < 0.1 else 0),
        closed=random.random() < 0.25,
        routed=random.random() < 0.3,
        address_count=random.randint(1, 4),
        curt=random.random() < 0.5,
    )


_TRACKABLE = (Trouble.SCRIPT_FAILS, Trouble.FILE_BAD, Trouble.PROCESS_GONE, Trouble.BFD_DOWN)


def _source(family: int, name: RouterName) -> Address:
    return ip_address(f"10.0.0.{name[1:]}" if family == 4 else f"fe80::{name[1:]}")


def _draw_owners(random: Random, names: list[RouterName]) -> frozenset[RouterName]:
    """Mostly nobody; now and then one address owner, and sometimes, by mistake, two."""
    count = random.choice((1, 1, 2)) if random.random() < 0.2 else 0
    return frozenset(random.sample(names, count))


def _draw_intervals(random: Random, version: int) -> tuple[Micros, ...]:
    if version == 2:
        return (Micros(random.choice((1, 1, 1, 2, 3)) * SECOND),)
    count = random.choice((1, 1, 2, 3))
    return tuple(Micros(each) for each in sorted(random.sample(VERSION_3_INTERVALS, count)))


# -- addresses ----------------------------------------------------------------


def draw_layout(random: Random, cluster: Cluster) -> Layout:
    """Every VRID has one address that is always its own; the others are somebody's, or nobody's."""
    layout = {vrid: [_own_address(cluster.family, vrid)] for vrid in cluster.vrids}
    for number in range(cluster.address_count):
        where = random.choice((*cluster.vrids, *cluster.vrids, None))
        address = ip_address(f"10.0.9.{number}" if cluster.family == 4 else f"2001:db8::{number + 1}")
        bits = random.choice((32, 32, 24)) if cluster.family == 4 else 64
        if where is not None:
            layout[where].append(VirtualAddress(address, bits, INTERFACE))
    return {vrid: tuple(addresses) for vrid, addresses in layout.items()}


def _own_address(family: int, vrid: int) -> VirtualAddress:
    if family == 4:
        return VirtualAddress(IPv4Address(f"10.0.{vrid}.1"), 32, INTERFACE)
    return VirtualAddress(IPv6Address(f"fe80::51:{vrid}"), 64, INTERFACE)


def _route(cluster: Cluster, vrid: int) -> Route:
    to = ip_address(f"192.0.2.{vrid}" if cluster.family == 4 else f"2001:db8:1::{vrid}")
    return Route(Prefix(to, to.max_prefixlen), interface=INTERFACE)


# -- one router ---------------------------------------------------------------


def draw_configuration(random: Random, cluster: Cluster, name: RouterName, layout: Layout) -> Configuration:
    """What router `name` is configured to do, with the addresses of `layout`."""
    prototype = _draw_instance(random, cluster, name)
    instances = tuple(
        _for_vrid(
            prototype if cluster.grouped else _draw_instance(random, cluster, name), vrid, cluster, layout
        )
        for vrid in cluster.vrids
    )
    if cluster.grouped:
        instances = tuple(_member(random, cluster, instance) for instance in instances)
    return _joined(random, cluster, instances)


def _member(random: Random, cluster: Cluster, instance: Instance) -> Instance:
    """Members may have intervals of their own, and only some may track what makes all of them fail."""
    instance = replace(instance, advert_interval_us=random.choice(cluster.intervals))
    if random.random() < 0.5:
        return instance
    return replace(instance, track_scripts=(), track_files=(), track_processes=(), track_bfds=())


def _joined(random: Random, cluster: Cluster, instances: tuple[Instance, ...]) -> Configuration:
    members = tuple(instance.name for instance in instances)
    kinds = cluster.tracked
    return Configuration(
        globals=Globals(startup_delay_us=cluster.startup_delay_us),
        instances=instances,
        groups=(SyncGroup(GROUP, members),) if cluster.grouped else (),
        scripts=(_draw_script(random),) if Trouble.SCRIPT_FAILS in kinds else (),
        track_files=(TrackFile(FILE, "/run/file"),) if Trouble.FILE_BAD in kinds else (),
        track_processes=(_draw_process(random),) if Trouble.PROCESS_GONE in kinds else (),
    )


def _draw_script(random: Random) -> CheckScript:
    return CheckScript(
        name=SCRIPT,
        command=Command(("/usr/local/bin/check",), 0, 0),
        interval_us=Micros(random.choice((1, 2)) * SECOND),
        timeout_us=SECOND,
        rise=random.randint(1, 3),
        fall=random.randint(1, 3),
    )


def _draw_process(random: Random) -> TrackProcess:
    delays = [Micros(random.choice((0, 0, 500, 1500)) * MILLISECOND) for _ in range(2)]
    return TrackProcess(PROCESS, "daemon", fork_delay_us=delays[0], terminate_delay_us=delays[1])


def _draw_instance(random: Random, cluster: Cluster, name: RouterName) -> Instance:
    owner = name in cluster.owners
    initial = InitialState.MASTER if owner or random.random() < 0.3 else InitialState.BACKUP
    # `nopreempt` and `preempt_delay` do not go with `state MASTER`; the configuration drops them.
    free = initial is InitialState.BACKUP
    preempt = not (free and random.random() < 0.3)
    delayed = free and preempt and cluster.preempt_delays
    alike = len(cluster.intervals) == 1
    instance = Instance(
        name=InstanceName("prototype"),
        interface=INTERFACE,
        vrid=0,
        version=cluster.version,
        family=cluster.family,
        base_priority=OWNER if owner else random.choice((50, 100, 150, 150, random.randint(1, 254))),
        initial_state=initial,
        preempt=preempt,
        preempt_delay_us=Micros(random.randint(1, 4) * SECOND if delayed else 0),
        advert_interval_us=random.choice(cluster.intervals),
        auth_type=cluster.auth_type,
        auth_data=b"s3cret" if cluster.auth_type is AuthType.PASS else b"",
        destination=IPv4Address("224.0.0.18") if cluster.family == 4 else IPv6Address("ff02::12"),
        lower_priority_no_advert=(alike or cluster.curt) and random.random() < 0.15,
        higher_priority_send_advert=(alike or not cluster.curt) and random.random() < 0.15,
        accept=not cluster.closed or random.random() < 0.1,
        notifies=Notifies(any=Command(("/usr/local/bin/notify",), 0, 0)),
    )
    return _tracking(random, cluster, _unicast(random, cluster, name, instance))


def _unicast(random: Random, cluster: Cluster, name: RouterName, instance: Instance) -> Instance:
    if not cluster.unicast:
        return instance
    named = random.random() < 0.5
    return replace(
        instance,
        unicast_peers=tuple(UnicastPeer(source) for peer, source in cluster.sources.items() if peer != name),
        check_unicast_source=random.random() < 0.5,
        source=cluster.sources[name] if named else None,
        track_source=named,
    )


def _tracking(random: Random, cluster: Cluster, instance: Instance) -> Instance:
    kinds, grouped = cluster.tracked, cluster.grouped
    script, process, bfd = (_draw_weight(random, grouped) for _ in range(3))
    # A number in a file counts with its weight, so the weight is a small one.
    file = (_draw_weight(random, grouped) // FILE_NUMBER, random.random() < 0.2)
    return replace(
        instance,
        track_scripts=(TrackedScript(SCRIPT, *_turned(random, script)),)
        if Trouble.SCRIPT_FAILS in kinds
        else (),
        track_files=(TrackedFile(FILE, file[0], file[1] and bool(file[0])),)
        if Trouble.FILE_BAD in kinds
        else (),
        track_processes=(TrackedProcess(PROCESS, *_turned(random, process)),)
        if Trouble.PROCESS_GONE in kinds
        else (),
        track_bfds=(TrackedBfd(BFD, *_turned(random, bfd)),) if Trouble.BFD_DOWN in kinds else (),
    )


def _draw_weight(random: Random, grouped: bool) -> int:
    """Weights of members count in a sync group only with sync_group_tracking_weight."""
    return 0 if grouped else random.choice((0, 0, -40, -120, 30))


def _turned(random: Random, weight: int) -> tuple[int, bool]:
    return weight, bool(weight) and random.random() < 0.2


def _for_vrid(prototype: Instance, vrid: int, cluster: Cluster, layout: Layout) -> Instance:
    return with_layout(
        replace(
            prototype,
            name=InstanceName(f"v{vrid}"),
            vrid=vrid,
            routes=(_route(cluster, vrid),) if cluster.routed else (),
        ),
        layout,
    )


def with_layout(instance: Instance, layout: Layout) -> Instance:
    """The instance with its addresses by `layout`; the last of many is not advertised."""
    addresses = layout[instance.vrid]
    shown = addresses if len(addresses) < 3 else addresses[:-1]
    return replace(instance, addresses=shown, excluded_addresses=addresses[len(shown) :])


# -- reloads ------------------------------------------------------------------


def without_one(random: Random, configuration: Configuration) -> Configuration:
    """The configuration without one of its several instances, which a later reload brings back."""
    instances = list(configuration.instances)
    if len(instances) > 1:
        instances.remove(random.choice(instances))
    names = tuple(instance.name for instance in instances)
    groups = tuple(replace(group, members=names) for group in configuration.groups)
    return replace(configuration, instances=tuple(instances), groups=groups)


def inessential(random: Random, cluster: Cluster, old: Configuration, layout: Layout) -> Configuration:
    """Another configuration that gives nobody a reason to change a role.

    Names, addresses and `no_accept` change; in version 3 intervals too, since everybody learns the master's.
    """
    suffix = random.choice(("", "x"))
    slower = cluster.version == 3 and random.random() < 0.5
    instances = tuple(
        replace(
            with_layout(instance, layout),
            name=InstanceName(f"v{instance.vrid}{suffix}"),
            advert_interval_us=random.choice(cluster.intervals) if slower else instance.advert_interval_us,
            accept=not cluster.closed or random.random() < 0.1,
        )
        for instance in old.instances
    )
    names = tuple(instance.name for instance in instances)
    groups = tuple(replace(group, members=names) for group in old.groups)
    return replace(old, instances=instances, groups=groups)


def vrids_of(configuration: Configuration) -> Iterator[int]:
    """The VRIDs that are configured."""
    return (instance.vrid for instance in configuration.instances)
