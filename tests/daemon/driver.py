"""A daemon of which everything is real but the children and the configuration file's language.

Run as a program by the tests: `driver.py DIRECTORY [-b] [OPTION...]`.  The file
DIRECTORY/configuration holds words: `instances`, `bfd`, `broken`, `doubtful`, `crash`,
`priority=N`, and NAME=VALUE for some globals.  The stand-in for a child logs what it is
told; the files DIRECTORY/behaviour and DIRECTORY/behaviour.bfd tell it to end at once with
an exit code, to raise, to be deaf to SIGTERM, or never to be ready.
"""

import os
import select
import signal
import socket
import sys
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from keepalived_py.base.clock import Micros
from keepalived_py.base.logs import Log, LogSettings
from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import bfd_lines, parent
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.children import ChildMain, ChildSettings
from keepalived_py.daemon.kinds import KINDS, ChildKind
from keepalived_py.daemon.start import RunSettings, run
from keepalived_py.diagnostics.report import Diagnostic
from keepalived_py.model.bfd import BfdInstance
from keepalived_py.model.config import Command, Configuration, Globals, Instance
from keepalived_py.model.globals import Reload


def load(path: str) -> Loaded:
    """The configuration at `path`, in this driver's own few words."""
    try:
        words = Path(path).read_text().split()
    except OSError:
        return Loaded(Configuration(), (Diagnostic("missing", f"Config files missing '{path}'."),), 0, 6)
    if "crash" in words:
        raise RuntimeError("a mistake in the reader")
    if "slow" in words:
        time.sleep(0.5)
    named = dict(word.split("=", 1) for word in words if "=" in word)
    name, interface = InstanceName("VI_1"), InterfaceName("lo")
    instance = Instance(name, interface, 5, base_priority=int(named.get("priority", "100")))
    configuration = Configuration(
        globals=globals_of(named),
        instances=(instance,) if "instances" in words else (),
        bfd_instances=(BfdInstance("b1", ip_address("10.0.0.1")),) if "bfd" in words else (),
    )
    if "broken" in words:
        return Loaded(configuration, (Diagnostic("broken", "it is broken"),), 5, 2)
    if "doubtful" in words:
        return Loaded(configuration, (Diagnostic("doubtful", "it is doubtful"),), 5, None)
    return Loaded(configuration, (), 0, None)


def globals_of(named: dict[str, str]) -> Globals:
    """The globals that the words NAME=VALUE set."""
    scripts = {name: Command((named[name],), 0, 0) for name in named if name.endswith("_script")}
    times = {name: int(named[name]) for name in named if name.endswith("_s")}
    files = Reload(
        check_config=named.get("check"),
        time_file=named.get("time_file"),
        repeat="repeat" in named,
        marker=named.get("marker"),
    )
    return Globals(
        instance=named.get("instance"),
        disable_local_igmp="igmp" in named,
        json_version=2 if "odd" in named else 1,
        process_name=named.get("name"),
        vrrp_process_name=named.get("vrrp_name"),
        delay_after_boot_us=Micros(int(named.get("boot", "0"))),
        reload=files,
        **scripts,  # type: ignore[arg-type]
        **times,  # type: ignore[arg-type]
    )


class StandIn:
    """What runs in a child instead of its real work."""

    def __init__(self, kind: str, settings: ChildSettings, channel: socket.socket) -> None:
        self.kind = kind
        self.log = settings.log
        self.channel = channel
        self.events = settings.bfd_events
        self.checker_events = settings.bfd_checker_events
        self.inbox = channels.Inbox()

    def live(self, configuration: Configuration, behaviour: str) -> int:
        """Until SIGTERM; the exit code."""
        if behaviour.startswith("exit"):
            return int(behaviour.split()[1])
        if behaviour == "raise":
            raise RuntimeError("a mistake in the program")
        stop_reader, stop_writer = os.pipe()
        deaf = behaviour == "deaf"
        signal.signal(signal.SIGTERM, lambda *_: None if deaf else os.write(stop_writer, b"x") and None)
        signal.signal(signal.SIGUSR1, lambda *_: self.log.info(f"{self.kind} asked for data"))
        if behaviour != "silent":
            channels.send(self.channel, channels.Kind.READY)
        if self.kind == "bfd":
            self.tell(bfd_lines.BfdLine("b1", False, 0))
        for instance in configuration.instances if self.kind == "vrrp" else ():
            self.log.info(f"priority {instance.base_priority}")
        self.log.info(f"{self.kind} runs, delay {configuration.globals.startup_delay_us > 0}")
        readers = [self.channel.fileno(), stop_reader]
        if self.kind in ("vrrp", "checkers") and self.events is not None:
            readers.append(self.events.fileno())
        while stop_reader not in (readable := select.select(readers, [], [], 20)[0]):
            self.attend(readable)
        return 0

    def attend(self, readable: list[int]) -> None:
        """Whatever has come in."""
        if self.channel.fileno() in readable:
            for message in channels.receive(self.channel, self.inbox) or ():
                self.on_message(message)
        if self.events is not None and self.events.fileno() in readable:
            for line in bfd_lines.receive(self.events):
                who = "checkers " if self.kind == "checkers" else ""
                self.log.info(f"{who}heard: {line.name} {line.up}")

    def tell(self, line: bfd_lines.BfdLine) -> None:
        """What the BFD process says to both that listen."""
        for events in (self.events, self.checker_events):
            if events is not None:
                bfd_lines.send(events, line)

    def on_message(self, message: channels.Message) -> None:
        """A word of the parent."""
        if message.kind is channels.Kind.REPORT:
            self.tell(bfd_lines.BfdLine("b1", True, 1))
        if message.configuration is not None:
            self.log.info(f"{self.kind} told: {len(message.configuration.instances)} instances")
            channels.send(self.channel, channels.Kind.READY)


def stand_in(kind: str, directory: Path) -> ChildMain:
    """The entry point of a child of this kind."""

    def main(configuration: Configuration, settings: ChildSettings, channel: socket.socket) -> int:
        path = directory / ("behaviour" if kind == "vrrp" else f"behaviour.{kind}")
        behaviour = path.read_text() if path.exists() else ""
        return StandIn(kind, settings, channel).live(configuration, behaviour)

    return main


def kinds(directory: Path) -> tuple[ChildKind, ...]:
    """The real table, with stand-ins for what runs in the children."""
    return tuple(
        replace(kind, main=lambda configuration, name=kind.name: stand_in(name, directory))  # type: ignore[misc]
        for kind in KINDS
    )


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
        pid_files={
            "keepalived": str(directory / "parent.pid"),
            **{kind.name: str(directory / f"{kind.name}.pid") for kind in KINDS},
        },
        kinds=kinds(directory),
        ignore_sigint="--ignore-sigint" in words,
        all_processes="--all" in words,
        dump_configuration="-d" in words,
    )
    if "--impatient" in words:
        parent.READY_LIMIT_S = 0.3
    if "-R" in words:
        settings = replace(settings, respawn=False)
    return run(settings)


if __name__ == "__main__":
    sys.exit(driver(sys.argv[1:]))
