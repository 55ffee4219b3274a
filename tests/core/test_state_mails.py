"""Which states of instances and groups mails are about, and what they say."""

from ipaddress import ip_address
from typing import Any

import pytest

from keepalived_py.base.names import GroupName, InstanceName, InterfaceName
from keepalived_py.core.notify import mails, scripts
from keepalived_py.core.notify.mails import Told, Wishes
from keepalived_py.core.notify.news import News, news_of
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration, Globals, Instance, Notifies, SyncGroup
from keepalived_py.model.effects import Effect, Role, WriteFifo
from keepalived_py.model.globals import Mail, MailServer


def instance(name: str, **changes: Any) -> Instance:
    return Instance(InstanceName(name), InterfaceName("eth0"), 51, **changes)


def configured(*instances: Instance, groups: tuple[SyncGroup, ...] = (), **changes: Any) -> Configuration:
    mail: dict[str, Any] = {
        "recipients": ("a@x",),
        "server": MailServer(ip_address("127.0.0.1"), 25),
        **changes,
    }
    return Configuration(globals=Globals(mail=Mail(**mail)), instances=instances, groups=groups)


def sent(configuration: Configuration, *news: News) -> list[SendAlert]:
    out: list[SendAlert] = []
    wishes = mails.wishes(configuration, Wishes())
    told: dict[str, Told] = {}
    for one in news:
        told[one.name] = mails.heard(told.get(one.name, Told()), one, wishes, out)
    return out


def of_instance(state: str) -> News:
    return News("INSTANCE", "VI_1", state)


ASKED = instance("VI_1", smtp_alert=True)


def test_lines_of_the_pipes_are_understood() -> None:
    """Every line that the scripts' side writes about a state; no other."""
    out: list[Effect] = []
    scripts.notify(Notifies(), "INSTANCE", 'odd "name" 1', "MASTER", 100, out)
    scripts.notify(Notifies(), "GROUP", "G", "FAULT", 0, out)
    scripts.notify_lower_priority(Notifies(), "VI_1", 100, out)
    scripts.notify_priority("VI_1", Role.MASTER, 90, out)
    lines = [effect.line for effect in out if isinstance(effect, WriteFifo)]
    assert [news_of(line) for line in lines] == [
        News("INSTANCE", 'odd "name" 1', "MASTER"),
        News("GROUP", "G", "FAULT"),
        None,
        None,
    ]
    assert news_of("") is None and news_of('VS "x" UP 1') is None


@pytest.mark.parametrize(
    ("state", "subject", "body"),
    [
        ("MASTER", "Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <="),
        ("BACKUP", "Entering BACKUP state", "=> VRRP Instance is no longer owning VRRP VIPs <="),
        ("FAULT", "Entering FAULT state", "=> VRRP Instance is no longer owning VRRP VIPs <="),
        ("STOP", "Stopping", "=> VRRP Instance stopping <="),
        ("DELETED", "Deleted", "=> VRRP Deleted at reload <="),
    ],
)
def test_instances(state: str, subject: str, body: str) -> None:
    alert = SendAlert(f"VRRP Instance VI_1 - {subject}", body)
    assert sent(configured(ASKED), of_instance(state)) == [alert]
    assert sent(configured(instance("VI_1")), of_instance(state)) == []


@pytest.mark.parametrize(
    ("state", "subject", "body"),
    [
        ("MASTER", "Entering MASTER state", "=> All VRRP group instances are now in MASTER state <="),
        ("BACKUP", "Entering BACKUP state", "=> All VRRP group instances are now in BACKUP state <="),
        ("FAULT", "Entering FAULT state", "=> All VRRP group instances are now in FAULT state <="),
        ("STOP", "Stopping", "=> All VRRP group instances are now stopping <="),
    ],
)
def test_groups(state: str, subject: str, body: str) -> None:
    group = SyncGroup(GroupName("G1"), (InstanceName("VI_1"),), smtp_alert=True)
    alert = SendAlert(f"VRRP Group G1 - {subject}", body)
    found = sent(configured(instance("VI_1"), groups=(group,)), News("GROUP", "G1", state))
    assert found == [alert]


def test_one_of_the_same_name_is_somebody_else() -> None:
    """A group called like an instance that wants mails."""
    assert sent(configured(ASKED), News("GROUP", "VI_1", "MASTER")) == []


@pytest.mark.parametrize("lacking", [{"recipients": ()}, {"server": None}])
def test_nobody_to_tell(lacking: dict[str, Any]) -> None:
    assert sent(configured(ASKED, **lacking), of_instance("MASTER")) == []


def test_a_state_that_is_repeated_is_no_news() -> None:
    found = sent(configured(ASKED), *map(of_instance, ("BACKUP", "BACKUP", "MASTER", "MASTER")))
    assert [alert.subject.rpartition(" - ")[2] for alert in found] == [
        "Entering BACKUP state",
        "Entering MASTER state",
    ]


def test_without_mails_about_faults_the_way_back_is_none_either() -> None:
    """What counts is the state of the last mail, not that before."""
    states = ("BACKUP", "FAULT", "BACKUP", "FAULT", "MASTER")
    found = sent(configured(ASKED, no_email_faults=True), *map(of_instance, states))
    assert [alert.subject.split()[4] for alert in found] == ["Entering", "Entering"]
    assert [alert.subject.split()[5] for alert in found] == ["BACKUP", "MASTER"]


def test_a_deleted_instance_is_told_of() -> None:
    """Its own wish counts, though the configuration that deletes it does not have it."""
    before = mails.wishes(configured(ASKED, instance("VI_2")), Wishes())
    after = mails.wishes(configured(instance("VI_3")), before)
    out: list[SendAlert] = []
    for name in ("VI_1", "VI_2"):
        mails.heard(Told("MASTER", "MASTER"), News("INSTANCE", name, "DELETED"), after, out)
    assert [alert.subject for alert in out] == ["VRRP Instance VI_1 - Deleted"]
    later = mails.wishes(configured(instance("VI_3")), after)
    assert not later.include(("INSTANCE", "VI_1"))
