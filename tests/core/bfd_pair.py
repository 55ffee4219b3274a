"""Two ends of a BFD session in virtual time, on a line that may lose what it is told to."""

from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from random import Random
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.core.bfd import session as fold
from keepalived_py.core.bfd.checking import Index, find
from keepalived_py.core.bfd.state import Chance, Effect, SendPacket, Session, Tell
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import ControlPacket, Heard, Origin
from keepalived_py.model.effects import WriteLog

DELAY_US = 200
ADDRESSES = (ip_address("10.0.0.1"), ip_address("10.0.0.2"))


def instance(end: int = 0, **settings: Any) -> BfdInstance:
    """The settings of one end."""
    usual: dict[str, Any] = {"name": f"b{end}", "neighbour": ADDRESSES[1 - end], "ttl": 255}
    return BfdInstance(**{**usual, **settings})


def origin(settings: BfdInstance, **more: Any) -> Origin:
    """Where a packet comes from that `settings` has nothing against."""
    return Origin(
        settings.neighbour, 49152, IPv4Address("10.0.0.1"), settings.ttl, settings.multihop
    )._replace(**more)


class Pair:
    """Ends 0 and 1.  `sent` has (time, end, packet), `told` (time, end, up), `lines` (time, end, text)."""

    def __init__(self, one: BfdInstance, other: BfdInstance, seed: int = 1) -> None:
        self.now = 1_000_000
        self.chance = Random(seed)
        self.passes: Callable[[int, ControlPacket], bool] = lambda end, packet: True
        self.dead: set[int] = set()
        self.sent: list[tuple[int, int, ControlPacket]] = []
        self.told: list[tuple[int, int, bool]] = []
        self.lines: list[tuple[int, int, str]] = []
        self._line: list[tuple[int, int, ControlPacket]] = []
        at = Micros(self.now)
        self.ends: list[Session] = [fold.begin(each, at, self.draw()) for each in (one, other)]

    def draw(self) -> Chance:
        """As the shell draws."""
        return Chance(self.chance.getrandbits(32), self.chance.getrandbits(31) + 1)

    def take(self, end: int, session: Session, out: list[Effect]) -> None:
        """The next state of an end, and what it does."""
        self.ends[end] = session
        for effect in out:
            if isinstance(effect, SendPacket):
                self.sent.append((self.now, end, effect.packet))
                if self.passes(end, effect.packet):
                    self._line.append((self.now + DELAY_US, 1 - end, effect.packet))
            elif isinstance(effect, Tell):
                self.told.append((self.now, end, effect.up))
            else:
                assert isinstance(effect, WriteLog)
                self.lines.append((self.now, end, effect.text))

    def run(self, for_us: int) -> None:
        """Let time pass."""
        until = self.now + for_us
        while (at := self._next()) <= until:
            self.now = at
            arrived = [one for one in self._line if one[0] <= at]
            self._line = [one for one in self._line if one[0] > at]
            for _, end, packet in arrived:
                self.hear(end, packet)
            for end in {0, 1} - self.dead:
                due = self.ends[end].next_deadline
                if due is not None and due <= at:
                    out: list[Effect] = []
                    self.take(end, fold.on_tick(self.ends[end], Micros(at), self.draw(), out), out)
        self.now = until

    def _next(self) -> int:
        deadlines = [self.ends[end].next_deadline for end in {0, 1} - self.dead]
        return min([one for one in deadlines if one is not None] + [one[0] for one in self._line] + [1 << 62])

    def hear(self, end: int, packet: ControlPacket) -> None:
        """A packet reaches an end, if it is for it."""
        session = self.ends[end]
        if end in self.dead:
            return
        settings = session.settings
        index = Index(
            {session.discriminator: session.name},
            {(settings.neighbour, settings.multihop): (session.name,)},
            {session.name: settings},
        )
        heard = Heard(origin(settings), packet.length, packet, Micros(self.now))
        if find(heard, index) == session.name:
            out: list[Effect] = []
            self.take(end, fold.on_packet(session, packet, Micros(self.now), self.draw(), out), out)

    def replace(self, end: int, settings: BfdInstance) -> None:
        """A reload of one end."""
        out: list[Effect] = []
        at = Micros(self.now)
        self.take(end, fold.replaced(self.ends[end], settings, at, self.draw(), out), out)

    def close(self, end: int) -> None:
        """One end is stopped in order."""
        out: list[Effect] = []
        self.take(end, fold.close(self.ends[end], out), out)
        self.dead.add(end)

    def texts(self, end: int) -> list[str]:
        """What that end has logged."""
        return [text for _, one, text in self.lines if one == end]

    def both_up(self) -> bool:
        """Whether it works."""
        return all(end.up for end in self.ends)
