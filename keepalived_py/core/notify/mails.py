"""Mails about the states of instances and groups (`smtp_alert`): which are sent, and what they say.

A mail goes out when somebody enters another state than the one that the last mail was about; with
`no_email_faults` there are none about FAULT, so one who comes back from there is told of only
if it is something else than before.  After a reload the last mail is forgotten, as in
keepalived.  A line that only repeats the state (as reloads may ask for) is no news.
"""

from typing import NamedTuple

from keepalived_py.core.notify.news import GROUP, INSTANCE, News
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration

Who = tuple[str, str]

_NOT_OWNING = "VRRP Instance is no longer owning VRRP VIPs"
_OF_INSTANCES = {
    "MASTER": ("Entering MASTER state", "VRRP Instance is now owning VRRP VIPs"),
    "BACKUP": ("Entering BACKUP state", _NOT_OWNING),
    "FAULT": ("Entering FAULT state", _NOT_OWNING),
    "STOP": ("Stopping", "VRRP Instance stopping"),
    "DELETED": ("Deleted", "VRRP Deleted at reload"),
}
_ALL_IN = "All VRRP group instances are now in {} state"
_OF_GROUPS = {
    "MASTER": ("Entering MASTER state", _ALL_IN.format("MASTER")),
    "BACKUP": ("Entering BACKUP state", _ALL_IN.format("BACKUP")),
    "FAULT": ("Entering FAULT state", _ALL_IN.format("FAULT")),
    "STOP": ("Stopping", "All VRRP group instances are now stopping"),
}


class Wishes(NamedTuple):
    """`owners`: the instances and groups that mails are about; `leaving`: those that a reload has deleted."""

    owners: frozenset[Who] = frozenset()
    leaving: frozenset[Who] = frozenset()
    no_faults: bool = False

    def include(self, who: Who) -> bool:
        """Whether mails are about `who`."""
        return who in self.owners or who in self.leaving


class Told(NamedTuple):
    """About one instance or group: the state that was heard last, and that of the last mail."""

    state: str = ""
    mailed: str = ""


def wishes(configuration: Configuration, before: Wishes) -> Wishes:
    """What `configuration` wants.

    The end of an instance that a reload deletes is told with the new settings of mails, by the wish of
    the old configuration.
    """
    mail = configuration.globals.mail
    if not mail.recipients or mail.server is None:
        return Wishes()
    present = {(INSTANCE, str(one.name)): one.smtp_alert for one in configuration.instances}
    present |= {(GROUP, str(one.name)): one.smtp_alert for one in configuration.groups}
    owners = frozenset(who for who, wanted in present.items() if wanted)
    return Wishes(owners, before.owners - present.keys(), mail.no_email_faults)


def heard(told: Told, news: News, wishes: Wishes, out: list[SendAlert]) -> Told:
    """Somebody entered a state."""
    if told.state == news.state:
        return told
    told = told._replace(state=news.state)
    if told.mailed == news.state or not wishes.include((news.kind, news.name)):
        return told
    if wishes.no_faults and news.state == "FAULT":
        return told
    of_instance = news.kind == INSTANCE
    texts = (_OF_INSTANCES if of_instance else _OF_GROUPS).get(news.state)
    if texts is None:
        return told
    subject, body = texts
    whose = f"VRRP {'Instance' if of_instance else 'Group'} {news.name}"
    out.append(SendAlert(f"{whose} - {subject}", f"=> {body} <="))
    return told._replace(mailed=news.state)
