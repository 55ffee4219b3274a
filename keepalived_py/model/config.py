"""The intermediate model: a configuration after all defaults and normalisations.

Every value is final: defaults are filled in, globals are merged into the
instances, corrections that keepalived makes at start (rounded intervals,
impossible combinations) have been made and reported.  Durations are
microseconds.  Address lists keep their order, which is the order on the wire.
"""

from keepalived_py.base.names import InstanceName
from keepalived_py.base.record import Record
from keepalived_py.model.globals import Globals
from keepalived_py.model.network import VirtualAddress
from keepalived_py.model.scripts import Command
from keepalived_py.model.tracking import CheckScript, TrackedInterface, TrackedScript
from keepalived_py.model.vrrp import (
    AuthType,
    GratuitousArp,
    InitialState,
    Instance,
    Notifies,
    SyncGroup,
)

__all__ = [
    "AuthType",
    "CheckScript",
    "Command",
    "Configuration",
    "Globals",
    "GratuitousArp",
    "InitialState",
    "Instance",
    "Notifies",
    "SyncGroup",
    "TrackedInterface",
    "TrackedScript",
    "VirtualAddress",
]


class Configuration(Record):
    """A whole configuration; equal configurations behave the same."""

    globals: Globals = Globals()
    instances: tuple[Instance, ...] = ()
    groups: tuple[SyncGroup, ...] = ()
    scripts: tuple[CheckScript, ...] = ()

    def instance(self, name: InstanceName) -> Instance:
        """The instance called `name`; raises KeyError if there is none."""
        for instance in self.instances:
            if instance.name == name:
                return instance
        raise KeyError(name)
