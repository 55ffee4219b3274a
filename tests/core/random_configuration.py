"""Random configurations, small enough that two of them often have much in common."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.model import events as ev
from keepalived_py.model.config import (
    CheckScript,
    Command,
    Configuration,
    InitialState,
    Instance,
    SyncGroup,
    TrackedInterface,
    TrackedScript,
    TrackGroup,
    VirtualAddress,
)
from keepalived_py.model.network import Prefix, Route, Rule, RuleAction
from keepalived_py.model.vrrp import UnicastPeer, Vmac

INTERFACES = tuple(InterfaceName(name) for name in ("eth0", "eth1"))
SCRIPTS = ("good", "bad")
BAD = {"bad": 1}
GROUP6 = IPv6Address("ff02::12")


def machine() -> tuple[ev.InterfaceFacts, ...]:
    """Two interfaces with addresses of both families; eth2 is down."""
    made = []
    for number, name in enumerate((*INTERFACES, InterfaceName("eth2"))):
        addresses = (
            ev.InterfaceAddress(IPv4Address(f"192.168.{number}.1"), 24),
            ev.InterfaceAddress(IPv6Address(f"fe80::{number + 1}"), 64),
        )
        mac = bytes((2, 0, 0, 0, 0, number))
        made.append(ev.InterfaceFacts(name, number + 2, name != "eth2", mac=mac, addresses=addresses))
    return tuple(made)


def configuration(random: Random) -> Configuration:
    """A whole file.  Each virtual address has at most one owner, as keepalived demands of sane files."""
    pool = [(family, number) for family in (4, 6) for number in range(1, 6)]
    random.shuffle(pool)
    instances: list[Instance] = []
    taken: set[tuple[object, ...]] = set()
    for number in range(random.randint(0, 4)):
        made = _instance(random, number, pool)
        key = (made.vrid, made.family, made.configured_interface)
        if key not in taken:
            taken.add(key)
            instances.append(made)
    statics = tuple(_address(random, *pool.pop()) for _ in range(random.randint(0, 2)) if pool)
    names = tuple(made.name for made in instances)
    return Configuration(
        instances=tuple(instances),
        groups=_groups(random, instances),
        scripts=tuple(_script(name) for name in SCRIPTS),
        static_addresses=statics,
        static_routes=_routes(random, "172.17"),
        static_rules=_rules(random, 300),
        track_groups=(TrackGroup(GroupName("T"), names[:1]),) if names else (),
    )


def _script(name: str) -> CheckScript:
    second = Micros(1_000_000)
    return CheckScript(ScriptName(name), Command(("/bin/" + name,), 0, 0), second, second)


def _address(random: Random, family: int, number: int, interface: str | None = None) -> VirtualAddress:
    text = f"10.0.0.{number}" if family == 4 else f"fd00::{number}"
    address: Address = ip_address(text)
    length = random.choice((24, 24, 25) if family == 4 else (64, 64, 80))
    label = random.choice((None, None, "eth0:x")) if family == 4 else None
    where = InterfaceName(interface or random.choice(INTERFACES))
    return VirtualAddress(address, length, where, label=label, tracked=random.random() < 0.8)


def _instance(random: Random, number: int, pool: list[tuple[int, int]]) -> Instance:
    interface = random.choice(INTERFACES)
    family = random.choice((4, 4, 6))
    mine = [each for each in pool if each[0] == family][: random.randint(0, 2)]
    others = [each for each in pool if each not in mine][: random.choice((0, 0, 1))]
    for each in (*mine, *others):
        pool.remove(each)
    owner = random.random() < 0.15
    unicast = random.random() < 0.25
    peer = UnicastPeer(ip_address("192.168.9.9" if family == 4 else "fe80::99"))
    usual = IPv4Address("224.0.0.18") if family == 4 else GROUP6
    vrid = random.randint(1, 3)
    vmac = Vmac(InterfaceName(f"vm{family}{vrid}{interface}"))
    return Instance(
        name=InstanceName(random.choice(("VI", "NAME")) + str(number)),
        interface=interface,
        vrid=vrid,
        base_priority=255 if owner else random.choice((100, 100, 150)),
        initial_state=InitialState.MASTER if owner else InitialState.BACKUP,
        version=3 if family == 6 else random.choice((2, 3)),
        family=family,
        advert_interval_us=Micros(random.choice((1, 1, 2)) * 1_000_000),
        destination=usual,
        unicast_peers=(peer,) if unicast else (),
        addresses=tuple(_address(random, *each, interface) for each in mine),
        excluded_addresses=tuple(_address(random, *each) for each in others),
        routes=_routes(random, f"172.16.{number}"),
        rules=_rules(random, 100 + number),
        accept=random.random() < 0.7,
        vmac=vmac if random.random() < 0.2 else None,
        vmac_xmit_base=unicast,
        track_scripts=_tracked(random),
        track_interfaces=(TrackedInterface(InterfaceName("eth2"), random.choice((0, -20))),)
        if random.random() < 0.1
        else (),
    )


def _tracked(random: Random) -> tuple[TrackedScript, ...]:
    if random.random() < 0.6:
        return ()
    name = random.choice(SCRIPTS)
    weight = random.choice((20, -20)) if name == "bad" and random.random() < 0.7 else random.choice((0, 10))
    return (TrackedScript(ScriptName(name), weight),)


def _routes(random: Random, head: str) -> tuple[Route, ...]:
    return tuple(
        Route(
            Prefix(ip_address(head + ".0" * (3 - head.count("."))), 24),
            interface=random.choice(INTERFACES),
            metric=random.choice((None, 50)),
        )
        for _ in range(random.choice((0, 0, 1)))
    )


def _rules(random: Random, priority: int) -> tuple[Rule, ...]:
    return tuple(
        Rule(4, priority, RuleAction.TABLE, table=random.choice((100, 101)))
        for _ in range(random.choice((0, 0, 1)))
    )


def _groups(random: Random, instances: list[Instance]) -> tuple[SyncGroup, ...]:
    if len(instances) < 2 or random.random() < 0.6:
        return ()
    members = tuple(made.name for made in instances[:2])
    scripts = (TrackedScript(ScriptName("bad"), -5),) if random.random() < 0.3 else ()
    return (SyncGroup(GroupName("G"), members, track_scripts=scripts),)
