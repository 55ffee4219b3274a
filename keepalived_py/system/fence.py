"""Fencing: programs that switch a member off, or cut it off, before its leases are taken.

Two kinds are called.  A script gets the member and what it is about as arguments.
An agent of ClusterLabs (`fence_ipmilan` and its like) reads `name=value` lines
from its standard input: the configured options, and `action=off` and
`nodename=...` unless they are among them.  Exit status 0 means that the member is
certainly off; anything else, a program that cannot be run, and one that is not over
within its time limit mean that it may be alive.

They are run by a helper that is forked at the beginning, if anything is configured,
since a fork later would cost heartbeats when they count most.  What they print goes to the log, with the
values of secret options blotted out.
"""

import asyncio
import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.base.names import MemberId
from keepalived_py.model.config import Command
from keepalived_py.model.raft import FenceAgent, Fencing
from keepalived_py.model.raft_events import Fence
from keepalived_py.system.helper import Helper, tell, told
from keepalived_py.system.spawner import script_environment

# From SIGTERM after the time limit to SIGKILL.
GRACE_S = 2.0
_UMASK = 0o077
_MOST_LINES = 50
_LONGEST_LINE = 400
_PIPE_ROOM = 65_536
_SECRET = re.compile("pass|secret|token|key|credential", re.IGNORECASE)
_BLOT = "***"


@dataclass(frozen=True, slots=True)
class _Call:
    """One program to be run, and what must not be seen of its output."""

    command: Command
    arguments: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return os.path.basename(self.command.argv[0])

    @property
    def secrets(self) -> tuple[str, ...]:
        """The longest first: one may be the beginning of another one."""
        found = {value for name, value in self.options if value and _SECRET.search(name)}
        return tuple(sorted(found, key=len, reverse=True))


class FenceRunner:
    """Shoots members.  Make it inside a running loop, in a process with one thread.

    `say` is given the lines that the programs print, and what became of them.  `at_once` False: the
    helper is forked only at the first shot, for when none is likely ever to come.
    """

    def __init__(self, say: Callable[[str], None], at_once: bool = True) -> None:
        self._say = say
        self._helper = Helper(_serve, self._told, self._helper_died)
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._calls: dict[int, _Call] = {}
        self._groups: dict[int, int] = {}
        self._shots: dict[MemberId, asyncio.Future[bool]] = {}
        self._last_number = 0
        if at_once:
            self._helper.tell({"begin": True})

    async def shoot(self, order: Fence, fencing: Fencing) -> bool:
        """Run everything that is configured for the member, in order; whether all of it succeeded.

        Whoever asks for a member that is being shot gets the outcome of that.  Nothing configured,
        nothing achieved: False.
        """
        running = self._shots.get(order.target)
        if running is None:
            running = asyncio.ensure_future(self._all(order, fencing))
            self._shots[order.target] = running
            running.add_done_callback(lambda _: self._shots.pop(order.target, None))
        return await asyncio.shield(running)

    def close(self) -> None:
        """End what is running; whoever waits for it hears that it failed."""
        self._end_all()
        self._helper.close()

    async def _all(self, order: Fence, fencing: Fencing) -> bool:
        calls = tuple(_calls(order, fencing))
        if not calls:
            self._say(f"Fencing {order.target}: nothing is configured that could do it")
        for call in calls:
            self._say(f"Fencing {order.target} with {call.name} (attempt {order.attempt}: {order.reason})")
            if not await self._run(call, fencing.timeout_us):
                return False
        return bool(calls)

    async def _run(self, call: _Call, limit_us: Micros) -> bool:
        self._last_number += 1
        number = self._last_number
        ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[number], self._calls[number] = ended, call
        failure = self._helper.tell(
            {
                "number": number,
                "argv": [*call.command.argv, *call.arguments],
                "uid": call.command.uid,
                "gid": call.command.gid,
                "input": "".join(f"{name}={value}\n" for name, value in call.options),
                "secrets": call.secrets,
                "limit_us": limit_us,
            }
        )
        if failure:
            self._say(f"{call.name} could not be started: {os.strerror(failure)}")
            self._end(number, False)
        return await ended

    def _told(self, message: Any) -> None:
        number = message["number"]
        call = self._calls.get(number)
        if call is None:
            return
        if "group" in message:
            self._groups[number] = message["group"]
        elif "line" in message:
            self._say(f"{call.name}: {message['line']}")
        else:
            if message["what"]:
                self._say(f"{call.name} {message['what']}")
            self._end(number, message["good"])

    def _end(self, number: int, good: bool) -> None:
        self._groups.pop(number, None)
        self._calls.pop(number, None)
        ended = self._waiting.pop(number, None)
        if ended is not None and not ended.done():
            ended.set_result(good)

    def _end_all(self) -> None:
        for group in self._groups.values():
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGTERM)
        for number in list(self._waiting):
            self._end(number, False)

    def _helper_died(self) -> None:
        """What its programs come to cannot be known any more, and nobody keeps their time limits."""
        self._say("The process that fences was killed; what it was doing counts as failed")
        self._end_all()
        self._helper.tell({"begin": True})


