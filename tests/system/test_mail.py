"""Alert mails: what the server sees, byte for byte, and what becomes of a server that fails."""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from keepalived_py.base.clock import Micros
from keepalived_py.model.check_events import SendAlert
from keepalived_py.model.config import Configuration, Globals
from keepalived_py.model.globals import Mail, MailServer
from keepalived_py.system import mail as mails
from keepalived_py.system.mail import Mailer, path_of

LIMIT_S = 20.0
HERE = ip_address("127.0.0.1")
ALERT = SendAlert("VRRP Instance VI_1 - Entering MASTER state", "=> VRRP Instance is now owning VRRP VIPs <=")
GREETING, OK, GO, QUEUED, BYE = "220 ESMTP\r\n", "250 ok\r\n", "354 go\r\n", "250 queued\r\n", "221 bye\r\n"
WELL = (GREETING, OK, OK, OK, GO, QUEUED, BYE)
DATE = rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n"


def configured(port: int, **changes: Any) -> Configuration:
    mail: dict[str, Any] = {
        "recipients": ("admin@example.com",),
        "sender": "ka@example.com",
        "server": MailServer(HERE, port),
        "helo_name": "vm",
        **changes,
    }
    return Configuration(globals=Globals(router_id="LVS_A", mail=Mail(**mail)))


class Server:
    """Answers each thing it is told with the next of `answers`; keeps what it was told, by connection.

    An answer of None ends the connection; after the last one it only listens.
    """

    def __init__(self, *answers: str | None) -> None:
        self.answers = answers
        self.heard: list[bytes] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.heard)
        self.heard.append(b"")
        try:
            for answer in self.answers:
                if answer is None:
                    return
                writer.write(answer.encode())
                self.heard[number] += await reader.readuntil(b"\r\n.\r\n" if answer == GO else b"\r\n")
            with contextlib.suppress(ConnectionError):
                while more := await reader.read(1000):
                    self.heard[number] += more
        except asyncio.IncompleteReadError as rest:
            self.heard[number] += rest.partial
        finally:
            writer.close()
            self.ended.set()


@contextlib.asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, str(HERE), 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def after(*answers: str | None, **changes: Any) -> tuple[list[bytes], list[str], list[str]]:
    """One alert to a server that answers so: what it heard, what was logged, what only with -D."""

    async def run() -> tuple[list[bytes], list[str], list[str]]:
        server = Server(*answers)
        log: list[str] = []
        detail: list[str] = []
        async with asyncio.timeout(LIMIT_S), listening(server.serve) as port:
            mailer = Mailer(log.append, detail.append, configured(port, **changes))
            mailer.send(ALERT)
            await mailer.finish(LIMIT_S)
            await server.ended.wait()
            there = f"[127.0.0.1]:{port}"
        return server.heard, [re.sub(re.escape(there), "THERE", one) for one in log], detail

    return asyncio.run(run())


LOST = 'The mail "[LVS_A] VRRP Instance VI_1 - Entering MASTER state" is not sent: '


def test_what_the_server_hears() -> None:
    """Word for word what the real program says."""
    heard, log, detail = after(*WELL)
    assert log == []
    assert [line.partition(" [")[0] for line in detail] == [
        "Remote SMTP server",
        "SMTP alert successfully sent.",
    ]
    pattern = (
        rb"HELO vm\r\nMAIL FROM:<ka@example\.com>\r\nRCPT TO:<admin@example\.com>\r\nDATA\r\n"
        + DATE
        + rb"From: ka@example\.com\r\n"
        rb"Subject: \[LVS_A\] VRRP Instance VI_1 - Entering MASTER state\r\n"
        rb"X-Mailer: Keepalived\r\nTo: admin@example\.com\r\n\r\n"
        rb"=> VRRP Instance is now owning VRRP VIPs <=\r\n\r\n\.\r\nQUIT\r\n"
    )
    assert re.fullmatch(pattern, heard[0])


def test_names_beside_addresses() -> None:
    """A name is for the header; each recipient has a line of it."""
    several = ("admin@example.com", "Ops Team <ops@example.com>")
    heard, log, _ = after(GREETING, OK, OK, OK, OK, GO, QUEUED, BYE, recipients=several, sender="K <ka@x>")
    assert log == []
    assert b"MAIL FROM:<ka@x>\r\nRCPT TO:<admin@example.com>\r\nRCPT TO:<ops@example.com>\r\n" in heard[0]
    assert b"From: K <ka@x>\r\n" in heard[0]
    assert b"\r\nTo: admin@example.com,\r\n Ops Team <ops@example.com>\r\n\r\n" in heard[0]


