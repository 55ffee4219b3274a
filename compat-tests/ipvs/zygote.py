"""A daemon that is forked before it is needed, and starts the moment it is told its arguments.

A program written in Python takes seconds to import its modules in this kernel.  Here
it is imported once, by the first process of the laboratory, and every arena has a copy:
the fork stands where a user's shell would fork, and what runs afterwards is the
program's own `main`.  A program that is not Python is executed in the copy.
"""

import contextlib
import importlib
import io
import os
import pkgutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# Its rooms, whichever of its processes uses them, and what others import when they need it.
_ROOMS = ("election", "wire", "system", "probes", "health", "core", "daemon")
_MODULES = (
    "keepalived_py.cli.main", "keepalived_py.cli.check", "keepalived_py.config.load", "keepalived_py.config.dump",
    "pyroute2.netlink.generic.ipvs", "dns.message", "dns.rcode", "random",
)  # fmt: skip
WARM = "warm:"
_SMALL = "virtual_server 10.5.0.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server 10.5.0.2 80 {\n }\n}\n"


def warm_up() -> None:
    """Import the daemon, and let it read a configuration, as the first start after a boot would."""
    rooms = [importlib.import_module(f"keepalived_py.{room}") for room in _ROOMS]
    found = [
        module.name for room in rooms for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    ]
    for name in (*_MODULES, *found):
        importlib.import_module(name)
    from keepalived_py.cli.main import main

    path = Path("/run/small.conf")
    path.write_text(_SMALL)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        main(["-t", "--no-host", "-f", str(path)])


class Daemon:
    """One daemon: forked here, started by `start`, ended by signals."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        orders, self._orders = os.pipe()
        self.output, said = os.pipe()
        self.started = False
        self.exit_code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._orders)
            os.close(self.output)
            self._become(orders, said)
        os.close(orders)
        os.close(said)

    def start(self, arguments: Sequence[str]) -> None:
        """Run with these arguments from now on."""
        os.write(self._orders, "\0".join(arguments).encode())
        os.close(self._orders)
        self.started = True

    def alive(self) -> bool:
        """Whether it runs; `exit_code` is known afterwards if not."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is None

    def send(self, number: signal.Signals) -> None:
        """A signal, if there is still somebody to hear it."""
        if self.alive():
            os.kill(self.pid, number)

    # -- in the copy ----------------------------------------------------------------

    def _become(self, orders: int, said: int) -> None:
        """Wait for the arguments; then this process is the daemon, and never returns."""
        code = 1
        try:
            words = b""
            while more := os.read(orders, 65536):
                words += more
            if words:
                os.close(orders)
                code = self._run(words.decode().split("\0"), said)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(code)

    def _run(self, arguments: list[str], said: int) -> int:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.closerange(3, 256)
        if self._command[0] != WARM:
            os.execv(self._command[0], [*self._command, *arguments])
        sys.argv = [*self._command[1:], *arguments]
        from keepalived_py.cli.main import main

        code = main(arguments)
        sys.stderr.flush()
        return code
