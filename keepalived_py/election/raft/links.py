"""The sockets between members: messages out, genuine messages in.

One UDP port for everything, a socket for each family.  What arrives goes through
the session (`election.raft.session`) and only then is read as a message.  A
bounded number of frames is taken at a time, so that a flood delays no timer for
long; and what strangers send leaves nothing behind but numbers, and at most one
line a minute.  If that is a flood, the kernel is asked for a minute to let pass only
what looks like a frame of the cluster and comes from where members are; else the
flood would take the room of their frames.  Addresses can be forged: so it lets pass
what shows a member's ticket and a number that has not been, and only a sample
of the rest, which is enough for a member that begins a new life.

Members come and go, so that nobody can be reached is no error here.  Names are
looked up elsewhere and again and again (`election.raft.resolver`).
"""

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.errors import FatalStart
from keepalived_py.base.names import MemberId
from keepalived_py.election.raft.resolver import Resolver, look_up
from keepalived_py.election.raft.session import Outcome, Reason, Session
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import RaftCluster, RaftMessage
from keepalived_py.system.clocks import boottime
from keepalived_py.system.datagrams import Datagram, Datagrams, Proof, Target, literal
from keepalived_py.wire.raft import LONGEST_BODY, Malformed, decode, encode

FRAMES_AT_ONCE = 64
LOG_EVERY_US = Micros(60 * SECOND)
_LOOK_EVERY_S = 1.0
_SILENT_US = Micros(3 * SECOND)
_NAME_LIMIT_S = 5.0
# So many refused frames within a second are a flood.
_FLOOD = 500
# What happens when a process starts anew, or a packet is late: nothing to be alarmed about.
_HARMLESS = frozenset((Reason.STALE, Reason.UNASKED, Reason.LIMITED))
_BOTH = (socket.AF_INET, socket.AF_INET6)
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class Counters(NamedTuple):
    """Frames since the start.  `unsent`: the kernel did not take them, or there is no address for them."""

    sent: int
    unsent: int
    received: int
    refused: Mapping[str, int]


