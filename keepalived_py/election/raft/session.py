"""Which frames of other members are genuine, fresh and new.  Pure: time and randomness are handed in.

A frame is a head of fixed length, a body, and (with a key) an HMAC-SHA256 over all
of it.  The head names the cluster and the sender by digests, so that nothing has
to be parsed before the signature is found good.

A signature does not tell an old frame from a new one.  Every process draws a
*nonce* when it starts; whoever is to send it something needs a *ticket* of it,
which it makes out of the other's nonce and a secret of its own:

    A -> B  HELLO    A's nonce, a challenge
    B -> A  WELCOME  B's nonce, the challenge, a ticket for A
    A -> B  DATA     A's nonce, that ticket, a sequence number, a ticket for B

The challenge proves that the welcome is no recording, the ticket that the sender
has heard from this life of the receiver.  To make tickets takes no memory, so a
flood of greetings leaves no trace.  When a new life of a member has proved
itself (DATA with a good ticket), tickets are made another way: none of those that
older lives were given is ever good again, and neither is anything they signed.
Within one life, sequence numbers keep repetitions out; the last 64 may come in
any order.

Without a key nothing is signed.  Then the source address must be a member's, and
challenges and tickets, sent to members' addresses only, keep out whoever can forge
a source address but not read along.

Nobody is answered but members, at their configured address, with no more bytes
than came.  A life that comes back after another one had taken its place is a
second machine with the same identity (a cloned disk, one id written twice): such a
member could promise the same thing twice, so it is not listened to until only one
of them has been there for a while.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from keepalived_py.base.clock import MILLISECOND, SECOND, Micros
from keepalived_py.base.names import MemberId
from keepalived_py.model.raft import RaftCluster

LONGEST_FRAME = 60 * 1024
HELLO_EVERY_US = Micros(100 * MILLISECOND)
CLONED_US = Micros(10 * SECOND)
_MAGIC = b"kvr1"
_NO_TICKET = bytes(16)
# magic, kind, cluster, sender, nonce, ticket, grant, number
_HEAD = struct.Struct("!4sB16s16s16s16s16sQ")
_TICKET_AT, _NUMBER_AT = 53, 85
_MAC_LENGTH = 32
_SIGNED = 0x80
_HELLO, _WELCOME, _DATA = 1, 2, 3
_WINDOW = 64
_LOW_WORDS = 1 << 32
_WINDOW_MASK = (1 << _WINDOW) - 1
_REMEMBERED_LIVES = 8
# Each life's greeting is answered so often; all of a member's together a hundred at once, then so often.
_GREETING_EVERY_US = 20 * MILLISECOND
_GREETINGS = 100
_ANY_GREETING_EVERY_US = MILLISECOND
# What waits for a handshake is sent when it is done, unless it is older.
_WAITS_AT_MOST_US = SECOND
# So many greetings of another life, while the known one is heard, are no restart.
_DOUBTFUL_GREETINGS = 20

Random = Callable[[int], bytes]


class Reason(Enum):
    """Why a frame was refused."""

    TOO_LONG = "too long"
    FOREIGN = "not of this protocol"
    CLUSTER = "of another cluster"
    UNSIGNED = "not signed"
    SIGNED = "signed, but no key is configured here"
    SENDER = "of an unknown member"
    OWN = "in our own name"
    ADDRESS = "not from the member's address"
    SIGNATURE = "with a wrong signature"
    STALE = "for or of an earlier life"
    REPEATED = "a second time"
    UNASKED = "an answer to nothing"
    LIMITED = "too many greetings"
    CLONED = "of a member that exists twice"
    MALFORMED = "malformed"


class Outcome(NamedTuple):
    """What a frame leads to.

    `body` is a message of `member` to be delivered; `replies` go to `member`.  `cloned`: this frame
    shows that two processes have the same identity.
    """

    member: MemberId | None = None
    body: bytes | None = None
    replies: tuple[bytes, ...] = ()
    refused: Reason | None = None
    cloned: bool = False


class _Peer:
    """What is known of another member's life, and what passes between it and ours.

    `nonce`, `ticket`: the life that has proved itself, and the ticket it was given.  `known_nonce`,
    `pass_`: the life that gave us a ticket last, and that ticket.
    """

    __slots__ = (
        "_seen",
        "_welcomed",
        "_welcomes_until",
        "challenge",
        "cloned_until",
        "doubts",
        "generation",
        "heard_at",
        "hello_at",
        "highest",
        "id",
        "known_nonce",
        "nonce",
        "pass_",
        "retired",
        "sequence",
        "ticket",
        "waiting",
        "waiting_since",
    )

    def __init__(self, member: MemberId) -> None:
        self.id = member
        self.nonce = b""
        self.ticket = _NO_TICKET
        self.generation = 0
        self.known_nonce = b""
        self.pass_ = _NO_TICKET
        self.challenge: int | None = None
        self.hello_at: Micros | None = None
        self._welcomed: dict[bytes, int] = {}
        self._welcomes_until = 0
        self.sequence = 0
        self.highest = 0
        self._seen = 0
        self.retired: tuple[bytes, ...] = ()
        self.cloned_until = 0
        self.heard_at = 0
        self.doubts = 0
        self.waiting: bytes | None = None
        self.waiting_since = 0

    def is_new(self, number: int) -> bool:
        """Whether no frame with that number came in this life; from then on one has."""
        ahead = number - self.highest
        if ahead > 0:
            self._seen = ((self._seen << min(ahead, _WINDOW)) | 1) & _WINDOW_MASK
            self.highest = number
            return True
        bit = 1 << -ahead if ahead > -_WINDOW else 0
        if not bit or self._seen & bit:
            return False
        self._seen |= bit
        return True

    @property
    def least(self) -> int:
        """No number below this is new in this life, as a word of 32 bits; 0 where that says nothing."""
        least = self.highest - _WINDOW + 1
        return least if 0 < least < _LOW_WORDS else 0

    @property
    def given_last(self) -> tuple[bytes, ...]:
        """The lives that were given a ticket last: to a greeting, or with a frame."""
        known = (self.known_nonce,) if self.known_nonce else ()
        return tuple(dict.fromkeys((*self._welcomed, *known)))[-3:]

    def has_seen(self, nonce: bytes, ticket: bytes, number: int) -> bool:
        """Whether this is a frame of this life that came before: to be known without its signature."""
        if number > self.highest or nonce != self.nonce or ticket != self.ticket:
            return False
        behind = self.highest - number
        return behind >= _WINDOW or bool(self._seen >> behind & 1)

    def may_be_welcomed(self, nonce: bytes, now: Micros) -> bool:
        """Whether a greeting of that life is answered; recordings of others must not use up its turn."""
        if now - self._welcomed.get(nonce, now - _GREETING_EVERY_US) < _GREETING_EVERY_US:
            return False
        if self._welcomes_until - now > _GREETINGS * _ANY_GREETING_EVERY_US:
            return False
        self._welcomes_until = max(self._welcomes_until, now) + _ANY_GREETING_EVERY_US
        self._welcomed.pop(nonce, None)
        self._welcomed[nonce] = now
        while len(self._welcomed) > _REMEMBERED_LIVES:
            del self._welcomed[next(iter(self._welcomed))]
        return True

    def begin_life(self, nonce: bytes, ticket: bytes) -> bool:
        """The member lives anew, or as it did before another life: then True."""
        back = nonce in self.retired
        if self.nonce and not back:
            self.retired = (*self.retired, self.nonce)[-_REMEMBERED_LIVES:]
        elif back:
            self.retired = (*(each for each in self.retired if each != nonce), self.nonce)
        self.nonce, self.ticket = nonce, ticket
        self.generation += 1
        self.highest, self._seen, self.doubts = 0, 0, 0
        return back


class Session:
    """The other members, as this life of the own one knows them.

    `random` gives so many unpredictable bytes.  `now` of all calls is one clock that never goes back.
    """

    def __init__(self, cluster: RaftCluster, random: Random) -> None:
        self._random = random
        self._nonce = random(16)
        self._secret = random(32)
        self._peers: dict[bytes, _Peer] = {}
        self._met: dict[MemberId, _Peer] = {}
        self._by_id: dict[MemberId, _Peer] = {}
        self.replace(cluster)

    def replace(self, cluster: RaftCluster) -> None:
        """From now on this cluster.  What has passed with a member is kept, also while it is none.

        It goes on counting where it was, and what was recorded of it must not be new to us.
        """
        self._key = cluster.key
        self._signed = _SIGNED if cluster.key else 0
        self._cluster = _digest(cluster.id)
        self._own = _digest(cluster.own)
        self._met |= {each.id: _Peer(each.id) for each in cluster.others if each.id not in self._met}
        self._by_id = {each.id: self._met[each.id] for each in cluster.others}
        self._peers = {_digest(member): peer for member, peer in self._by_id.items()}

    @property
    def members(self) -> tuple[MemberId, ...]:
        """Those with whom frames are exchanged."""
        return tuple(self._by_id)

    @property
    def marks(self) -> tuple[tuple[int, bytes], ...]:
        """What every frame of the cluster has: at these places these four bytes."""
        named = ((5 + at, self._cluster[at : at + 4]) for at in range(0, len(self._cluster), 4))
        return ((0, _MAGIC), *named)

    @property
    def proofs(self) -> tuple[tuple[int, bytes, int, int], ...]:
        """What frames of the members' lives show, and nobody can guess who does not read along.

        For each: where, which eight bytes, and where there is a number that is at least so much.
        """
        shown = [(_TICKET_AT, self._nonce[:8], 0, 0)]
        for peer in self._by_id.values():
            if peer.nonce:
                shown.append((_TICKET_AT, peer.ticket[:8], _NUMBER_AT + 4, peer.least))
            new = (nonce for nonce in peer.given_last if nonce != peer.nonce)
            shown += ((_TICKET_AT, self._ticket(peer, nonce)[:8], 0, 0) for nonce in new)
        return tuple(shown)

    def frames(self, to: MemberId, body: bytes, now: Micros) -> tuple[bytes, ...]:
        """What to send to `to` so that it gets `body`; raises KeyError for no other member.

        As long as there is no ticket that is a greeting, or nothing; the latest body goes out when
        the welcome comes.
        """
        peer = self._by_id[to]
        if peer.pass_ != _NO_TICKET:
            return (self._data(peer, body),)
        peer.waiting, peer.waiting_since = body, now
        return self._greet(peer, now)

    def hear(self, frame: bytes, is_from: Callable[[MemberId], bool], now: Micros) -> Outcome:
        """What an arrived frame leads to.  `is_from`: whether it came from that member's address."""
        peer, refused = self._sender(frame, is_from)
        if peer is None or refused is not None:
            return Outcome(refused=refused)
        _, kind, _, _, nonce, ticket, grant, number = _HEAD.unpack_from(frame)
        body = frame[_HEAD.size : len(frame) - (_MAC_LENGTH if self._key else 0)]
        kind &= ~_SIGNED
        if kind == _DATA:
            return self._heard(peer, nonce, ticket, grant, number, body, now)
        if kind == _HELLO and not body:
            return self._greeted(peer, nonce, number, now)
        if kind == _WELCOME and not body:
            return self._welcomed(peer, nonce, ticket, grant, number, now)
        return Outcome(peer.id, refused=Reason.MALFORMED)

    def _sender(
        self, frame: bytes, is_from: Callable[[MemberId], bool]
    ) -> tuple[_Peer | None, Reason | None]:
        """Who signed the frame, or why it is refused.  The cheapest checks come first."""
        if len(frame) > LONGEST_FRAME:
            return None, Reason.TOO_LONG
        if len(frame) < _HEAD.size or not frame.startswith(_MAGIC):
            return None, Reason.FOREIGN
        if frame[5:21] != self._cluster:
            return None, Reason.CLUSTER
        if (frame[4] & _SIGNED) != self._signed:
            return None, Reason.SIGNED if self._signed == 0 else Reason.UNSIGNED
        peer = self._peers.get(frame[21:37])
        if peer is None:
            return None, Reason.OWN if frame[21:37] == self._own else Reason.SENDER
        if not self._key:
            return peer, None if is_from(peer.id) else Reason.ADDRESS
        _, kind, _, _, nonce, ticket, _, number = _HEAD.unpack_from(frame)
        if kind & ~_SIGNED == _DATA and peer.has_seen(nonce, ticket, number):
            return peer, Reason.REPEATED
        return peer, None if self._is_signed(frame) else Reason.SIGNATURE

    def _is_signed(self, frame: bytes) -> bool:
        view = memoryview(frame)
        mac = hmac.digest(self._key, view[:-_MAC_LENGTH], "sha256")
        return hmac.compare_digest(mac, view[-_MAC_LENGTH:])

    # -- what comes ---------------------------------------------------------------------

    def _greeted(self, peer: _Peer, nonce: bytes, challenge: int, now: Micros) -> Outcome:
        cloned = self._is_doubtful(peer, nonce, now)
        if not peer.may_be_welcomed(nonce, now):
            return Outcome(peer.id, refused=Reason.LIMITED, cloned=cloned)
        grant = self._ticket(peer, nonce)
        return Outcome(peer.id, replies=(self._frame(_WELCOME, nonce, grant, challenge, b""),), cloned=cloned)

    def _is_doubtful(self, peer: _Peer, nonce: bytes, now: Micros) -> bool:
        """Another life greets again and again while the known one is heard all the time."""
        if not peer.nonce or nonce == peer.nonce or now - peer.heard_at > SECOND:
            peer.doubts = 0
            return False
        peer.doubts += 1
        return peer.doubts >= _DOUBTFUL_GREETINGS

    def _welcomed(
        self, peer: _Peer, nonce: bytes, to: bytes, grant: bytes, challenge: int, now: Micros
    ) -> Outcome:
        if to != self._nonce or peer.challenge is None or challenge != peer.challenge:
            return Outcome(peer.id, refused=Reason.UNASKED)
        peer.challenge = None
        peer.known_nonce, peer.pass_ = nonce, grant
        return Outcome(peer.id, replies=(self._data(peer, self._waiting(peer, now)),))

    def _heard(
        self, peer: _Peer, nonce: bytes, ticket: bytes, grant: bytes, number: int, body: bytes, now: Micros
    ) -> Outcome:
        cloned = False
        if nonce != peer.nonce or not hmac.compare_digest(ticket, peer.ticket):
            if nonce == peer.nonce or not hmac.compare_digest(ticket, self._ticket(peer, nonce)):
                return Outcome(peer.id, replies=self._greet(peer, now), refused=Reason.STALE)
            cloned = peer.begin_life(nonce, ticket)
        newest = number > peer.highest
        if not peer.is_new(number):
            return Outcome(peer.id, refused=Reason.REPEATED)
        peer.heard_at = now
        replies: tuple[bytes, ...] = ()
        if newest and (nonce, grant) != (peer.known_nonce, peer.pass_) and grant != _NO_TICKET:
            peer.known_nonce, peer.pass_ = nonce, grant
            waiting = self._waiting(peer, now)
            replies = (self._data(peer, waiting),) if waiting else ()
        if cloned:
            peer.cloned_until = now + CLONED_US
        if peer.cloned_until > now:
            return Outcome(peer.id, replies=replies, refused=Reason.CLONED, cloned=cloned)
        return Outcome(peer.id, body or None, replies)

    # -- what goes ----------------------------------------------------------------------

    def _greet(self, peer: _Peer, now: Micros) -> tuple[bytes, ...]:
        """A greeting, unless there was one just before.  The same challenge until it is answered."""
        if peer.hello_at is not None and now - peer.hello_at < HELLO_EVERY_US:
            return ()
        peer.hello_at = now
        if peer.challenge is None:
            peer.challenge = int.from_bytes(self._random(8), "big")
        return (self._frame(_HELLO, _NO_TICKET, _NO_TICKET, peer.challenge, b""),)

    def _waiting(self, peer: _Peer, now: Micros) -> bytes:
        body, peer.waiting = peer.waiting, None
        return body if body is not None and now - peer.waiting_since <= _WAITS_AT_MOST_US else b""

    def _data(self, peer: _Peer, body: bytes) -> bytes:
        peer.sequence += 1
        return self._frame(_DATA, peer.pass_, self._ticket(peer, peer.known_nonce), peer.sequence, body)

    def _frame(self, kind: int, ticket: bytes, grant: bytes, number: int, body: bytes) -> bytes:
        head = _HEAD.pack(
            _MAGIC, kind | self._signed, self._cluster, self._own, self._nonce, ticket, grant, number
        )
        frame = head + body
        return frame + hmac.digest(self._key, frame, "sha256") if self._key else frame

    def _ticket(self, peer: _Peer, nonce: bytes) -> bytes:
        """What that life of the member has to show."""
        if nonce == peer.nonce:
            return peer.ticket
        text = b"%s%d/%s" % (nonce, peer.generation, peer.id.encode("utf-8", "surrogateescape"))
        return hmac.digest(self._secret, text, "sha256")[:16]


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:16]
