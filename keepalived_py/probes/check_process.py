"""The helper that asks servers for the vrrp process (`probes.server_checks`).

It is told which checks there are and which of them is to be made now, and answers with what
was found.  It takes its time with less than ordinary priority, and what it needs (TLS, HTTP,
DNS) is loaded here and nowhere else.

All pages of a web check are fetched, one after the other, and the first bad one is the result.
A check that cannot be made at all (its source address is not there, a pattern cannot be
looked for) has failed, as a script would have: nobody else would ever tell of it.  One that is
not over in time ends without a word, since the other side knows the time as well.
"""

import asyncio
import base64
import os
import pickle
import socket
from typing import TYPE_CHECKING, Any

from keepalived_py.base.clock import Micros, as_seconds
from keepalived_py.base.errors import FatalStart
from keepalived_py.model.check_events import CheckResult, Ending, StartCheck, Target
from keepalived_py.model.checks import ConnectedCheck, SslGet, WebCheck
from keepalived_py.system.helper import tell, told
from keepalived_py.system.loop import now

if TYPE_CHECKING:
    from keepalived_py.probes.table import Probes

_NICER = 5
_LONGEST_TEXT = 200


def serve(connection: socket.socket) -> None:
    """The helper: take orders from `connection` until its other end is closed."""
    os.nice(_NICER)
    connection.setblocking(False)
    asyncio.run(_Serving(connection).run())


async def ask(probes: "Probes", number: int, check: ConnectedCheck) -> CheckResult:
    """The whole check: of a web check, all its pages."""
    assert check.connect_ip is not None
    target = Target(check.connect_ip, check.connect_port or 0)
    label = f"[{target.address}]:{target.port}"
    if not isinstance(check, WebCheck):
        return await probes.run(StartCheck(number, check, target, label))
    result = CheckResult(True)
    for part, url in enumerate(check.urls):
        result = await probes.run(StartCheck(number, check, target, label, part))
        if not result.good:
            return result._replace(text=f"{result.text} for {url.path}") if len(check.urls) > 1 else result
    return result


class _Serving:
    def __init__(self, connection: socket.socket) -> None:
        # Only this process pays for what asking takes.
        from keepalived_py.probes.table import Probes

        self._connection = connection
        self._left = asyncio.Event()
        self._probes = Probes(now, self._say)
        self._checks: dict[str, ConnectedCheck] = {}
        self._pieces: list[str] = []
        self._unusable = ""  # why there can be no TLS
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        asyncio.get_running_loop().add_reader(self._connection, self._readable)
        await self._left.wait()

    def _say(self, line: str) -> None:
        tell(self._connection, {"log": line})

    def _readable(self) -> None:
        try:
            message = told(self._connection)
        except BlockingIOError:
            return
        if message is None:
            self._left.set()
        elif "piece" in message:
            self._learn(message)
        else:
            task = asyncio.get_running_loop().create_task(self._ask(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _learn(self, message: Any) -> None:
        self._pieces.append(message["piece"])
        if not message["number"]:
            return
        # It comes from the process that forked us, over a socket without a name.
        settings, self._checks = pickle.loads(base64.b64decode("".join(self._pieces)))
        self._pieces.clear()
        self._unusable = ""
        try:
            self._probes.follow_checks(tuple(self._checks.values()), settings)
        except FatalStart as fault:
            self._unusable = str(fault)
            self._say(self._unusable)
        tell(self._connection, {"ready": message["number"]})

    async def _ask(self, message: Any) -> None:
        check = self._checks.get(message["ask"])
        if check is None:
            return
        if self._unusable and isinstance(check, SslGet):
            result = CheckResult(False, Ending.BROKEN, None, self._unusable)
        else:
            try:
                async with asyncio.timeout(as_seconds(Micros(message["limit_us"]))):
                    result = await ask(self._probes, message["number"], check)
            except TimeoutError:
                return
        answer = {"check": message["ask"], "number": message["number"], "good": result.good}
        tell(self._connection, {**answer, "text": _shown(result)})


def _shown(result: CheckResult) -> str:
    """What was found, fit for a line of the log whatever the server has sent."""
    text = result.text or result.ending.value
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST_TEXT])
