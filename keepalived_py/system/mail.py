"""Alert mails: each is handed over to the mail server in an SMTP dialogue of its own.

The dialogue is written out here and not left to smtplib, since what a server sees is
part of the interface: HELO and never EHLO, every status compared with one number, all
headers and the text in one piece, and whatever goes wrong the same line in the log that
keepalived writes.  smtplib would also need a thread for each mail; a coroutine needs none.

Dialogues run side by side up to a limit; the others wait, and what does not even find
room to wait is named in the log.  There is no second try.  Each answer of the server has
the time limit of `smtp_connect_timeout`, so a server that sends a byte now and then holds
nothing for ever, and an answer without end is broken off after a kilobyte.

What gets into a header or a command has no control characters left, and lines of the text
that begin with a full stop get another one (keepalived sends them as they are).
"""

import asyncio
import contextlib
import getpass
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from keepalived_py.base.clock import SECOND
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Mail, MailServer

AT_ONCE = 64
MOST_WAITING = 4096
# A line of a mail may have 998 bytes (RFC 5322, 2.1.1).
LONGEST_SUBJECT = 900
_LONGEST_REPLY = 1024
_CONTROL = dict.fromkeys((*range(32), 127), " ")

Say = Callable[[str], None]


class Letter(NamedTuple):
    """One mail and how it is sent; `limit_s` is for each step of the dialogue."""

    subject: str
    body: str
    sender: str
    recipients: tuple[str, ...]
    helo_name: str
    limit_s: float


class _Undelivered(Exception):
    """The dialogue has failed.  `line` is keepalived's; `open`: the server may still be told good-bye."""

    def __init__(self, line: str, reason: str, *, open: bool = False) -> None:
        super().__init__(line)
        self.line = line
        self.reason = reason
        self.open = open


