"""Files and directories in which one process leaves its state for others, or for its own next life.

A file is moved into place whole, so that a reader sees the old one or the new one
and never half of one.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress

_DIRECTORY_MODE = 0o755


def make_directory(path: str) -> None:
    """Make `path` and what is missing above it, for everybody to look into; raises OSError.

    Whatever the umask is: what it takes away from a directory that is made would shut readers out.
    """
    above = os.path.dirname(path)
    if above and not os.path.isdir(above):
        make_directory(above)
    try:
        os.mkdir(path, _DIRECTORY_MODE)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        os.chmod(path, _DIRECTORY_MODE)


def intruder(path: str) -> str:
    """Who else could put other files into the directory `path`, in words; "" if nobody can.  Raises OSError.

    Whoever may write into it, or into one above it, or has made the link that leads there.  A
    sticky directory like /tmp lets everybody make files, and nobody move those of others.
    """
    user, group = (0, os.geteuid()), (0, os.getegid())
    if os.lstat(path).st_uid not in user:
        return f"{path} belongs to the user {os.lstat(path).st_uid}"
    above = os.path.realpath(path)
    while True:
        found = os.stat(above)
        if found.st_uid not in user:
            return f"{above} belongs to the user {found.st_uid}"
        open_to_all = found.st_mode & stat.S_IWOTH
        open_to_group = found.st_mode & stat.S_IWGRP and found.st_gid not in group
        sticky = found.st_mode & stat.S_ISVTX and above != os.path.realpath(path)
        if (open_to_all or open_to_group) and not sticky:
            return f"others than its owner may write in {above}"
        if above == os.path.dirname(above):
            return ""
        above = os.path.dirname(above)


def replace_file(path: str, pieces: Iterable[str], mode: int, *, durable: bool = False) -> None:
    """Put a file with this text and these permissions at `path`; raises OSError.

    `durable`: return when it is on the disk.  The temporary name is always the same: what a
    killed writer left behind is written over.
    """
    temporary = f"{path}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)  # whatever the umask is
            file.writelines(pieces)
            if durable:
                file.flush()
                os.fsync(descriptor)
        os.replace(temporary, path)
        if durable:
            _sync_directory(os.path.dirname(path) or ".")
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
