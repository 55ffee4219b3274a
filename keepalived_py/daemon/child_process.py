"""What every worker process is: a loop of its own, the parent's channel, and how it is scheduled.

It lives from the fork until SIGTERM, until the parent says `stop`, or until the
parent is gone.  What a kind of child does in between stands in a class of its own.
"""

import asyncio
import os
import signal
import socket
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from keepalived_py.base.errors import FatalStart, PermissionMissing
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import naming
from keepalived_py.daemon.children import ChildSettings
from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import Globals, Process
from keepalived_py.system import scheduling
from keepalived_py.system.loop import run, watch_pauses


class ChildProcess(ABC):
    """The running process.  `title` is what log lines call it.  Make it inside its running loop.

    `exit_code` is that of an orderly end.
    """

    title: ClassVar[str]

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        self._configuration = configuration
        self._settings = settings
        self._channel = channel
        self._inbox = channels.Inbox(configuration)
        self._collector = scheduling.Collector()
        self._scheduler = scheduling.Scheduler(settings.log.info, self.title)
        self._stop = asyncio.Event()
        self.exit_code = 0

    @abstractmethod
    async def start(self) -> None:
        """Open everything and take the first step; raises OSError."""

    @abstractmethod
    async def end(self) -> None:
        """Give everything back, in order."""

    @abstractmethod
    def process_settings(self, general: Globals) -> Process:
        """How this kind of process is scheduled."""

    @abstractmethod
    def on_message(self, message: channels.Message) -> None:
        """The parent says something other than `stop`."""

    async def live(self) -> int:
        """The whole life; returns the exit code.  Raises FatalStart or PermissionMissing."""
        try:
            await self.start()
            await self._stop.wait()
            await self.end()
        except PermissionError as error:
            raise PermissionMissing(f"{self.title} process may not open what it needs: {error}") from error
        except OSError as error:
            raise FatalStart(f"{self.title} process cannot go on: {error}") from error
        finally:
            # The end of the interpreter takes longer than a real-time process may run.
            self._scheduler.close()
        return self.exit_code

    def _schedule(self) -> None:
        general = self._configuration.globals
        self._scheduler.apply(self.process_settings(general), general.max_auto_priority)
        watch_pauses(general.min_auto_priority_delay_us, self._scheduler.late)

    def _listen(self) -> None:
        """Hear the parent and the signals that every child knows."""
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._on_channel)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        # A terminal sends these to the whole group; the parent decides what they mean.
        for number in (signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None)

    def _on_channel(self) -> None:
        messages = channels.receive(self._channel, self._inbox)
        if messages is None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._stop.set()
            return
        for message in messages:
            if message.kind is channels.Kind.STOP:
                self._stop.set()
            else:
                self.on_message(message)


class ReloadingProcess(ChildProcess):
    """A child whose reload takes a while; meanwhile it goes on, and of those that come the latest is next."""

    def __init__(self, configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> None:
        super().__init__(configuration, settings, channel)
        self._reloading: asyncio.Task[None] | None = None
        self._waiting: Configuration | None = None

    @abstractmethod
    async def take_over(self) -> None:
        """From now on be what the configuration says, which is a new one."""

    def on_message(self, message: channels.Message) -> None:
        """A reload."""
        if message.configuration is not None:
            self._waiting = message.configuration
            if self._reloading is None:
                self._reloading = asyncio.get_running_loop().create_task(self._reload())

    async def _reload(self) -> None:
        """Take every configuration that has come, one after the other."""
        log = self._settings.log
        while self._waiting is not None:
            log.info("Reloading")
            self._configuration, self._waiting = self._waiting, None
            self._schedule()
            wanted = self._settings.process_name(self._configuration.globals)
            naming.call_this_process(wanted or naming.DEFAULT)
            try:
                await self.take_over()
            except Exception:  # a fault of ours: what runs goes on, and the next reload has its chance
                log.info("The reload is incomplete:\n" + traceback.format_exc())
            channels.send(self._channel, channels.Kind.READY)
        self._reloading = None


def own_umask() -> int:
    """The umask of this process, which the parent chose; reading it means setting it."""
    mask = os.umask(0o177)
    os.umask(mask)
    return mask


def run_process(make: Callable[[], ChildProcess]) -> int:
    """A child's main: a loop, and in it what `make` gives; returns the exit code."""

    async def life() -> int:
        return await make().live()

    return run(life())
