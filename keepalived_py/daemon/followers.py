"""What follows the states of instances without having a part in the election: mails, `lvs_sync_daemon`.

Both hang on the lines for the notify pipes, which are the last thing that is done about a change of
state; both are done by processes of their own.  So the vrrp process itself spends a message on
each, and never an advert.
"""

from keepalived_py.base.logs import Log
from keepalived_py.core.checks import sync_daemon
from keepalived_py.core.checks.sync_daemon import SyncChange, Syncing
from keepalived_py.core.notify import mails
from keepalived_py.core.notify.mails import Told, Who, Wishes
from keepalived_py.core.notify.news import INSTANCE, News, news_of
from keepalived_py.election.ports import FifosPort
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration
from keepalived_py.system.mail_helper import MailHelper
from keepalived_py.system.sync_helper import SyncHelper

_LIMIT_S = 1.0


class Followers:
    """The pipes of the vrrp process (`election.ports.FifosPort`), and whoever else wants to know.

    Make it inside a running loop, and call `prepare` before there are threads: the helpers are forked then.
    """

    def __init__(self, fifos: FifosPort, log: Log) -> None:
        self._fifos = fifos
        self._mail = MailHelper(log.info, log.detail)
        self._sync = SyncHelper(log.info)
        self._wishes = Wishes()
        self._told: dict[Who, Told] = {}
        self._syncing: Syncing | None = None
        self._configuration: Configuration | None = None

    def prepare(self, configuration: Configuration) -> None:
        """From now on `configuration` holds for those who follow; its pipes are opened by `follow`."""
        before, self._configuration = self._configuration, configuration
        if before is configuration:
            return
        self._wishes = mails.wishes(configuration, self._wishes)
        for who, told in self._told.items():
            self._told[who] = told._replace(mailed="")
        self._mail.follow(configuration, bool(self._wishes.owners or self._wishes.leaving))
        settings = sync_daemon.followed(configuration)
        changes: list[SyncChange] = []
        state = "" if settings is None else self._told.get((INSTANCE, settings.instance or ""), Told()).state
        self._syncing = sync_daemon.configured(self._syncing, settings, state, changes)
        self._sync.apply(changes, configuration.globals.net_namespace_ipvs)

    def follow(self, configuration: Configuration) -> None:
        """`prepare`, and the pipes of `configuration`."""
        self.prepare(configuration)
        self._fifos.follow(configuration)

    def write(self, line: str) -> None:
        """Write a line to the pipes, and tell who follows what it says."""
        self._fifos.write(line)
        news = news_of(line)
        if news is not None:
            self._tell_mailer(news)
            self._tell_sync(news)

    def close(self) -> None:
        """Close the pipes; what follows is ended by `finish`."""
        self._fifos.close()

    async def finish(self) -> None:
        """Wait for what is under way, not longer than keepalived waits for its scripts."""
        await self._sync.finish(_LIMIT_S)
        await self._mail.finish(_LIMIT_S)

    def _tell_mailer(self, news: News) -> None:
        who = (news.kind, news.name)
        alerts: list[SendAlert] = []
        self._told[who] = mails.heard(self._told.get(who, Told()), news, self._wishes, alerts)
        for alert in alerts:
            self._mail.send(alert)

    def _tell_sync(self, news: News) -> None:
        syncing = self._syncing
        if syncing is None or (news.kind, news.name) != (INSTANCE, syncing.settings.instance):
            return
        changes: list[SyncChange] = []
        self._syncing = sync_daemon.entered(syncing, news.state, changes)
        assert self._configuration is not None
        self._sync.apply(changes, self._configuration.globals.net_namespace_ipvs)
