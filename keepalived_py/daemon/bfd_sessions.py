"""All BFD sessions of this process: sockets, timers, and the fold of each.

One timer for each session is enough.  Most packets only put the end of the
detection time off, so a timer that is set to something earlier is left alone and
set anew when it fires.  Before a session is given up, every packet that waits in a
socket is read: a process that got no processor for a while must not take for
silence what it has not listened to.

Sessions of a reload keep everything if the pair of addresses is the same; what
else has changed is agreed on with the other end while the session stays up.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable
from typing import assert_never

from keepalived_py.base.clock import Micros
from keepalived_py.base.logs import Log
from keepalived_py.base.names import Address
from keepalived_py.core.bfd import session as fold
from keepalived_py.core.bfd.checking import Index, Refused, find
from keepalived_py.core.bfd.state import Chance, Effect, SendPacket, Session, Tell
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.bfd_packet import Heard
from keepalived_py.model.effects import WriteLog
from keepalived_py.system.bfd_socket import FIRST_PORT, LAST_PORT, Listener, Sender
from keepalived_py.system.loop import call_at, now
from keepalived_py.wire.bfd import build, dissect

# How many packets are read at one go before timers have their turn.
_AT_ONCE = 64
_ALL = 100_000
_OPEN_AGAIN_S = 1.0
# AdminDown goes out so many times, in case one is lost.
_FAREWELLS = 3
_BETWEEN_FAREWELLS_S = 0.01
_COMPLAINTS_PER_SECOND = 10

Told = Callable[[Session], object]


class _Peer:
    """One session with its socket and its timer.  `sender` None: it could not be opened."""

    __slots__ = ("due", "failing", "retry", "sender", "session", "timer")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sender: Sender | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.due = Micros(0)
        self.failing = False
        self.retry: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Give back what it has."""
        for handle in (self.timer, self.retry):
            if handle is not None:
                handle.cancel()
        self.timer = self.retry = None
        if self.sender is not None:
            self.sender.close()
            self.sender = None