def _calls(order: Fence, fencing: Fencing) -> Iterator[_Call]:
    if fencing.script is not None:
        leases = ",".join(order.leases)
        yield _Call(
            fencing.script, (order.target, leases, str(order.token), order.reason, str(order.attempt))
        )
    for member, agent in fencing.agents:
        if member in ("", order.target):
            yield _Call(agent.command, options=_options(agent, order.target))


def _options(agent: FenceAgent, target: MemberId) -> tuple[tuple[str, str], ...]:
    given = {name for name, _ in agent.options}
    ours = (("action", "off"), ("nodename", target))
    return agent.options + tuple(each for each in ours if each[0] not in given)


def _blotted(line: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        line = line.replace(secret, _BLOT)
    return line


# -- the helper -------------------------------------------------------------------------


@dataclass(slots=True)
class _Running:
    """A program and its output so far; `deadline_s` (monotonic) is when it gets its next signal."""

    number: int
    child: "subprocess.Popen[bytes]"
    pidfd: int
    deadline_s: float
    expired: bool = False
    left: bytes = b""
    lines: int = 0
    input: bytes = field(default=b"", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


class _Fencer:
    """The programs that are running, by the descriptors that tell of them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._running: dict[int, _Running] = {}
        self._by_descriptor: dict[int, _Running] = {}

    def serve(self) -> None:
        """Until the other side closes the socket."""
        while True:
            for descriptor, _ in self._poll.poll(self._patience_ms()):
                if descriptor == self._connection.fileno():
                    order = told(self._connection)
                    if order is None:
                        return
                    if "number" in order:
                        self._start(order)
                elif (running := self._by_descriptor.get(descriptor)) is not None:
                    self._happened(running, descriptor)
            self._expire()

    def _patience_ms(self) -> float | None:
        due = min((each.deadline_s for each in self._running.values()), default=None)
        return None if due is None else max(0.0, (due - time.monotonic()) * 1000 + 1)

    def _start(self, order: dict[str, Any]) -> None:
        number = order["number"]
        try:
            child = _popen(order)
            pidfd = os.pidfd_open(child.pid)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            tell(self._connection, {"number": number, "good": False, "what": f"cannot be run: {error}"})
            return
        deadline_s = time.monotonic() + order["limit_us"] / 1_000_000
        running = _Running(number, child, pidfd, deadline_s, secrets=tuple(order["secrets"]))
        running.input = order["input"].encode("utf-8", "surrogateescape")
        self._running[number] = running
        tell(self._connection, {"number": number, "group": child.pid})
        assert child.stdin is not None and child.stdout is not None
        for descriptor, event in (
            (pidfd, select.POLLIN),
            (child.stdout.fileno(), select.POLLIN),
            (child.stdin.fileno(), select.POLLOUT),
        ):
            os.set_blocking(descriptor, False)
            self._by_descriptor[descriptor] = running
            self._poll.register(descriptor, event)

    def _happened(self, running: _Running, descriptor: int) -> None:
        child = running.child
        assert child.stdin is not None and child.stdout is not None
        if descriptor == running.pidfd:
            self._ended(running)
        elif not child.stdin.closed and descriptor == child.stdin.fileno():
            self._feed(running)
        elif not child.stdout.closed and descriptor == child.stdout.fileno():
            if not self._read(running):
                self._forget(descriptor)

    def _feed(self, running: _Running) -> None:
        """Give it what it has not read yet, then the end of the file."""
        assert running.child.stdin is not None
        descriptor = running.child.stdin.fileno()
        try:
            written = os.write(descriptor, running.input) if running.input else 0
            running.input = running.input[written:]
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            running.input = b""
        if not running.input:
            self._forget(descriptor)
            running.child.stdin.close()

    def _read(self, running: _Running) -> bool:
        """What it has printed, line by line; False: there will be no more."""
        assert running.child.stdout is not None
        try:
            data = os.read(running.child.stdout.fileno(), _PIPE_ROOM)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, rest = (running.left + data).split(b"\n")
        for line in lines if data else [*lines, rest]:
            self._print(running, line)
        running.left = rest[: 4 * _LONGEST_LINE] if data else b""
        return bool(data)

    def _print(self, running: _Running, line: bytes) -> None:
        text = _blotted(line.decode("utf-8", "replace").strip(), running.secrets)
        text = "".join(each if each.isprintable() else "?" for each in text)
        if text and running.lines < _MOST_LINES:
            running.lines += 1
            tell(self._connection, {"number": running.number, "line": text[:_LONGEST_LINE]})

    def _ended(self, running: _Running) -> None:
        child = running.child
        if running.expired:
            # Not reaped yet, so the group's number is still its own; what the program started goes with it.
            with contextlib.suppress(OSError):
                os.killpg(child.pid, signal.SIGKILL)
        code = child.wait()
        assert child.stdin is not None and child.stdout is not None
        self._read(running)
        if running.left:
            self._print(running, running.left)
        for pipe in (child.stdin, child.stdout):
            if not pipe.closed:
                self._forget(pipe.fileno())
                with contextlib.suppress(OSError):
                    pipe.close()
        self._forget(running.pidfd)
        os.close(running.pidfd)
        del self._running[running.number]
        good = code == 0 and not running.expired
        tell(self._connection, {"number": running.number, "good": good, "what": _end_of(running, code)})

    def _forget(self, descriptor: int) -> None:
        if self._by_descriptor.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def _expire(self) -> None:
        now = time.monotonic()
        for running in self._running.values():
            if running.deadline_s <= now:
                number = signal.SIGKILL if running.expired else signal.SIGTERM
                with contextlib.suppress(OSError):
                    os.killpg(running.child.pid, number)
                running.expired, running.deadline_s = True, now + GRACE_S


def _end_of(running: _Running, code: int) -> str:
    if running.expired:
        return "did not end within its time limit, it was killed"
    if code < 0:
        return f"was ended by signal {-code}"
    return f"failed with status {code}" if code else ""


def _popen(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Raises OSError rather than leave a program with more rights than it was given."""
    rights: dict[str, Any] = {}
    if os.geteuid() == 0:
        rights = {"user": order["uid"], "group": order["gid"], "extra_groups": [order["gid"]]}
    return subprocess.Popen(
        order["argv"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
        cwd="/",
        umask=_UMASK,
        bufsize=0,
        env=script_environment(os.environ),
        **rights,
    )


def _serve(connection: socket.socket) -> None:
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
        # exec resets handlers by itself, but what is ignored would stay ignored.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    _Fencer(connection).serve()
