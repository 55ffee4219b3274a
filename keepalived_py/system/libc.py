"""The few calls of the C library that Python has no name for, with errors as OSError."""

import ctypes
import os
from collections.abc import Callable
from functools import cache


@cache
def library() -> ctypes.CDLL:
    """The C library that is already loaded into this process."""
    return ctypes.CDLL(None, use_errno=True)


PR_SET_PDEATHSIG = 1
PR_SET_TIMERSLACK = 29


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


def _raise_errno(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")
