"""Notify FIFOs: state changes as lines, for whoever reads them.

A FIFO is opened for reading and writing, so that it exists as a pipe with or
without a reader, and never blocks: when nobody reads, lines collect up to the
capacity of the pipe, and what does not fit is lost.  A line is written whole or
not at all (it is shorter than PIPE_BUF).

Whoever may write into the directory could put something else under the FIFO's
name, so only a FIFO that belongs to us or to the configured user is written to,
and a symbolic link is not followed.  A FIFO that was there before us stays when we
leave; one that we made goes, before it is closed, so that a reader that opens it
again and again does not catch it.

The program of a FIFO (`*_fifo_script`) is started once, before the FIFO is opened,
with the path as its last argument.  It is not started again when it ends.  When the
process stops or its FIFO changes, it reads what is left, up to the end of the file,
and gets SIGTERM a second later; keepalived sends that first, and its readers miss
the last lines (`STOP`).  The FIFO of everything (`notify_fifo`) is written to by the
checker process too; only one of the two may start its program.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from keepalived_py.model.config import Configuration
from keepalived_py.model.globals import NotifyFifo, Owner
from keepalived_py.model.scripts import Command

_MODE = 0o644

Choice = Callable[[Configuration], Mapping[str, NotifyFifo]]


class ReadersPort(Protocol):
    """Starts programs that run as long as we do, and says when one has ended."""

    def start_reader(self, command: Command, ended: Callable[[], None]) -> int | None:
        """A number for `stop_reader`; None if it could not be started."""
        ...

    def stop_reader(self, number: int) -> None:
        """Give it a second to read to the end, then send it SIGTERM; `ended` is not called."""
        ...


class _Opened(NamedTuple):
    """A FIFO that is written to.  `reader`: what the number of its program is, if it has one."""

    wanted: NotifyFifo
    descriptor: int
    made: bool
    reader: int | None


class Fifos:
    """The FIFOs of one process.  Nothing raises: what cannot be used is logged and not used.

    `choose` says which of a configuration's FIFOs are this process's, by what keepalived
    calls them ("", "vrrp_").  `log` gets its lines.  `readers` None: programs are not started.
    """

    def __init__(
        self, choose: Choice, log: Callable[[str], None], readers: ReadersPort | None = None
    ) -> None:
        self._choose = choose
        self._log = log
        self._readers = readers
        self._opened: dict[str, _Opened] = {}

    def follow(self, configuration: Configuration) -> None:
        """Open what is missing, close what has changed.

        A FIFO that is the same as before a reload stays open, and its program runs on.
        """
        wanted = self._choose(configuration)
        for kind, opened in list(self._opened.items()):
            if wanted.get(kind) != opened.wanted:
                self._close(self._opened.pop(kind))
        for kind, fifo in wanted.items():
            if fifo.pipe is not None and kind not in self._opened:
                opened_now = self._open(kind, fifo)
                if opened_now is not None:
                    self._opened[kind] = opened_now

    @property
    def open(self) -> bool:
        """Whether anything is written to."""
        return bool(self._opened)

    def write(self, line: str) -> None:
        """Write `line` and its end to all of them; lost where nobody has made room."""
        data = line.encode(errors="surrogateescape") + b"\n"
        for kind, opened in self._opened.items():
            try:
                os.write(opened.descriptor, data)
            except BlockingIOError:
                continue
            except OSError as error:
                self._log(f"{kind.replace('_', ' ')}notify fifo write error: {error.strerror}")

    def close(self) -> None:
        """Close all, remove those that we made, end their programs."""
        while self._opened:
            self._close(self._opened.popitem()[1])

    def _open(self, kind: str, fifo: NotifyFifo) -> _Opened | None:
        assert fifo.pipe is not None
        path, owner = fifo.pipe.path, fifo.pipe.owner
        made = self._make(kind, path, owner)
        if made is None:
            return None
        reader = self._start(kind, fifo.script, path)
        descriptor = self._usable(kind, path, owner)
        if descriptor is None:
            if made:
                _remove(path)
            if reader is not None and self._readers is not None:
                self._readers.stop_reader(reader)
            return None
        return _Opened(fifo, descriptor, made, reader)

    def _make(self, kind: str, path: str, owner: Owner) -> bool | None:
        """Whether the FIFO is ours; None if there is none and can be none."""
        try:
            os.mkfifo(path, _MODE)
        except FileExistsError:
            return False
        except OSError:
            self._log(f"Unable to create {kind}notify fifo {path}")
            return None
        if (owner.uid, owner.gid) != (os.getuid(), os.getgid()):
            try:
                os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
            except OSError:
                self._log(f"Failed to set uid:gid for fifo {path}")
        return True

    def _usable(self, kind: str, path: str, owner: Owner) -> int | None:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags)
        except OSError as error:
            self._log(f"Unable to open {kind}notify fifo {path} - errno {error.errno or errno.EIO}")
            return None
        found = os.fstat(descriptor)
        if not stat.S_ISFIFO(found.st_mode) or found.st_uid not in (os.getuid(), owner.uid):
            self._log(f"{kind}notify fifo {path} is not a fifo we own - not using")
            os.close(descriptor)
            return None
        return descriptor

    def _start(self, kind: str, script: Command | None, path: str) -> int | None:
        if script is None or self._readers is None:
            return None
        command = Command((*script.argv, path), script.uid, script.gid, script.user, script.group)
        whose = kind.removesuffix("_") or "vrrp"
        return self._readers.start_reader(
            command, lambda: self._log(f"{whose} notify fifo script terminated")
        )

    def _close(self, opened: _Opened) -> None:
        assert opened.wanted.pipe is not None
        if opened.made:
            _remove(opened.wanted.pipe.path)
        os.close(opened.descriptor)
        if opened.reader is not None and self._readers is not None:
            self._readers.stop_reader(opened.reader)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        # Somebody was faster.
        return


def of_checkers(configuration: Configuration) -> dict[str, NotifyFifo]:
    """The FIFOs of the checker process: a `Choice`."""
    general = configuration.globals
    return {"": general.notify_fifo, "lvs_": general.lvs_notify_fifo}


def of_vrrp(configuration: Configuration) -> dict[str, NotifyFifo]:
    """The FIFOs of the VRRP process: a `Choice`.

    The program of the common FIFO is the checker process's, if the file has virtual servers.
    """
    common = configuration.globals.notify_fifo
    if configuration.virtual_servers:
        common = NotifyFifo(pipe=common.pipe)
    return {"": common, "vrrp_": configuration.globals.vrrp_notify_fifo}
