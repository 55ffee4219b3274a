"""What happened, in the past tense.  The shells make these; the core reads them."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived_py.base.names import Address, InterfaceName, ScriptName
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import Effect, Outcome
from keepalived_py.model.packet import Advert


@dataclass(frozen=True, slots=True)
class Tick:
    """An armed deadline was reached."""


@dataclass(frozen=True, slots=True)
class AdvertReceived:
    """A packet of protocol 112 came in on `interface` and could be dissected."""

    interface: InterfaceName
    advert: Advert


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
    """An interface of this machine.  `up` means UP and RUNNING; `index` 0: it does not exist."""

    name: InterfaceName
    index: int
    up: bool
    multicast: bool = True
    mac: bytes = b""
    mtu: int = 1500
    addresses: tuple[InterfaceAddress, ...] = ()


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
class ScriptFinished:
    """A check script ended: by exit `status`, by `signal`, or killed after its time limit."""

    name: ScriptName
    status: int = 0
    signal: int = 0
    timed_out: bool = False


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
    | ScriptFinished
    | SettingsReplaced
    | StopRequested
    | EffectDone
)
