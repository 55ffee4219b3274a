"""What shall be done, as verbs.  The core makes these; the shells perform them.

`SendAdvert` is performed at once.  `WriteLog` is performed after it.  All
others go through a lane: one per instance, script or group, in order.  What
changes the kernel's tables (`KernelChange`) is handed over in batches: all
changes that follow each other in a lane are one request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InstanceName, ScriptName
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import Command, VirtualAddress
from keepalived_py.model.interfaces import Device
from keepalived_py.model.network import Route, Rule
from keepalived_py.model.packet import AdvertToSend


class Role(Enum):
    """The role of an instance; the values are keepalived's numbers (JSON, D-Bus, SNMP)."""

    INIT = 0
    BACKUP = 1
    MASTER = 2
    FAULT = 3


@dataclass(frozen=True, slots=True)
class Done:
    """It was performed."""


@dataclass(frozen=True, slots=True)
class AlreadySo:
    """Nothing had to be done: the address was there (or gone) already."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The kernel refused; `errno` says why."""

    errno: int


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It did not end within its time limit."""


Outcome = Done | AlreadySo | Failed | TimedOut


@dataclass(frozen=True, slots=True)
class SendAdvert:
    """Send this advert now, without waiting."""

    instance: InstanceName
    advert: AdvertToSend


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Put an address on its interface."""

    instance: InstanceName
    address: VirtualAddress


@dataclass(frozen=True, slots=True)
class DeleteAddress:
    """Take an address off its interface."""

    instance: InstanceName
    address: VirtualAddress


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Put a route into the kernel."""

    instance: InstanceName
    route: Route


@dataclass(frozen=True, slots=True)
class DeleteRoute:
    """Take a route out of the kernel."""

    instance: InstanceName
    route: Route


@dataclass(frozen=True, slots=True)
class AddRule:
    """Put a policy rule into the kernel."""

    instance: InstanceName
    rule: Rule


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Take a policy rule out of the kernel."""

    instance: InstanceName
    rule: Rule


@dataclass(frozen=True, slots=True)
class BlockAddresses:
    """Have the firewall drop everything to and from `addresses` (`no_accept`), but what IPv6 needs."""

    instance: InstanceName
    addresses: tuple[VirtualAddress, ...]


@dataclass(frozen=True, slots=True)
class UnblockAddresses:
    """Take back `BlockAddresses` for `addresses`."""

    instance: InstanceName
    addresses: tuple[VirtualAddress, ...]


@dataclass(frozen=True, slots=True)
class CreateDevice:
    """Make a virtual MAC device again that somebody removed."""

    instance: InstanceName
    device: Device


@dataclass(frozen=True, slots=True)
class RaiseSequence:
    """The instance's next AH sequence number is greater than `heard` (a worse master was ahead)."""

    instance: InstanceName
    heard: int


@dataclass(frozen=True, slots=True)
class WriteFifo:
    """Write `line` (without its end) to the pipes that tell of instances and groups.

    `owner` is an instance or group name.
    """

    owner: str
    line: str


@dataclass(frozen=True, slots=True)
class SendNeighbour:
    """Send one gratuitous ARP request (or unsolicited neighbour advert) for `address` on its interface."""

    instance: InstanceName
    address: VirtualAddress


@dataclass(frozen=True, slots=True)
class RunNotify:
    """Start a notify script; nobody waits for it.  `owner` is an instance or group name."""

    owner: str
    command: Command


@dataclass(frozen=True, slots=True)
class RunCheck:
    """Start a check script; its end comes back as `ScriptFinished`."""

    name: ScriptName
    command: Command
    timeout_us: Micros


@dataclass(frozen=True, slots=True)
class RunProbe:
    """Connect to a TCP port and hang up; the end comes back as `ScriptFinished` (status 0: it accepted)."""

    name: ScriptName
    endpoint: Endpoint
    timeout_us: Micros


@dataclass(frozen=True, slots=True)
class AskServer:
    """Run a health check (of a WebCheck: all its pages); its end comes back as `ScriptFinished`.

    The check is one of `Configuration.checks`, known by its name.
    """

    name: ScriptName
    timeout_us: Micros


@dataclass(frozen=True, slots=True)
class EndProgram:
    """End the whole program with exit code 1, so that whoever watches over it starts it anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """An instance changed its role.  For observers only; nothing is to be performed.

    `reason` is one short clause, `evidence` what it was concluded from
    (the advert, the failed check, the link event, the deadline).
    """

    instance: InstanceName
    old: Role
    new: Role
    reason: str
    evidence: str


@dataclass(frozen=True, slots=True)
class WriteLog:
    """A log line.  `detail` lines are written only with -D."""

    text: str
    detail: bool = False


KernelChange = AddAddress | DeleteAddress | AddRoute | DeleteRoute | AddRule | DeleteRule

Effect = (
    SendAdvert
    | KernelChange
    | BlockAddresses
    | UnblockAddresses
    | CreateDevice
    | RaiseSequence
    | SendNeighbour
    | RunNotify
    | RunCheck
    | RunProbe
    | AskServer
    | EndProgram
    | WriteFifo
    | RoleChanged
    | WriteLog
)
