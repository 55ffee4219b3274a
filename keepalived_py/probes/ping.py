"""PING_CHECK: an ICMP echo is answered.

The socket is the one for which no privilege is needed: the kernel puts in the identifier
and the checksum, and hands over nothing but echo replies with this identifier.  Who may
open one is said by net.ipv4.ping_group_range, which is widened to group 0 for as long as
this program runs.  Where that cannot be done (a container with sysctls that are
read-only), a raw socket serves, for which more must be done here.

A socket serves for one echo and is closed at once, so that ten thousand checks do not need
as many descriptors.  (Newer keepalived leaves it open to keep the identifier.  To ask for
the same one again would not do: the kernel lets two sockets have it at the same
time, and then gives the replies of both to one of them.)

The kernel hands over replies from whoever uses the identifier, not only from the
machine that was asked: address and sequence number are compared, and what is not the answer
is passed over.  Source: check_ping.c.
"""

import errno
import os
import secrets
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import PingCheck
from keepalived_py.probes import waiting
from keepalived_py.probes.connect import broken, ending_of, reason
from keepalived_py.probes.sockets import NotBound, opened
from keepalived_py.probes.udp import own_text

GROUP_RANGE = "/proc/sys/net/ipv4/ping_group_range"
_HEADER = struct.Struct("!BBHHH")
_TEXT = own_text(128)
# Room for an IPv4 header with all options, which raw sockets give as well.
_ROOM = 60 + _HEADER.size + len(_TEXT)
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM, errno.EPROTONOSUPPORT})
# linux/icmp.h and netinet/icmp6.h: a set bit (of the type's number) is dropped.
_SOL_RAW, _ICMP_FILTER = 255, 1
_SOL_ICMPV6, _ICMPV6_FILTER = 58, 1


class _Kind(NamedTuple):
    """What differs between the families."""

    name: str
    protocol: int
    request: int
    reply: int


_KINDS = {
    4: _Kind("ICMP", socket.IPPROTO_ICMP, 8, 0),
    6: _Kind("ICMPv6", socket.IPPROTO_ICMPV6, 128, 129),
}


class _Echo(NamedTuple):
    """An open socket, and what is sent and awaited over it."""

    made: socket.socket
    raw: bool
    identifier: int
    sequence: int


class Pinger:
    """Runs `PingCheck`s.  `say` gets log lines about the machine, not about a server."""

    def __init__(self, say: Callable[[str], None], group_range: str = GROUP_RANGE) -> None:
        self._range = _GroupRange(group_range, say)
        self._sequence = 0

    async def ping(self, order: StartCheck) -> CheckResult:
        """Time limit: `connect_timeout_us` from the sending of the request."""
        check = order.check
        assert isinstance(check, PingCheck)
        self._range.widen()
        kind = _KINDS[order.target.address.version]
        try:
            made, raw = _opened(check, order.target, kind)
        except NotBound as error:
            return broken(str(error), waiting.complaint(error))
        except OSError as error:
            return broken(reason(error), f"{kind.name} connect fail to create socket. Rescheduling.")
        with made:
            # Unlike that of others, this number never is 0: newer keepalived begins with 1, too.
            self._sequence = self._sequence % 0xFFFF + 1
            return await _asked(made, raw, order, self._sequence)

    def close(self) -> None:
        """Give net.ipv4.ping_group_range back as it was found."""
        self._range.give_back()


async def _asked(made: socket.socket, raw: bool, order: StartCheck, sequence: int) -> CheckResult:
    assert isinstance(order.check, PingCheck)
    kind = _KINDS[order.target.address.version]
    until = waiting.end_of(order.check)
    try:
        made.connect((str(order.target.address), 0))
        identifier = secrets.randbelow(0x10000) if raw else made.getsockname()[1]
        echo = _Echo(made, raw, identifier, sequence)
        made.send(_request(kind, echo))
    except OSError as error:
        number = "" if kind.protocol == socket.IPPROTO_ICMP else f" - errno {error.errno}"
        line = f"send {kind.name} packet fail{number}"
        return CheckResult(False, ending_of(error.errno or 0), None, reason(error), (line,))
    return await _answered(echo, kind, order, until)