def test_several_lines_are_one_answer() -> None:
    heard, log, _ = after("220-hello\r\n220-there\r\n220 ESMTP\r\n", *WELL[1:])
    assert log == [] and heard[0].endswith(b"QUIT\r\n")


def test_any_other_status_ends_the_dialogue() -> None:
    """Whichever step it is, also with a status that means well; the server is told good-bye."""
    steps = ("(E)SMTP", "HELO", "MAIL", "RCPT", "DATA", "BODY")
    for number, step in enumerate(steps):
        heard, log, detail = after(*WELL[:number], "251 no\r\n", BYE)
        complaint = f"Error processing {step} cmd on SMTP server THERE. SMTP status code = 251"
        assert log == [complaint, LOST + "the server says '251 no'"]
        assert heard[0].endswith(b"QUIT\r\n")
        assert "SMTP alert successfully sent." not in detail


def test_one_refused_recipient_is_enough() -> None:
    heard, log, _ = after(GREETING, OK, OK, OK, "550 nobody\r\n", BYE, recipients=("a@x", "b@x"))
    assert log[0] == "Error processing RCPT cmd on SMTP server THERE. SMTP status code = 550"
    assert b"DATA" not in heard[0]


def test_closed_connection() -> None:
    for number in range(6):
        _, log, _ = after(*WELL[:number], None)
        assert log == [
            "Remote SMTP server THERE has closed the connection.",
            LOST + "the server has closed the connection",
        ]


def test_silent_server() -> None:
    """A server that says nothing more costs the time limit of a step, once more for the good-bye."""
    heard, log, _ = after(GREETING, OK, connect_timeout_us=Micros(50_000))
    assert log[0] == "Timeout reading data to remote SMTP server THERE."
    assert log[1] == LOST + "the server does not answer in time"
    assert heard[0] == b"HELO vm\r\nMAIL FROM:<ka@example.com>\r\nQUIT\r\n"


def test_slow_bytes_do_not_extend_the_limit() -> None:
    """One byte of the answer now and then is no answer."""

    async def run() -> list[str]:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"220-.\r\n")
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(100), 0.01)
            writer.close()

        log: list[str] = []
        async with asyncio.timeout(LIMIT_S), listening(drip) as port:
            mailer = Mailer(log.append, print, configured(port, connect_timeout_us=Micros(100_000)))
            mailer.send(ALERT)
            await mailer.finish(LIMIT_S)
        return log

    assert asyncio.run(run())[0].startswith("Timeout reading data")


def test_answer_without_end() -> None:
    _, log, _ = after("220 " + "x" * 5000, connect_timeout_us=Micros(1_000_000))
    assert log[0] == "Received buffer from remote SMTP server THERE overflow our get read buffer length."


def test_refused_connection() -> None:
    async def run() -> list[str]:
        with socket.socket() as unused:
            unused.bind((str(HERE), 0))
            log: list[str] = []
            mailer = Mailer(log.append, print, configured(unused.getsockname()[1]))
            mailer.send(ALERT)
            await mailer.finish(LIMIT_S)
            return log

    log = asyncio.run(run())
    assert re.fullmatch(r"smtp fd \d+ returned write error", log[0])
    assert log[1].startswith(LOST)


def test_unknown_host() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        mailer = Mailer(log.append, print, configured(25, server=MailServer("no host at all", 25)))
        mailer.send(ALERT)
        await mailer.finish(LIMIT_S)
        return log

    assert asyncio.run(run())[0] == "Unable to resolve SMTP server no host at all."


def test_nobody_to_tell() -> None:
    """Without recipients, or without a server, nothing is sent and nothing said."""

    async def run() -> list[str]:
        said: list[str] = []
        for changes in ({"recipients": ()}, {"server": None}):
            mailer = Mailer(said.append, said.append, configured(25, **changes))
            mailer.send(ALERT)
            assert mailer.pending == 0
        return said

    assert asyncio.run(run()) == []


def test_nothing_of_an_alert_can_end_a_line() -> None:
    letter = mails.Letter(
        "a\r\nBcc: evil@x\r\n\r\ntext", "one\n.\n..two\r\nQUIT", "ka@x\r\nX: y", ("r@x\r\nDATA",), "h", 1
    )
    text = mails.written(letter, 0.0)
    headers, _, body = text.partition("\r\n\r\n")
    names = [line.partition(":")[0] for line in headers.split("\r\n")]
    assert names == ["Date", "From", "Subject", "X-Mailer", "To"]
    assert "Subject: a  Bcc: evil@x    text" in headers
    assert body == "one\r\n..\r\n...two\r\nQUIT\r\n\r\n.\r\n"
    assert path_of("r@x\r\nDATA") == "<r@x  DATA>"


