"""What happened, in the past tense.  The shells make these; the core reads them."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, InstanceName, InterfaceName, LeaseName, ScriptName
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Effect, Outcome
from keepalived_py.model.network import Route, Rule
from keepalived_py.model.packet import Advert


@dataclass(frozen=True, slots=True)
class Tick:
    """An armed deadline was reached."""


@dataclass(frozen=True, slots=True)
class AdvertReceived:
    """A packet of protocol 112 (or 51) came in and could be dissected.

    `interface` is the one its socket listens on ("" for a unicast socket without one), see
    `Instance.advert_interface`.  `wall_clock_s`: the time then in UTC seconds (`auth_hmac` asks for it).
    `age_us`: so long ago the kernel had it; timers count from then, not from when we came to read it.
    """

    interface: InterfaceName
    advert: Advert
    wall_clock_s: int = 0
    age_us: Micros = Micros(0)


@dataclass(frozen=True, slots=True)
class PacketUndecodable:
    """A packet of protocol 112 that is not even a VRRP header."""

    interface: InterfaceName
    reason: str


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address on an interface as the kernel reports it."""

    address: Address
    prefix_length: int
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class InterfaceFacts:
    """An interface of this machine.  `up` means UP and RUNNING; `index` 0: it does not exist.

    `forwards` says whether it routes IPv6 (an unsolicited neighbour advertisement tells).
    `polled`: `up` is what asking the driver said (`linkbeat_interfaces`), not the kernel's news.
    """

    name: InterfaceName
    index: int
    up: bool
    multicast: bool = True
    mac: bytes = b""
    mtu: int = 1500
    addresses: tuple[InterfaceAddress, ...] = ()
    forwards: bool = False
    polled: bool = False


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """An interface came, went, or changed its link state (`facts.addresses` is not read)."""

    facts: InterfaceFacts


@dataclass(frozen=True, slots=True)
class AddressAdded:
    """The kernel says that an address is now on an interface (by us or by others)."""

    interface: InterfaceName
    address: InterfaceAddress


@dataclass(frozen=True, slots=True)
class AddressRemoved:
    """The kernel says that an address is no longer on an interface (by us or by others)."""

    interface: InterfaceName
    address: InterfaceAddress


@dataclass(frozen=True, slots=True)
class RouteLost:
    """Somebody else took a route of ours out of the kernel."""

    route: Route


@dataclass(frozen=True, slots=True)
class RuleLost:
    """Somebody else took a rule of ours out of the kernel."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class FileRead:
    """A tracked file has this number now; None: it has none, cannot be read, or is gone."""

    name: str
    value: int | None


@dataclass(frozen=True, slots=True)
class ProcessesCounted:
    """So many processes of a `track_process` run now; None: they cannot be watched here."""

    name: str
    count: int | None


@dataclass(frozen=True, slots=True)
class BfdChanged:
    """A BFD session came up or went down."""

    name: str
    up: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """This process did not run for `duration_us` although it was due: suspended, stopped or starved."""

    duration_us: Micros


@dataclass(frozen=True, slots=True)
class ScriptFinished:
    """A check script ended: by exit `status`, by `signal`, or killed after its time limit.

    A check of a server ends with status 0 or 1; `text` says to a person what was found.
    """

    name: ScriptName
    status: int = 0
    signal: int = 0
    timed_out: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    """The quorum lets this machine hold what `instances` hold (`core.raft`); `token` only grows."""

    lease: LeaseName
    instances: tuple[InstanceName, ...]
    token: int
    evidence: str


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """The lease is over, or is given up: nothing of it may be held any more.  `reason`: a short clause."""

    lease: LeaseName
    instances: tuple[InstanceName, ...]
    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class SettingsReplaced:
    """A reload: from now on `configuration` holds."""

    configuration: Configuration


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The daemon is stopping.  `release` False (`-V`): leave the addresses, send nothing."""

    release: bool = True


@dataclass(frozen=True, slots=True)
class EffectDone:
    """An effect that went through a lane has an outcome."""

    effect: Effect
    outcome: Outcome


Event = (
    Tick
    | AdvertReceived
    | PacketUndecodable
    | LinkChanged
    | AddressAdded
    | AddressRemoved
    | RouteLost
    | RuleLost
    | FileRead
    | ProcessesCounted
    | BfdChanged
    | Paused
    | ScriptFinished
    | LeaseGranted
    | LeaseLost
    | SettingsReplaced
    | StopRequested
    | EffectDone
)
