"""What is set for the kernel's whole table: the time-outs of connections, and their synchronisation.

Time-outs that were changed get back the values that they had before us when nothing is
configured any more, and at the end.
"""

from collections.abc import Iterable

from keepalived_py.core.checks.sync_daemon import (
    sync_daemons,
    sync_daemons_stopped,
    without_instance,
)
from keepalived_py.health.ports import IpvsPort, LogPort
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import AlreadySo, Done
from keepalived_py.model.globals import LvsTimeouts, SyncDaemon
from keepalived_py.model.ipvs import IpvsChange, SetTimeouts, StopSync
from keepalived_py.system.ipvs_words import complaint_of

_UNTOUCHED = LvsTimeouts()


class WholeTable:
    """Nothing raises; what the kernel refuses is logged."""

    def __init__(self, ipvs: IpvsPort, log: LogPort) -> None:
        self._ipvs = ipvs
        self._log = log
        self._former: LvsTimeouts | None = None
        self._timeouts = _UNTOUCHED
        self._syncing: SyncDaemon | None = None

    def follow(self, configuration: Configuration) -> None:
        """From now on it shall be as `configuration` says; without virtual servers nothing is touched."""
        if not configuration.virtual_servers and self._former is None and self._syncing is None:
            return
        self._set(configuration.globals.lvs.timeouts)
        self._synchronise(without_instance(configuration))

    def end(self) -> None:
        """Put everything back."""
        self._set(_UNTOUCHED)
        self._synchronise(None)

    def _set(self, wanted: LvsTimeouts) -> None:
        if wanted == self._timeouts:
            return
        if self._former is None:
            try:
                self._former = self._ipvs.timeouts()
            except OSError as error:
                self._log.info(f"Unable to read the time-outs of IPVS: {error}")
                return
        former = self._former
        self._timeouts = wanted
        timeouts = LvsTimeouts(
            former.tcp if wanted.tcp is None else wanted.tcp,
            former.tcpfin if wanted.tcpfin is None else wanted.tcpfin,
            former.udp if wanted.udp is None else wanted.udp,
        )
        self._change([SetTimeouts(timeouts)])

    def _synchronise(self, wanted: SyncDaemon | None) -> None:
        if wanted == self._syncing:
            return
        if self._syncing is not None:
            self._change(sync_daemons_stopped(self._syncing))
        if wanted is not None:
            self._change(sync_daemons(wanted))
        self._syncing = wanted

    def _change(self, changes: Iterable[IpvsChange]) -> None:
        made = tuple(changes)
        for change, outcome in zip(made, self._ipvs.apply(made), strict=True):
            if isinstance(outcome, Done) or (isinstance(change, StopSync) and isinstance(outcome, AlreadySo)):
                continue
            line = complaint_of(change, outcome)
            if line is not None:
                self._log.info(line)