class Links:
    """The frames to and from all other members.  Make it in the process that uses it, open it inside a loop.

    `heard` is given the sender, the message, and how long ago the kernel had it.
    """

    def __init__(
        self,
        cluster: RaftCluster,
        heard: Callable[[MemberId, RaftMessage, Micros], None],
        say: Callable[[str], None],
        random: Callable[[int], bytes] = os.urandom,
        now: Callable[[], Micros] = boottime,
    ) -> None:
        self._cluster = cluster
        self._heard = heard
        self._say = say
        self._now = now
        self._session = Session(cluster, random)
        self._sockets: dict[int, Datagrams] = {}
        self._resolver: Resolver | None = None
        self._endpoints = {each.id: each.endpoint for each in cluster.others}
        self._routes: dict[MemberId, tuple[Target, ...]] = {}
        self._heard_at: dict[MemberId, Micros] = {}
        self._heard_from: dict[MemberId, str] = {}
        self._lately_refused = 0
        self._filtered_until = Micros(0)
        self._looking: asyncio.TimerHandle | None = None
        self._encoded: tuple[RaftMessage, bytes] | None = None
        self._sent = self._unsent = self._received = 0
        self._refused: Counter[Reason] = Counter()
        self._reports = {topic: _Report(say) for topic in ("refused", "cloned", "long", "flood")}

    def open(self) -> None:
        """Listen.  Raises FatalStart if that is not possible, with what to do about it."""
        self._sockets = _open(self._cluster, self._say)
        self._resolver = Resolver(self._found)
        self._resolver.follow(self._endpoints.values(), self._now())
        self._settle()
        loop = asyncio.get_running_loop()
        for each in self._sockets.values():
            loop.add_reader(each, self._readable, each)
        self._looking = loop.call_later(_LOOK_EVERY_S, self._look)

    def send(self, to: MemberId, message: RaftMessage) -> None:
        """Send `message` to `to`, if that is a member; it may get lost."""
        if to not in self._endpoints:
            return
        if self._encoded is None or self._encoded[0] is not message:
            self._encoded = (message, encode(message))
        body = self._encoded[1]
        if len(body) > LONGEST_BODY:
            self._unsent += 1
            self._reports["long"].add(
                f"A message of {len(body)} bytes to member {to} is longer than a frame may be,"
                " it is not sent: are there too many leases?",
                self._now(),
            )
            return
        for frame in self._session.frames(to, body, self._now()):
            self._put(to, frame)

    def replace(self, cluster: RaftCluster) -> None:
        """From now on this cluster.  The own address stays as it is until a restart."""
        old, self._cluster = self._cluster, cluster
        self._session.replace(cluster)
        self._endpoints = {each.id: each.endpoint for each in cluster.others}
        for forgotten in (set(self._heard_at) | set(self._heard_from)) - set(self._endpoints):
            self._heard_at.pop(forgotten, None)
            self._heard_from.pop(forgotten, None)
        if self._resolver is not None:
            self._resolver.follow(self._endpoints.values(), self._now())
        self._settle()
        if _own_endpoint(old) != _own_endpoint(cluster):
            self._say(
                f"Raft: listening at {_own_endpoint(old)} until the next start, not yet at the new address"
            )

    def close(self) -> None:
        """Give everything back; nothing is heard any more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        for each in self._sockets.values():
            asyncio.get_running_loop().remove_reader(each)
            each.close()
        self._sockets, self._routes = {}, {}
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None

    @property
    def counters(self) -> Counters:
        """What came and went until now."""
        refused = {reason.value: count for reason, count in self._refused.items()}
        return Counters(self._sent, self._unsent, self._received, refused)

    # -- what goes -----------------------------------------------------------------------

    def _put(self, to: MemberId, frame: bytes) -> None:
        route = self._routes.get(to)
        if route and self._sockets[route[0].family].send(frame, route[0]) == 0:
            self._sent += 1
            return
        self._unsent += 1

    def _settle(self) -> None:
        """Work out where each member is reached, and forget the ways that changed."""
        if self._resolver is None:
            return
        routes = {}
        for member, endpoint in self._endpoints.items():
            usable = tuple(each for each in self._resolver.targets(endpoint) if each.family in self._sockets)
            before = self._routes.get(member, ())
            routes[member] = before if set(before) == set(usable) else usable
        self._routes = routes
        if self._filtered_until:
            self._filter()

    def _found(self, endpoint: Endpoint) -> None:
        self._settle()

    def _look(self) -> None:
        """Once a second: whoever is silent may have moved, or be reached at another of its addresses."""
        now = self._now()
        silent = {
            member for member in self._endpoints if now - self._heard_at.get(member, Micros(0)) > _SILENT_US
        }
        for member in silent:
            first, rest = self._routes.get(member, ())[:1], self._routes.get(member, ())[1:]
            self._routes[member] = rest + first
        if self._resolver is not None:
            self._resolver.refresh(now, frozenset(self._endpoints[member] for member in silent))
        self._relax(now)
        for report in self._reports.values():
            report.look(now)
        self._looking = asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self._look)

    def _resist(self, now: Micros) -> None:
        """A flood: for a while the kernel looks first."""
        self._filtered_until = Micros(now + LOG_EVERY_US)
        self._filter()
        self._reports["flood"].add(
            "Raft: a flood of foreign packets; for a minute the kernel drops what is not from members", now
        )

    def _relax(self, now: Micros) -> None:
        self._lately_refused = 0
        if self._filtered_until > now:
            # Whoever began a new life meanwhile shows something else, and what was recorded is older now.
            self._filter()
        elif self._filtered_until:
            self._filtered_until = Micros(0)
            for each in self._sockets.values():
                each.everything()

    def _filter(self) -> None:
        """Members pass at every address that is known of them, and from where they were heard last."""
        for family, opened in self._sockets.items():
            hosts = {each.host for route in self._routes.values() for each in route if each.family == family}
            heard = (
                each for each in self._heard_from.values() if (":" in each) == (family == socket.AF_INET6)
            )
            proofs = [Proof(*each) for each in self._session.proofs]
            opened.only(self._session.marks, sorted(hosts.union(heard)), proofs)

    # -- what comes ----------------------------------------------------------------------

    def _readable(self, opened: Datagrams) -> None:
        now = self._now()
        for datagram in opened.drain(FRAMES_AT_ONCE):
            self._arrived(datagram, now)

    def _arrived(self, datagram: Datagram, now: Micros) -> None:
        def is_from(member: MemberId) -> bool:
            return any(datagram.source == each.host for each in self._routes.get(member, ()))

        outcome = self._session.hear(datagram.data, is_from, now)
        if outcome.member is not None:
            for reply in outcome.replies:
                self._put(outcome.member, reply)
            if outcome.cloned:
                self._cloned(outcome.member, now)
        if outcome.refused is not None:
            self._refuse(outcome.refused, datagram, now)
        else:
            self._deliver(outcome, datagram, now)

    def _deliver(self, outcome: Outcome, datagram: Datagram, now: Micros) -> None:
        assert outcome.member is not None
        self._received += 1
        self._heard_at[outcome.member] = now
        self._heard_from[outcome.member] = datagram.source
        if outcome.body is None:
            return
        try:
            message = decode(outcome.body)
        except Malformed:
            self._refuse(Reason.MALFORMED, datagram, now)
            return
        self._heard(outcome.member, message, datagram.age_us)

    def _refuse(self, reason: Reason, datagram: Datagram, now: Micros) -> None:
        self._refused[reason] += 1
        self._lately_refused += 1
        if self._lately_refused == _FLOOD:
            self._resist(now)
        if reason not in _HARMLESS and reason is not Reason.CLONED:
            self._reports["refused"].add(
                f"Raft: refused a frame {reason.value}, from {datagram.source}{_ADVICE.get(reason, '')}", now
            )

    def _cloned(self, member: MemberId, now: Micros) -> None:
        self._reports["cloned"].add(
            f"Raft: ATTENTION, two processes say that they are member {member}: a copied machine, or the"
            " same id configured twice.  Stop one of them; while they take turns neither is listened to",
            now,
        )


_ADVICE: Mapping[Reason, str] = {
    Reason.CLUSTER: ": is the cluster's name the same on all members?",
    Reason.SIGNATURE: ": is the key file the same on all members?",
    Reason.UNSIGNED: ": has that member no key file?",
    Reason.SIGNED: ": configure the same key file here",
    Reason.SENDER: ": is the list of members the same everywhere?",
    Reason.OWN: ": has another machine our id?",
    Reason.ADDRESS: ": is the list of members right, and does that member send from its address?",
}


class _Report:
    """At most one line in `LOG_EVERY_US`; the next one says how many there would have been."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said_at: Micros | None = None
        self._last = ""
        self._count = 0

    def add(self, text: str, now: Micros) -> None:
        """Something to be said, now or later."""
        self._last = text
        self._count += 1
        self.look(now)

    def look(self, now: Micros) -> None:
        """Say what is due."""
        if not self._count or (self._said_at is not None and now - self._said_at < LOG_EVERY_US):
            return
        more = f" ({self._count} of this kind in all since the last line)" if self._count > 1 else ""
        self._say(self._last + more)
        self._said_at, self._count = now, 0


