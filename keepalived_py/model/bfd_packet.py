"""BFD control packets as values (RFC 5880 section 4.1), and where one came from.

The wire room splits and builds them, the core judges them.  Intervals are whole
microseconds, as on the wire.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import Address

VERSION = 1
LENGTH = 24
SINGLE_HOP_PORT = 3784
MULTIHOP_PORT = 4784
# Those that RFC 5880 names; a packet with a greater one is discarded.
LAST_DIAGNOSTIC = 8


class State(IntEnum):
    """bfd.SessionState, as the numbers of the wire."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(IntEnum):
    """Why a session went down (RFC 5880 section 4.1); those that we give ourselves."""

    NONE = 0
    EXPIRED = 1
    NEIGHBOUR_DOWN = 3
    ADMIN_DOWN = 7


STATE_TEXTS = ("AdminDown", "Down", "Init", "Up")
DIAGNOSTIC_TEXTS = (
    "No Diagnostic",
    "Control Detection Time Expired",
    "Echo Function Failed",
    "Neighbor Signaled Session Down",
    "Forwarding Plane Reset",
    "Path Down",
    "Concatenated Path Down",
    "Administratively Down",
    "Reverse Concatenated Path Down",
)


class ControlPacket(NamedTuple):
    """The mandatory part.  `length` is what the packet says of itself, in bytes."""

    state: int
    my_discriminator: int
    your_discriminator: int
    desired_min_tx_us: int
    required_min_rx_us: int
    multiplier: int
    poll: bool = False
    final: bool = False
    diagnostic: int = Diagnostic.NONE
    demand: bool = False
    version: int = VERSION
    control_plane_independent: bool = False
    authenticated: bool = False
    multipoint: bool = False
    length: int = LENGTH
    required_min_echo_rx_us: int = 0


class Origin(NamedTuple):
    """What the kernel says of a packet; `ttl` (hop limit) None: nothing.

    `port` is the sender's; `multihop` says to which of our ports it came.
    """

    source: Address
    port: int
    destination: Address | None
    ttl: int | None
    multihop: bool


class Heard(NamedTuple):
    """A packet that came: its `size` in bytes, and what stands in it (None: too short for that)."""

    origin: Origin
    size: int
    packet: ControlPacket | None
    at: Micros
