"""The synchronisation of IPVS connections, started and stopped for a process that may not wait.

The kernel takes the RTNL lock for it and starts a thread of its own, which may take long on a
busy machine; adverts may not.  So a helper process has the socket to IPVS and makes the changes in their
order.  A kernel without IPVS costs one line of the log.
"""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any

from keepalived_py.base.errors import FatalStart
from keepalived_py.model import effects as fx
from keepalived_py.model.globals import SyncDaemon
from keepalived_py.model.ipvs import StartSync, StopSync, SyncRole
from keepalived_py.system.courier import Courier
from keepalived_py.system.helper import Helper, Message, tell, told
from keepalived_py.system.ipvs_words import complaint_of

Say = Callable[[str], None]


class SyncHelper:
    """Makes changes of the synchronisation.  Make it inside a running loop.

    The helper is forked by the first `apply`, so let that one come before there are threads.
    """

    def __init__(self, log: Say) -> None:
        self._log = log
        self._courier = Courier(
            partial(Helper, serve), lambda text, detail: log(text), self._lost, self._begin_again
        )

    @property
    def helper_pid(self) -> int:
        """The process that does it; 0: there is none."""
        return self._courier.helper_pid

    def apply(self, changes: Sequence[StartSync | StopSync], namespace: str | None) -> None:
        """Have `changes` made in network namespace `namespace` (see `open_ipvs`), one after the other."""
        if changes:
            self._courier.order({"namespace": namespace, "changes": [_packed(one) for one in changes]})

    async def finish(self, limit_s: float) -> None:
        """Wait until all changes are made, `limit_s` at most."""
        await self._courier.finish(limit_s)

    def close(self) -> None:
        """Change nothing more."""
        self._courier.close()

    def _begin_again(self) -> None:
        self._log("lvs_sync_daemon: the process that looks after it has ended; there will be another one")

    def _lost(self, message: Message) -> None:
        if "changes" in message:
            self._log("IPVS: a change of the synchronisation is lost, too many others wait")


def _packed(change: StartSync | StopSync) -> dict[str, object]:
    settings = change.settings
    return {
        "start": isinstance(change, StartSync),
        "role": change.role.value,
        "sync_id": change.sync_id,
        "interface": settings.interface,
        "maxlen": settings.maxlen,
        "port": settings.port,
        "ttl": settings.ttl,
        "group": None if settings.group is None else str(settings.group),
    }


def _unpacked(packed: dict[str, Any]) -> StartSync | StopSync:
    group = packed["group"]
    settings = SyncDaemon(
        interface=packed["interface"],
        maxlen=packed["maxlen"],
        port=packed["port"],
        ttl=packed["ttl"],
        group=None if group is None else ip_address(group),
    )
    kind = StartSync if packed["start"] else StopSync
    return kind(SyncRole(packed["role"]), packed["sync_id"], settings)


Apply = Callable[[Sequence[StartSync | StopSync]], Sequence[fx.Outcome]]


def open_table(namespace: str | None) -> Apply:
    """The kernel's table there; raises FatalStart.  What it needs is loaded in the helper only."""
    from keepalived_py.system.ipvs import open_ipvs

    return open_ipvs(namespace).apply


def serve(connection: socket.socket, opened: Callable[[str | None], Apply] = open_table) -> None:
    """The helper: make the changes that `connection` brings until its other end is closed."""
    tables: dict[str | None, Apply] = {}
    while (message := told(connection)) is not None:
        if "changes" in message:
            changes = [_unpacked(one) for one in message["changes"]]
            for line in _made(tables, message["namespace"], changes, opened):
                tell(connection, {"log": line})
        else:
            tell(connection, {"done": True})


def _made(
    tables: dict[str | None, Apply],
    namespace: str | None,
    changes: Sequence[StartSync | StopSync],
    opened: Callable[[str | None], Apply],
) -> list[str]:
    """Make the changes; what is to be said about it."""
    lines: list[str] = []
    if namespace not in tables:
        try:
            tables[namespace] = opened(namespace)
        except FatalStart as fault:
            tables[namespace] = _ignored
            lines.append(f"lvs_sync_daemon: {fault}")
    for change, outcome in zip(changes, tables[namespace](changes), strict=True):
        line = None if isinstance(outcome, fx.AlreadySo) else complaint_of(change, outcome)
        if line is not None:
            lines.append(f"{line}, {change.role.name.lower()} of the synchronisation")
    return lines


def _ignored(changes: Sequence[StartSync | StopSync]) -> Sequence[fx.Outcome]:
    """It was said once that there is no IPVS; VRRP goes on."""
    return [fx.AlreadySo()] * len(changes)
