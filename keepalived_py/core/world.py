"""One node: all its instances, and everything they share.

`removals` counts the addresses that we asked the kernel to take off and whose
removal it has not reported yet: without it we would take our own deletions
for somebody else's.  `links` says which interfaces matter.
"""

from collections.abc import Mapping
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address, GroupName, InstanceName, InterfaceName, ScriptName
from keepalived_py.core.track.health import Tracks
from keepalived_py.core.track.script import ScriptState
from keepalived_py.core.vrrp.state import InstanceState
from keepalived_py.model.config import Configuration, SyncGroup
from keepalived_py.model.effects import Effect, Role
from keepalived_py.model.events import InterfaceFacts


class Shape(NamedTuple):
    """What follows from the configuration alone, worked out once."""

    by_vrid: Mapping[tuple[InterfaceName, int], InstanceName]
    group_of: Mapping[InstanceName, SyncGroup]
    tracks: Mapping[InstanceName, Tracks]
    virtual: frozenset[Address]
    links: frozenset[InterfaceName]


class Node(NamedTuple):
    """The whole state.  `quiet_until`: adverts are ignored till then (`vrrp_startup_delay`).

    `undecodable` counts packets without a VRRP header, `unknown_vrid` those
    for none of our instances.
    """

    configuration: Configuration
    shape: Shape
    instances: Mapping[InstanceName, InstanceState]
    interfaces: Mapping[InterfaceName, InterfaceFacts]
    scripts: Mapping[ScriptName, ScriptState]
    group_roles: Mapping[GroupName, Role]
    removals: Mapping[tuple[InterfaceName, Address], int]
    quiet_until: Micros | None = None
    stopped: bool = False
    undecodable: int = 0
    unknown_vrid: int = 0


class Step(NamedTuple):
    """The node after an event, and what shall be done, in this order."""

    node: Node
    effects: tuple[Effect, ...]
