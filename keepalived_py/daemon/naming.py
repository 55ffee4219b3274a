"""The name of a process as ps and killall see it (`comm`), which scripts around keepalived rely on."""

from contextlib import suppress

# Unless the configuration says otherwise, every process is called so.
DEFAULT = "keepalived"


def call_this_process(name: str) -> None:
    """Give this process the name `name`, of which the kernel keeps 15 bytes.

    A sandbox may hide /proc: then the name stays what it is, and nothing else changes.
    """
    with suppress(OSError), open("/proc/self/comm", "wb") as own:
        own.write(name.encode("utf-8", "surrogateescape"))
