"""Signals as something the parent's loop can wait for.

The interpreter writes each signal's number to a pipe (`set_wakeup_fd`), and the
loop waits with select for that pipe and the children's channels together.  A
signal that arrives before the loop waits is in the pipe already: none is lost.
"""

import os
import select
import signal
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import NamedTuple

STATS_CLEAR = signal.SIGRTMAX - 1
JSON = signal.SIGRTMIN + 2
STOPPING = (signal.SIGTERM, signal.SIGINT)
FORWARDED = (signal.SIGUSR1, signal.SIGUSR2, STATS_CLEAR, JSON)
WATCHED: tuple[int, ...] = (*STOPPING, signal.SIGHUP, signal.SIGCHLD, *FORWARDED)


def _noted(number: int, frame: FrameType | None) -> None:
    """The pipe has the number; there is nothing else to do in a handler."""


class Woken(NamedTuple):
    """What a wait brought: signals (each once, in order of arrival) and descriptors."""

    signals: tuple[int, ...]
    readable: frozenset[int]
    writable: frozenset[int]


class SignalInbox:
    """From its making on, the watched signals are collected instead of acting."""

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # After daemonising this is still the main thread of a process with one thread.
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in WATCHED:
            signal.signal(number, _noted)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def wait(self, timeout_s: float | None, readers: Sequence[int], writers: Sequence[int] = ()) -> Woken:
        """Wait for signals, for input on `readers` or for room on `writers` (descriptors)."""
        readable, writable, _ = select.select([self._reader, *readers], writers, [], timeout_s)
        numbers = self._drain() if self._reader in readable else b""
        return Woken(tuple(dict.fromkeys(numbers)), frozenset(readable), frozenset(writable))

    def _drain(self) -> bytes:
        collected = b""
        while True:
            try:
                piece = os.read(self._reader, 4096)
            except BlockingIOError:
                return collected
            collected += piece

    def deafen(self) -> None:
        """At the very end: the interpreter would set handlers back on its way out, and whoever asks twice
        for the end would see a killed process instead of an exit code.
        """
        for number in (*STOPPING, signal.SIGHUP, *FORWARDED):
            signal.signal(number, signal.SIG_IGN)

    def give_up(self) -> None:
        """In a forked child: close the pipe, and let nothing of the parent's handling remain.

        Signals that the parent forwards are ignored until the child's own handlers
        stand; a SIGTERM that early just ends it, which is what is wanted.
        """
        signal.set_wakeup_fd(-1)
        os.close(self._reader)
        os.close(self._writer)
        early: Iterable[int] = (signal.SIGHUP, *FORWARDED)
        for number in early:
            signal.signal(number, signal.SIG_IGN)
        for number in (*STOPPING, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
