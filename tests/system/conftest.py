"""A network namespace for one test: made for it, entered by it, gone with it."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from .gate_wire import wire as wire

_CLONE_NEWNET = 0x40000000

Ip = Callable[[str], None]


def run_ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, timeout=10)


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "namespace call")


@pytest.fixture
def ip() -> Iterator[Ip]:
    """In a new namespace with a veth pair v0 (10.0.0.1/24) and v1, both up: runs `ip` there."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        _checked(libc.unshare(_CLONE_NEWNET))
        run_ip("link set lo up")
        run_ip("link add v0 type veth peer name v1")
        run_ip("link set v0 up")
        run_ip("link set v1 up")
        run_ip("addr add 10.0.0.1/24 dev v0")
        yield run_ip
    finally:
        _checked(libc.setns(home, _CLONE_NEWNET))
        os.close(home)
