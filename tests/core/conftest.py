"""A bench for one node: virtual time, a kernel that obeys, and everything the node did."""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.core import node as core
from keepalived_py.model import effects as fx
from keepalived_py.model import events as ev
from keepalived_py.model.config import (
    CheckScript,
    Command,
    Configuration,
    Instance,
    Notifies,
    SyncGroup,
    VirtualAddress,
)
from keepalived_py.model.packet import Advert

ETH0 = InterfaceName("eth0")
OURS = IPv4Address("10.0.0.5")
VIP = IPv4Address("10.0.0.100")


def facts(
    name: str = "eth0", *, up: bool = True, index: int = 2, address: str | None = "10.0.0.5"
) -> ev.InterfaceFacts:
    """An interface; `address` None: it has none."""
    addresses = () if address is None else (ev.InterfaceAddress(IPv4Address(address), 24),)
    return ev.InterfaceFacts(InterfaceName(name), index, up, mac=b"\2\0\0\0\0\1", addresses=addresses)


def command(*words: str) -> Command:
    """A program run as root."""
    return Command(("/bin/n", *words), 0, 0)


ALL_NOTIFIES = Notifies(
    master=command("m"),
    backup=command("b"),
    fault=command("f"),
    stop=command("s"),
    deleted=command("d"),
    any=command("any"),
    master_rx_lower_priority=command("lower"),
)


class Bench:
    """One node.  `instances` are given as keyword sets over a usual instance."""

    def __init__(self, *instances: dict[str, Any], **configuration: Any) -> None:
        made = tuple(self.instance(**settings) for settings in instances or ({},))
        self.configuration = Configuration(instances=made, **configuration)
        self.interfaces = {ETH0: facts(), InterfaceName("eth1"): facts("eth1", index=3, address="10.0.1.5")}
        self.now = Micros(0)
        self.effects: list[fx.Effect] = []
        self.last: tuple[fx.Effect, ...] = ()
        self.held: set[tuple[InterfaceName, Any]] = set()
        self.node: core.Node

    @staticmethod
    def instance(**settings: Any) -> Instance:
        """VI_1 on eth0, VRID 51, one address, all notify scripts."""
        address = (VirtualAddress(VIP, 24, settings.get("interface", ETH0)),)
        usual: dict[str, Any] = {
            "name": InstanceName("VI_1"),
            "interface": ETH0,
            "vrid": 51,
            "addresses": address,
            "notifies": ALL_NOTIFIES,
        }
        return Instance(**{**usual, **settings})

    def start(self) -> "Bench":
        """Take the first step."""
        self._take(core.start(self.configuration, self.interfaces, self.now))
        return self

    def feed(self, event: ev.Event, at_s: float | None = None) -> "Bench":
        """Hand the node an event, after everything due before it."""
        if at_s is not None:
            self.until(at_s)
        self.last = ()
        self._take(core.step(self.node, event, self.now))
        return self

    def until(self, at_s: float) -> "Bench":
        """Let time pass; the node gets its ticks exactly in time."""
        end = Micros(round(at_s * 1_000_000))
        while (due := core.next_deadline(self.node)) is not None and due <= end:
            self.now = Micros(max(due, self.now))
            self._take(core.step(self.node, ev.Tick(), self.now))
        self.now = end
        return self

    def _take(self, step: core.Step) -> None:
        self.node = step.node
        self.last += step.effects
        self.effects += step.effects
        for effect in step.effects:
            self._obey(effect)

    def _obey(self, effect: fx.Effect) -> None:
        match effect:
            case fx.AddAddress(_, virtual):
                self.held.add((virtual.interface, virtual.address))
            case fx.DeleteAddress(_, virtual) if (virtual.interface, virtual.address) in self.held:
                self.held.discard((virtual.interface, virtual.address))
                gone = ev.InterfaceAddress(virtual.address, virtual.prefix_length)
                self._take(core.step(self.node, ev.AddressRemoved(virtual.interface, gone), self.now))
            case fx.DeleteAddress():
                self._take(core.step(self.node, ev.EffectDone(effect, fx.AlreadySo()), self.now))
            case _:
                pass

    def hear(
        self, priority: int, at_s: float | None = None, source: str = "10.0.0.9", **fields: Any
    ) -> "Bench":
        """An advert from another router."""
        return self.feed(ev.AdvertReceived(ETH0, advert(priority, source, **fields)), at_s)

    def script(self, status: int, at_s: float | None = None, **fields: Any) -> "Bench":
        """The check `chk` ends."""
        return self.feed(ev.ScriptFinished(ScriptName("chk"), status, **fields), at_s)

    @property
    def state(self) -> core.InstanceState:
        """The first instance."""
        return self.node.instances[self.configuration.instances[0].name]

    @property
    def role(self) -> fx.Role:
        """The first instance's role."""
        return self.state.role

    def roles(self) -> list[str]:
        """The roles of all instances."""
        return [state.role.name for state in self.node.instances.values()]

    def logs(self, *, detail: bool = False) -> list[str]:
        """All log lines so far."""
        return [
            each.text
            for each in self.effects
            if isinstance(each, fx.WriteLog) and (detail or not each.detail)
        ]

    def sent(self) -> list[int]:
        """The priorities of all adverts so far."""
        return [each.advert.priority for each in self.effects if isinstance(each, fx.SendAdvert)]

    def notified(self) -> list[str]:
        """The arguments of all notify scripts so far."""
        return [" ".join(each.command.argv[1:]) for each in self.effects if isinstance(each, fx.RunNotify)]

    def count(self, kind: type) -> int:
        """How many effects of one kind there were."""
        return sum(isinstance(each, kind) for each in self.effects)


def advert(priority: int, source: str = "10.0.0.9", **fields: Any) -> Advert:
    """A right advert for VI_1."""
    usual: dict[str, Any] = {
        "source": IPv4Address(source),
        "destination": IPv4Address("224.0.0.18"),
        "ttl": 255,
        "total_length": 40,
        "received_length": 40,
        "expected_length": 40,
        "has_ah": False,
        "version": 2,
        "kind": 1,
        "vrid": 51,
        "priority": priority,
        "address_count": 1,
        "auth_type": 0,
        "advert_interval": 1,
        "checksum_valid": True,
        "addresses": (VIP,),
        "auth_data": bytes(8),
    }
    return Advert(**{**usual, **fields})


def check(interval_s: float = 1, **fields: Any) -> CheckScript:
    """The check `chk`."""
    period = Micros(round(interval_s * 1_000_000))
    return CheckScript(ScriptName("chk"), Command(("/bin/chk",), 0, 0), period, period, **fields)


def pair(**group: Any) -> Bench:
    """Two instances in the sync group G: VI_1 on eth0, VI_2 on eth1."""
    other = {"name": InstanceName("VI_2"), "interface": InterfaceName("eth1"), "vrid": 52}
    members = (InstanceName("VI_1"), InstanceName("VI_2"))
    joined = SyncGroup(GroupName("G"), members, **{"notifies": ALL_NOTIFIES, **group})
    return Bench({}, other, groups=(joined,))


@pytest.fixture
def bench() -> Callable[..., Bench]:
    """Makes a bench."""
    return Bench


@pytest.fixture
def bench_pair() -> Callable[..., Bench]:
    """Makes a bench with a sync group of two."""
    return pair


@pytest.fixture
def chk() -> Callable[..., CheckScript]:
    """Makes the check `chk`."""
    return check
