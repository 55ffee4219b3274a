"""The parent's loop: it watches signals, children and scripts of its own, and acts on nothing else.

It waits for all of them at once and does everything else by deadlines: when a
dead child is to be started again, until when its children may take to be ready,
until when a stopping one may take.  It does not run asyncio, because it forks.

Order at a start: the startup script, then the children by the table of kinds.
Order at a stop: tell every child, wait until each has resigned and taken its
addresses away (one that does not end within `child_wait_time` is killed), then
the shutdown script.  What comes in while the parent is not ready for it, such as
a reload during a reload, waits; a second SIGTERM changes nothing.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from keepalived_py.base.logs import Log
from keepalived_py.daemon import bfd_lines, children, naming, notify_systemd
from keepalived_py.daemon import channel as channels
from keepalived_py.daemon.hooks import Hook
from keepalived_py.daemon.kinds import BFD, CHECKERS, VRRP, ChildKind
from keepalived_py.daemon.reload import Load, Refused, marked, marker_path, read_again
from keepalived_py.daemon.reload_time import ReloadTimer
from keepalived_py.daemon.signals import FORWARDED, STOPPING, SignalInbox
from keepalived_py.daemon.worker import NEVER, Worker
from keepalived_py.model.config import Configuration
from keepalived_py.model.scripts import Command

# For all children together to become ready at start, or to take a new configuration.
READY_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Duties:
    """What the parent is to do besides the configuration.

    `load` reads the configuration at `path`.  `kinds`: the children it may start, in
    this order.  `settings(kind)` makes what a child of that kind is to know.
    `always` starts them all, even with nothing configured.  `fixed_namespace`: the
    command line names the network namespace.
    `marker`: the usual place of `reload_file`.  `dump` is called with each
    configuration that is taken, when its children have it.
    """

    path: str
    load: Load
    kinds: Sequence[ChildKind]
    settings: Callable[[ChildKind], children.ChildSettings]
    respawn: bool = True
    always: bool = False
    ignore_sigint: bool = False
    fixed_namespace: bool = False
    marker: str = ""
    dump: Callable[[Configuration], None] = lambda _: None


class Phase(Enum):
    """What the parent is at.  OPENING: the startup script runs; CLOSING: the shutdown script does."""

    OPENING = auto()
    RUNNING = auto()
    STOPPING = auto()
    CLOSING = auto()
    DONE = auto()


class Parent:
    """Runs until it is told to stop, or until going on makes no sense."""

    def __init__(self, configuration: Configuration, duties: Duties, log: Log, inbox: SignalInbox) -> None:
        self._configuration = configuration
        self._duties = duties
        self._log = log
        self._inbox = inbox
        # For each kind that listens to the BFD process the end it reads from, and the other end.
        self._bfd_pairs = {name: bfd_lines.pair() for name in (VRRP.name, CHECKERS.name)}
        self._workers = [self._worker(kind) for kind in duties.kinds]
        self._phase = Phase.OPENING
        self._hook: Hook | None = None
        self._timer: ReloadTimer | None = None
        self._ready_until = NEVER
        self._opened = False
        self._reload_queued = False
        self._exit_code = 0

    def _worker(self, kind: ChildKind) -> Worker:
        events, checker_events = self._bfd_ends(kind)
        settings = self._duties.settings(kind)
        settings = replace(settings, bfd_events=events, bfd_checker_events=checker_events)
        return Worker(kind, settings, self._log)

    def _bfd_ends(self, kind: ChildKind) -> tuple[socket.socket | None, socket.socket | None]:
        """What a child of this kind has as `bfd_events` and `bfd_checker_events`."""
        if kind.name == BFD.name:
            return self._bfd_pairs[VRRP.name][1], self._bfd_pairs[CHECKERS.name][1]
        reader, _ = self._bfd_pairs.get(kind.name, (None, None))
        return reader, None

    def run(self) -> int:
        """Start, watch, stop; returns the exit code."""
        general = self._configuration.globals
        if not self._run_hook("startup", general.startup_script, general.startup_script_timeout_s):
            self._open()
        while self._phase is not Phase.DONE:
            woken = self._inbox.wait(self._patience(), self._readers(), self._writers())
            for worker in self._workers:
                self._attend(worker, woken.readable, woken.writable)
            if self._timer is not None and self._timer.descriptor in woken.readable:
                self._timer.on_change()
            for number in woken.signals:
                self._on_signal(number)
            self._on_time(time.monotonic())
        return self._exit_code

    # -- waiting ----------------------------------------------------------------

    def _readers(self) -> list[int]:
        timer = [] if self._timer is None else [self._timer.descriptor]
        every = [*timer, *(worker.descriptor for worker in self._workers)]
        return [descriptor for descriptor in every if descriptor is not None]

    def _writers(self) -> list[int]:
        return [one.descriptor for one in self._workers if one.wants_room and one.descriptor is not None]

    def _patience(self) -> float | None:
        deadlines = [self._ready_until, NEVER if self._hook is None else self._hook.deadline]
        for worker in self._workers:
            deadlines += (worker.respawn_at, worker.kill_at)
        first = min(deadlines)
        patience = None if first == NEVER else max(0.0, first - time.monotonic())
        scheduled = None if self._timer is None else self._timer.patience_s()
        both = [one for one in (patience, scheduled) if one is not None]
        return min(both, default=None)

    def _attend(self, worker: Worker, readable: frozenset[int], writable: frozenset[int]) -> None:
        """The channel of one child."""
        if worker.descriptor in writable:
            worker.send()
        if worker.descriptor in readable:
            self._hear(worker)

    def _hear(self, worker: Worker) -> None:
        if worker.hear() and worker.kind.name in self._bfd_pairs:
            self._tell(BFD, channels.Kind.REPORT)
        self._see_whether_ready()

    def _tell(self, kind: ChildKind, what: channels.Kind) -> None:
        for worker in self._workers:
            if worker.kind.name == kind.name:
                worker.tell(what)

    def _on_time(self, now: float) -> None:
        for worker in self._workers:
            if now >= worker.respawn_at:
                self._start(worker)
            worker.kill_if_due(now)
        if now >= self._ready_until:
            for worker in self._workers:
                if worker.awaited:
                    worker.expect_no_more()
            self._see_whether_ready()
        if self._hook is not None:
            self._hook.on_time(now)
            self._hook_may_be_over()
        if self._timer is not None and self._timer.due():
            self._want_reload()

    # -- signals ----------------------------------------------------------------

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._want_reload()
        elif number in FORWARDED:
            for worker in self._workers:
                if number in worker.kind.forwarded:
                    worker.signal(number)
        elif number in STOPPING and not (number == signal.SIGINT and self._duties.ignore_sigint):
            self._stop(0)

    def _stop(self, exit_code: int) -> None:
        if self._phase not in (Phase.OPENING, Phase.RUNNING):
            return
        self._log.info("Stopping")
        self._leave(exit_code)

    def _leave(self, exit_code: int) -> None:
        """End all children; the rest follows when they are gone."""
        self._phase = Phase.STOPPING
        self._exit_code = exit_code
        self._ready_until = NEVER
        notify_systemd.stopping()
        self._end_timer()
        if self._hook is not None:
            self._hook.end()
        for worker in self._workers:
            worker.stop(self._configuration.globals.child_wait_time_s)
        self._may_close()

    def _may_close(self) -> None:
        """When the last child is gone, and the startup script: the shutdown script, and then the end."""
        if self._phase is not Phase.STOPPING or self._hook is not None:
            return
        if any(worker.child is not None for worker in self._workers):
            return
        general = self._configuration.globals
        script = None if self._exit_code else general.shutdown_script
        self._phase = Phase.CLOSING
        if not self._run_hook("shutdown", script, general.shutdown_script_timeout_s):
            self._phase = Phase.DONE

    # -- scripts of the parent's own ----------------------------------------------

    def _run_hook(self, word: str, command: Command | None, timeout_s: float) -> bool:
        """Start the script, if there is one; whether it runs now."""
        if command is None:
            return False
        hook = Hook(word, command, timeout_s, self._log)
        hook.start()
        self._hook = None if hook.pid is None else hook
        return self._hook is not None

    def _hook_may_be_over(self) -> None:
        if self._hook is None or self._hook.pid is not None:
            return
        self._hook = None
        if self._phase is Phase.OPENING:
            self._open()
        elif self._phase is Phase.CLOSING:
            self._phase = Phase.DONE
        self._may_close()

    # -- children ---------------------------------------------------------------

    def _open(self) -> None:
        self._phase = Phase.RUNNING
        self._start_missing()
        if not any(worker.awaited for worker in self._workers):
            self._log.info("Warning - keepalived has no configuration to run")
            self._opened = True
            self._announce()
        self._taken()
        if self._opened:
            self._queued()

    def _start_missing(self) -> None:
        """Start the children that are needed and do not run, those that wait to be started again too."""
        for worker in self._workers:
            needed = self._duties.always or worker.kind.needed(self._configuration)
            if worker.child is None and needed:
                self._start(worker)
            elif worker.child is None:
                worker.forget()

    def _start(self, worker: Worker) -> None:
        own = self._bfd_ends(worker.kind)
        if worker.kind.name in self._bfd_pairs:
            bfd_lines.discard(self._bfd_pairs[worker.kind.name][0])
        ends = [end for both in self._bfd_pairs.values() for end in both]
        strange = [end.fileno() for end in ends if end not in own]
        channel_ends = [other.descriptor for other in self._workers if other.descriptor is not None]
        watches = [] if self._timer is None or self._timer.descriptor is None else [self._timer.descriptor]
        worker.start(self._configuration, self._inbox, [*strange, *channel_ends, *watches])

    def _reap(self) -> None:
        """Collect everything that ended; orphans of the children's scripts come here too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._hook is not None and pid == self._hook.pid:
                self._hook.ended(status)
                self._hook_may_be_over()
            for worker in self._workers:
                if worker.child is not None and pid == worker.child.pid:
                    self._child_ended(worker, worker.child, status)

    def _child_ended(self, worker: Worker, child: children.Child, status: int) -> None:
        self._hear(worker)
        worker.ended()
        stopping = self._phase is not Phase.RUNNING
        how = children.describe_end(worker.kind.ident if stopping else f"pid {child.pid}", status)
        code = os.waitstatus_to_exitcode(status)
        goes_on = not stopping and code in children.PERMANENT_ERRORS and not self._is_needed(worker)
        if how is not None:
            self._log.warn(how.removesuffix(" Terminating") if goes_on else how)
        if stopping:
            self._may_close()
            return
        if goes_on:
            worker.forget()
            self._log.info(f"The others go on without the {worker.kind.title} process until the next reload")
            self._see_whether_ready()
        elif code in children.PERMANENT_ERRORS:
            self._leave(code)
        elif not self._duties.respawn:
            self._log.info(f"{worker.kind.title} child process({child.pid}) died: Exiting")
            self._stop(0)
        else:
            worker.respawn_later(child.pid, time.monotonic() - child.started_s)

    def _is_needed(self, worker: Worker) -> bool:
        """Whether it makes no sense to go on without this one: it is vital, or there is no other one."""
        return worker.kind.vital or all(one.child is None for one in self._workers)

    # -- start and reload are complete ----------------------------------------------

    def _see_whether_ready(self) -> None:
        """Say so when the last child that was waited for is ready."""
        if self._ready_until == NEVER or any(worker.awaited for worker in self._workers):
            return
        self._ready_until = NEVER
        self._log.info("Reload complete" if self._opened else "Startup complete")
        self._opened = True
        self._announce()
        self._queued()

    def _announce(self) -> None:
        """Tell the service manager that start or reload is complete."""
        notify_systemd.ready(os.getpid())

    def _taken(self) -> None:
        """The children have been given the configuration; now wait for them."""
        if any(worker.awaited for worker in self._workers):
            self._ready_until = time.monotonic() + READY_LIMIT_S
        self._end_timer()
        if self._configuration.globals.reload.time_file is not None:
            self._timer = ReloadTimer(self._configuration.globals.reload, self._log)
        self._duties.dump(self._configuration)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    # -- reload -----------------------------------------------------------------

    def _want_reload(self) -> None:
        if self._phase is Phase.RUNNING and self._ready_until == NEVER:
            self._reload()
        elif self._phase in (Phase.OPENING, Phase.RUNNING):
            self._log.detail("Reload already in progress, request queued")
            self._reload_queued = True

    def _queued(self) -> None:
        if self._reload_queued and self._phase is Phase.RUNNING and self._ready_until == NEVER:
            self._reload_queued = False
            self._log.detail("Processing queued reload")
            self._reload()

    def _reload(self) -> None:
        notify_systemd.reloading()
        general = self._configuration.globals
        if general.reload.check_config is not None:
            self._log.detail("validate conf before Reload")
        with marked(marker_path(general, self._duties.marker)) as lines:
            read = read_again(self._duties.load, general, fixed_namespace=self._duties.fixed_namespace)
        if not (isinstance(read, Refused) and read.checked):
            self._log.info("Reloading ...")
            self._log.detail(f"Opening file '{self._duties.path}'.")
            self._log.info(f"Configuration file {self._duties.path}")
        for line in (*lines, *read.lines):
            self._log.info(line)
        if isinstance(read, Refused):
            self._refused()
            return
        self._configuration = read.configuration
        self._rename(general.process_name)
        for worker in self._workers:
            if worker.child is not None:
                worker.awaited = True
                worker.tell(channels.Kind.RELOAD, worker.kind.share(read.configuration))
        self._start_missing()
        self._taken()
        if self._ready_until == NEVER:  # no child at all
            self._log.info("Reload complete")
            self._announce()

    def _refused(self) -> None:
        """Everything stays; only a time for the next reload may have been used up."""
        self._announce()
        if self._timer is not None and self._timer.descriptor is None:
            self._timer = ReloadTimer(self._configuration.globals.reload, self._log)

    def _rename(self, before: str | None) -> None:
        wanted = self._configuration.globals.process_name
        if wanted != before:
            naming.call_this_process(wanted or naming.DEFAULT)
