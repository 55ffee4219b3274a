"""Pid files: where they are, whether the daemon they name still lives, writing and removing.

Places (keepalived 2.2.7): /run/keepalived.pid, /run/vrrp.pid and so on; with
`use_pid_dir`, an instance name or a network namespace, under /run/keepalived
and with the instance in the name.  A file left behind by a crash names a
process that is gone, or one that got the same number later; the second is told
by its command line.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from keepalived_py.daemon.namespaces import PID_DIRECTORY
from keepalived_py.model.config import Globals

RUN_DIRECTORY = "/run"
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class PidFiles:
    """The paths for the parent and for each kind of child, and the usual one of `reload_file`.

    `directory` is that of all files whose place was not chosen on the command line.
    """

    parent: str
    children: Mapping[str, str]
    marker: str
    directory: str

    @property
    def every(self) -> tuple[str, ...]:
        """All pid files."""
        return (self.parent, *self.children.values())

    def directories(self) -> set[str]:
        """The directories that must exist."""
        return {os.path.dirname(path) or "." for path in (*self.every, self.marker)}


def places(
    settings: Globals, namespace: str | None, given: Mapping[str, str], kinds: Iterable[str]
) -> PidFiles:
    """Where the pid files belong.

    `given`: the paths from the command line, by kind of child, or `keepalived` for the parent.
    """
    own_directory = settings.use_pid_dir or settings.instance is not None or namespace is not None
    directory = PID_DIRECTORY if own_directory else RUN_DIRECTORY
    suffix = f"_{settings.instance}" if settings.instance else ""

    def place(name: str) -> str:
        return os.path.abspath(given.get(name) or f"{directory}/{name}{suffix}.pid")

    marker = f"{directory}/keepalived{suffix}.reload"
    return PidFiles(place("keepalived"), {name: place(name) for name in kinds}, marker, directory)


def running(path: str) -> int | None:
    """The process that the file at `path` names, if it is alive, a keepalived and not ourselves."""
    try:
        with open(path, "rb") as file:
            pid = int(file.read(32).split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if pid > 0 and pid != os.getpid() and _is_keepalived(pid) else None


def _is_keepalived(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"keepalived" in file.read(4096)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # somebody lives there and cannot be looked at: better not start twice


def write(path: str, pid: int) -> None:
    """Write `pid` to `path` (0644 whatever the umask, no symlink followed); raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _MODE)
    try:
        os.fchmod(descriptor, _MODE)
        os.write(descriptor, f"{pid}\n".encode())
    finally:
        os.close(descriptor)


def remove(path: str) -> None:
    """Remove the file if it is there."""
    with suppress(OSError):
        os.unlink(path)


def remove_directory(files: PidFiles) -> None:
    """Remove the directory of the pid files if it is keepalived's own and nobody has files there."""
    if files.directory == PID_DIRECTORY:
        with suppress(OSError):
            os.rmdir(PID_DIRECTORY)
