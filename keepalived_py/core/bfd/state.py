"""What one session knows, and what it asks the shell to do.

The deadlines are part of it.  `send_at` is the next periodic packet (None: nothing
is sent of our own accord), `silent_at` the end of the detection time: an Init or
Up session is lost then, a Down one forgets the other end.
"""

from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import ControlPacket, Diagnostic, State
from keepalived_py.model.effects import WriteLog


class Remote(NamedTuple):
    """What the other end said last; the intervals as it wrote them, microseconds.

    `discriminator` 0: there is nobody.  The interval before the first packet is that of RFC 5880
    section 6.8.1: anything at all.
    """

    state: int = State.DOWN
    discriminator: int = 0
    diagnostic: int = Diagnostic.NONE
    min_tx_us: int = 0
    min_rx_us: int = 1
    multiplier: int = 0
    demand: bool = False


NOBODY = Remote()


class Session(NamedTuple):
    """One session.

    `min_tx_us` and `min_rx_us` are the intervals in use: while a poll sequence
    has not ended these may not be what is configured (RFC 5880 section 6.8.3).
    `sent` and `heard` count packets, `lost` the times it went from Up to Down.
    """

    settings: BfdInstance
    discriminator: int
    min_tx_us: int
    min_rx_us: int
    tx_interval: Micros
    state: State = State.DOWN
    diagnostic: Diagnostic = Diagnostic.NONE
    remote: Remote = NOBODY
    poll: bool = False
    detection: Micros = Micros(0)
    remote_detection: Micros = Micros(0)
    send_at: Micros | None = None
    silent_at: Micros | None = None
    last_seen: Micros | None = None
    sent: int = 0
    heard: int = 0
    lost: int = 0

    @property
    def name(self) -> str:
        """The session's name."""
        return self.settings.name

    @property
    def up(self) -> bool:
        """What others are told."""
        return self.state is State.UP

    @property
    def next_deadline(self) -> Micros | None:
        """When `session.on_tick` is to be called."""
        if self.send_at is None or self.silent_at is None:
            return self.silent_at if self.send_at is None else self.send_at
        return min(self.send_at, self.silent_at)


class SendPacket(NamedTuple):
    """Send this at once."""

    packet: ControlPacket


class Tell(NamedTuple):
    """The session came up, or is no longer."""

    up: bool


Effect = SendPacket | Tell | WriteLog


class Chance(NamedTuple):
    """What the shell drew for one step: `jitter` below 2**32, and a discriminator nobody else has."""

    jitter: int
    discriminator: int
