"""Where members are whose host is a name.

A look-up may hang for minutes, so a helper does it: a process of its own that has
one thread for each name that is being looked up, and never two for one name.
Whoever cannot be found keeps nobody else waiting, and keeps the addresses it had.
With addresses only there is no helper at all.
"""

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from keepalived_py.base.clock import Micros
from keepalived_py.model.cluster import Endpoint
from keepalived_py.system.datagrams import Target, literal, targets
from keepalived_py.system.helper import Helper, fork_helper, tell, told

REFRESH_US = Micros(30_000_000)
SILENT_REFRESH_US = Micros(5_000_000)


class Resolver:
    """Keeps the addresses of hosts.  Make it inside a running loop.

    `found` is called when those of an endpoint have changed.
    """

    def __init__(self, found: Callable[[Endpoint], None]) -> None:
        self._found = found
        self._known: dict[Endpoint, tuple[Target, ...]] = {}
        self._asked_at: dict[Endpoint, Micros] = {}
        self._pending: set[Endpoint] = set()
        self._helper: Helper | None = None

    def targets(self, endpoint: Endpoint) -> tuple[Target, ...]:
        """What is known of an endpoint, which may be nothing."""
        return self._known.get(endpoint, ())

    def follow(self, endpoints: Iterable[Endpoint], now: Micros) -> None:
        """From now on these; what is known of those that stay is kept."""
        wanted = tuple(endpoints)
        self._known = {each: self._known.get(each) or literal(each.host, each.port) for each in wanted}
        self._asked_at = {each: at for each, at in self._asked_at.items() if each in self._known}
        self.refresh(now, frozenset())

    def refresh(self, now: Micros, silent: frozenset[Endpoint]) -> None:
        """Ask again for the names that are due; for those that are `silent` that is sooner."""
        for endpoint in self._known:
            if endpoint in self._pending or literal(endpoint.host, endpoint.port):
                continue
            asked_at = self._asked_at.get(endpoint)
            pause = SILENT_REFRESH_US if endpoint in silent else REFRESH_US
            if asked_at is None or now - asked_at >= pause:
                self._asked_at[endpoint] = now
                self._ask(endpoint)

    def close(self) -> None:
        """Dismiss the helper, whatever it is waiting for."""
        if self._helper is not None:
            self._helper.close()
            self._helper = None

    def _ask(self, endpoint: Endpoint) -> None:
        if self._helper is None:
            self._helper = Helper(_serve, self._told, self._pending.clear)
        if self._helper.tell({"host": endpoint.host, "port": endpoint.port}) == 0:
            self._pending.add(endpoint)

    def _told(self, message: Any) -> None:
        endpoint = Endpoint(message["host"], message["port"])
        self._pending.discard(endpoint)
        found = _parsed(message)
        if endpoint in self._known and found and found != self._known[endpoint]:
            self._known[endpoint] = found
            self._found(endpoint)


def look_up(endpoint: Endpoint, limit_s: float) -> tuple[Target, ...]:
    """The addresses of one endpoint, at the start of the program: waits, but no longer than `limit_s`."""
    found = literal(endpoint.host, endpoint.port)
    if found:
        return found
    pid, connection = fork_helper(_serve)
    try:
        tell(connection, {"host": endpoint.host, "port": endpoint.port})
        ready = select.poll()
        ready.register(connection, select.POLLIN)
        message = told(connection) if ready.poll(limit_s * 1000) else None
        return _parsed(message) if message is not None else ()
    finally:
        connection.close()
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _serve(connection: socket.socket) -> None:
    """The helper: one thread for each question, so none waits for another one."""
    while (asked := told(connection)) is not None:
        threading.Thread(target=_answer, args=(connection, asked["host"], asked["port"]), daemon=True).start()


def _answer(connection: socket.socket, host: str, port: int) -> None:
    found = [[each.family, *each.address] for each in targets(host, port)]
    tell(connection, {"host": host, "port": port, "found": found})


def _parsed(message: Any) -> tuple[Target, ...]:
    return tuple(Target(family, tuple(address)) for family, *address in message["found"])
