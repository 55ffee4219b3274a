"""SMTP_CHECK: a mail server greets with 220, answers HELO with 250 and QUIT with anything.

Each step has the whole time limit, and each read is a step: a server that sends a byte
now and then is waited for, as keepalived does, but for no more bytes than a line may
have.  keepalived's line has 511 bytes, and it goes on in an empty buffer after them; such a
server hardly ever passes and may keep the check busy for as long as it likes, so
here it has failed as soon as the line is too long (but for the answer to QUIT, of
which nothing is asked).

A line ends at a line feed; what came with it in the same read is thrown away.  The code is
three digits, then a space or the end of the line: neither "220-" nor "220" and
a carriage return will do.  A NUL hides the line feed behind it.
Source: check_smtp.c.
"""

import errno
import socket

from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import SmtpCheck
from keepalived_py.probes import waiting
from keepalived_py.probes.connect import Names, connecting, ending_of, reason

# SMTP_BUFF_MAX, of which one byte is for the end of a string.
_LONGEST = 511
_ADVICE = "Increase SMTP_BUFF_MAX in check_smtp.h"
_SHOWN = 80
_GREETING, _WELCOME = 220, 250
_NAMES = Names(
    no_socket="SMTP_CHECK connection failed to create socket. Rescheduling.",
    not_bound="SMTP_CHECK socket bind failed. Rescheduling.",
    unreachable="SMTP_CHECK Network unreachable for server ",
)


class _Failed(Exception):
    """The dialogue is over; `result` says why."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__(result.text)
        self.result = result


async def ask_mail_server(order: StartCheck) -> CheckResult:
    """Run an `SmtpCheck`; `code` is the last status.  Time limit: `connect_timeout_us` for each step."""
    check = order.check
    assert isinstance(check, SmtpCheck)
    # The label without its protocol is how other lines call the real server.
    parts = order.label.rsplit(":", 2)
    server = f"{order.target.address} - real server {parts[0]}:{parts[-1]}"
    made = connecting(order, _NAMES._replace(unreachable=_NAMES.unreachable + server))
    if isinstance(made, CheckResult):
        return made
    with made:
        try:
            return await _Dialogue(made, order.target, check).held()
        except _Failed as failed:
            return failed.result


class _Dialogue:
    def __init__(self, made: socket.socket, target: Target, check: SmtpCheck) -> None:
        self._made = made
        self._check = check
        self._server = f"[{target.address}]:{target.port}"

    async def held(self) -> CheckResult:
        await self._connect()
        greeting = await self._read()
        self._expect(_GREETING, greeting, "Bad greeting banner from server")
        await self._write(f"HELO {self._check.helo_name}\r\n".encode("utf-8", "surrogateescape")[:_LONGEST])
        welcome = await self._read()
        self._expect(_WELCOME, welcome, "Bad HELO response from server")
        await self._write(b"QUIT\r\n")
        await self._read()
        return CheckResult(True, code=_WELCOME, text=_shown(greeting))

    async def _connect(self) -> None:
        if not await waiting.writable(self._made, waiting.end_of(self._check)):
            raise self._failed(Ending.TIMED_OUT, "Connection timeout to server", "no connection")
        number = self._made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            timed_out = number == errno.ETIMEDOUT
            words = "Connection timeout to server" if timed_out else "Could not connect to server"
            raise self._failed(ending_of(number), words, reason(number))

    async def _read(self) -> bytes:
        """A line, without its end; or as much of it as a line may have."""
        line = b""
        while True:
            if not await waiting.readable(self._made, waiting.end_of(self._check)):
                raise self._failed(Ending.TIMED_OUT, "Read timeout from server", _unfinished(line))
            try:
                more = self._made.recv(_LONGEST - len(line))
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._failed(
                    ending_of(error.errno or 0), "Read failure from server", reason(error)
                ) from error
            if not more:
                raise self._failed(Ending.CLOSED, "Read failure from server", "connection closed")
            line += more
            end = line.split(b"\0", 1)[0].find(b"\n")
            if end >= 0:
                return line[:end]
            if len(line) >= _LONGEST:
                return line

    async def _write(self, line: bytes) -> None:
        """Send a line.  It fits into the empty buffer of any socket, so no part of it is left over."""
        while True:
            try:
                self._made.send(line)
                return
            except BlockingIOError:
                if not await waiting.writable(self._made, waiting.end_of(self._check)):
                    raise self._failed(Ending.TIMED_OUT, "Write timeout to server", "takes no data") from None
            except OSError as error:
                raise self._failed(
                    ending_of(error.errno or 0), "Write failure to server", reason(error)
                ) from error

    def _expect(self, wanted: int, line: bytes, words: str) -> None:
        code = status(line)
        too_long = len(line) >= _LONGEST
        if code == wanted and not too_long:
            return
        failed = self._failed(Ending.WRONG, words, _shown(line) or "an empty line").result
        if too_long:
            text = f"a line of more than {_LONGEST} bytes: {failed.text}"
            overflow = f"SMTP_CHECK Buffer overflow reading from server {self._server}. {_ADVICE}"
            failed = failed._replace(text=text, lines=(overflow, *failed.lines))
        raise _Failed(failed._replace(code=code))

    def _failed(self, ending: Ending, words: str, text: str) -> _Failed:
        line = f"SMTP_CHECK {words} {self._server}"
        return _Failed(CheckResult(False, ending, text=text, lines=(line,)))


def status(line: bytes) -> int | None:
    """The status with which a line begins, or None if it begins with none."""
    code, rest = line[:3], line[3:4]
    return int(code) if len(code) == 3 and code.isdigit() and rest in (b"", b" ", b"\0") else None


def _shown(line: bytes) -> str:
    """The beginning of a line, fit to be shown to a person whatever the server sent."""
    text = line.strip().decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_SHOWN])


def _unfinished(line: bytes) -> str:
    return f"only sent {_shown(line)!r}" if line else "said nothing"
