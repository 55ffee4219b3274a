"""Kernel parameters of interfaces, as files below /proc/sys/net.

The files are those of the network namespace of the thread that opens them.
They can be read everywhere, but in many containers not written; what the
kernel also takes by netlink is therefore set that way (`device_requests`), and
only the rest here.

Reverse-path filtering is the odd one.  A virtual MAC device has the subnet of
another interface and must not filter, but the kernel uses the larger one of
`all` and the interface's own value.  So as long as there is such a device, what
`all` asked for is given to every interface (and to `default`, for those to
come) and `all` is 0: nothing changes for any of them, and the device can have
0.  What was raised is lowered again afterwards, unless somebody else has
changed it meanwhile.  (keepalived does the same.)
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from keepalived_py.base.names import InterfaceName

ALL, DEFAULT = InterfaceName("all"), InterfaceName("default")

_CONF = "/proc/sys/net/ipv{family}/conf/{interface}/{parameter}"


def read(family: int, interface: str, parameter: str) -> int | None:
    """The parameter's value; None if there is none, or no such interface."""
    try:
        return int(Path(_path(family, interface, parameter)).read_text())
    except (OSError, ValueError):
        return None


def write(family: int, interface: str, parameter: str, value: int) -> int:
    """Set the parameter; 0 or an errno."""
    try:
        descriptor = os.open(_path(family, interface, parameter), os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        return error.errno or 1
    try:
        os.write(descriptor, str(value).encode())
    except OSError as error:
        return error.errno or 1
    finally:
        os.close(descriptor)
    return 0


def interfaces() -> list[InterfaceName]:
    """The interfaces that have IPv4 parameters, without `all` and `default`."""
    try:
        names = os.listdir("/proc/sys/net/ipv4/conf")
    except OSError:
        return []
    return [InterfaceName(name) for name in names if name not in (ALL, DEFAULT)]


def _path(family: int, interface: str, parameter: str) -> str:
    version = "4" if family == 4 else "6"
    return _CONF.format(family=version, interface=interface, parameter=parameter)


class ReversePathFilter:
    """Moves `rp_filter` from `all` to every interface, and back.

    `set_interface(name, value)` sets the parameter of one interface and returns an errno.
    """

    def __init__(self, set_interface: Callable[[InterfaceName, int], int]) -> None:
        self._set_interface = set_interface
        self._all: int | None = None
        self._default: int | None = None
        self._raised: dict[InterfaceName, int] = {}

    def clear(self, log: Callable[[str], None]) -> None:
        """Have `all` filter nothing without changing what any interface filters."""
        if self._all is not None:
            return
        wanted = read(4, ALL, "rp_filter")
        if wanted is None:
            log("Unable to read sysctl net.ipv4.conf.all.rp_filter")
            return
        if wanted == 0:
            return
        default = read(4, DEFAULT, "rp_filter")
        if default is not None and default < wanted:
            log(f"NOTICE: setting sysctl net.ipv4.conf.default.rp_filter from {default} to {wanted}")
            if write(4, DEFAULT, "rp_filter", wanted) == 0:
                self._default = default
        self._raise(interfaces(), wanted)
        log(f"NOTICE: setting sysctl net.ipv4.conf.all.rp_filter from {wanted} to 0")
        if write(4, ALL, "rp_filter", 0) == 0:
            self._all = wanted

    def _raise(self, names: Iterable[InterfaceName], wanted: int) -> None:
        for name in names:
            value = read(4, name, "rp_filter")
            if value is not None and value < wanted and self._set_interface(name, wanted) == 0:
                self._raised[name] = value

    def restore(self, log: Callable[[str], None]) -> None:
        """Undo `clear` where its values still stand."""
        wanted, self._all = self._all, None
        if wanted is None:
            return
        if read(4, ALL, "rp_filter") == 0:
            log(f"NOTICE: resetting sysctl net.ipv4.conf.all.rp_filter to {wanted}")
            write(4, ALL, "rp_filter", wanted)
        default, self._default = self._default, None
        if default is not None and read(4, DEFAULT, "rp_filter") == wanted:
            log(f"NOTICE: resetting sysctl net.ipv4.conf.default.rp_filter to {default}")
            write(4, DEFAULT, "rp_filter", default)
        raised, self._raised = self._raised, {}
        for name, value in raised.items():
            if read(4, name, "rp_filter") == wanted:
                self._set_interface(name, value)
