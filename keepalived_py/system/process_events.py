"""The kernel's news about processes: the proc connector (linux/cn_proc.h).

A netlink socket that is told of every fork, exec, change of name and end of a
process on the machine.  There may be thousands a second, most of them of no
interest, so a socket filter drops in the kernel what threads do and kinds of
events that nobody asked for.  The connector answers only in the initial network
namespace.
"""

import contextlib
import ctypes
import errno
import os
import socket
import struct
import sys
from typing import NamedTuple

from keepalived_py.system import receive_buffer

FORK = 0x1
EXEC = 0x2
COMM = 0x200
EXIT = 0x8000_0000
NONE = 0x0

_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = 1
_CN_VAL_PROC = 1
_LISTEN = 1
_NLMSG_DONE = 3
_SO_ATTACH_FILTER = 26
_USUAL_BUFFER = 2 << 20
_LARGEST_BUFFER = 64 << 20

# A message: netlink header (16), connector header (20), then what, cpu, time stamp (16) and the event's data.
_LONGEST = 512
_WHAT_AT = 36
_DATA_AT = 52
_HEAD = struct.Struct("=I")
_PAIR = struct.Struct("=II")
_FORKED = struct.Struct("=4xI4xI")
_NAME = slice(_DATA_AT + 8, _DATA_AT + 24)


class News(NamedTuple):
    """One event: of process `pid`, for FORK with its parent `other`, for COMM with its new name."""

    what: int
    pid: int
    other: int = 0
    name: bytes = b""


class Overrun(Exception):
    """The kernel had to drop events: what is known of the processes is no longer true."""


class ProcessEvents:
    """The subscription.  Raises OSError: EPROTONOSUPPORT without kernel support, ECONNREFUSED in a namespace.

    `buffer` in bytes, 0: a usual one; `force`: also beyond the system's limit.
    `names`: COMM is asked for.
    """

    def __init__(self, buffer: int, force: bool, names: bool) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            _NETLINK_CONNECTOR,
        )
        self._data = bytearray(_LONGEST)
        try:
            self._set_buffer(buffer or _USUAL_BUFFER, force or not buffer)
            self._filter(names)
            self._socket.bind((0, _CN_IDX_PROC))
            self._socket.send(_subscription())
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable when there are news."""
        return self._socket.fileno()

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()

    def read(self) -> News | None:
        """The next news; None: there are none now.  What is NONE confirms the subscription.

        Raises Overrun, once, if some were lost.
        """
        while True:
            try:
                length, sender = self._socket.recvfrom_into(self._data)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise Overrun from None
                return None
            if sender[0] == 0 and length >= _DATA_AT + _PAIR.size:
                return _news(self._data)

    def grow(self, force: bool) -> int:
        """Twice the buffer; its size in bytes now."""
        size = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._set_buffer(min(size, _LARGEST_BUFFER), force)
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def _set_buffer(self, size: int, force: bool) -> None:
        """The kernel doubles `size` for its own needs."""
        receive_buffer.resize(self._socket, size, force)

    def _filter(self, names: bool) -> None:
        program = filter_program(names)
        kept = ctypes.create_string_buffer(program)
        with contextlib.suppress(OSError):
            # Without it everything is heard and most of it for nothing.
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, packed_program(kept, len(program)))


def _subscription() -> bytes:
    body = struct.pack("=IIIIHHI", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0, _LISTEN)
    return struct.pack("=IHHII", 16 + len(body), _NLMSG_DONE, 0, 0, os.getpid()) + body


def _news(data: bytearray) -> News:
    (what,) = _HEAD.unpack_from(data, _WHAT_AT)
    if what == FORK:
        parent, child = _FORKED.unpack_from(data, _DATA_AT)
        return News(FORK, child, parent)
    _, process = _PAIR.unpack_from(data, _DATA_AT)
    if what == COMM:
        return News(COMM, process, name=bytes(data[_NAME]).split(b"\0", 1)[0])
    return News(what, process)


def filter_program(names: bool) -> bytes:
    """The socket filter (classic BPF): whole processes' FORK, EXEC, EXIT, perhaps COMM, and NONE pass."""
    load, jump, equal, copy, answer = 0x20, 0x15, 0x1D, 0x07, 0x06
    steps = [
        (load, 0, 0, _WHAT_AT),
        (jump, 12, 0, _swapped(NONE)),
        (jump, 3, 0, _swapped(FORK)),
        (jump, 6, 0, _swapped(EXEC)),
        (jump, 5, 0, _swapped(EXIT)),
        (jump, 4, 9, _swapped(COMM if names else EXEC)),
        # FORK: process and thread id of the child
        (load, 0, 0, _DATA_AT + 8),
        (copy, 0, 0, 0),
        (load, 0, 0, _DATA_AT + 12),
        (equal, 4, 5, 0),
        # EXEC, EXIT, COMM: process and thread id
        (load, 0, 0, _DATA_AT),
        (copy, 0, 0, 0),
        (load, 0, 0, _DATA_AT + 4),
        (equal, 0, 1, 0),
        (answer, 0, 0, _LONGEST),
        (answer, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def packed_program(program: "ctypes.Array[ctypes.c_char]", length: int) -> bytes:
    """The argument of SO_ATTACH_FILTER; `program` must live until the call."""
    return struct.pack("HP", length // 8, ctypes.addressof(program))


def _swapped(word: int) -> int:
    """As the filter loads it: in network byte order."""
    return int.from_bytes(word.to_bytes(4, sys.byteorder), "big")
