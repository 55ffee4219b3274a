"""One child process as the parent sees it: started, told, heard, ended, started again.

A worker lives as long as the parent, whether its child runs or not.  It never
waits: what the child does not take at once is kept and sent when there is room,
so that a child that hangs cannot keep the parent from stopping it.

`awaited` means that the child has been started, or given a new configuration,
and has not said yet that it is done.
"""

import os
import signal
import time
from collections.abc import Iterable

from keepalived_py.base.logs import Log
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import children
from keepalived_py.daemon.kinds import ChildKind
from keepalived_py.daemon.signals import SignalInbox
from keepalived_py.model.config import Configuration

NEVER = float("inf")
START_AGAIN_S = 1.0
_PIECE = 65536


class Worker:
    """The child of one kind.  Deadlines are on the monotonic clock, in seconds; NEVER: none."""

    def __init__(self, kind: ChildKind, settings: children.ChildSettings, log: Log) -> None:
        self.kind = kind
        self.child: children.Child | None = None
        self.respawn_at = NEVER
        self.kill_at = NEVER
        self.awaited = False
        self._settings = settings
        self._log = log
        self._backoff = children.Backoff()

    # -- its life -----------------------------------------------------------------

    def start(self, configuration: Configuration, inbox: SignalInbox, strange: Iterable[int]) -> None:
        """Fork the child; if there is no room for one, try again in a second."""
        self.respawn_at = NEVER
        self.awaited = True
        main = self.kind.main(configuration)
        try:
            self.child = children.start(configuration, self._settings, main, inbox, strange)
        except OSError as fault:  # no more processes or descriptors: may pass
            self._log.info(f"Unable to start the {self.kind.title} child process: {fault}. Trying again")
            self.respawn_at = time.monotonic() + START_AGAIN_S
            return
        self._log.info(f"Starting {self.kind.title} child process, pid={self.child.pid}")

    def signal(self, number: int) -> None:
        """Signal the child.  It is not reaped before we know of it, so the number is still its own."""
        if self.child is not None:
            os.kill(self.child.pid, number)

    def forget(self) -> None:
        """There is no child, and none is to be started again."""
        self.respawn_at = NEVER
        self.awaited = False

    def stop(self, wait_s: float) -> None:
        """Ask the child to end; after `wait_s` it will be killed."""
        self.forget()
        if self.child is not None:
            self.kill_at = time.monotonic() + wait_s
            self.signal(signal.SIGTERM)

    def kill_if_due(self, now: float) -> None:
        """Kill a child that did not end in time."""
        if now >= self.kill_at and self.child is not None:
            self.kill_at = NEVER
            self._log.info(f"{self.kind.name} process failed to die - forcing termination")
            self.signal(signal.SIGKILL)

    def ended(self) -> None:
        """The child is gone, and reaped."""
        if self.child is not None:
            self.child.channel.close()
        self.child = None
        self.kill_at = NEVER

    def respawn_later(self, pid: int, lived_s: float) -> None:
        """Have the child that had the number `pid` started again, by the rule of `Backoff`."""
        self._log.info(f"{self.kind.title} child process({pid}) died: Respawning")
        delay_s, self._backoff = self._backoff.after_life(lived_s)
        if delay_s is not None:
            what = f"Restart of {self.kind.title} process delayed {delay_s} seconds"
            self._log.info(f"{what} to limit respawn rate")
        self.respawn_at = time.monotonic() + (delay_s or 0)

    # -- what is said ---------------------------------------------------------------

    def tell(self, kind: channels.Kind, configuration: Configuration | None = None) -> None:
        """Say something to the child; nothing happens if there is none."""
        if self.child is not None:
            self.child.unsent += channels.encode(channels.Message(kind, configuration))
            self.send()

    def send(self) -> None:
        """Hand over what the child takes now."""
        child = self.child
        if child is None:
            return
        try:
            while child.unsent:
                del child.unsent[: child.channel.send(child.unsent[:_PIECE])]
        except BlockingIOError:
            return
        except OSError:  # closed: its end will be reported by SIGCHLD
            child.unsent.clear()

    def hear(self) -> bool:
        """Read what the child has said; whether it is ready for the first time in its life."""
        child = self.child
        if child is None or child.channel.fileno() < 0:
            return False
        first = not child.ready
        try:
            for message in child.inbox.feed(child.channel.recv(_PIECE) or self._closed(child)):
                if message.kind is channels.Kind.READY:
                    child.ready, self.awaited = True, False
        except BlockingIOError:
            return False
        except (OSError, channels.ChannelBroken):
            child.channel.close()
        return first and child.ready

    @staticmethod
    def _closed(child: children.Child) -> bytes:
        child.channel.close()  # its end will be reported by SIGCHLD
        return b""

    @property
    def descriptor(self) -> int | None:
        """The parent's end of the channel, if there is one."""
        number = -1 if self.child is None else self.child.channel.fileno()
        return None if number < 0 else number

    @property
    def wants_room(self) -> bool:
        """Whether there is something left to send."""
        return self.child is not None and bool(self.child.unsent)

    def expect_no_more(self) -> None:
        """Nobody waits any longer for the child's confirmation."""
        self.awaited = False
        self._log.info(f"The {self.kind.title} child process has not confirmed that it is ready")
