"""Programs that are run, and the users they run as."""

from __future__ import annotations

from keepalived_py.base.record import Record


class Command(Record):
    """A program with its arguments and the user it runs as.  `argv[0]` is an absolute path.

    `user` and `group` are the names that were written for it ("": none, the default user).
    """

    argv: tuple[str, ...]
    uid: int
    gid: int
    user: str = ""
    group: str = ""

    def __str__(self) -> str:
        return " ".join(self.argv)


# Where a command must stand and none is run.
NO_COMMAND = Command((), 0, 0)
