"""The worker processes: how one is forked, what it is told, when it is started again.

A child is a fork of the parent, made after everything it needs is imported and
the garbage collector has been told to leave those pages alone, so that it costs
about two megabytes of its own.  It dies with the parent: the kernel sends it
SIGTERM if the parent goes away, however that happens.

A child that dies is started again at once if it had lived for a minute;
otherwise after 0, 1, 2, 4 ... 60 seconds (keepalived's rule).
"""

import ctypes
import gc
import os
import resource
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from keepalived_py.base.clock import Micros
from keepalived_py.base.errors import FatalStart, PermissionMissing
from keepalived_py.base.logs import Log
from keepalived_py.base.record import replace
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon import naming, pidfile
from keepalived_py.daemon.signals import WATCHED, SignalInbox
from keepalived_py.model.config import Configuration, Globals
from keepalived_py.system.clocks import boottime

EXIT_FATAL = 1
EXIT_CONFIG = 2
EXIT_PERMISSION = 4
EXIT_INTERNAL = 70
PERMANENT_ERRORS = {EXIT_FATAL: "FATAL", EXIT_CONFIG: "CONFIG", EXIT_PERMISSION: "missing permission"}

LONG_ENOUGH_S = 60.0
_LONGEST_DELAY_S = 60
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """What a child must know besides the configuration.

    `log` is the child's own.  `keep_addresses` (-V): at stop, send no resignation and
    leave addresses in place.  `keep_services` (-I): at stop, leave the IPVS table as it is.
    `address_monitoring` (-a): log every address change.
    `pid_file` is written and removed around the child's work, not by it.
    `home_namespace`: a descriptor of the network namespace that was left for `net_namespace`.
    `namespace`: the name of the network namespace that was entered.
    `bfd_events`: the VRRP process reads there what the BFD process writes
    (`daemon.bfd_lines`); each has its own end.  The process of the virtual servers reads from
    a pair of its own: what the BFD process writes to that is `bfd_checker_events`.
    `process_name` finds in a configuration what ps is to show (None: as the parent is called).
    """

    log: Log
    pid_file: str
    keep_addresses: bool = False
    keep_services: bool = False
    address_monitoring: bool = False
    home_namespace: int | None = None
    namespace: str | None = None
    bfd_events: socket.socket | None = None
    bfd_checker_events: socket.socket | None = None
    process_name: Callable[[Globals], str | None] = lambda _: None


ChildMain = Callable[[Configuration, ChildSettings, socket.socket], int]


@dataclass(slots=True)
class Child:
    """A running child.  `started_s` is on the monotonic clock; `unsent`: what it has not taken yet."""

    pid: int
    channel: socket.socket
    started_s: float
    inbox: channels.Inbox
    unsent: bytearray
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next start, by how long the last life was."""

    next_s: int = 0

    def after_life(self, lived_s: float) -> tuple[int | None, "Backoff"]:
        """Seconds to wait (None: at once, and nothing to say) and the state afterwards."""
        if lived_s >= LONG_ENOUGH_S:
            return None, Backoff()
        following = min(_LONGEST_DELAY_S, max(1, self.next_s * 2))
        return self.next_s, Backoff(following)


def start(
    configuration: Configuration,
    settings: ChildSettings,
    main: ChildMain,
    inbox: SignalInbox,
    strange: Iterable[int] = (),
) -> Child:
    """Fork a child that runs `main`; raises OSError if there can be no more processes.

    `strange`: descriptors of the parent that are none of this child's business.
    """
    ours, theirs = channels.pair()
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    # Held back until each side has its own handling: none is lost or taken for the other's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        pid = os.fork()
        if pid == 0:

            def prepare() -> None:
                for descriptor in (ours.detach(), *strange):
                    os.close(descriptor)
                inbox.give_up()
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                _prepare(configuration, settings)

            _live(prepare, lambda: main(with_boot_delay(configuration), settings, theirs), settings, parent)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        gc.unfreeze()
        theirs.close()
    ours.setblocking(False)
    return Child(pid, ours, time.monotonic(), channels.Inbox(), bytearray())


def _prepare(configuration: Configuration, settings: ChildSettings) -> None:
    name = settings.process_name(configuration.globals)
    if name is not None:
        naming.call_this_process(name)
    if configuration.globals.random_seed is not None:
        import random  # hardly anybody asks for it

        random.seed(configuration.globals.random_seed)


def with_boot_delay(configuration: Configuration, uptime_us: int | None = None) -> Configuration:
    """`configuration` with what is left of `vrrp_delay_after_boot` in its `startup_delay_us`.

    The longer of both delays counts, as in keepalived.  `uptime_us`: microseconds
    since boot, None: this machine's.
    """
    general = configuration.globals
    if not general.delay_after_boot_us:
        return configuration
    if uptime_us is None:
        uptime_us = boottime()
    delay = max(general.startup_delay_us, general.delay_after_boot_us - uptime_us)
    return replace(configuration, globals=replace(general, startup_delay_us=Micros(delay)))


def _live(
    prepare: Callable[[], None], main: Callable[[], int], settings: ChildSettings, parent: int
) -> NoReturn:
    """The whole life of a child."""
    code = EXIT_INTERNAL
    try:
        prepare()
        die_with_parent(parent)
        code = _work(main, settings)
    except BaseException:
        settings.log.error("A child process failed:\n" + traceback.format_exc())
    finally:
        os._exit(code)


def _work(main: Callable[[], int], settings: ChildSettings) -> int:
    pidfile.write(settings.pid_file, os.getpid())
    try:
        code = main()
    except (FatalStart, PermissionMissing) as fault:
        settings.log.error(str(fault))
        code = EXIT_PERMISSION if isinstance(fault, PermissionMissing) else EXIT_FATAL
    finally:
        pidfile.remove(settings.pid_file)
    settings.log.info(f"Stopped{_used(settings.log.settings.detail)}")
    return code


def _used(detail: int) -> str:
    if not detail:
        return ""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return f" - used {used.ru_utime:.6f} user time, {used.ru_stime:.6f} system time"


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent ends; leave at once if it has already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent ends, so that none is lost."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def describe_end(process: str, status: int) -> str | None:
    """How `process` ended, from the status that wait gave, in keepalived's words; None: as it should."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGSEGV:
            return f"{process} exited due to segmentation fault (SIGSEGV)."
        more = " - has rlimit_rttime been exceeded?" if number == signal.SIGKILL else ""
        return f"{process} exited due to signal {number} ({signal.strsignal(number) or 'unknown'}){more}"
    code = os.WEXITSTATUS(status)
    if code in PERMANENT_ERRORS:
        return f"{process} exited with permanent error {PERMANENT_ERRORS[code]}. Terminating"
    return f"{process} exited with status {code}" if code else None
