"""A daemon of which everything is real but the VRRP process and the configuration file's language.

Run as a program by the tests: `driver.py DIRECTORY [-b] [OPTION...]`.  The file
DIRECTORY/configuration holds words: `instances`, `broken`, `crash`, `instance=NAME`,
`priority=N`.  The stand-in for the VRRP process logs what it is told; the file
DIRECTORY/behaviour tells it to end at once with an exit code, or to be deaf.
"""

import os
import select
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.children import ChildMain, ChildSettings
from keepalived_py.daemon.start import RunSettings, run
from keepalived_py.diagnostics.report import Diagnostic
from keepalived_py.model.config import Configuration, Globals, Instance


def load(path: str) -> Loaded:
    """The configuration at `path`, in this driver's own few words."""
    try:
        words = Path(path).read_text().split()
    except OSError:
        return Loaded(Configuration(), (Diagnostic("missing", f"Config files missing '{path}'."),), 0, 6)
    if "crash" in words:
        raise RuntimeError("a mistake in the reader")
    named = dict(word.split("=") for word in words if "=" in word)
    name, interface = InstanceName("VI_1"), InterfaceName("lo")
    instance = Instance(name, interface, 5, base_priority=int(named.get("priority", "100")))
    configuration = Configuration(
        globals=Globals(instance=named.get("instance")),
        instances=(instance,) if "instances" in words else (),
        ssl="odd" if "odd" in words else None,
    )
    if "broken" in words:
        return Loaded(configuration, (Diagnostic("broken", "it is broken"),), 5, 2)
    return Loaded(configuration, (), 0, None)


def child_main(directory: Path) -> ChildMain:
    """What runs in the child instead of VRRP."""

    def main(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
        behaviour = (directory / "behaviour").read_text() if (directory / "behaviour").exists() else ""
        if behaviour.startswith("exit"):
            return int(behaviour.split()[1])
        if behaviour == "raise":
            raise RuntimeError("a mistake in the program")
        stop_reader, stop_writer = os.pipe()
        signal.signal(signal.SIGTERM, lambda *_: os.write(stop_writer, b"x") and None)
        signal.signal(signal.SIGUSR1, lambda *_: settings.log.info("asked for data"))
        channels.send(channel, channels.Kind.READY)
        settings.log.info(f"priority {configuration.instances[0].base_priority}")
        inbox = channels.Inbox()
        told = channel.fileno()
        while stop_reader not in (readable := select.select([told, stop_reader], [], [], 20)[0]):
            if told in readable:
                for message in inbox.feed(channel.recv(65536)):
                    if message.configuration is not None:
                        settings.log.info(f"told: {len(message.configuration.instances)} instances")
                        channels.send(channel, channels.Kind.READY)
        return 0

    return main


def driver(words: list[str]) -> int:
    """Run the daemon with its files in the directory named first."""
    directory = Path(words[0])
    settings = RunSettings(
        command_line=("driver", *words),
        path=str(directory / "configuration"),
        load=load,
        log=Log(
            LogSettings(
                syslog="-b" in words,
                console="-b" not in words,
                detail="-D" in words,
                syslog_path=str(directory / "syslog"),
            )
        ),
        foreground="-b" not in words,
        pid_file=str(directory / "parent.pid"),
        vrrp_pid_file=str(directory / "vrrp.pid"),
        child_main=lambda: child_main(directory),
    )
    if "-R" in words:
        settings = replace(settings, respawn=False)
    return run(settings)


if __name__ == "__main__":
    sys.exit(driver(sys.argv[1:]))
