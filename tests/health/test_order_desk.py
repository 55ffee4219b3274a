"""Orders over the real socket: carried out at once, kept on the disk, and never in the way of checks."""

import asyncio
import json
import os
import stat
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from keepalived_py.core.checks.orders import Order, Orders, key_at
from keepalived_py.health import orders as requests
from keepalived_py.health.order_desk import OrderDesk, life_of
from keepalived_py.health.orders import CONTROL_FILE, ORDERS_FILE, Places
from keepalived_py.model.ipvs import Destination, DestinationEntry, DestinationSettings, ServiceEntry, Table
from keepalived_py.system.control_socket import ask
from tests.health.view_bench import Bench, at, real

LIMIT_S = 5.0
TWO = at("10.5.0.1", real("10.5.0.11", weight=5), real("10.5.0.12", weight=5))
DRAIN = {"do": "drain", "virtual": "10.5.0.1", "server": "10.5.0.12"}


class Log:
    """Remembers the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    detail = info


class Shell:
    """What stands around a desk: virtual servers, and a kernel whose table may take its time."""

    def __init__(self, directory: Path, life: str) -> None:
        self.bench = Bench(TWO)
        self.log = Log()
        self.places = Places(str(directory / "run"), str(directory / "lib"))
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: OSError | None = None
        self.desk = OrderDesk(self.log, self.places, self._view, self._table, self._ordered, life)

    def _view(self) -> Any:
        self.bench.orders = self.desk.orders
        return self.bench.view()

    def _ordered(self, virtual: int, server: int) -> None:
        self.bench.orders = self.desk.orders
        self.bench.carry_out(virtual, server)

    async def _table(self) -> Table:
        self.asked += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        entry = DestinationEntry(DestinationSettings(), active=3, inactive=1)
        there = {Destination(ip_address("10.5.0.11"), 80): entry}
        return {self.bench.pools[0].services[0]: ServiceEntry(None, there)}  # type: ignore[arg-type]

    @property
    def socket(self) -> str:
        return os.path.join(self.places.run_directory, CONTROL_FILE)

    @property
    def file(self) -> Path:
        return Path(self.places.state_directory, ORDERS_FILE)

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """As the command asks, from elsewhere."""
        return await asyncio.to_thread(ask, self.socket, request, LIMIT_S)

    def weights(self) -> list[int]:
        return [server.weight for server in self.bench.pools[0].servers]


def served(
    directory: Path, work: Callable[[Shell], Awaitable[None]], *, load: bool = False, life: str = "1"
) -> Shell:
    """Run `work` beside an open desk."""

    async def whole() -> Shell:
        shell = Shell(directory, life)
        if load:
            shell.desk.load()
        shell.desk.open()
        try:
            await asyncio.wait_for(work(shell), 4 * LIMIT_S)
        finally:
            await shell.desk.close()
        return shell

    return asyncio.run(whole())


def test_an_order_is_carried_out_before_it_is_answered(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        reply = await shell.ask(DRAIN)
        assert reply["server"]["weight"] == 0
        assert shell.weights() == [5, 0]
        assert stat.S_IMODE(os.stat(shell.socket).st_mode) == 0o600
        reply = await shell.ask({**DRAIN, "do": "weight", "weight": 9})
        assert (reply["was"], reply["server"]["weight"]) == (0, 9)
        await shell.ask({**DRAIN, "do": "enable"})
        assert shell.weights() == [5, 5]

    shell = served(tmp_path, work)
    assert not shell.file.exists()
    assert not os.path.exists(shell.socket)
    said = "for [10.5.0.12]:tcp:80 of [10.5.0.1]:tcp:80"
    assert shell.log.lines == [
        f"By order of an administrator: {words} {said}" for words in ("drained", "weight 9", "no order")
    ]


def test_an_order_that_lasts_is_on_the_disk_when_it_is_answered(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        await shell.ask({**DRAIN, "persist": True})
        assert json.loads(shell.file.read_text())["orders"][0]["server"] == "[10.5.0.12]:tcp:80"
        await shell.ask({**DRAIN, "server": "10.5.0.11"})
        shell.desk.reloaded()
        shell.desk.followed()
        assert list(shell.desk.orders.by_server.values()) == [Order(drained=True, persistent=True)]

    shell = served(tmp_path, work)
    assert stat.S_IMODE(shell.file.stat().st_mode) == 0o600

    async def next_life(shell: Shell) -> None:
        assert shell.desk.orders == Orders(
            {key_at(shell.bench.pools[0], 1): Order(drained=True, persistent=True)}
        )
        await shell.ask({**DRAIN, "do": "enable"})
        assert json.loads(shell.file.read_text()) == {"orders": []}

    served(tmp_path, next_life, load=True)


def test_orders_that_cannot_be_written_stand_until_the_reload(tmp_path: Path) -> None:
    (tmp_path / "lib").write_text("in the way")

    async def work(shell: Shell) -> None:
        reply = await shell.ask({**DRAIN, "persist": True})
        assert reply["ok"]
        assert "File exists" in reply["unwritten"]
        assert shell.weights() == [5, 0]

    assert "Unable to write the orders" in served(tmp_path, work).log.lines[-1]


def test_bad_files_of_orders_are_told_of(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        assert shell.desk.orders == Orders()

    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / ORDERS_FILE).write_text("{")
    assert "cannot be used: no JSON" in served(tmp_path, work, load=True).log.lines[0]
    (tmp_path / "lib" / ORDERS_FILE).write_bytes(b"\xff\xfe")
    assert "Unable to read the orders" in served(tmp_path, work, load=True).log.lines[0]


def test_orders_about_servers_that_do_not_exist_are_told_of(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        assert "real server rs of vs, which is not configured" in shell.log.lines[0]

    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / ORDERS_FILE).write_text('{"orders": [{"virtual": "vs", "server": "rs"}]}')
    served(tmp_path, work, load=True)


def test_a_refused_order_changes_nothing(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        reply = await shell.ask({**DRAIN, "server": "10.9.0.9"})
        assert (reply["ok"], shell.weights()) == (False, [5, 5])
        assert (await shell.ask({"do": "shoot"}))["error"].startswith("unknown request")

    assert served(tmp_path, work).log.lines == []


def test_a_list_waits_for_the_kernel_and_nobody_else_does(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        shell.may_answer.clear()
        lists = [asyncio.create_task(shell.ask({"do": "list"})) for _ in range(3)]
        while not shell.asked:
            await asyncio.sleep(0)
        assert (await shell.ask(DRAIN))["ok"]
        assert not any(one.done() for one in lists)
        shell.may_answer.set()
        for reply in await asyncio.gather(*lists):
            first, second = reply["virtual_servers"][0]["servers"]
            assert (first["active"], second["weight"]) == (3, 0)
        assert shell.asked == 1

    served(tmp_path, work)


def test_a_kernel_that_refuses_its_table(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        shell.error = OSError(1, "Operation not permitted")
        reply = await shell.ask({"do": "list"})
        assert "active" not in reply["virtual_servers"][0]["servers"][0]
        shell.error = None

    assert "Unable to read the IPVS table" in served(tmp_path, work).log.lines[0]


def test_whoever_leaves_before_the_answer_is_forgotten(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        shell.may_answer.clear()
        _, writer = await asyncio.open_unix_connection(shell.socket)
        writer.write(b'{"do": "list"}\n')
        while not shell.asked:
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        assert (await shell.ask(DRAIN))["ok"]
        shell.may_answer.set()
        assert (await shell.ask({"do": "list"}))["ok"]

    served(tmp_path, work)


def test_connections_come_and_go_for_a_long_time(tmp_path: Path) -> None:
    """Descriptors are used again, and each must be heard."""

    async def work(shell: Shell) -> None:
        for _ in range(60):
            assert (await shell.ask({"do": "list", "virtual": "10.5.0.1"}))["ok"]

    served(tmp_path, work)


def test_without_a_socket_checks_go_on(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")

    async def work(shell: Shell) -> None:
        pass

    (line,) = served(tmp_path, work).log.lines
    assert line.startswith("Unable to open the control socket")
    assert line.endswith("Orders about real servers cannot be given")


# A crash ----------------------------------------------------------------------------------


def test_after_a_crash_all_orders_stand_and_after_a_new_start_those_that_last(tmp_path: Path) -> None:
    left = tmp_path / "left"

    async def crashing(shell: Shell) -> None:
        await shell.ask({**DRAIN, "persist": True})
        await shell.ask({**DRAIN, "server": "10.5.0.11", "do": "weight", "weight": 2})
        left.write_text((tmp_path / "run" / ORDERS_FILE).read_text())

    shell = served(tmp_path, crashing)
    standing = tmp_path / "run" / ORDERS_FILE
    assert not standing.exists()  # an orderly end leaves nothing

    async def look(shell: Shell) -> None:
        pass

    os.rename(left, standing)
    again = served(tmp_path, look, load=True)
    assert again.desk.orders == shell.desk.orders
    assert len(again.desk.orders.by_server) == 2
    standing.write_text(requests.orders_json(shell.desk.orders, "1"))
    new = served(tmp_path, look, load=True, life="2")
    assert new.desk.orders == shell.desk.orders.reloaded()
    assert new.log.lines == []


def test_a_reload_ends_what_was_to_stand_until_then(tmp_path: Path) -> None:
    async def work(shell: Shell) -> None:
        await shell.ask(DRAIN)
        standing = tmp_path / "run" / ORDERS_FILE
        assert standing.exists()
        shell.desk.reloaded()
        shell.desk.followed()
        while standing.exists():
            await asyncio.sleep(0.001)

    served(tmp_path, work)


def test_lives_differ() -> None:
    assert life_of(os.getpid()) == life_of(os.getpid()) != life_of(os.getppid())
