"""The BFD process: sessions with other routers, and the word to other processes when one changes.

It lives from the fork until SIGTERM (or until the parent is gone).  The VRRP process
and that of the virtual servers are told, each of the sessions that it may track.  What
is to be said goes out without waiting; what finds no room is kept and said as soon as
there is some, each session's latest state only.  A listener that does not read does
not keep the other from hearing.
"""

import asyncio
import os
import signal
import socket

from keepalived_py.core.bfd.state import Session
from keepalived_py.daemon import bfd_lines
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.bfd_sessions import Sessions
from keepalived_py.daemon.child_process import ChildProcess, run_process
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals, Process
from keepalived_py.status import bfd_data, statistics
from keepalived_py.system.loop import now

_SAY_AGAIN_S = 0.02
_COLLECT_EVERY_S = 10.0


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    return run_process(lambda: _Child(configuration, settings, channel))


class _Listener:
    """One process that is told; `events` None: there is none of its kind."""

    def __init__(self, events: socket.socket | None) -> None:
        self._events = events
        self._unsaid: dict[str, bfd_lines.BfdLine] = {}
        self._saying: asyncio.TimerHandle | None = None

    def tell(self, line: bfd_lines.BfdLine) -> None:
        """Say `line`, now or when there is room."""
        if self._events is None:
            return
        self._unsaid[line.name] = line
        if self._saying is None:
            self._say(self._events)

    def _say(self, events: socket.socket) -> None:
        """Say what is left to say, as far as there is room."""
        self._saying = None
        for name, line in tuple(self._unsaid.items()):
            if not bfd_lines.send(events, line):
                loop = asyncio.get_running_loop()
                self._saying = loop.call_later(_SAY_AGAIN_S, self._say, events)
                return
            del self._unsaid[name]


class _Child(ChildProcess):
    """The running process."""

    title = "BFD"

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        super().__init__(configuration, settings, channel)
        self._log = settings.log
        self._vrrp = _Listener(settings.bfd_events)
        self._checkers = _Listener(settings.bfd_checker_events)
        self._last: dict[str, bfd_lines.BfdLine] = {}
        self._sessions = Sessions(settings.log, self._tell)

    async def start(self) -> None:
        """Open everything and take the first step; raises OSError."""
        self._schedule()
        self._listen()
        self._collector.take_over()
        self._sessions.follow(self._configuration.bfd_instances)
        self._collect()
        channels.send(self._channel, channels.Kind.READY)

    async def end(self) -> None:
        """Say goodbye."""
        await self._sessions.stop()

    def process_settings(self, general: Globals) -> Process:
        """`bfd_priority` and what goes with it."""
        return general.bfd

    def _listen(self) -> None:
        super()._listen()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._write_data)

    def _collect(self) -> None:
        self._collector.collect()
        asyncio.get_running_loop().call_later(_COLLECT_EVERY_S, self._collect)

    # -- the listeners --------------------------------------------------------------

    def _tell(self, session: Session) -> None:
        # What is told again (for a process that came later) says the same as before, to the microsecond.
        line = self._last.get(session.name)
        if line is None or line.up is not session.up:
            line = self._last[session.name] = bfd_lines.BfdLine(session.name, session.up, now())
        if session.settings.vrrp:
            self._vrrp.tell(line)
        if session.settings.checker:
            self._checkers.tell(line)

    # -- the parent -----------------------------------------------------------------

    def on_message(self, message: channels.Message) -> None:
        """A reload, or the wish to hear every state again."""
        if message.kind is channels.Kind.REPORT:
            self._sessions.report()
        elif message.configuration is not None:
            self._reload(message.configuration)

    def _reload(self, configuration: Configuration) -> None:
        began = now()
        self._log.info("Reloading")
        self._configuration = configuration
        self._schedule()
        try:
            self._sessions.follow(configuration.bfd_instances)
        except OSError:  # said already; sessions that cannot hear stay down
            self._log.info("No BFD packet can be heard")
        self._log.info(f"Reload finished in {now() - began} usec")
        channels.send(self._channel, channels.Kind.READY)

    def _write_data(self) -> None:
        self._log.info(f"Printing BFD data for process({os.getpid()}) on signal")
        text = bfd_data.bfd_data(self._sessions.sessions, self._sessions.refused)
        try:
            statistics.write(bfd_data.FILE, text)
        except OSError as error:
            self._log.info(f"Unable to write {bfd_data.FILE}: {error}")