async def _answered(echo: _Echo, kind: _Kind, order: StartCheck, until: float) -> CheckResult:
    while await waiting.readable(echo.made, until):
        try:
            reply, sender = echo.made.recvfrom(_ROOM)
        except BlockingIOError:
            continue
        except OSError as error:
            line = f"recv {kind.name} packet error"
            return CheckResult(False, ending_of(error.errno or 0), None, reason(error), (line,))
        if _is_reply(reply, kind, echo) and _is_from(sender[0], order.target):
            return CheckResult(True, text="answered")
    line = f"ICMP connection to address {order.label} timeout."
    return CheckResult(False, Ending.TIMED_OUT, text="no answer", lines=(line,))


def _opened(check: PingCheck, target: Target, kind: _Kind) -> tuple[socket.socket, bool]:
    """A socket for this check, and whether it is a raw one.  Raises OSError."""
    try:
        return opened(check, target, socket.SOCK_DGRAM, kind.protocol), False
    except OSError as error:
        if error.errno not in _NOT_ALLOWED:
            raise
        try:
            return _raw(check, target, kind), True
        except OSError:
            # What the unprivileged socket lacked is what the user can change.
            raise error from None


def _raw(check: PingCheck, target: Target, kind: _Kind) -> socket.socket:
    """A raw socket that hears nothing but echo replies."""
    made = opened(check, target, socket.SOCK_RAW, kind.protocol)
    try:
        if kind.protocol == socket.IPPROTO_ICMP:
            made.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << kind.reply) & 0xFFFFFFFF))
        else:
            words = [0xFFFFFFFF] * 8
            words[kind.reply // 32] &= ~(1 << kind.reply % 32)
            made.setsockopt(_SOL_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *words))
    except OSError:
        made.close()
        raise
    return made


def _request(kind: _Kind, echo: _Echo) -> bytes:
    if not echo.raw:
        return _HEADER.pack(kind.request, 0, 0, 0, echo.sequence) + _TEXT
    plain = _HEADER.pack(kind.request, 0, 0, echo.identifier, echo.sequence) + _TEXT
    if kind.protocol == socket.IPPROTO_ICMPV6:
        # Of these the kernel reckons the checksum on raw sockets, too.
        return plain
    return _HEADER.pack(kind.request, 0, _checksum(plain), echo.identifier, echo.sequence) + _TEXT


def _checksum(packet: bytes) -> int:
    """RFC 1071; `packet` has an even length."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _is_reply(packet: bytes, kind: _Kind, echo: _Echo) -> bool:
    if echo.raw and kind.protocol == socket.IPPROTO_ICMP:
        packet = packet[(packet[0] & 0x0F) * 4 :] if packet else packet
    if len(packet) < _HEADER.size:
        return False
    what, _, _, identifier, sequence = _HEADER.unpack_from(packet)
    return (what, identifier, sequence) == (kind.reply, echo.identifier, echo.sequence)


def _is_from(sender: str, target: Target) -> bool:
    if sender == str(target.address):
        return True
    # The same address may be written in other ways, and with the name of its link.
    return int(ip_address(sender.partition("%")[0])) == int(target.address)


class _GroupRange:
    """net.ipv4.ping_group_range: two numbers of groups, and all between them may ping."""

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._looked = False
        self._former: int | None = None

    def widen(self) -> None:
        """Let group 0 in, once; without a way to do so, raw sockets will have to do."""
        if self._looked:
            return
        self._looked = True
        found = self._read()
        if found is None or found[0] == 0:
            return
        low, high = found
        if low > 1 and high > 1:
            self._say(f"Warning: {self._path} being expanded from {low} {high} to 0 {high}")
        if self._write(0, high):
            self._former = low

    def give_back(self) -> None:
        """Undo what `widen` did, unless somebody else changed it since."""
        former, self._former, self._looked = self._former, None, False
        found = self._read() if former is not None else None
        if former is not None and found is not None and found[0] == 0:
            self._write(former, found[1])

    def _read(self) -> tuple[int, int] | None:
        try:
            with open(self._path, "rb", buffering=0) as file:
                low, high = (int(word) for word in (file.read(64) or b"").split())
        except (OSError, ValueError):
            return None
        return low, high

    def _write(self, low: int, high: int) -> bool:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, b"%d\t%d\n" % (low, high))
        except OSError as error:
            self._say(f"Write {self._path} failed - errno {error.errno}")
            return False
        finally:
            os.close(descriptor)
        return True
