"""The BFD process: sessions with other routers, and the word to the VRRP process when one changes.

It lives from the fork until SIGTERM (or until the parent is gone).  What it has
to say to the VRRP process goes out without waiting; what finds no room is kept and said
as soon as there is some, each session's latest state only.
"""

import asyncio
import os
import signal
import socket

from keepalived_py.base.errors import FatalStart, PermissionMissing
from keepalived_py.core.bfd.state import Session
from keepalived_py.daemon import bfd_lines
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.bfd_sessions import Sessions
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.model.config import Configuration
from keepalived_py.status import bfd_data, statistics
from keepalived_py.system import scheduling
from keepalived_py.system.loop import now, run, watch_pauses

_SAY_AGAIN_S = 0.02
_COLLECT_EVERY_S = 10.0


def run_child(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    """The child's main, called after the fork; returns its exit code."""
    return run(_live(configuration, settings, channel))


async def _live(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
    child = _Child(configuration, settings, channel)
    try:
        child.start()
        await child.until_stopped()
        return 0
    except PermissionError as error:
        raise PermissionMissing(f"BFD process may not open what it needs: {error}") from error
    except OSError as error:
        raise FatalStart(f"BFD process cannot go on: {error}") from error
    finally:
        # The end of the interpreter takes longer than a real-time process may run.
        child.be_ordinary()


class _Child:
    """The running process."""

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        self._configuration = configuration
        self._settings = settings
        self._log = settings.log
        self._channel = channel
        self._inbox = channels.Inbox(configuration)
        self._collector = scheduling.Collector()
        self._scheduler = scheduling.Scheduler(settings.log.info, "BFD")
        self._stop = asyncio.Event()
        self._unsaid: dict[str, bfd_lines.BfdLine] = {}
        self._last: dict[str, bfd_lines.BfdLine] = {}
        self._saying: asyncio.TimerHandle | None = None
        self._sessions = Sessions(settings.log, self._tell)

    def start(self) -> None:
        """Open everything and take the first step; raises OSError."""
        self._schedule()
        self._listen()
        self._collector.take_over()
        self._sessions.follow(self._configuration.bfd_instances)
        self._collect()
        channels.send(self._channel, channels.Kind.READY)

    async def until_stopped(self) -> None:
        """Run until SIGTERM."""
        await self._stop.wait()
        await self._sessions.stop()

    def be_ordinary(self) -> None:
        """No real-time priority any more."""
        self._scheduler.close()

    def _schedule(self) -> None:
        general = self._configuration.globals
        self._scheduler.apply(general.bfd, general.max_auto_priority)
        watch_pauses(general.min_auto_priority_delay_us, self._scheduler.late)

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._on_channel)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        # A terminal sends these to the whole group; the parent decides what they mean.
        for number in (signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)
        loop.add_signal_handler(signal.SIGUSR1, self._write_data)

    def _collect(self) -> None:
        self._collector.collect()
        asyncio.get_running_loop().call_later(_COLLECT_EVERY_S, self._collect)

    # -- the VRRP process -----------------------------------------------------------

    def _tell(self, session: Session) -> None:
        if self._settings.bfd_events is None or not session.settings.vrrp:
            return
        # What is told again (for a VRRP process that came later) says the same as before, to the microsecond.
        line = self._last.get(session.name)
        if line is None or line.up is not session.up:
            line = bfd_lines.BfdLine(session.name, session.up, now())
        self._unsaid[session.name] = self._last[session.name] = line
        if self._saying is None:
            self._say()

    def _say(self) -> None:
        """Say what is left to say, as far as there is room."""
        self._saying = None
        events = self._settings.bfd_events
        assert events is not None
        for name, line in tuple(self._unsaid.items()):
            if not bfd_lines.send(events, line):
                self._saying = asyncio.get_running_loop().call_later(_SAY_AGAIN_S, self._say)
                return
            del self._unsaid[name]

    # -- the parent -----------------------------------------------------------------

    def _on_channel(self) -> None:
        messages = channels.receive(self._channel, self._inbox)
        if messages is None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._stop.set()
            return
        for message in messages:
            self._on_message(message)

    def _on_message(self, message: channels.Message) -> None:
        if message.kind is channels.Kind.STOP:
            self._stop.set()
        elif message.kind is channels.Kind.REPORT:
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
