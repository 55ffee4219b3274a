"""What instances and groups watch: scripts, interfaces, files, processes, BFD sessions."""

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName, ScriptName
from keepalived_py.base.record import Record
from keepalived_py.model.scripts import Command


class TrackedScript(Record):
    """A script in a `track_script` block.  `weight` 0 means: failure is a fault."""

    name: ScriptName
    weight: int = 0
    reverse: bool = False


class TrackedInterface(Record):
    """An interface in a `track_interface` block.  `weight` 0 means: down is a fault."""

    name: InterfaceName
    weight: int = 0
    reverse: bool = False


class CheckScript(Record):
    """A `vrrp_script`: run every `interval_us`, start to start; killed after `timeout_us`."""

    name: ScriptName
    command: Command
    interval_us: Micros
    timeout_us: Micros
    rise: int = 1
    fall: int = 1
