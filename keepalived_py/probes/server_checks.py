"""Health checks that instances track (`vrrp_check`), seen from the vrrp process.

A TLS handshake, or a page of some megabytes, takes longer than an advert may wait.  So
the servers are asked by a helper process (`probes.check_process`) that is forked only if a check
is tracked; here nothing is done but to send it a message and to receive one.

The time limit of a check is watched here: whatever has become of the helper, a check whose
answer is not there in time has timed out.  A helper that ended is replaced a second later;
until then nothing is asked, and every check times out.
"""

import asyncio
import base64
import contextlib
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from keepalived_py.base.clock import as_seconds
from keepalived_py.base.names import ScriptName
from keepalived_py.model.config import Configuration
from keepalived_py.model.effects import AskServer, WriteLog
from keepalived_py.model.events import ScriptFinished
from keepalived_py.probes import check_process
from keepalived_py.system.courier import Courier
from keepalived_py.system.helper import Helper, Message

# A new helper has a second to load what it needs; checks that begin before may time out.
PATIENCE_S = 1.0
_PIECE = 48 * 1024


class _Running(NamedTuple):
    number: int
    alarm: asyncio.TimerHandle


class ServerChecks:
    """Asks servers.  Make it inside a running loop.

    The end of each check is handed to `feed`, a line of the log to `say`.
    """

    def __init__(self, feed: Callable[[ScriptFinished], None], say: Callable[[WriteLog], None]) -> None:
        self._feed = feed
        self._say = say
        self._settings: tuple[object, ...] | None = None
        self._running: dict[ScriptName, _Running] = {}
        self._number = self._told = 0
        self._ready = asyncio.Event()
        said = lambda line, detail: say(WriteLog(line, detail=detail))  # noqa: E731
        make = partial(Helper, check_process.serve)
        # What it cannot take any more is watched by its time limit.
        self._courier = Courier(make, said, lambda message: None, self._begin_again, self._heard)

    @property
    def helper_pid(self) -> int:
        """The process that asks servers; 0: nothing is tracked."""
        return self._courier.helper_pid

    async def follow(self, configuration: Configuration) -> None:
        """From now on ask as `configuration` says; waits until the helper knows it, a second at most.

        The first call forks it if it is needed: let that one come before there are threads.
        """
        checks = {check.name: check.asks for check in configuration.checks}
        settings = (configuration.ssl, checks) if checks else None
        if settings == self._settings:
            return
        self._settings = settings
        if settings is None:
            self._courier.close()
            return
        self._tell()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), PATIENCE_S)

    def ask(self, order: AskServer) -> None:
        """Begin a check; a former one of that name that still runs is forgotten."""
        self._forget(order.name)
        self._number += 1
        late = asyncio.get_running_loop().call_later(as_seconds(order.timeout_us), self._late, order)
        self._running[order.name] = _Running(self._number, late)
        if self._courier.helper_pid:
            self._courier.order({"ask": order.name, "number": self._number, "limit_us": order.timeout_us})

    def close(self) -> None:
        """Ask nothing more; nothing is reported any more."""
        for name in tuple(self._running):
            self._forget(name)
        self._courier.close()

    def _forget(self, name: ScriptName) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            running.alarm.cancel()

    def _late(self, order: AskServer) -> None:
        del self._running[order.name]
        text = f"no end within {as_seconds(order.timeout_us):g} s"
        self._feed(ScriptFinished(order.name, status=1, timed_out=True, text=text))

    def _tell(self) -> None:
        self._told += 1
        self._ready.clear()
        for message in _pieces(self._settings, self._told):
            self._courier.order(message)

    def _begin_again(self) -> None:
        self._say(WriteLog("The process that asks servers has ended: another one is started"))
        if self._settings is not None:
            self._tell()

    def _heard(self, message: Any) -> None:
        if "ready" in message:
            if message["ready"] == self._told:
                self._ready.set()
            return
        name = ScriptName(message["check"])
        running = self._running.get(name)
        if running is not None and running.number == message["number"]:
            self._forget(name)
            self._feed(ScriptFinished(name, status=0 if message["good"] else 1, text=message["text"]))


def _pieces(settings: object, number: int) -> Iterator[Message]:
    """The settings in messages that are short enough; the last one bears the number."""
    whole = base64.b64encode(pickle.dumps(settings)).decode()
    for begin in range(0, len(whole), _PIECE):
        last = begin + _PIECE >= len(whole)
        yield {"piece": whole[begin : begin + _PIECE], "number": number if last else 0}