class Sessions:
    """The running sessions.  `told` hears of each that comes up or goes down.

    Make it inside its running loop.
    """

    def __init__(self, log: Log, told: Told) -> None:
        self._log = log
        self._told = told
        self._peers: dict[str, _Peer] = {}
        self._listeners: dict[tuple[int, bool], Listener] = {}
        self._by_discriminator: dict[int, str] = {}
        self._index = Index({}, {}, {})
        self._spare = 0
        self._complaints = 0
        self._complaining_since = Micros(0)
        self.refused: Counter[str] = Counter()

    @property
    def sessions(self) -> list[Session]:
        """All of them, in the order of the configuration."""
        return [peer.session for peer in self._peers.values()]

    # -- configuration ----------------------------------------------------------

    def follow(self, wanted: Iterable[BfdInstance]) -> None:
        """From now on run these sessions, and tell the state of each.

        Raises OSError if not a single packet could be heard.
        """
        wanted = tuple(wanted)
        kept = {
            one.name: peer
            for one in wanted
            if (peer := self._peers.get(one.name)) is not None and _same_pair(peer.session.settings, one)
        }
        for name in self._peers.keys() - kept.keys():
            self._end(self._peers[name])
        self._peers = {
            one.name: self._kept(kept[one.name], one) if one.name in kept else self._begun(one)
            for one in wanted
        }
        self._listen(wanted)
        self._find_by(wanted)
        self.report()
        for peer in self._peers.values():
            self._arm(peer)

    def report(self) -> None:
        """Tell the state of every session again."""
        for peer in self._peers.values():
            self._told(peer.session)

    def _begun(self, settings: BfdInstance) -> _Peer:
        peer = _Peer(fold.begin(settings, now(), self._chance()))
        self._by_discriminator[peer.session.discriminator] = settings.name
        if not self._open(peer, complain=True):
            what = "Unable to open output socket, disabling instance"
            self._log.info(f"({settings.name}) {what}")
            out: list[Effect] = []
            peer.session = fold.close(peer.session, out)
            self._perform(peer, out)
            self._open_later(peer)
        return peer

    def _kept(self, peer: _Peer, settings: BfdInstance) -> _Peer:
        if settings.ttl != peer.session.settings.ttl and peer.sender is not None:
            peer.sender.set_ttl(settings.ttl)
        out: list[Effect] = []
        session = fold.replaced(peer.session, settings, now(), self._chance(), out)
        self._take(peer, session, out)
        return peer

    def _end(self, peer: _Peer) -> None:
        out: list[Effect] = []
        peer.session = fold.close(peer.session, out)
        self._perform(peer, out)
        self._by_discriminator.pop(peer.session.discriminator, None)
        peer.close()

    def _find_by(self, wanted: Iterable[BfdInstance]) -> None:
        by_neighbour: dict[tuple[Address, bool], tuple[str, ...]] = {}
        for one in wanted:
            key = (one.neighbour, one.multihop)
            by_neighbour[key] = (*by_neighbour.get(key, ()), one.name)
        settings = {one.name: one for one in wanted}
        self._index = Index(self._by_discriminator, by_neighbour, settings)

    # -- sockets ----------------------------------------------------------------

    def _listen(self, wanted: Iterable[BfdInstance]) -> None:
        loop = asyncio.get_running_loop()
        needed = {(one.neighbour.version, one.multihop) for one in wanted}
        for key in self._listeners.keys() - needed:
            listener = self._listeners.pop(key)
            loop.remove_reader(listener)
            listener.close()
        refused: OSError | None = None
        for key in sorted(needed - self._listeners.keys()):
            try:
                listener = self._listeners[key] = Listener(*key)
            except OSError as error:
                self._log.info(f"bind() error {error.errno} ({error.strerror})")
                self._log.info(f"Unable to open {'multihop ' if key[1] else ''}listening socket")
                refused = error
                continue
            loop.add_reader(listener, self._hear, listener, _AT_ONCE)
        if refused is not None and not self._listeners:
            raise refused

    def _open(self, peer: _Peer, *, complain: bool) -> bool:
        try:
            peer.sender = Sender(peer.session.settings, random.randint(FIRST_PORT, LAST_PORT))
        except OSError as error:
            if complain:
                self._log.info(f"({peer.session.name}) bind() error ({error.strerror})")
            return False
        return True

    def _open_later(self, peer: _Peer) -> None:
        loop = asyncio.get_running_loop()
        peer.retry = loop.call_later(_OPEN_AGAIN_S, self._open_again, peer)

    def _open_again(self, peer: _Peer) -> None:
        peer.retry = None
        if not self._open(peer, complain=False):
            self._open_later(peer)
            return
        self._take(peer, fold.reopen(peer.session, now(), self._chance()), [])
        self._arm(peer)

    # -- packets and time ---------------------------------------------------------

    def _hear(self, listener: Listener, limit: int) -> None:
        at = now()
        for raw, origin in listener.drain(limit):
            heard = Heard(origin, len(raw), dissect(raw), at)
            name = find(heard, self._index)
            if isinstance(name, Refused):
                self._refuse(name)
                continue
            peer = self._peers[name]
            out: list[Effect] = []
            assert heard.packet is not None
            session = fold.on_packet(peer.session, heard.packet, at, self._chance(), out)
            self._take(peer, session, out)
            self._arm(peer)

    def _on_timer(self, peer: _Peer) -> None:
        peer.timer = None
        silent_at = peer.session.silent_at
        if silent_at is not None and silent_at <= now():
            for listener in self._listeners.values():
                self._hear(listener, _ALL)
        at = now()
        due = peer.session.next_deadline
        if due is not None and due <= at:
            out: list[Effect] = []
            session = fold.on_tick(peer.session, at, self._chance(), out)
            self._take(peer, session, out)
        self._arm(peer)

    def _arm(self, peer: _Peer) -> None:
        due = peer.session.next_deadline
        if peer.timer is not None:
            if due is not None and peer.due <= due:
                return
            peer.timer.cancel()
            peer.timer = None
        if due is not None:
            peer.due = due
            peer.timer = call_at(due, lambda: self._on_timer(peer))

    def _chance(self) -> Chance:
        while not self._spare or self._spare in self._by_discriminator:
            self._spare = random.getrandbits(32)
        return Chance(random.getrandbits(32), self._spare)

    def _take(self, peer: _Peer, session: Session, out: list[Effect]) -> None:
        """`session` is the peer's next state; `out` is to be done."""
        before = peer.session.discriminator
        peer.session = session
        if session.discriminator != before:
            self._by_discriminator.pop(before, None)
            self._by_discriminator[session.discriminator] = session.name
        self._perform(peer, out)

    # -- effects --------------------------------------------------------------------

    def _perform(self, peer: _Peer, out: list[Effect]) -> None:
        # What is said to the other end comes before what is written.
        for effect in out:
            if isinstance(effect, SendPacket):
                self._send(peer, build(effect.packet))
        for effect in out:
            match effect:
                case SendPacket():
                    pass
                case Tell():
                    self._told(peer.session)
                case WriteLog():
                    (self._log.detail if effect.detail else self._log.info)(effect.text)
                case _:
                    assert_never(effect)

    def _send(self, peer: _Peer, packet: bytes) -> None:
        if peer.sender is None:
            return
        refused = peer.sender.send(packet)
        if refused is not None and not peer.failing:
            self._log.info(f"sendto() error ({refused})")
            self._log.info(f"({peer.session.name}) Error sending packet")
        peer.failing = refused is not None

    def _refuse(self, refused: Refused) -> None:
        self.refused[refused.reason.value] += 1
        at = now()
        if at - self._complaining_since >= 1_000_000:
            unsaid = self._complaints - _COMPLAINTS_PER_SECOND
            if unsaid > 0:
                self._log.detail(f"{unsaid} more BFD packets discarded")
            self._complaining_since, self._complaints = at, 0
        self._complaints += 1
        if self._complaints <= _COMPLAINTS_PER_SECOND:
            for line in refused.lines:
                self._log.detail(line)

    # -- the end ----------------------------------------------------------------------

    async def stop(self) -> None:
        """Say goodbye to every other end, and close everything."""
        farewells: list[tuple[_Peer, bytes]] = []
        for peer in self._peers.values():
            if peer.timer is not None:
                peer.timer.cancel()
            out: list[Effect] = []
            peer.session = fold.close(peer.session, out)
            self._perform(peer, out)
            farewells += [(peer, build(one.packet)) for one in out if isinstance(one, SendPacket)]
        for _ in range(_FAREWELLS - 1 if farewells else 0):
            await asyncio.sleep(_BETWEEN_FAREWELLS_S)
            for peer, packet in farewells:
                self._send(peer, packet)
        self.close()

    def close(self) -> None:
        """Close everything without a word."""
        loop = asyncio.get_running_loop()
        for peer in self._peers.values():
            peer.close()
        for listener in self._listeners.values():
            loop.remove_reader(listener)
            listener.close()
        self._peers, self._listeners = {}, {}


def _same_pair(one: BfdInstance, other: BfdInstance) -> bool:
    return (one.neighbour, one.source, one.multihop) == (other.neighbour, other.source, other.multihop)