class Mailer:
    """Sends alerts (see `health.ports.MailPort`).  Make it inside a running loop.

    `log` gets what went wrong, `detail` what is told only with -D.  Without recipients or without a
    server nothing is sent, and nothing said.
    """

    def __init__(self, log: Say, detail: Say, configuration: Configuration) -> None:
        self._log = log
        self._detail = detail
        self._mail = Mail()
        self._router_id = ""
        self._waiting: deque[tuple[MailServer, Mail, str, str]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._host_name: str | None = None
        self.follow(configuration)

    def follow(self, configuration: Configuration) -> None:
        """From now on send as `configuration` says; what waits already is sent as it was to be."""
        self._mail = configuration.globals.mail
        self._router_id = configuration.globals.router_id

    @property
    def pending(self) -> int:
        """How many mails are being sent or wait."""
        return len(self._running) + len(self._waiting)

    def send(self, alert: SendAlert) -> None:
        """Begin to send `alert` to everybody, as soon as there is room."""
        mail = self._mail
        if mail.server is None or not mail.recipients:
            return
        subject = f"[{self._router_id}] {alert.subject}" if self._router_id else alert.subject
        if len(self._waiting) >= MOST_WAITING:
            self._log(_lost(subject, f"{MOST_WAITING} others wait for the mail server"))
            return
        self._waiting.append((mail.server, mail, subject, alert.body))
        self._begin()

    async def finish(self, limit_s: float) -> None:
        """Wait for all mails; those that are not sent after `limit_s` are given up, and named in the log."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), limit_s)
        for _, _, subject, _ in self._waiting:
            self._log(_lost(subject, "there was no time left"))
        self._waiting.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
            self._idle.clear()
            task = asyncio.get_running_loop().create_task(self._deliver(*self._waiting.popleft()))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._begin()
        if not self._running:
            self._idle.set()

    async def _deliver(self, server: MailServer, mail: Mail, subject: str, body: str) -> None:
        try:
            letter = Letter(
                subject=subject,
                body=body,
                sender=mail.sender if mail.sender is not None else await self._default_sender(),
                recipients=mail.recipients,
                helo_name=mail.helo_name if mail.helo_name is not None else await self._own_name(),
                limit_s=mail.connect_timeout_us / SECOND,
            )
            dialogue = await _connected(server, letter.limit_s)
            self._detail(f"Remote SMTP server {dialogue.where} connected.")
            await dialogue.hand_over(letter, self._say_sent)
        except _Undelivered as failure:
            self._log(failure.line)
            self._log(_lost(subject, failure.reason))
        except asyncio.CancelledError:
            self._log(_lost(subject, "there was no time left"))
            raise

    def _say_sent(self) -> None:
        self._detail("SMTP alert successfully sent.")

    async def _own_name(self) -> str:
        """The full name of this machine, as the resolver has it; else the short one."""
        if self._host_name is None:
            short = os.uname().nodename
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(short, None, flags=socket.AI_CANONNAME)
            except (OSError, UnicodeError):
                found = []
            self._host_name = found[0][3] if found and found[0][3] else short
        return self._host_name

    async def _default_sender(self) -> str:
        try:
            login = getpass.getuser()
        except (KeyError, OSError):
            login = str(os.getuid())
        return f"{login}@{await self._own_name()}"


def _lost(subject: str, reason: str) -> str:
    return f'The mail "{subject}" is not sent: {reason}'


async def _connected(server: MailServer, limit_s: float) -> "_Dialogue":
    """A connection to `server`; raises _Undelivered."""
    family, address = await _resolved(server, limit_s)
    where = f"[{address[0]}]:{server.port}"
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit_s):
            await loop.sock_connect(connection, address)
        reader, writer = await asyncio.open_connection(sock=connection, limit=_LONGEST_REPLY)
    except TimeoutError:
        connection.close()
        line = f"Timeout opening connection to remote SMTP server {where}."
        raise _Undelivered(line, "the server does not accept the connection in time") from None
    except OSError as error:
        line = f"smtp fd {connection.fileno()} returned write error"
        connection.close()
        raise _Undelivered(line, f"{where}: {error.strerror}") from None
    except asyncio.CancelledError:
        connection.close()
        raise
    return _Dialogue(reader, writer, where, limit_s)


async def _resolved(server: MailServer, limit_s: float) -> tuple[int, tuple[object, ...]]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit_s):
            found = await loop.getaddrinfo(str(server.host), server.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        line = f"Unable to resolve SMTP server {server.host}."
        reason = getattr(error, "strerror", None) or "no answer in time"
        raise _Undelivered(line, f"{server.host}: {reason}") from None
    return found[0][0], found[0][4]


class _Dialogue:
    """What is said on one connection; `where` is how log lines call the server."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str, limit_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limit_s = limit_s
        self._descriptor = writer.get_extra_info("socket").fileno()
        self.where = where

    async def hand_over(self, letter: Letter, sent: Callable[[], None]) -> None:
        """The whole dialogue; `sent` is called when the server has the mail.  Raises _Undelivered."""
        try:
            try:
                await self._hand_over(letter)
            except _Undelivered as failure:
                if failure.open:
                    with contextlib.suppress(_Undelivered):
                        await self._leave()
                raise
            sent()
            # The server has the mail: what becomes of the good-bye is of no importance.
            with contextlib.suppress(_Undelivered):
                await self._leave()
        finally:
            self._writer.transport.abort()

    async def _hand_over(self, letter: Letter) -> None:
        await self._expect("(E)SMTP", 220)
        await self._ask("HELO", f"HELO {_clean(letter.helo_name)}\r\n", 250)
        await self._ask("MAIL", f"MAIL FROM:{path_of(letter.sender)}\r\n", 250)
        for recipient in letter.recipients:
            await self._ask("RCPT", f"RCPT TO:{path_of(recipient)}\r\n", 250)
        await self._ask("DATA", "DATA\r\n", 354)
        await self._ask("BODY", written(letter, time.time()), 250)

    async def _leave(self) -> None:
        await self._ask("QUIT", "QUIT\r\n", 221)

    async def _ask(self, what: str, text: str, wanted: int) -> None:
        try:
            self._writer.write(text.encode(errors="surrogateescape"))
            async with asyncio.timeout(self._limit_s):
                await self._writer.drain()
        except (OSError, TimeoutError):
            line = f"Cannot send data to remote SMTP server {self.where}."
            raise _Undelivered(line, "the connection is broken") from None
        await self._expect(what, wanted)

    async def _expect(self, what: str, wanted: int) -> None:
        line = await self._reply()
        status = _status(line)
        if status != wanted:
            complaint = f"Error processing {what} cmd on SMTP server {self.where}."
            said = line.decode(errors="replace").strip().translate(_CONTROL)
            told = f"{complaint} SMTP status code = {status}"
            raise _Undelivered(told, f"the server says '{said}'", open=True)

    async def _reply(self) -> bytes:
        """The last line of an answer, which may have several."""
        try:
            async with asyncio.timeout(self._limit_s):
                line = await self._reader.readuntil(b"\r\n")
                while line[3:4] == b"-":
                    line = await self._reader.readuntil(b"\r\n")
                return line
        except TimeoutError:
            complaint = f"Timeout reading data to remote SMTP server {self.where}."
            raise _Undelivered(complaint, "the server does not answer in time", open=True) from None
        except asyncio.LimitOverrunError:
            complaint = (
                f"Received buffer from remote SMTP server {self.where} overflow our get read buffer length."
            )
            raise _Undelivered(complaint, "the answer of the server has no end", open=True) from None
        except asyncio.IncompleteReadError:
            complaint = f"Remote SMTP server {self.where} has closed the connection."
            raise _Undelivered(complaint, "the server has closed the connection") from None
        except OSError as error:
            complaint = f"smtp fd {self._descriptor} returned read error"
            raise _Undelivered(complaint, f"{self.where}: {error.strerror}") from None


def _status(line: bytes) -> int:
    """The three digits; what is none of them is counted on from 0 as keepalived does."""
    hundreds, tens, ones = (line + b"\0\0\0")[:3]
    return (hundreds - 48) * 100 + (tens - 48) * 10 + ones - 48


def _clean(text: str) -> str:
    """`text` without control characters: it can neither end a line nor begin another header."""
    return text.translate(_CONTROL)


def path_of(address: str) -> str:
    """What MAIL and RCPT name: of `Ops Team <ops@x>` only what is in angle brackets."""
    cleaned = _clean(address)
    start = cleaned.rfind("<")
    return cleaned[start:] if start >= 0 and cleaned.endswith(">") else f"<{cleaned}>"


def written(letter: Letter, at_s: float) -> str:
    """Headers, text and end of a mail that is sent at `at_s` (seconds since 1970), with CRLF."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(at_s))
    recipients = ",\r\n ".join(_clean(one) for one in letter.recipients)
    headers = (
        f"Date: {date}\r\n"
        f"From: {_clean(letter.sender)}\r\n"
        f"Subject: {_shortened(_clean(letter.subject))}\r\n"
        "X-Mailer: Keepalived\r\n"
        f"To: {recipients}\r\n"
    )
    lines = [f".{line}" if line.startswith(".") else line for line in letter.body.splitlines()]
    return headers + "\r\n" + "\r\n".join(lines) + "\r\n\r\n.\r\n"


def _shortened(subject: str) -> str:
    data = subject.encode(errors="surrogateescape")
    if len(data) <= LONGEST_SUBJECT:
        return subject
    return data[:LONGEST_SUBJECT].decode(errors="ignore")
