"""Connecting to a TCP port: it accepts within the time limit, or the check has failed.

The connection is closed as soon as it stands; nothing is sent.  Host names are
looked up in threads of their own, since the C library's resolver blocks for as
long as it likes: one look-up per host and port at most, and whoever asks again
while it runs waits for the same one.  The time limit holds for everything together.  Of
several addresses each is tried in turn until one accepts.  No host at all is
this machine.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from keepalived_py.base.clock import as_seconds
from keepalived_py.base.names import ScriptName
from keepalived_py.model.effects import RunProbe
from keepalived_py.model.events import ScriptFinished

Target = tuple[int, Any]
_LOCAL = ("127.0.0.1", "::1")


class TcpProbes:
    """Runs probes; the end of each is handed to `feed`, status 0 (it accepted) or 1, or timed out.

    Make it inside a running loop.
    """

    def __init__(self, feed: Callable[[ScriptFinished], None]) -> None:
        self._feed = feed
        self._running: dict[ScriptName, asyncio.Task[None]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Future[Sequence[Target]]] = {}

    def connect(self, probe: RunProbe) -> None:
        """Begin a probe; a former one of that name that still runs is dropped without a word."""
        former = self._running.pop(probe.name, None)
        if former is not None:
            former.cancel()
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(self._run(probe))
        self._running[probe.name] = task
        task.add_done_callback(lambda done: self._forget(probe.name, done))

    def close(self) -> None:
        """Drop every probe; nothing is reported any more."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()

    def _forget(self, name: ScriptName, task: asyncio.Task[None]) -> None:
        if self._running.get(name) is task:
            del self._running[name]

    async def _run(self, probe: RunProbe) -> None:
        try:
            async with asyncio.timeout(as_seconds(probe.timeout_us)):
                accepted = await self._try(probe.endpoint.host, probe.endpoint.port)
            end = ScriptFinished(probe.name, status=0 if accepted else 1)
        except TimeoutError:
            end = ScriptFinished(probe.name, status=1, timed_out=True)
        # Whoever is told may begin the next probe of that name.
        self._running.pop(probe.name, None)
        self._feed(end)

    async def _try(self, host: str, port: int) -> bool:
        for family, address in await self._targets(host, port):
            if await _accepts(family, address):
                return True
        return False

    async def _targets(self, host: str, port: int) -> Sequence[Target]:
        known = _literal(host, port)
        if known:
            return known
        key = (host, port)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = asyncio.get_running_loop().create_future()
            arguments = (asyncio.get_running_loop(), lookup, host, port)
            lookup.add_done_callback(lambda _: self._lookups.pop(key, None))
            thread = threading.Thread(target=_look_up, args=arguments, name=f"lookup {host}", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The machine has no room for another thread: as if the name were unknown.
                lookup.set_result([])
        return await asyncio.shield(lookup)


async def _accepts(family: int, address: Any) -> bool:
    try:
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError:
        return False
    with connection:
        try:
            await asyncio.get_running_loop().sock_connect(connection, address)
        except TimeoutError:
            # The kernel gave up by itself; the time limit of the probe is a cancellation here.
            return False
        except OSError:
            return False
    return True


def _literal(host: str, port: int) -> list[Target]:
    """The targets of a host that needs no look-up."""
    if not host:
        return [target for local in _LOCAL for target in _literal(local, port)]
    bare, _, scope = host.partition("%")
    try:
        address = ip_address(bare)
    except ValueError:
        return []
    if address.version == 4:
        return [] if scope else [(socket.AF_INET, (bare, port))]
    try:
        index = _index(scope)
    except OSError:
        return [(socket.AF_INET6, (bare, port))]
    return [(socket.AF_INET6, (bare, port, 0, index))]


def _index(scope: str) -> int:
    if not scope:
        return 0
    return int(scope) if scope.isdigit() else socket.if_nametoindex(scope)


def _look_up(
    loop: asyncio.AbstractEventLoop, lookup: asyncio.Future[Sequence[Target]], host: str, port: int
) -> None:
    """In a thread: the addresses of `host`; none if it has none, or the resolver fails."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = [(int(family), address) for family, _, _, _, address in entries]
    except (OSError, UnicodeError):
        found = []
    # The loop may be closed by now: nobody waits any more.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_answer, lookup, found)


def _answer(lookup: asyncio.Future[Sequence[Target]], found: Sequence[Target]) -> None:
    if not lookup.done():
        lookup.set_result(found)
