"""The few calls of the C library that Python has no name for, with errors as OSError."""

import ctypes
import os
import time
from collections.abc import Callable
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
