"""What instances and groups watch: scripts, interfaces, files, processes, BFD sessions.

A `Tracked...` is one entry of a `track_...` list: a name, and what its failure
does to the priority.  The others are the objects themselves, which stand at
the top level and may be watched by many.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName, ScriptName
from keepalived_py.base.record import Record
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.scripts import Command

if TYPE_CHECKING:  # loaded only with a file that has health checks
    from keepalived_py.model.checks import ConnectedCheck


class TrackedScript(Record):
    """A script in a `track_script` block.  `weight` 0 means: failure is a fault."""

    name: ScriptName
    weight: int = 0
    reverse: bool = False


class TrackedCheck(TrackedScript):
    """A server's check in a `track_check` block; as a script in every way."""


class TrackedInterface(Record):
    """An interface in a `track_interface` block.  `weight` 0 means: down is a fault."""

    name: InterfaceName
    weight: int = 0
    reverse: bool = False


class TrackedFile(Record):
    """A file in a `track_file` block; its number times `weight` is added.  0: not 0 is a fault."""

    name: str
    weight: int = 1
    reverse: bool = False


class TrackedProcess(Record):
    """A process in a `track_process` block.  `weight` 0 means: too few or too many are a fault."""

    name: str
    weight: int = 0
    reverse: bool = False


class TrackedBfd(Record):
    """A session in a `track_bfd` block.  `weight` 0 means: down is a fault."""

    name: str
    weight: int = 0
    reverse: bool = False


class CheckScript(Record):
    """A `vrrp_script` or `vrrp_check`: run every `interval_us`, start to start; ended after `timeout_us`.

    `weight` and `reverse` are the defaults of those who track it; `init_failed`:
    it counts as failed until it was good `rise` times.  `connect`: in place of the command, a TCP
    port that must accept a connection.  `asks` (of a `vrrp_check`): in place of the command, a server
    that must answer; its `connect_ip` is not None.  `ends_program`: when it fails and this machine is
    MASTER of an instance that tracks it, the program ends.
    """

    name: ScriptName
    command: Command
    interval_us: Micros
    timeout_us: Micros
    rise: int = 1
    fall: int = 1
    weight: int = 0
    reverse: bool = False
    init_failed: bool = False
    connect: Endpoint | None = None
    asks: ConnectedCheck | None = None
    ends_program: bool = False


class ParameterMatch(Enum):
    """How the arguments of a process are compared with those asked for."""

    NONE = "none"
    EXACT = "exact"
    INITIAL = "initial"  # the last one may be longer
    PARTIAL = "partial"  # only as many as were given


class TrackProcess(Record):
    """A `vrrp_track_process`: good while from `quorum` to `quorum_max` processes run.

    `full_command`: the whole command line is compared, not the name that the
    kernel keeps.  `quorum_max` None: any number.  Delays: how long the quorum
    must be gained (`fork`) or lost (`terminate`) before it counts.
    """

    name: str
    process: str
    parameters: tuple[str, ...] = ()
    match: ParameterMatch = ParameterMatch.NONE
    weight: int = 0
    reverse: bool = False
    quorum: int = 1
    quorum_max: int | None = None
    fork_delay_us: Micros = Micros(0)
    terminate_delay_us: Micros = Micros(0)
    full_command: bool = False


class TrackFile(Record):
    """A `track_file`: a number that others write into a file.

    `initial` None: the file is left as it is at start; else it is made with this
    number, over an older one only with `overwrite`.
    """

    name: str
    path: str
    weight: int = 1
    reverse: bool = False
    initial: int | None = None
    overwrite: bool = False
