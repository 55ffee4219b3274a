"""The few calls of the C library that Python has no name for, with errors as OSError."""

import ctypes
import os
import struct
import time
from collections.abc import Callable, Sequence
from functools import cache


@cache
def library() -> ctypes.CDLL:
    """The C library that is already loaded into this process."""
    return ctypes.CDLL(None, use_errno=True)


PR_SET_PDEATHSIG = 1


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one argument; raises OSError if the kernel refuses."""
    if library().prctl(option, ctypes.c_ulong(argument), 0, 0, 0) != 0:
        _raise_errno("prctl")


def lock_memory(flags: int) -> None:
    """mlockall(2); raises OSError (EPERM, ENOMEM) if the kernel refuses."""
    if library().mlockall(flags) != 0:
        _raise_errno("mlockall")


def unlock_memory() -> None:
    """munlockall(2); raises OSError if the kernel refuses."""
    if library().munlockall() != 0:
        _raise_errno("munlockall")


def send_to(descriptor: int, data: bytes, address: bytes) -> int:
    """sendto(2) with a socket address in the kernel's form; 0, or the errno of the failure."""
    if _sendto()(descriptor, data, len(data), 0, address, len(address)) < 0:
        return ctypes.get_errno()
    return 0


# struct mmsghdr (address, vector, ancillary data, flags, length sent) and struct iovec.
_MESSAGE = struct.Struct("@PIPNPNi0PI0P")
_VECTOR = struct.Struct("@PN")


def send_many(descriptor: int, messages: Sequence[tuple[bytes, bytes]], flags: int = 0) -> list[int]:
    """sendmmsg(2): each message with its socket address in the kernel's form; for each 0 or its errno.

    One call for all of them, in which other threads may run: many short calls starve a thread that
    waits for the interpreter, which gives up waiting whenever it is let go for a moment.
    """
    count = len(messages)
    if not count:
        return []
    data = b"".join([data for data, _ in messages])
    names = b"".join([name for _, name in messages])
    at_data, at_name = _address(data), _address(names)
    vectors, headers = bytearray(_VECTOR.size * count), bytearray(_MESSAGE.size * count)
    at_vector, at_header = _address_of_array(vectors), _address_of_array(headers)
    for place, (one, name) in enumerate(messages):
        _VECTOR.pack_into(vectors, place * _VECTOR.size, at_data, len(one))
        vector = at_vector + place * _VECTOR.size
        _MESSAGE.pack_into(headers, place * _MESSAGE.size, at_name, len(name), vector, 1, 0, 0, 0, 0)
        at_data += len(one)
        at_name += len(name)
    return _send_all(descriptor, at_header, count, flags)


def _send_all(descriptor: int, at_header: int, count: int, flags: int) -> list[int]:
    """The call stops at a message that fails, and says why only if that is the first."""
    errors, place = [0] * count, 0
    while place < count:
        sent = _sendmmsg()(descriptor, at_header + place * _MESSAGE.size, count - place, flags)
        if sent < 1:
            errors[place] = ctypes.get_errno()
        place += max(1, sent)
    return errors


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _address_of_array(data: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


@cache
def _sendmmsg() -> Callable[..., int]:
    function = library().sendmmsg
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]
    function.restype = ctypes.c_int
    return function


@cache
def _sendto() -> Callable[..., int]:
    function = library().sendto
    function.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    function.restype = ctypes.c_ssize_t
    return function


class Alarm:
    """A descriptor that is readable once a time is over (timerfd_create(2)).

    Unlike the time-outs of select, poll and epoll it is not rounded, has no slack, and goes on
    while the process is stopped or the machine asleep.  Raises OSError if the kernel has none.
    """

    def __init__(self) -> None:
        self.descriptor: int = library().timerfd_create(time.CLOCK_BOOTTIME, os.O_CLOEXEC)
        if self.descriptor < 0:
            _raise_errno("timerfd_create")
        # struct itimerspec: period and delay, seconds and nanoseconds of each.
        self._value = (ctypes.c_long * 4)()
        self._address = ctypes.addressof(self._value)
        self._set = library().timerfd_settime
        self._set.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]

    def set(self, delay_ns: int) -> None:
        """Readable after so long, and not before; 0: not at all."""
        self._value[2], self._value[3] = divmod(delay_ns, 1_000_000_000)
        if self._set(self.descriptor, 0, self._address, None) != 0:
            _raise_errno("timerfd_settime")

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


def _raise_errno(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")
