"""Programs that are run, and the users they run as."""

from keepalived_py.base.record import Record


class Command(Record):
    """A program with its arguments and the user it runs as.  `argv[0]` is an absolute path."""

    argv: tuple[str, ...]
    uid: int
    gid: int

    def __str__(self) -> str:
        return " ".join(self.argv)
