"""What all commands share: how a wrong command line ends, and where a configuration is read from."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from keepalived_py.config.host import Host

EXIT_USAGE = 1


class Parser(argparse.ArgumentParser):
    """Ends with 1 for a wrong command line, as the program does everywhere."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave."""
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}\n")


def node_id(config_id: str | None, host: Host) -> str:
    """What `@ID` lines are compared with: as said, else the host's name up to its first dot."""
    return config_id or (host.host_name() or os.uname().nodename).partition(".")[0]
