"""The few calls of the C library that Python has no name for, with errors as OSError."""

import ctypes
import os
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


def _raise_errno(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")
