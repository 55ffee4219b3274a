"""The port between the simulator and the core: three functions, nothing more.

The simulator never calls `core.node` directly.  A test can therefore hand in a
machine with a planted bug and show that the properties notice it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import InterfaceName
from keepalived_py.core import node as core_node
from keepalived_py.core.node import Node, Step
from keepalived_py.core.track.objects import Reading
from keepalived_py.model.config import Configuration
from keepalived_py.model.events import Event, InterfaceFacts

Interfaces = Mapping[InterfaceName, InterfaceFacts]


@dataclass(frozen=True, slots=True)
class Machine:
    """What one router decides with.  Instants are the router's own, in microseconds."""

    start: Callable[[Configuration, Interfaces, Micros, Iterable[Reading]], Step]
    step: Callable[[Node, Event, Micros], Step]
    next_deadline: Callable[[Node], Micros | None]


CORE = Machine(core_node.start, core_node.step, core_node.next_deadline)
