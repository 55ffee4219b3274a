"""The parent's loop: it watches signals and children and acts on nothing else.

It keeps no timers but three deadlines: when a dead child is to be started
again, until when a reload may take, until when a stopping child may take.  It
does not run asyncio, because it forks.

Order at a stop: tell the child, wait until it has resigned and taken its
addresses away, then leave.  A child that does not end in time is killed.
"""

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from keepalived_py.base.logs import Log
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import children, notify_systemd
from keepalived_py.daemon.reload import Load, Refused, read_again
from keepalived_py.daemon.signals import FORWARDED, STOPPING, SignalInbox
from keepalived_py.model.config import Configuration

# The child itself gives its lanes five seconds and its stop scripts one.
STOP_LIMIT_S = 10.0
RELOAD_LIMIT_S = 10.0
SEND_LIMIT_S = 5.0
START_AGAIN_S = 1.0
_NEVER = float("inf")


FetchMain = Callable[[], children.ChildMain]


def fetch_main() -> children.ChildMain:
    """The VRRP child's entry point; imports packet, netlink and event-loop libraries."""
    from keepalived_py.daemon.vrrp_child import run_child

    return run_child


@dataclass(frozen=True, slots=True)
class Duties:
    """What the parent is to do besides the configuration.

    `child_main` fetches the child's entry point; it is called before the first
    fork, so that what it imports is paid for once.  `always` starts the child
    even with nothing configured.
    """

    load: Load
    child_main: FetchMain
    child: children.ChildSettings
    respawn: bool = True
    always: bool = False
    vrrp: bool = True
    ignore_sigint: bool = False


