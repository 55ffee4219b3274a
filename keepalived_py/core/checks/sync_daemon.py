"""The synchronisation of IPVS connections (`lvs_sync_daemon`): which end of it runs when.

With an instance the machine that is MASTER sends its connections and every other one takes
them: one end runs, and the other one of the two starts when the instance becomes MASTER, or is it no
more.  Without an instance both ends run all the time.

What another life may have left is stopped before anything is started, since the kernel
refuses a second one, and it may have other settings.
"""

from typing import NamedTuple

from keepalived_py.base.record import replace
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import SyncDaemon
from keepalived_py.model.ipvs import StartSync, StopSync, SyncRole

SyncChange = StartSync | StopSync


class Syncing(NamedTuple):
    """The end that runs.  `settings.instance` is the one that it follows."""

    settings: SyncDaemon
    role: SyncRole


def sync_daemons(settings: SyncDaemon) -> tuple[SyncChange, ...]:
    """Both ends, for a machine on which no instance decides."""
    number = settings.sync_id or 0
    roles = (SyncRole.MASTER, SyncRole.BACKUP)
    return (
        *(StopSync(role, number, settings) for role in roles),
        *(StartSync(role, number, settings) for role in roles),
    )


def sync_daemons_stopped(settings: SyncDaemon) -> tuple[SyncChange, ...]:
    """The end of `sync_daemons`."""
    number = settings.sync_id or 0
    return tuple(StopSync(role, number, settings) for role in (SyncRole.MASTER, SyncRole.BACKUP))


def without_instance(configuration: Configuration) -> SyncDaemon | None:
    """What runs all the time; None: nothing, or an instance decides."""
    daemon = configuration.globals.lvs.sync_daemon
    return daemon if daemon is not None and daemon.instance is None else None


def followed(configuration: Configuration) -> SyncDaemon | None:
    """What follows an instance, with that one's VRID where no `sync_id` is written; None: nothing does.

    The older `lvs_sync_daemon_interface` of an instance counts if `lvs_sync_daemon` is not written.
    """
    daemon = configuration.globals.lvs.sync_daemon
    if daemon is None:
        users = (one for one in configuration.instances if one.lvs_sync_interface is not None)
        owner = next(users, None)
        if owner is None or owner.lvs_sync_interface is None:
            return None
        return SyncDaemon(owner.lvs_sync_interface, str(owner.name), owner.vrid)
    for instance in configuration.instances:
        if instance.name == daemon.instance:
            return replace(daemon, sync_id=instance.vrid if daemon.sync_id is None else daemon.sync_id)
    return None


def configured(
    syncing: Syncing | None, settings: SyncDaemon | None, state: str, out: list[SyncChange]
) -> Syncing | None:
    """From now on `settings` hold (`followed`), while the instance is in `state`."""
    if syncing is not None and syncing.settings == settings:
        return syncing
    if syncing is not None:
        out.append(_stop(syncing))
    if settings is None:
        return None
    begun = Syncing(settings, _role(state))
    if syncing is None:
        out.extend(sync_daemons_stopped(settings))
    out.append(_start(begun))
    return begun


def entered(syncing: Syncing, state: str, out: list[SyncChange]) -> Syncing | None:
    """The instance has entered `state`; None: it is at its end, and so is the synchronisation."""
    if state in ("STOP", "DELETED"):
        out.append(_stop(syncing))
        return None
    role = _role(state)
    if role is syncing.role:
        return syncing
    out.append(_stop(syncing))
    syncing = syncing._replace(role=role)
    out.append(_start(syncing))
    return syncing


def _role(state: str) -> SyncRole:
    return SyncRole.MASTER if state == "MASTER" else SyncRole.BACKUP


def _start(syncing: Syncing) -> StartSync:
    return StartSync(syncing.role, syncing.settings.sync_id or 0, syncing.settings)


def _stop(syncing: Syncing) -> StopSync:
    return StopSync(syncing.role, syncing.settings.sync_id or 0, syncing.settings)
