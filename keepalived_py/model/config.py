"""The intermediate model: a configuration after all defaults and normalisations.

Every value is final: defaults are filled in, globals are merged into the
instances, corrections that keepalived makes at start (rounded intervals,
impossible combinations) have been made and reported.  Durations are
microseconds.  Address lists keep their order, which is the order on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keepalived_py.base.names import InstanceName
from keepalived_py.base.record import Record
from keepalived_py.model.globals import Election, Globals
from keepalived_py.model.network import Route, Rule, VirtualAddress
from keepalived_py.model.scripts import Command
from keepalived_py.model.tracking import CheckScript, TrackedInterface, TrackedScript
from keepalived_py.model.vrrp import (
    AuthType,
    GratuitousArp,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
    TrackGroup,
)

__all__ = [
    "AuthType",
    "CheckScript",
    "Command",
    "Configuration",
    "Election",
    "Globals",
    "GratuitousArp",
    "InitialState",
    "Instance",
    "Notifies",
    "SyncGroup",
    "TrackGroup",
    "TrackedInterface",
    "TrackedScript",
    "VirtualAddress",
]


class Configuration(Record):
    """A whole configuration; equal configurations behave the same.

    The records of virtual servers, BFD sessions, tracked files and processes
    and interfaces are those of the model modules named like them, which are
    loaded only with a file that has some.  `checks` are the health checks that instances track; no
    script has the name of one.  `cluster`: what a keep-vip file
    describes; the instance and checks that follow from it stand in their places.  `raft`: the
    members that elect by quorum (`model.raft.RaftCluster`).  `devices` are worked out from the
    instances when the program starts (`core.holder.devices`), not configured.
    """

    globals: Globals = Globals()
    instances: tuple[Instance, ...] = ()
    groups: tuple[SyncGroup, ...] = ()
    scripts: tuple[CheckScript, ...] = ()
    checks: tuple[CheckScript, ...] = ()
    track_files: tuple[Any, ...] = ()
    track_processes: tuple[Any, ...] = ()
    bfd_instances: tuple[Any, ...] = ()
    track_groups: tuple[TrackGroup, ...] = ()
    static_addresses: tuple[VirtualAddress, ...] = ()
    static_routes: tuple[Route, ...] = ()
    static_rules: tuple[Rule, ...] = ()
    garp_groups: tuple[Any, ...] = ()
    linkbeat_interfaces: tuple[Any, ...] = ()
    interface_delays: tuple[Any, ...] = ()
    ssl: Any = None
    server_groups: tuple[Any, ...] = ()
    virtual_servers: tuple[Any, ...] = ()
    cluster: Any = None
    raft: Any = None
    devices: tuple[Any, ...] = ()

    def instance(self, name: InstanceName) -> Instance:
        """The instance called `name`; raises KeyError if there is none."""
        for instance in self.instances:
            if instance.name == name:
                return instance
        raise KeyError(name)

    def server_checks(self) -> Iterator[Any]:
        """Every check of every real server (`model.checks.Check`), in the order of the file."""
        for virtual in self.virtual_servers:
            for server in virtual.real_servers:
                yield from server.checks
