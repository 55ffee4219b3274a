"""Mails of a process that has no time for them: a helper sends them (`system.mail`).

Each dialogue costs a millisecond or two, and an advert may be due in any of them.  So the vrrp
process hands an alert over in one message, and the helper, which has ordinary priority, does the rest.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals, Mail, MailServer
from keepalived_py.system.courier import Courier
from keepalived_py.system.helper import Helper, Message, tell, told
from keepalived_py.system.mail import Mailer

# What is left of the time limit for the helper's own last words.
_LAST_WORDS_S = 0.1

Say = Callable[[str], None]


class MailHelper:
    """Sends alerts (see `health.ports.MailPort`) from a process of its own.

    Make it inside a running loop; the process is forked by the first `follow` that is `needed`, so let
    that one come before there are threads.
    """

    def __init__(self, log: Say, detail: Say) -> None:
        self._log = log
        self._settings: Mapping[str, object] | None = None
        said = lambda text, is_detail: (detail if is_detail else log)(text)  # noqa: E731
        self._courier = Courier(partial(Helper, serve), said, self._lost, self._begin_again)

    @property
    def helper_pid(self) -> int:
        """The process that sends mails; 0: there is none."""
        return self._courier.helper_pid

    def follow(self, configuration: Configuration, needed: bool = True) -> None:
        """From now on send as `configuration` says; there is no helper while none is `needed`."""
        settings = _settings(configuration) if needed else None
        if settings is not None and settings != self._settings:
            self._courier.order(settings)
        self._settings = settings

    def send(self, alert: SendAlert) -> None:
        """Have `alert` sent."""
        if self._settings is not None:
            self._courier.order({"subject": alert.subject, "body": alert.body})

    async def finish(self, limit_s: float) -> None:
        """Wait for all mails, `limit_s` at most."""
        await self._courier.finish(limit_s)

    def close(self) -> None:
        """Send nothing more."""
        self._courier.close()

    def _begin_again(self) -> None:
        self._log("The process that sends mails has ended: what it had not sent is lost")
        if self._settings is not None:
            self._courier.order(self._settings)

    def _lost(self, message: Message) -> None:
        if "subject" in message:
            self._log(f'The mail "{message["subject"]}" is not sent: too many others wait')


def _settings(configuration: Configuration) -> Mapping[str, object] | None:
    """What the helper must know; None: nobody gets mails."""
    mail = configuration.globals.mail
    if mail.server is None or not mail.recipients:
        return None
    return {
        "router_id": configuration.globals.router_id,
        "recipients": list(mail.recipients),
        "sender": mail.sender,
        "host": str(mail.server.host),
        "port": mail.server.port,
        "helo_name": mail.helo_name,
        "connect_timeout_us": mail.connect_timeout_us,
    }


def _configuration(settings: Mapping[str, Any]) -> Configuration:
    mail = Mail(
        recipients=tuple(settings["recipients"]),
        sender=settings["sender"],
        server=MailServer(settings["host"], settings["port"]),
        helo_name=settings["helo_name"],
        connect_timeout_us=Micros(settings["connect_timeout_us"]),
    )
    return Configuration(globals=Globals(router_id=settings["router_id"], mail=mail))


def serve(connection: socket.socket) -> None:
    """The helper: take orders from `connection` until its other end is closed."""
    connection.setblocking(False)
    asyncio.run(_Serving(connection).run())


class _Serving:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._left = asyncio.Event()
        self._finishing: asyncio.Task[None] | None = None
        self._mailer = Mailer(
            lambda line: tell(connection, {"log": line}),
            lambda line: tell(connection, {"log": line, "detail": True}),
            Configuration(),
        )

    async def run(self) -> None:
        asyncio.get_running_loop().add_reader(self._connection, self._readable)
        await self._left.wait()

    def _readable(self) -> None:
        try:
            message = told(self._connection)
        except BlockingIOError:
            return
        if message is None:
            self._left.set()
        elif "subject" in message:
            self._mailer.send(SendAlert(message["subject"], message["body"]))
        elif "finish" in message:
            self._finishing = asyncio.get_running_loop().create_task(self._finish(message["finish"]))
        else:
            self._mailer.follow(_configuration(message))

    async def _finish(self, limit_s: float) -> None:
        await self._mailer.finish(max(0.0, limit_s - _LAST_WORDS_S))
        tell(self._connection, {"done": True})
