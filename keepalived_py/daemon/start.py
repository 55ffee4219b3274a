"""From a read command line to the parent's loop: banner, configuration, checks, background, pid files.

The order is keepalived's: everything that can refuse the start is done before
the launcher goes away, so whoever started us sees the exit code.  One thing is
better: the launcher leaves only when the pid files are written.
"""

import os
import platform
import resource
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keepalived_py import __version__
from keepalived_py.base.logs import Log
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import children, namespaces, naming, pidfile, supported
from keepalived_py.daemon.kinds import KINDS, ChildKind
from keepalived_py.daemon.parent import Duties, Parent
from keepalived_py.daemon.reload import effect_lines, log_lines, marker_path
from keepalived_py.daemon.signals import FORWARDED, SignalInbox
from keepalived_py.model.config import Configuration, Globals

NAME_AND_VERSION = f"Keepalived v2.2.7-compatible keepalived-py v{__version__}"
EXIT_NO_CONFIGURATION = 6
_CAP_NET_ADMIN = 12
_CAP_NET_RAW = 13
_NO_AUTO_PRIORITY = (
    "NOTICE: setting config option max_auto_priority should result in better keepalived performance"
)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What the command line says about a run.

    `load(path)` reads the configuration.  `umask` None: the configuration's.
    `pid_files`: by kind of child, or `keepalived` for the parent.  `kinds`: the
    children that may run.  `without_effect`: options that are accepted and do nothing yet.
    """

    command_line: tuple[str, ...]
    path: str
    load: Callable[[str], Loaded]
    log: Log
    foreground: bool = False
    namespace: str | None = None
    umask: int | None = None
    pid_files: Mapping[str, str] = field(default_factory=dict)
    respawn: bool = True
    all_processes: bool = False
    kinds: tuple[ChildKind, ...] = KINDS
    keep_addresses: bool = False
    keep_services: bool = False
    address_monitoring: bool = False
    ignore_sigint: bool = False
    core_dump: bool = False
    dump_configuration: bool = False
    without_effect: tuple[str, ...] = ()


def missing_permission(status_file: str = "/proc/self/status") -> str | None:
    """A line for the user if this process may not manage the network; None if it may."""
    with open(status_file, encoding="ascii", errors="replace") as status:
        held = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), 0)
    wanted = {_CAP_NET_ADMIN: "CAP_NET_ADMIN", _CAP_NET_RAW: "CAP_NET_RAW"}
    missing = [name for bit, name in wanted.items() if not held >> bit & 1]
    return f"keepalived-py must run as root ({' and '.join(missing)} missing)" if missing else None


def run(settings: RunSettings) -> int:
    """The daemon from its first line in the log to its last; returns the exit code."""
    # A reload or dump asked for while the file is being read must not end the process; it waits.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, *FORWARDED})
    try:
        return _run(settings)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(settings: RunSettings) -> int:
    log = settings.log
    _say_start(settings)
    try:
        loaded, entered = _load(settings)
    except namespaces.NamespaceMissing as missing:
        log.error(f"{missing}\nUnable to set network namespace {missing.name} - exiting")
        return _stopped(log, 0)
    if loaded.start_exit_code != EXIT_NO_CONFIGURATION:
        log.info(f"Configuration file {settings.path}")
    say = log.warn if loaded.start_exit_code is None else log.error
    for line in log_lines(loaded.diagnostics):
        say(line)
    if loaded.start_exit_code is not None:
        return _stopped(log, loaded.start_exit_code)
    found = supported.runnable(loaded.configuration)
    for line in effect_lines((*settings.without_effect, *found.idle)):
        log.info(line)
    return _start(settings, found.configuration, entered)


def _say_start(settings: RunSettings) -> None:
    system = platform.uname()
    log = settings.log
    log.info(f"Starting {NAME_AND_VERSION}")
    log.info(f"Running on {system.system} {system.release} {system.version}")
    log.info("Command line: " + " ".join(f"'{word}'" for word in settings.command_line))
    log.detail(f"Opening file '{settings.path}'.")


def _load(settings: RunSettings) -> tuple[Loaded, namespaces.Entered | None]:
    """The configuration, read where it will run, and the network namespace entered.

    What the configuration says about interfaces is judged inside the namespace;
    one named only in the configuration therefore means reading it twice.
    """
    if settings.namespace is not None:
        entered = namespaces.enter(settings.namespace)
        return settings.load(settings.path), entered
    loaded = settings.load(settings.path)
    named = loaded.net_namespace
    if named is None:
        return loaded, None
    entered = namespaces.enter(named)
    return settings.load(settings.path), entered


def _start(settings: RunSettings, configuration: Configuration, entered: namespaces.Entered | None) -> int:
    general = configuration.globals
    namespace = None if entered is None else entered.name
    naming.call_this_process(general.process_name or naming.DEFAULT)
    if settings.namespace and general.net_namespace not in (None, settings.namespace):
        written, given = general.net_namespace, settings.namespace
        text = f"Overriding config net_namespace '{written}' with command line namespace '{given}'"
        settings.log.info(text)
    log = _named_log(settings.log, namespace, general.instance)
    files = pidfile.places(general, namespace, settings.pid_files, (kind.name for kind in settings.kinds))
    try:
        outside = namespaces.private_pid_directory(namespace) if namespace is not None else None
        if any(map(pidfile.running, files.every)):
            log.info("daemon is already running")
            return 0
        _process_limits(settings, general)
        leave_launcher = None if settings.foreground else go_to_background()
        _write_pid_file(files, general)
    except OSError as fault:
        log.error(f"Unable to start: {fault}")
        return _stopped(log, children.EXIT_FATAL)
    if leave_launcher is not None:
        leave_launcher()
    if not general.max_auto_priority:
        log.info(_NO_AUTO_PRIORITY)
    try:
        log_of_run = log if settings.foreground else log.without_console()
        code = _watch(settings, configuration, log_of_run, files, entered)
    finally:
        for path in files.every:  # a child that was killed leaves its own behind
            pidfile.remove(path)
        if outside is not None:
            namespaces.leave_pid_directory(outside)
        pidfile.remove_directory(files)
    return _stopped(log, code)


def _named_log(log: Log, namespace: str | None, instance: str | None) -> Log:
    """The log under the name that tells this daemon from others on the machine."""
    ident = "_".join(word for word in ("Keepalived", namespace, instance) if word)
    if ident == log.settings.ident:
        return log
    log.info(f"Changing syslog ident to {ident}")
    return log.renamed(ident)


def _process_limits(settings: RunSettings, general: Globals) -> None:
    os.umask(general.umask if settings.umask is None else settings.umask)
    if settings.core_dump:
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def _write_pid_file(files: pidfile.PidFiles, general: Globals) -> None:
    for directory in files.directories():
        os.makedirs(directory, mode=0o755, exist_ok=True)
    pidfile.write(files.parent, os.getpid())
    marker = marker_path(general, files.marker)
    if marker is not None:
        pidfile.remove(marker)  # of a run that ended while it was reading


def _watch(
    settings: RunSettings,
    configuration: Configuration,
    log: Log,
    files: pidfile.PidFiles,
    entered: namespaces.Entered | None,
) -> int:
    children.adopt_orphans()
    namespace, home = (None, None) if entered is None else entered

    def child(kind: ChildKind) -> children.ChildSettings:
        return children.ChildSettings(
            log=log.renamed(log.settings.ident.replace("Keepalived", kind.ident, 1)),
            pid_file=files.children[kind.name],
            keep_addresses=settings.keep_addresses,
            keep_services=settings.keep_services,
            address_monitoring=settings.address_monitoring,
            home_namespace=home,
            namespace=namespace,
            process_name=kind.process_name,
        )

    duties = Duties(
        path=settings.path,
        load=lambda: settings.load(settings.path),
        kinds=settings.kinds,
        settings=child,
        respawn=settings.respawn,
        always=settings.all_processes,
        ignore_sigint=settings.ignore_sigint,
        fixed_namespace=settings.namespace is not None,
        marker=files.marker,
        dump=_dumper(log) if settings.dump_configuration else lambda _: None,
    )
    inbox = SignalInbox()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, *FORWARDED})
    code = Parent(configuration, duties, log, inbox).run()
    inbox.deafen()
    log.detail(_cpu_usage())
    return code


def _dumper(log: Log) -> Callable[[Configuration], None]:
    """-d: what was understood goes to the log, as a configuration file with all passwords masked."""

    def dump_to_log(configuration: Configuration) -> None:
        from keepalived_py.config.dump import dump

        log.info(dump(configuration, secrets=False))

    return dump_to_log


def _cpu_usage() -> str:
    own = resource.getrusage(resource.RUSAGE_SELF)
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    user = f"user: {own.ru_utime:.6f}/{others.ru_utime:.6f}"
    return f"CPU usage (self/children) {user} system: {own.ru_stime:.6f}/{others.ru_stime:.6f}"


def _stopped(log: Log, code: int) -> int:
    log.info(f"Stopped {NAME_AND_VERSION}")
    return code


def go_to_background() -> Callable[[], None]:
    """Become a daemon: own session, no terminal, working directory /; raises OSError.

    The launcher exits with 0 when the returned function is called (or with 1 if
    the daemon ends before that).
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if os.fork():
        os.close(writer)
        os._exit(0 if os.read(reader, 1) else 1)
    os.close(reader)
    os.setsid()
    if os.fork():  # not the leader of the session any more: can never get a terminal again
        os._exit(0)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)

    def leave_launcher() -> None:
        os.write(writer, b"+")
        os.close(writer)

    return leave_launcher
