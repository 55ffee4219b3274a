"""One instance alone: its state machine with virtual time, no node and no kernel around it."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core.vrrp import machine, timing
from keepalived_py.core.vrrp.priority import effective_priority
from keepalived_py.core.vrrp.state import InstanceState, Why, earliest
from keepalived_py.model import effects as fx
from keepalived_py.model.config import Command, Election, Instance, Notifies, VirtualAddress
from keepalived_py.model.packet import Advert
from keepalived_py.model.vrrp import UnicastPeer

ETH0 = InterfaceName("eth0")
NOTIFY = Notifies(any=Command(("/bin/notify",), 0, 0))
START = Why("start", "of a test")
# Every change of role that there is.
LEGAL = {
    ("INIT", "BACKUP"),
    ("INIT", "MASTER"),
    ("INIT", "FAULT"),
    ("BACKUP", "MASTER"),
    ("BACKUP", "FAULT"),
    ("BACKUP", "INIT"),
    ("MASTER", "BACKUP"),
    ("MASTER", "FAULT"),
    ("MASTER", "INIT"),
    ("FAULT", "BACKUP"),
    ("FAULT", "INIT"),
}


def peers(*addresses: str, **limits: int) -> tuple[UnicastPeer, ...]:
    """Unicast peers, all with the same limits."""
    return tuple(UnicastPeer(ip_address(each), **limits) for each in addresses)


def instance(**settings: Any) -> Instance:
    """VI_1 with VRID 51 and one address; `family` 6 gives it IPv6 addresses."""
    six = settings.get("family", 4) == 6
    usual: dict[str, Any] = {
        "name": InstanceName("VI_1"),
        "interface": ETH0,
        "vrid": 51,
        "addresses": (
            VirtualAddress(ip_address("fe80::100" if six else "10.0.0.100"), 64 if six else 24, ETH0),
        ),
        "destination": ip_address("ff02::12" if six else "224.0.0.18"),
        "version": 3 if six else 2,
        "notifies": NOTIFY,
    }
    return Instance(**{**usual, **settings})


def advert(settings: Instance, priority: int, source: str, **fields: Any) -> Advert:
    """An advert that `settings` has nothing against."""
    addresses = tuple(virtual.address for virtual in settings.addresses)
    six = settings.family == 6
    length = 8 + (16 if six else 4) * len(addresses)
    length += 0 if six else 20 + 8 * (settings.version == 2)
    unit = SECOND if settings.version == 2 else 10_000
    own = ip_address("fe80::5" if six else "10.0.0.5")
    usual: dict[str, Any] = {
        "source": ip_address(source),
        "destination": own if settings.unicast else settings.destination,
        "ttl": 255,
        "total_length": length,
        "received_length": length,
        "expected_length": length,
        "has_ah": False,
        "version": settings.version,
        "kind": 1,
        "vrid": settings.vrid,
        "priority": priority,
        "address_count": len(addresses),
        "auth_type": settings.auth_type.value if settings.version == 2 else 0,
        "advert_interval": settings.advert_interval_us // unit,
        "checksum_valid": True,
        "addresses": addresses,
        "auth_data": b"" if six or settings.version == 3 else settings.auth_data[:8].ljust(8, b"\0"),
    }
    return Advert(**{**usual, **fields})


class Solo:
    """One instance from its start.  `role` "MASTER" lets it get there, "FAULT" breaks it at once."""

    def __init__(self, role: str = "BACKUP", **settings: Any) -> None:
        self.settings = instance(**settings)
        self.now = Micros(0)
        self.out: list[fx.Effect] = []
        priority = effective_priority(self.settings.base_priority, ())
        own: IPv4Address | IPv6Address = ip_address("10.0.0.5" if self.settings.family == 4 else "fe80::5")
        state = InstanceState(self.settings, fx.Role.INIT, priority, None, None)
        self.state = machine.with_source(state, self.settings.source or own)
        if role == "FAULT":
            self.state = machine.become_fault(self.state, START, self.out)
        elif role == "BACKUP" or role == "MASTER":
            self.state = machine.become_backup(self.state, self.now, START, self.out, initial=True)
        if role == "MASTER" and self.settings.election is Election.RAFT:
            self.granted()
        elif role == "MASTER":
            self.until(self.until_down / SECOND)

    @property
    def until_down(self) -> Micros:
        """The master_down_interval now."""
        state = self.state
        return timing.master_down_interval(state.settings, state.effective_priority, state.learned_interval)

    @property
    def role(self) -> str:
        """The role's name."""
        return self.state.role.name

    def until(self, at_s: float) -> "Solo":
        """Time passes, deadlines are kept exactly."""
        end = Micros(round(at_s * SECOND))
        while self.state.deadline is not None and self.state.deadline <= end:
            self.now = max(self.now, self.state.deadline)
            self.due()
        self.now = end
        return self

    def sleep(self, at_s: float) -> "Solo":
        """Time passes and nothing happens."""
        self.now = Micros(round(at_s * SECOND))
        return self

    def due(self, *, group_ready: bool = True) -> "Solo":
        """The deadline's step, now."""
        self.state = machine.on_deadline(self.state, self.now, group_ready, self.out)
        return self

    def hear(
        self, priority: int, at_s: float | None = None, source: str | None = None, **fields: Any
    ) -> "Solo":
        """An advert from another router."""
        usual = "10.0.0.9" if self.settings.family == 4 else "fe80::9"
        clock = fields.pop("wall_clock_s", 0)
        return self.take(advert(self.settings, priority, source or usual, **fields), at_s, clock)

    def take(self, heard: Advert, at_s: float | None = None, wall_clock_s: int = 0) -> "Solo":
        """Exactly this advert."""
        if at_s is not None:
            self.until(at_s)
        self.state = machine.on_advert(self.state, heard, self.now, self.out, wall_clock_s)
        return self

    def paused(self, duration_s: float) -> "Solo":
        """The process did not run for so long until now."""
        self.state = machine.on_paused(self.state, Micros(round(duration_s * SECOND)), self.now, self.out)
        return self

    def fault(self) -> "Solo":
        """A fault of its own."""
        self.state = machine.become_fault(self.state, START, self.out)
        return self

    def granted(self) -> "Solo":
        """A quorum lets the instance hold what it holds; only a BACKUP is ever told."""
        if self.state.role is fx.Role.BACKUP:
            self.state = machine.become_master(self.state, self.now, START, self.out)
        return self

    def lost(self) -> "Solo":
        """The lease of a MASTER is over."""
        return self.backup() if self.state.role is fx.Role.MASTER else self

    def backup(self) -> "Solo":
        """To BACKUP."""
        self.state = machine.become_backup(self.state, self.now, START, self.out)
        return self

    def logs(self, *, detail: bool = True) -> list[str]:
        """All log lines so far."""
        return [
            each.text for each in self.out if isinstance(each, fx.WriteLog) and (detail or not each.detail)
        ]

    def sent(self) -> list[int]:
        """The priorities of all adverts so far."""
        return [each.advert.priority for each in self.out if isinstance(each, fx.SendAdvert)]

    def all(self, kind: type[Any]) -> list[Any]:
        """All effects of one kind."""
        return [each for each in self.out if isinstance(each, kind)]

    def counted(self) -> dict[str, int]:
        """The counters that are not zero."""
        return {name: value for name, value in self.state.counters._asdict().items() if value}

    def deadline_s(self) -> float:
        """When the role's own timer ends."""
        assert self.state.deadline is not None
        assert earliest(self.state) is not None
        return self.state.deadline / SECOND
