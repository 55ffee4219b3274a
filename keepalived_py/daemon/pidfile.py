"""Pid files: where they are, whether the daemon they name still lives, writing and removing.

Places (keepalived 2.2.7): /run/keepalived.pid and /run/vrrp.pid; with
`use_pid_dir`, an instance name or a network namespace, under /run/keepalived
and with the instance in the name.  A file left behind by a crash names a
process that is gone, or one that got the same number later; the second is told
by its command line.
"""

import os
from contextlib import suppress
from dataclasses import dataclass

from keepalived_py.daemon.namespaces import PID_DIRECTORY
from keepalived_py.model.config import Globals

RUN_DIRECTORY = "/run"
_MODE = 0o644


@dataclass(frozen=True, slots=True)
class PidFiles:
    """The paths for the parent and for the VRRP process."""

    parent: str
    vrrp: str

    def directories(self) -> set[str]:
        """The directories that must exist."""
        return {os.path.dirname(path) or "." for path in (self.parent, self.vrrp)}


def places(settings: Globals, namespace: str | None, parent: str | None, vrrp: str | None) -> PidFiles:
    """Where the pid files belong; `parent` and `vrrp` are the paths given with -p and -r."""
    own_directory = settings.use_pid_dir or settings.instance is not None or namespace is not None
    directory = PID_DIRECTORY if own_directory else RUN_DIRECTORY
    suffix = f"_{settings.instance}" if settings.instance else ""
    return PidFiles(
        parent=os.path.abspath(parent or f"{directory}/keepalived{suffix}.pid"),
        vrrp=os.path.abspath(vrrp or f"{directory}/vrrp{suffix}.pid"),
    )


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
