"""UDP sockets for messages between machines: one for each family, never waiting.

A flood must not keep the loop from its timers: `drain` takes a bounded number of
datagrams and of bytes, and leaves the rest to the next turn.  With each comes how
long ago the kernel got it.  The kernel tells that on the clock of the day, which
may be set at any time; no datagram is older than the last moment at which the
socket was seen empty, so that is the bound for what that clock says.

Against a flood of what is foreign at first sight the kernel can look itself
(`only`): what it drops takes neither time here nor room in the socket.  What could
be a forgery passes if it shows what only those with whom we speak can know; of the
rest a sample does, so that somebody new is heard in the end.
"""

import ctypes
import errno
import os
import socket
import struct
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from keepalived_py.base.clock import Micros
from keepalived_py.system.clocks import boottime
from keepalived_py.system.receive_buffer import resize

# A little more than the longest frame of anybody, so that a longer one is seen to be longer.
_ROOM = 65_536
_MOST_BYTES = 256 * 1024
_RECEIVE_BUFFER = 1024 * 1024
_INTERNETWORK_CONTROL = 0xC0
_TC_PRIO_CONTROL = 7
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)
_IPV6_FREEBIND = 78
_LOCAL_IPV6 = "/proc/net/if_inet6"
_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
# Classic BPF (linux/filter.h): a filter of UDP sees the UDP header first, the IP header at SKF_NET_OFF.
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD, _JUMP, _JUMP_IF_EQUAL, _JUMP_IF_NOT_LESS, _JUMP_IF_ANY, _RETURN = (
    0x20,
    0x05,
    0x15,
    0x35,
    0x45,
    0x06,
)
_IP_HEADER = 0xFFF00000
_RANDOM = 0xFFFFF038  # SKF_AD_OFF + SKF_AD_RANDOM
# Of those that have to prove themselves yet, one in so many passes; a power of two.
ONE_IN = 32
_UDP_HEADER = 8
_WHOLE = 0xFFFFFFFF


class Datagram(NamedTuple):
    """What arrived; `source` without a scope, `age_us` since the kernel had it."""

    data: bytes
    source: str
    age_us: Micros


class Proof(NamedTuple):
    """What a sender that is known shows: `secret` (whole words of four bytes) at `place`.

    And at `number_at` an unsigned word that is no less than `least`.
    """

    place: int
    secret: bytes
    number_at: int = 0
    least: int = 0


class Target(NamedTuple):
    """Where to send: the family (AF_INET, AF_INET6) and the socket address."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int]

    @property
    def host(self) -> str:
        """The address as `Datagram.source` gives it."""
        return self.address[0].partition("%")[0]


class Datagrams:
    """One socket, bound to `address` ("": every address of the family) and `port`.

    Raises OSError, with the errno of bind(2).
    """

    def __init__(self, family: int, address: str, port: int) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.family = family
        self._socket = socket.socket(family, kind)
        try:
            self._open(address, port)
        except OSError:
            self._socket.close()
            raise
        self._buffer = bytearray(_ROOM)
        self._view = memoryview(self._buffer)
        self._empty_at = boottime()

    def _open(self, address: str, port: int) -> None:
        opened = self._socket
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        resize(opened, _RECEIVE_BUFFER, force=os.geteuid() == 0)
        with suppress(OSError):  # wishes, which nothing depends on
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, _TC_PRIO_CONTROL)
        with suppress(OSError):
            if self.family == socket.AF_INET:
                opened.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _INTERNETWORK_CONTROL)
            else:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _INTERNETWORK_CONTROL)
        if self.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if address and _is_tentative(address):
                opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        opened.bind(_address(self.family, address, port))

    def fileno(self) -> int:
        """Readable when something came."""
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The port it is bound to."""
        port: int = self._socket.getsockname()[1]
        return port

    def drain(self, most: int) -> Iterator[Datagram]:
        """Up to `most` datagrams that are there now; what is left keeps the socket readable."""
        taken = 0
        for _ in range(most):
            try:
                length, ancillary, _, sender = self._socket.recvmsg_into([self._view], _ANCILLARY)
            except BlockingIOError:
                self._empty_at = boottime()
                return
            except OSError:  # an error that belongs to something sent earlier
                continue
            taken += length
            yield Datagram(bytes(self._view[:length]), sender[0].partition("%")[0], self._age(ancillary))
            if taken > _MOST_BYTES:
                return

    def _age(self, ancillary: list[tuple[int, int, bytes]]) -> Micros:
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
                seconds, nanos = _TIMESPEC.unpack(data)
                age = (time.time_ns() - seconds * 1_000_000_000 - nanos) // 1000
                return Micros(max(0, min(age, boottime() - self._empty_at)))
        return Micros(0)

    def send(self, data: bytes, target: Target) -> int:
        """Send one datagram; 0, or the errno (EAGAIN: the queue is full)."""
        try:
            self._socket.sendto(data, target.address)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def only(
        self, marks: Sequence[tuple[int, bytes]], sources: Collection[str], proofs: Sequence[Proof] = ()
    ) -> int:
        """Let the kernel drop what has not these four bytes at these places, or comes from elsewhere.

        With `proofs`: of what shows none of them only one in `ONE_IN` passes.  What is in the socket
        already stays.  0, or the errno.
        """
        program = _filter(self.family, marks, sources, proofs)
        buffer = ctypes.create_string_buffer(program, len(program))
        # struct sock_fprog: the kernel copies the program during the call.
        pointer = struct.pack("HP", len(program) // _INSTRUCTION.size, ctypes.addressof(buffer))
        return self._set(_SO_ATTACH_FILTER, pointer)

    def everything(self) -> int:
        """Let everything in again; 0, or the errno."""
        return self._set(_SO_DETACH_FILTER, bytes(4))

    def _set(self, option: int, value: bytes) -> int:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, option, value)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