# -- the own address ----------------------------------------------------------------------


def _own_endpoint(cluster: RaftCluster) -> Endpoint:
    return cluster.bind if cluster.bind is not None else cluster.member(cluster.own).endpoint


def _open(cluster: RaftCluster, say: Callable[[str], None]) -> dict[int, Datagrams]:
    """The sockets by family.  Raises FatalStart."""
    endpoint = _own_endpoint(cluster)
    if not endpoint.host:
        return _open_every(endpoint)
    targets = look_up(endpoint, _NAME_LIMIT_S)
    if not literal(endpoint.host, endpoint.port):
        if cluster.bind is None and all(_is_loopback(each.host) for each in targets):
            # A machine's own name is often that of 127.0.1.1 in /etc/hosts: nobody else gets there.
            say(f"Raft: {endpoint.host} is no address that others reach, listening at every address")
            return _open_every(Endpoint("", endpoint.port))
        if not targets:
            raise FatalStart(
                f"Raft: the name {endpoint.host} to listen at has no address: write an address, or mend the"
                " name service"
            )
    return _open_at(targets, endpoint)


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _open_at(found: tuple[Target, ...], endpoint: Endpoint) -> dict[int, Datagrams]:
    made: dict[int, Datagrams] = {}
    refused: OSError | None = None
    for target in found:
        if target.family not in made:
            try:
                made[target.family] = Datagrams(target.family, _with_scope(target), endpoint.port)
            except OSError as error:
                refused = error
    if not made:
        raise _fatal(endpoint, refused)
    return made


def _with_scope(target: Target) -> str:
    address = target.address
    scope = address[3] if len(address) == 4 else 0
    return f"{target.host}%{scope}" if scope else address[0]


def _open_every(endpoint: Endpoint) -> dict[int, Datagrams]:
    """A machine may lack one of the families."""
    made: dict[int, Datagrams] = {}
    refused: OSError | None = None
    for family in _BOTH:
        try:
            made[family] = Datagrams(family, "", endpoint.port)
        except OSError as error:
            refused = error
            if error.errno not in _NO_FAMILY:
                break
    if not made or (refused is not None and refused.errno not in _NO_FAMILY):
        for each in made.values():
            with suppress(OSError):
                each.close()
        raise _fatal(endpoint, refused)
    return made


def _fatal(endpoint: Endpoint, refused: OSError | None) -> FatalStart:
    number = refused.errno if refused is not None else 0
    where = f"Raft: cannot listen at UDP {endpoint}"
    if number == errno.EADDRINUSE:
        return FatalStart(
            f"{where}: the port is taken.  Stop the program that has it (`ss -ulpn` shows it), or choose"
            " another port for this member in the list of every member"
        )
    if number == errno.EADDRNOTAVAIL:
        return FatalStart(
            f"{where}: that is no address of this machine.  Correct this member's address or `bind`, or add"
            " the address to an interface first"
        )
    if number in (errno.EACCES, errno.EPERM):
        return FatalStart(f"{where}: not permitted.  Run as root, or choose a port above 1023")
    return FatalStart(f"{where}: {refused.strerror if refused is not None else 'it has no address'}")