def test_long_subject() -> None:
    """No line is longer than a mail may have, and no character is cut in two."""
    letter = mails.Letter("ä" * 2000, "text", "ka@x", ("r@x",), "h", 1)
    lines = mails.written(letter, 0.0).encode().split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert lines[2].decode() == "Subject: " + "ä" * (mails.LONGEST_SUBJECT // 2)


class Keeper:
    """What an aiosmtpd server has accepted; all dialogues have to be open at once before one goes on."""

    def __init__(self, together: int) -> None:
        self.subjects: list[str] = []
        self._together = together
        self._open = 0
        self._all_open = asyncio.Event()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._open += 1
        if self._open >= self._together:
            self._all_open.set()
        await self._all_open.wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        found = re.search(rb"^Subject: (.*)\r$", envelope.content, re.MULTILINE)
        assert found is not None
        self.subjects.append(found[1].decode())
        return "250 OK"


def test_fifty_alerts_at_once() -> None:
    """Each over its own connection, side by side: a real server gets all of them."""

    async def run() -> tuple[list[str], list[str]]:
        keeper = Keeper(50)
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(keeper), str(HERE), 0)
        log: list[str] = []
        async with asyncio.timeout(LIMIT_S), server:
            port = server.sockets[0].getsockname()[1]
            mailer = Mailer(log.append, lambda line: None, configured(port))
            for number in range(50):
                mailer.send(SendAlert(f"alert {number}", "text"))
            await mailer.finish(LIMIT_S)
        return keeper.subjects, log

    subjects, log = asyncio.run(run())
    assert log == []
    assert sorted(subjects) == sorted(f"[LVS_A] alert {number}" for number in range(50))


def test_no_more_than_so_many_at_once() -> None:
    """The others wait; those that find no room to wait are named."""

    async def run() -> tuple[int, list[str]]:
        most = open_now = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most, open_now
            open_now += 1
            most = max(most, open_now)
            writer.write(b"421 busy\r\n")
            await reader.read()
            open_now -= 1
            writer.close()

        log: list[str] = []
        async with asyncio.timeout(LIMIT_S), listening(serve) as port:
            mailer = Mailer(log.append, print, configured(port))
            excess = 3
            for number in range(mails.AT_ONCE + mails.MOST_WAITING + excess):
                mailer.send(SendAlert(str(number), "text"))
            lost, log[:] = list(log), []
            assert len(lost) == excess and all("others wait" in line for line in lost)
            await mailer.finish(0.0)
        return most, log

    most, log = asyncio.run(run())
    assert most <= mails.AT_ONCE
    assert len(log) == mails.AT_ONCE + mails.MOST_WAITING
    assert all(line.endswith("there was no time left") for line in log)


def test_the_end_does_not_wait_for_ever() -> None:
    _, log, _ = after_a_limit(0.05)
    assert log == [LOST + "there was no time left"]


def after_a_limit(limit_s: float) -> tuple[float, list[str], int]:
    async def run() -> tuple[float, list[str], int]:
        server = Server()
        log: list[str] = []
        async with asyncio.timeout(LIMIT_S), listening(server.serve) as port:
            mailer = Mailer(log.append, print, configured(port))
            mailer.send(ALERT)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await mailer.finish(limit_s)
            return loop.time() - began, log, mailer.pending

    return asyncio.run(run())


def test_names_that_are_not_configured() -> None:
    """Our own host name introduces us; without a sender the mail is from our user there."""
    heard, log, _ = after(*WELL, helo_name=None, sender=None)
    assert log == []
    introduced = re.match(rb"HELO (\S+)\r\nMAIL FROM:<[^@>]+@(\S+)>\r\n", heard[0])
    assert introduced is not None and introduced[1] == introduced[2]
    assert os.uname().nodename.split(".")[0] in introduced[1].decode()


def test_reload() -> None:
    """What is sent after a reload is sent as that says."""

    async def run() -> tuple[list[bytes], list[bytes]]:
        first, second = Server(*WELL), Server(*WELL)
        async with asyncio.timeout(LIMIT_S), listening(first.serve) as a, listening(second.serve) as b:
            mailer = Mailer(print, lambda line: None, configured(a))
            mailer.send(ALERT)
            mailer.follow(configured(b, helo_name="other"))
            mailer.send(ALERT)
            await mailer.finish(LIMIT_S)
            await first.ended.wait()
            await second.ended.wait()
        return first.heard, second.heard

    first, second = asyncio.run(run())
    assert first[0].startswith(b"HELO vm\r\n") and second[0].startswith(b"HELO other\r\n")
