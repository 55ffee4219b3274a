"""Mails and the synchronisation of connections follow the lines that are written for the pipes."""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.base.names import GroupName, InstanceName, InterfaceName
from keepalived_py.daemon import followers
from keepalived_py.daemon.followers import Followers
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration, Globals, Instance, SyncGroup
from keepalived_py.model.globals import Lvs, Mail, MailServer, SyncDaemon
from keepalived_py.model.ipvs import StartSync, StopSync, SyncRole

MAIL = Mail(recipients=("a@x",), server=MailServer(ip_address("127.0.0.1"), 25))
DAEMON = SyncDaemon("eth0", "VI_1", 51)


class Pipes:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.followed: list[Configuration] = []
        self.closed = False

    def write(self, line: str) -> None:
        self.lines.append(line)

    def follow(self, configuration: Configuration) -> None:
        self.followed.append(configuration)

    def close(self) -> None:
        self.closed = True


class Mails:
    """Stands in for the helper; `needed` is what it was told last."""

    def __init__(self, log: object, detail: object) -> None:
        self.sent: list[str] = []
        self.needed: list[bool] = []
        self.finished = False

    def follow(self, configuration: Configuration, needed: bool) -> None:
        self.needed.append(needed)

    def send(self, alert: SendAlert) -> None:
        self.sent.append(alert.subject)

    async def finish(self, limit_s: float) -> None:
        self.finished = True


class Syncs:
    def __init__(self, log: object) -> None:
        self.changes: list[StartSync | StopSync] = []
        self.namespaces: set[str | None] = set()
        self.finished = False

    def apply(self, changes: Sequence[StartSync | StopSync], namespace: str | None) -> None:
        self.changes += changes
        if changes:
            self.namespaces.add(namespace)

    async def finish(self, limit_s: float) -> None:
        self.finished = True


class Made:
    """Followers with stand-ins for everything that they drive."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        mails, syncs = Mails(None, None), Syncs(None)
        monkeypatch.setattr(followers, "MailHelper", lambda log, detail: mails)
        monkeypatch.setattr(followers, "SyncHelper", lambda log: syncs)
        self.pipes, self.mails, self.syncs = Pipes(), mails, syncs
        self.followers = Followers(self.pipes, Log(LogSettings("test")))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


def configured(alert: bool = True, daemon: SyncDaemon | None = None, group: bool = False) -> Configuration:
    instance = Instance(InstanceName("VI_1"), InterfaceName("eth0"), 51, smtp_alert=alert)
    groups = (SyncGroup(GroupName("G"), (InstanceName("VI_1"),), smtp_alert=True),) if group else ()
    general = Globals(mail=MAIL, lvs=Lvs(sync_daemon=daemon), net_namespace_ipvs="there")
    return Configuration(globals=general, instances=(instance,), groups=groups)


def test_lines_go_on_to_the_pipes(made: Made) -> None:
    """Also those that mean nothing to anybody here."""
    configuration = configured()
    made.followers.follow(configuration)
    for line in ('INSTANCE "VI_1" MASTER 100', 'INSTANCE "VI_1" MASTER_PRIORITY 90', "anything"):
        made.followers.write(line)
    made.followers.close()
    assert made.pipes.lines == [
        'INSTANCE "VI_1" MASTER 100',
        'INSTANCE "VI_1" MASTER_PRIORITY 90',
        "anything",
    ]
    assert made.pipes.followed == [configuration] and made.pipes.closed


def test_mails(made: Made) -> None:
    made.followers.follow(configured(group=True))
    for line in (
        'INSTANCE "VI_1" BACKUP 100',
        'GROUP "G" BACKUP 0',
        'INSTANCE "VI_2" MASTER 100',
        'INSTANCE "VI_1" MASTER_RX_LOWER_PRI 100',
        'INSTANCE "VI_1" STOP 100',
    ):
        made.followers.write(line)
    assert made.mails.sent == [
        "VRRP Instance VI_1 - Entering BACKUP state",
        "VRRP Group G - Entering BACKUP state",
        "VRRP Instance VI_1 - Stopping",
    ]


def test_there_is_a_helper_only_for_who_wants_mails(made: Made) -> None:
    made.followers.follow(configured(alert=False))
    made.followers.follow(configured())
    assert made.mails.needed == [False, True]
    assert made.syncs.changes == []


def test_a_reload_repeats_no_mail(made: Made) -> None:
    """Lines that are written again for the pipes are no news; what comes then is, as it was before."""
    made.followers.follow(configured())
    made.followers.write('INSTANCE "VI_1" MASTER 100')
    made.followers.follow(configured())
    made.followers.write('INSTANCE "VI_1" MASTER 100')
    assert made.mails.sent == ["VRRP Instance VI_1 - Entering MASTER state"]
    made.followers.write('INSTANCE "VI_1" BACKUP 100')
    assert made.mails.sent[1:] == ["VRRP Instance VI_1 - Entering BACKUP state"]


def test_the_synchronisation_follows_its_instance(made: Made) -> None:
    configuration = configured(daemon=DAEMON)
    made.followers.prepare(configuration)
    begun = len(made.syncs.changes)
    made.followers.follow(configuration)
    assert len(made.syncs.changes) == begun == 3
    for line in (
        'INSTANCE "VI_1" BACKUP 100',
        'GROUP "VI_1" MASTER 0',
        'INSTANCE "VI_2" MASTER 100',
        'INSTANCE "VI_1" MASTER 100',
        'INSTANCE "VI_1" STOP 100',
        'INSTANCE "VI_1" STOP 100',
    ):
        made.followers.write(line)
    assert made.syncs.changes[begun:] == [
        StopSync(SyncRole.BACKUP, 51, DAEMON),
        StartSync(SyncRole.MASTER, 51, DAEMON),
        StopSync(SyncRole.MASTER, 51, DAEMON),
    ]
    assert made.syncs.namespaces == {"there"}


def test_a_reload_brings_the_synchronisation_to_a_master(made: Made) -> None:
    made.followers.follow(configured())
    made.followers.write('INSTANCE "VI_1" MASTER 100')
    made.followers.follow(configured(daemon=DAEMON))
    made.followers.follow(configured())
    assert made.syncs.changes[-2:] == [
        StartSync(SyncRole.MASTER, 51, DAEMON),
        StopSync(SyncRole.MASTER, 51, DAEMON),
    ]


def test_the_end_waits_for_both(made: Made) -> None:
    asyncio.run(made.followers.finish())
    assert made.mails.finished and made.syncs.finished
