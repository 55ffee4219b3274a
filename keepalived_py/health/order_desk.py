"""Where orders about real servers are taken: the control socket, and the file of orders that last.

The socket stands in the event loop of the checkers and never waits.  What takes time,
reading the kernel's table for a list or writing orders to the disk, is done
elsewhere, and its asker is answered later.

Orders that last are in a file of the state directory.  All that stand are in one of
the run directory as well, with the mark of the daemon's life: a process that is
started again because its forerunner crashed goes on with what that one was ordered, and a
daemon that is started anew does not.

If the socket or a file cannot be used, that is said in the log, and checks go on as
they would without.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from keepalived_py.base.errors import FatalStart
from keepalived_py.core.checks.names import server_name
from keepalived_py.core.checks.orders import Orders
from keepalived_py.core.checks.view import View
from keepalived_py.health import orders as requests
from keepalived_py.health.orders import CONTROL_FILE, ORDERS_FILE, Places, Request
from keepalived_py.health.ports import LogPort
from keepalived_py.model.ipvs import Table
from keepalived_py.system.control_socket import ControlServer, Hints, Later, Reply
from keepalived_py.system.loop import now
from keepalived_py.system.state_files import make_directory, replace_file

_MODE = 0o600
_TABLE_FRESH_US = 200_000
_TABLE_KEPT_S = 10.0
_LONGEST_FILE = 16 * 1024 * 1024
_HINTS = Hints(
    too_long="Choose a shorter instance name",
    refused="Orders about real servers cannot be given",
    served="another daemon with the same instance name and network namespace is running."
    " Orders about real servers cannot be given here",
)


class OrderDesk:
    """Serves `keepalived-py rs`.  Make it inside its running loop.

    `view` tells what is so now, with this desk's `orders`; `table` reads the kernel's table
    without holding up the loop (it may raise OSError); `ordered` is called when there is a new order
    for a server: it has the weight that follows from `orders` made true, before it returns.
    `life` tells one life of the daemon from another; None: it is the parent of this process.
    """

    def __init__(
        self,
        log: LogPort,
        places: Places,
        view: Callable[[], View],
        table: Callable[[], Awaitable[Table]],
        ordered: Callable[[int, int], object],
        life: str | None = None,
    ) -> None:
        self._log = log
        self._places = places
        self._lasting = os.path.join(places.state_directory, ORDERS_FILE)
        self._standing = os.path.join(places.run_directory, ORDERS_FILE)
        self._life = life_of(os.getppid()) if life is None else life
        self._view, self._table, self._ordered = view, table, ordered
        self._server: ControlServer[Request] | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._writing = asyncio.Lock()
        self._written = {self._lasting: requests.orders_json(Orders())}
        self._last_table: tuple[int, Table | None] | None = None
        self._asking: asyncio.Task[Table | None] | None = None
        self.orders = Orders()

    # -- begin, reload, end ----------------------------------------------------------

    def load(self) -> None:
        """Take up the orders of earlier lives, before the first server gets its weight."""
        for path, life in ((self._standing, self._life), (self._lasting, "")):
            found = self._loaded(path, life)
            if found is not None:
                self.orders = found
                return

    def _loaded(self, path: str, life: str) -> Orders | None:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read(_LONGEST_FILE)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._log.info(f"Unable to read the orders in {path}: {error}")
            return None
        found = requests.orders_from_json(text, life)
        if isinstance(found, Orders):
            self._written[path] = text
            return found
        if not life:  # what another life left behind is no fault
            self._log.info(f"The orders in {path} cannot be used: {found}")
        return None

    def open(self) -> None:
        """Begin to serve, when the virtual servers are known."""
        self._complain()
        loop = asyncio.get_running_loop()
        path = os.path.join(self._places.run_directory, CONTROL_FILE)
        try:
            self._server = ControlServer(
                path,
                requests.parse_request,
                self._handle,
                _HINTS,
                opened=lambda descriptor: loop.add_reader(descriptor, self._ready, descriptor),
                closing=loop.remove_reader,
            )
        except (FatalStart, OSError) as fault:
            self._log.info(str(fault))

    def reloaded(self) -> None:
        """A reload begins: orders that were not to last are over.  Call it before new weights are set."""
        self.orders = self.orders.reloaded()

    def followed(self) -> None:
        """The reload is complete."""
        self._complain()
        self._begin(self._write_all())

    async def close(self) -> None:
        """Serve no more; what is being written is written to its end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(OSError):
            os.unlink(self._standing)

    def _complain(self) -> None:
        for line in requests.unknown(self.orders, self._view().pools):
            self._log.info(line)

    # -- requests ----------------------------------------------------------------------

    def _ready(self, descriptor: int) -> None:
        if self._server is not None:
            self._server.ready(descriptor)

    def _handle(self, request: Request) -> Reply | Later:
        if request.do == "list":
            return self._list(request)
        return self._order(request)

    def _order(self, request: Request) -> Reply | Later:
        before = self._view()
        found = requests.ordered(request, before)
        if isinstance(found, str):
            return {"ok": False, "error": found}
        self.orders = found.orders
        pool = before.pools[found.virtual]
        words = requests.in_words(self.orders, pool, found.server) or "no order"
        name = server_name(pool.settings, pool.servers[found.server].settings)
        self._log.info(f"By order of an administrator: {words} for {name} of {pool.name}")
        self._ordered(found.virtual, found.server)
        reply = requests.confirmed(before, self._view(), found.virtual, found.server)
        later = Later()
        self._begin(self._keep(reply, later))
        return later

    async def _keep(self, reply: Reply, later: Later) -> None:
        """Write what is to be kept, then answer."""
        refused = await self._write_all()
        later.settle({**reply, "unwritten": refused} if refused else reply)

    async def _write_all(self) -> str:
        """Write both files, as far as they differ; why it was not possible for that of orders that last."""
        async with self._writing:
            standing = requests.orders_json(self.orders, self._life) if self.orders.by_server else ""
            await self._write(self._standing, standing, durable=False)
            return await self._write(self._lasting, requests.orders_json(self.orders), durable=True)

    async def _write(self, path: str, text: str, *, durable: bool) -> str:
        if self._written.get(path, "") == text:
            return ""
        refused = await asyncio.to_thread(_put, path, text, durable)
        if not refused:
            self._written[path] = text
            return ""
        self._log.info(f"Unable to write the orders to {path}: {refused}")
        return f"{path}: {refused}"

    def _list(self, request: Request) -> Reply | Later:
        last = self._last_table
        if last is not None and request.begin != (0, 0):
            return requests.listed(request, self._view(), last[1])
        later = Later()
        self._begin(self._list_later(request, later))
        return later

    async def _list_later(self, request: Request, later: Later) -> None:
        if self._asking is None:  # whoever asks meanwhile gets the same
            self._asking = asyncio.get_running_loop().create_task(self._read())
        table = await self._asking
        later.settle(requests.listed(request, self._view(), table))

    async def _read(self) -> Table | None:
        try:
            last = self._last_table
            if last is not None and now() - last[0] < _TABLE_FRESH_US:
                return last[1]
            found: Table | None = None
            try:
                found = await self._table()
            except OSError as error:
                self._log.info(f"Unable to read the IPVS table: {error}")
            self._last_table = (now(), found)
            asyncio.get_running_loop().call_later(_TABLE_KEPT_S, self._forget, self._last_table)
            return found
        finally:
            self._asking = None

    def _forget(self, table: tuple[int, Table | None]) -> None:
        """A list has been told by now, and a table may be large."""
        if self._last_table is table:
            self._last_table = None

    def _begin(self, work: Coroutine[None, None, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _put(path: str, text: str, durable: bool) -> str:
    """Have a file with this text, or none if it is empty; why it was not possible, "" if it was."""
    try:
        if not text:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return ""
        make_directory(os.path.dirname(path))
        replace_file(path, (text,), _MODE, durable=durable)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def life_of(pid: int) -> str:
    """What tells the process `pid` from all others, earlier and later ones too."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            started = file.read().rpartition(")")[2].split()[19]  # starttime of proc(5), in clock ticks
    except OSError:  # no /proc here: the number must do
        started = ""
    return f"{pid} {started}"