class Parent:
    """Runs until it is told to stop, or until going on makes no sense."""

    def __init__(self, configuration: Configuration, duties: Duties, log: Log, inbox: SignalInbox) -> None:
        self._configuration = configuration
        self._duties = duties
        self._log = log
        self._inbox = inbox
        self._child: children.Child | None = None
        self._backoff = children.Backoff()
        self._respawn_at = _NEVER
        self._reload_until = _NEVER
        self._reload_queued = False
        self._stop_until = _NEVER
        self._stopping = False
        self._announced = False
        self._exit_code = 0

    def run(self) -> int:
        """Start, watch, stop; returns the exit code."""
        self._start_child()
        if self._child is None and self._respawn_at == _NEVER:
            self._log.info("Warning - keepalived has no configuration to run")
            self._announce()
        else:
            self._log.info("Startup complete")
        while not (self._stopping and self._child is None):
            numbers, readable = self._inbox.wait(self._patience(), self._channels())
            if readable:
                self._listen()
            for number in numbers:
                self._on_signal(number)
            self._on_time(time.monotonic())
        return self._exit_code

    # -- waiting ----------------------------------------------------------------

    def _channels(self) -> list[int]:
        return [self._child.channel.fileno()] if self._child and self._child.channel.fileno() >= 0 else []

    def _patience(self) -> float | None:
        deadline = min(self._respawn_at, self._reload_until, self._stop_until)
        return None if deadline == _NEVER else max(0.0, deadline - time.monotonic())

    def _on_time(self, now: float) -> None:
        if now >= self._respawn_at:
            self._start_child()
        if now >= self._reload_until:
            self._log.info("The VRRP child process has not confirmed the reload")
            self._reload_done()
        if now >= self._stop_until and self._child is not None:
            self._stop_until = _NEVER
            self._log.info(f"VRRP child process({self._child.pid}) does not stop: killing it")
            self._kill(signal.SIGKILL)

    # -- signals ----------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._want_reload()
        elif number in FORWARDED:
            self._kill(number)
        elif number in STOPPING and not (number == signal.SIGINT and self._duties.ignore_sigint):
            self._stop(0)

    def _kill(self, number: int) -> None:
        """Signal the child.  It is not reaped before we know of it, so the number is still its own."""
        if self._child is not None:
            os.kill(self._child.pid, number)

    def _stop(self, exit_code: int) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._exit_code = exit_code
        self._respawn_at = self._reload_until = _NEVER
        notify_systemd.stopping()
        self._log.info("Stopping")
        if self._child is not None:
            self._stop_until = time.monotonic() + STOP_LIMIT_S
            self._kill(signal.SIGTERM)

    # -- children ---------------------------------------------------------------

    def _start_child(self) -> None:
        self._respawn_at = _NEVER
        needed = self._configuration.instances or self._duties.always
        if self._stopping or not needed or not self._duties.vrrp:
            return
        main = self._duties.child_main()
        try:
            self._child = children.start(self._configuration, self._duties.child, main, self._inbox)
        except OSError as fault:  # no more processes or descriptors: may pass
            self._log.info(f"Unable to start the VRRP child process: {fault}. Trying again")
            self._respawn_at = time.monotonic() + START_AGAIN_S
            return
        self._child.channel.settimeout(SEND_LIMIT_S)
        self._log.info(f"Starting VRRP child process, pid={self._child.pid}")

    def _reap(self) -> None:
        """Collect everything that ended; orphans of the child's scripts come here too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._child is not None and pid == self._child.pid:
                self._child_ended(self._child, status)

    def _child_ended(self, child: children.Child, status: int) -> None:
        self._listen()
        child.channel.close()
        self._child = None
        if self._stopping:
            return
        self._log.info(children.describe_end(child.pid, status))
        code = os.waitstatus_to_exitcode(status)
        if code in children.PERMANENT_ERRORS:
            self._leave(code)
        elif not self._duties.respawn:
            self._log.info(f"VRRP child process({child.pid}) died: Exiting")
            self._leave(0)
        else:
            self._respawn_later(child)

    def _leave(self, code: int) -> None:
        self._stopping = True
        self._exit_code = code
        notify_systemd.stopping()

    def _respawn_later(self, child: children.Child) -> None:
        self._log.info(f"VRRP child process({child.pid}) died: Respawning")
        now = time.monotonic()
        delay_s, self._backoff = self._backoff.after_life(now - child.started_s)
        if delay_s is not None:
            self._log.info(f"Restart of VRRP process delayed {delay_s} seconds to limit respawn rate")
        self._respawn_at = now + (delay_s or 0)
        if self._reload_until != _NEVER:
            self._reload_done()  # the next child starts with the new configuration

    def _listen(self) -> None:
        """Take what the child has said."""
        child = self._child
        if child is None or child.channel.fileno() < 0:
            return
        try:
            for message in self._heard(child):
                if message.kind is channels.Kind.READY:
                    self._child_ready(child)
        except (OSError, channels.ChannelBroken):
            child.channel.close()  # its end will be reported by SIGCHLD

    def _heard(self, child: children.Child) -> list[channels.Message]:
        said: list[channels.Message] = []
        while select.select([child.channel], [], [], 0)[0]:
            piece = child.channel.recv(65536)
            if not piece:
                child.channel.close()
                break
            said += child.inbox.feed(piece)
        return said

    def _child_ready(self, child: children.Child) -> None:
        first = not child.ready
        child.ready = True
        self._announce()
        if not first and self._reload_until != _NEVER:
            self._reload_done()

    def _announce(self) -> None:
        """Tell the service manager, once, that the start is complete."""
        if not self._announced:
            self._announced = True
            notify_systemd.ready(os.getpid())

    # -- reload -----------------------------------------------------------------

    def _want_reload(self) -> None:
        if self._stopping:
            return
        if self._reload_until != _NEVER:
            self._reload_queued = True
        else:
            self._reload()

    def _reload(self) -> None:
        notify_systemd.reloading()
        self._log.info("Reloading ...")
        read = read_again(self._duties.load, self._configuration.globals)
        for line in read.lines:
            self._log.info(line)
        if isinstance(read, Refused):
            notify_systemd.ready(os.getpid())
            return
        self._configuration = read.configuration
        if self._child is None:
            if self._respawn_at == _NEVER:
                self._start_child()
            self._reload_done()
        else:
            self._pass_on(self._child)

    def _pass_on(self, child: children.Child) -> None:
        """Give the child the new configuration; one that takes none is replaced."""
        self._reload_until = time.monotonic() + RELOAD_LIMIT_S
        try:
            channels.send(child.channel, channels.Kind.RELOAD, self._configuration)
        except channels.ChannelBroken as fault:
            self._log.info(f"VRRP child process({child.pid}): {fault}. Restarting it")
            self._kill(signal.SIGTERM)

    def _reload_done(self) -> None:
        self._reload_until = _NEVER
        self._log.info("Reload complete")
        notify_systemd.ready(os.getpid())
        if self._reload_queued:
            self._reload_queued = False
            self._log.info("Processing queued reload")
            self._reload()