_Code = list[tuple[int, int, int, int]]


def _filter(
    family: int, marks: Sequence[tuple[int, bytes]], sources: Collection[str], proofs: Sequence[Proof]
) -> bytes:
    program: _Code = []
    for place, mark in marks:
        program += [*_unless(_UDP_HEADER + place, mark, 1), (_JUMP, 0, 0, 1), (_RETURN, 0, 0, 0)]
    first = _IP_HEADER + (12 if family == socket.AF_INET else 8)
    packed = [socket.inet_pton(family, source) for source in sources]
    tests = [[*_unless(first, each, 1), (_JUMP, 0, 0, 0)] for each in packed]
    left = sum(map(len, tests))
    for test in tests:
        left -= len(test)
        # To what stands behind all of them, and behind the "drop" there.
        test[-1] = (_JUMP, 0, 0, left + 1)
        program += test
    program.append((_RETURN, 0, 0, 0))
    for proof in proofs:
        program += _shown(proof)
    if proofs:
        program += [(_LOAD_WORD, 0, 0, _RANDOM), (_JUMP_IF_ANY, 0, 1, ONE_IN - 1), (_RETURN, 0, 0, 0)]
    program.append((_RETURN, 0, 0, _WHOLE))
    return b"".join(_INSTRUCTION.pack(*each) for each in program)


def _unless(at: int, expected: bytes, over: int) -> _Code:
    """Skip `over` instructions more if not these bytes, whole words, are at `at`."""
    code: _Code = []
    for place in range(0, len(expected), 4):
        skipped = (len(expected) - place) // 4 * 2 - 2 + over
        word = int.from_bytes(expected[place : place + 4], "big")
        code += [(_LOAD_WORD, 0, 0, at + place), (_JUMP_IF_EQUAL, 0, skipped, word)]
    return code


def _shown(proof: Proof) -> _Code:
    """Pass what shows it."""
    number: _Code = []
    if proof.least:
        at = _UDP_HEADER + proof.number_at
        number = [(_LOAD_WORD, 0, 0, at), (_JUMP_IF_NOT_LESS, 0, 1, proof.least)]
    return [
        *_unless(_UDP_HEADER + proof.place, proof.secret, len(number) + 1),
        *number,
        (_RETURN, 0, 0, _WHOLE),
    ]


def targets(host: str, port: int) -> tuple[Target, ...]:
    """Where `host` is, in the order of preference; nothing if it is not known.

    Waits for the name service, unless `host` is an address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return ()
    made = [Target(int(family), address) for family, _, _, _, address in found]  # type: ignore[arg-type]
    return tuple(dict.fromkeys(each for each in made if each.family in (socket.AF_INET, socket.AF_INET6)))


def literal(host: str, port: int) -> tuple[Target, ...]:
    """The same for an address, asking nobody; nothing for a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return ()
    return tuple(Target(int(family), address) for family, _, _, _, address in found)  # type: ignore[arg-type]


def _address(family: int, address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if not address:
        return ("", port)
    found = literal(address, port)
    if not found or found[0].family != family:
        raise OSError(errno.EAFNOSUPPORT, "not an address of the family")
    return found[0].address


def _is_tentative(address: str) -> bool:
    """Whether this IPv6 address is here, if only just: for a second or two the kernel still asks around."""
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
        with open(_LOCAL_IPV6, encoding="ascii") as table:
            return any(line.split(" ", 1)[0] == packed.hex() for line in table)
    except (OSError, UnicodeError):
        return False
