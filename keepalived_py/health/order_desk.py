"""Where orders about real servers are taken: the control socket, and the file of orders that last.

The socket stands in the event loop of the checkers and never waits.  What takes time,
reading the kernel's table for a list or writing orders to the disk, is done
elsewhere, and its asker is answered later.

If the socket or the file cannot be used, that is said in the log, and checks go on
as they would without.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine

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
    """

    def __init__(
        self,
        log: LogPort,
        places: Places,
        view: Callable[[], View],
        table: Callable[[], Awaitable[Table]],
        ordered: Callable[[int, int], object],
    ) -> None:
        self._log = log
        self._places = places
        self._view, self._table, self._ordered = view, table, ordered
        self._server: ControlServer[Request] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()
        self._written = ""
        self._last_table: tuple[int, Table | None] | None = None
        self._asking: asyncio.Task[Table | None] | None = None
        self.orders = Orders()

    @property
    def _file(self) -> str:
        return os.path.join(self._places.state_directory, ORDERS_FILE)

    # -- begin, reload, end ----------------------------------------------------------

    def load(self) -> None:
        """Take up the orders of earlier lives, before the first server gets its weight."""
        try:
            with open(self._file, encoding="utf-8") as file:
                text = file.read(_LONGEST_FILE)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._log.info(f"Unable to read the orders in {self._file}: {error}")
            return
        found = requests.orders_from_json(text)
        if isinstance(found, str):
            self._log.info(f"The orders in {self._file} cannot be used: {found}")
            return
        self.orders, self._written = found, text

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

    async def close(self) -> None:
        """Serve no more; what is being written is written to its end."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

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
        self._ordered(found.virtual, found.server)
        after = self._view()
        pool = after.pools[found.virtual]
        words = requests.in_words(self.orders, pool, found.server) or "no order"
        name = server_name(pool.settings, pool.servers[found.server].settings)
        self._log.info(f"By order of an administrator: {words} for {name} of {pool.name}")
        reply = requests.confirmed(before, after, found.virtual, found.server)
        if requests.orders_json(self.orders) == (self._written or requests.orders_json(Orders())):
            return reply
        later = Later()
        self._begin(self._keep(reply, later))
        return later

    async def _keep(self, reply: Reply, later: Later) -> None:
        """Write the orders that last, then answer."""
        async with self._writing:
            text = requests.orders_json(self.orders)
            refused = await asyncio.to_thread(self._write, text)
            if not refused:
                self._written = text
        if refused:
            self._log.info(f"Unable to write the orders to {self._file}: {refused}")
            reply = {**reply, "unwritten": f"{self._file}: {refused}"}
        later.settle(reply)

    def _write(self, text: str) -> str:
        try:
            make_directory(self._places.state_directory)
            replace_file(self._file, (text,), _MODE, durable=True)
        except OSError as error:
            return error.strerror or str(error)
        return ""

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

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
