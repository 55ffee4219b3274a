"""`disable_local_igmp`: no membership reports for groups of the local network (224.0.0.0/24).

Switches that snoop need none for these, and RFC 4541 says so; some are
confused by them.  The kernel has one setting for all interfaces of a network
namespace, read whenever a group is joined or left.
"""

from collections.abc import Callable
from pathlib import Path

_SETTING = Path("/proc/sys/net/ipv4/igmp_link_local_mcast_reports")


class LocalGroupReports:
    """The kernel's setting: switched off once, given back at the end.  `log` gets what went wrong."""

    __slots__ = ("_log", "_setting", "_was_on")

    def __init__(self, log: Callable[[str], None], setting: Path = _SETTING) -> None:
        self._log = log
        self._setting = setting
        self._was_on = False

    def silence(self) -> None:
        """Send none from now on."""
        try:
            if self._setting.read_text().strip() == "1":
                self._setting.write_text("0")
                self._was_on = True
        except OSError as error:
            self._log(f"Unable to write {self._setting} - errno {error.errno}")

    def restore(self) -> None:
        """As it was before `silence`."""
        if not self._was_on:
            return
        self._was_on = False
        try:
            self._setting.write_text("1")
        except OSError as error:
            self._log(f"Unable to write {self._setting} - errno {error.errno}")
