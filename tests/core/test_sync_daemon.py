"""Which end of the synchronisation of connections runs, and in which order they change."""

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.core.checks import sync_daemon
from keepalived_py.core.checks.sync_daemon import SyncChange, Syncing
from keepalived_py.model.config import Configuration, Globals, Instance
from keepalived_py.model.globals import Lvs, SyncDaemon
from keepalived_py.model.ipvs import StartSync, StopSync, SyncRole

MASTER, BACKUP = SyncRole.MASTER, SyncRole.BACKUP
DAEMON = SyncDaemon("eth0", "VI_1", 7)


def configured(daemon: SyncDaemon | None, *instances: Instance) -> Configuration:
    return Configuration(globals=Globals(lvs=Lvs(sync_daemon=daemon)), instances=instances)


def instance(name: str, vrid: int, interface: str | None = None) -> Instance:
    old = None if interface is None else InterfaceName(interface)
    return Instance(InstanceName(name), InterfaceName("eth0"), vrid, lvs_sync_interface=old)


def test_whom_it_follows() -> None:
    one, two = instance("VI_1", 51), instance("VI_2", 52)
    assert sync_daemon.followed(configured(SyncDaemon("eth0", "VI_2"), one, two)) == SyncDaemon(
        "eth0", "VI_2", 52
    )
    assert sync_daemon.followed(configured(SyncDaemon("eth0", "VI_2", 0), one, two)) == SyncDaemon(
        "eth0", "VI_2", 0
    )
    assert sync_daemon.followed(configured(SyncDaemon("eth0", "VI_3"), one, two)) is None
    assert sync_daemon.followed(configured(SyncDaemon("eth0"), one)) is None
    assert sync_daemon.followed(configured(None, one)) is None


def test_the_older_keyword_of_an_instance() -> None:
    old = instance("VI_2", 52, "eth5")
    assert sync_daemon.followed(configured(None, instance("VI_1", 51), old)) == SyncDaemon("eth5", "VI_2", 52)
    assert sync_daemon.followed(configured(SyncDaemon("eth0"), old)) is None


def test_without_an_instance_both_ends_run() -> None:
    settings = SyncDaemon("eth0")
    assert sync_daemon.without_instance(configured(settings)) == settings
    assert sync_daemon.without_instance(configured(DAEMON)) is None
    assert sync_daemon.sync_daemons(settings) == (
        StopSync(MASTER, 0, settings),
        StopSync(BACKUP, 0, settings),
        StartSync(MASTER, 0, settings),
        StartSync(BACKUP, 0, settings),
    )
    assert sync_daemon.sync_daemons_stopped(settings) == sync_daemon.sync_daemons(settings)[:2]


def life(*states: str) -> tuple[Syncing | None, list[SyncChange]]:
    out: list[SyncChange] = []
    syncing = sync_daemon.configured(None, DAEMON, "", out)
    for state in states:
        assert syncing is not None
        syncing = sync_daemon.entered(syncing, state, out)
    return syncing, out


def test_the_start_takes_away_what_another_life_has_left() -> None:
    assert life()[1] == [
        StopSync(MASTER, 7, DAEMON),
        StopSync(BACKUP, 7, DAEMON),
        StartSync(BACKUP, 7, DAEMON),
    ]


def test_the_other_end_is_stopped_first() -> None:
    _, out = life("BACKUP", "MASTER", "MASTER", "FAULT", "BACKUP")
    assert out[3:] == [
        StopSync(BACKUP, 7, DAEMON),
        StartSync(MASTER, 7, DAEMON),
        StopSync(MASTER, 7, DAEMON),
        StartSync(BACKUP, 7, DAEMON),
    ]


def test_the_end() -> None:
    for state in ("STOP", "DELETED"):
        syncing, out = life("MASTER", state)
        assert syncing is None
        assert out[-1] == StopSync(MASTER, 7, DAEMON)


def test_reload() -> None:
    """Nothing happens to what is the same; else the old end is stopped as it was started."""
    running, _ = life("MASTER")
    out: list[SyncChange] = []
    assert sync_daemon.configured(running, DAEMON, "MASTER", out) == running and out == []
    other = SyncDaemon("eth1", "VI_1", 8)
    changed = sync_daemon.configured(running, other, "MASTER", out)
    assert changed == Syncing(other, MASTER)
    assert out == [StopSync(MASTER, 7, DAEMON), StartSync(MASTER, 8, other)]
    out.clear()
    assert sync_daemon.configured(changed, None, "", out) is None
    assert out == [StopSync(MASTER, 8, other)]


def test_a_reload_may_bring_it_to_a_master() -> None:
    out: list[SyncChange] = []
    assert sync_daemon.configured(None, DAEMON, "MASTER", out) == Syncing(DAEMON, MASTER)
    assert out[-1] == StartSync(MASTER, 7, DAEMON)
