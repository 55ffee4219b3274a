"""The keeper: its process beside the loop, its control socket, its file for readers."""

import asyncio
import os
import random
import signal
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keepalived_py.base.errors import FatalStart
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.election.raft import control
from keepalived_py.election.raft.keeper import Keeper, prepare
from keepalived_py.election.raft.views import Holding, View
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.raft import LogPart, Orders, RaftCluster, RaftMember
from keepalived_py.status import raft_snapshot

LIMIT_S = 15.0


def cluster_of(own: str, where: Path, ids: str = "abc") -> RaftCluster:
    members = tuple(RaftMember(MemberId(each), Endpoint("127.0.0.1", 1), witness=each == "w") for each in ids)
    return RaftCluster(
        "test",
        MemberId(own),
        members,
        directory=str(where / own / "log"),
        run_directory=str(where / own / "run"),
    )


class Bench:
    """Keepers of several members; what one sends is given to the other's, unless it gets lost."""

    def __init__(self, where: Path, ids: str = "abc", loss: float = 0.0) -> None:
        self.where = where
        self.ids = ids
        self.random = random.Random(3)
        self.loss = loss
        self.orders: dict[str, list[Orders]] = {each: [] for each in ids}
        self.lines: list[str] = []
        self.keepers: dict[str, Keeper] = {}
        self.holder: str | None = None
        for each in ids:
            self.start(each)

    def start(self, own: str) -> None:
        cluster = cluster_of(own, self.where, self.ids)
        self.lines += prepare(cluster)

        def sent(to: MemberId, part: LogPart) -> None:
            if to in self.keepers and self.random.random() >= self.loss:
                self.keepers[to].heard(MemberId(own), part)

        self.keepers[own] = Keeper(cluster, sent, self.orders[own].append, self.lines.append)
        self.keepers[own].start()

    def lease(self, holder: str | None) -> None:
        self.holder = holder
        for own, keeper in self.keepers.items():
            keeper.follow(self.view(own))

    def view(self, own: str) -> View:
        live = frozenset(MemberId(each) for each in self.keepers if each != own)
        snapshot = {
            "cluster": "test",
            "own": own,
            "leases": [{"name": "VI_1"}],
            "members": [],
            "counters": {},
        }
        return View(own == self.holder, MemberId(self.holder) if self.holder else None, live, snapshot)

    async def until(self, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() < begin + limit_s, (self.lines, self.orders)
            await asyncio.sleep(0.002)
        return time.monotonic() - begin

    async def ask(self, own: str, **request: str) -> dict[str, Any]:
        """Ask its control socket, which is not there yet for a moment after a start."""
        path = str(self.where / own / "run" / "control")
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    return await asyncio.to_thread(control.ask, path, request, 5.0)
                except control.NotRunning:
                    await asyncio.sleep(0.01)

    def shown(self, own: str) -> raft_snapshot.Snapshot | None:
        try:
            return raft_snapshot.read(str(self.where / own / "run" / "raft.json"))
        except FileNotFoundError:
            return None

    def leads(self, own: str) -> bool:
        shown = self.shown(own)
        return shown is not None and shown.log_leader == own

    def last(self, own: str) -> Orders:
        return self.orders[own][-1] if self.orders[own] else Orders()

    def close(self) -> None:
        for keeper in self.keepers.values():
            keeper.close()


def run(where: Path, scenario: Callable[[Bench], Awaitable[None]], **options: Any) -> Bench:
    async def whole() -> Bench:
        bench = Bench(where, **options)
        try:
            await scenario(bench)
        finally:
            bench.close()
        return bench

    return asyncio.run(whole())


def test_an_order_reaches_everybody_from_anywhere(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("b")
        await bench.until(lambda: all(bench.shown(each) is not None for each in "abc"))
        await bench.until(lambda: bench.leads("b"))
        for own in "abc":
            assert (await bench.ask(own, do="transfer", lease="VI_1", to=own)) == {"ok": True}
            await bench.until(lambda own=own: all(bench.last(each).pinned == {"VI_1": own} for each in "abc"))  # type: ignore[misc]
        assert (await bench.ask("c", do="unpin", lease="VI_1"))["ok"]
        assert (await bench.ask("a", do="drain", member="c"))["ok"]
        await bench.until(
            lambda: all(bench.last(each) == Orders(drained=frozenset({MemberId("c")})) for each in "abc")
        )
        status = await bench.ask("a", do="status")
        assert (status["ok"], status["log_leader"], status["drained"], status["pinned"]) == (
            True,
            "b",
            ["c"],
            {},
        )
        assert raft_snapshot.from_json(status).log_index > 3
        await bench.until(lambda: (bench.shown("a") or raft_snapshot.Snapshot(0, "", "")).drained == ("c",))
        assert stat.S_IMODE((tmp_path / "a" / "run" / "raft.json").stat().st_mode) == 0o644
        assert stat.S_IMODE((tmp_path / "a" / "run" / "control").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "a" / "log").stat().st_mode) == 0o700

    assert run(tmp_path, scenario).lines == []


def test_wrong_orders_are_refused_with_what_there_is(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        for request, why in (
            ({"do": "transfer", "lease": "VI_9", "to": "a"}, "unknown lease VI_9; there are: VI_1"),
            ({"do": "transfer", "lease": "VI_1", "to": "x"}, "unknown member x; members are: a, b, w"),
            ({"do": "transfer", "lease": "VI_1", "to": "w"}, "w is a witness and never holds anything"),
            ({"do": "drain", "member": "x"}, "unknown member x; members are: a, b, w"),
            ({"do": "dance"}, "unknown request"),
        ):
            reply = await bench.ask("b", **request)
            assert not reply["ok"] and reply["error"].startswith(why)
        assert (await bench.ask("b", do="drain", member="b"))["ok"]
        assert "maintenance" in (await bench.ask("a", do="transfer", lease="VI_1", to="b"))["error"]
        for each in "bw":
            bench.keepers.pop(each).close()
        bench.lease("a")
        begin = time.monotonic()
        await bench.until(lambda: bench.shown("a") is not None)
        reply = await bench.ask("a", do="undrain", member="b")
        assert reply["error"] == "no quorum: 1 of 3 members are reachable from here"
        assert time.monotonic() - begin < 1.0

    run(tmp_path, scenario, ids="abw")


@pytest.mark.slow
@pytest.mark.alone
def test_without_a_leader_the_answer_comes_in_time(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease(None)
        await bench.until(lambda: bench.shown("a") is not None)
        begin = time.monotonic()
        reply = await bench.ask("a", do="drain", member="b")
        assert not reply["ok"] and "no quorum" in reply["error"] and "has no leader" in reply["error"]
        assert time.monotonic() - begin < 2.0

    run(tmp_path, scenario)


def test_grants_are_remembered_though_messages_get_lost(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.keepers["b"].record(Holding(LeaseName("VI_1"), MemberId("b"), 41, "the first"))
        bench.lease("b")
        bench.keepers["c"].record(Holding(LeaseName("VI_2"), MemberId("c"), 7, "healthy"))
        await bench.until(lambda: all(bench.last(each).tokens == {"VI_1": 41, "VI_2": 7} for each in "abc"))
        history = (await bench.ask("a", do="history"))["history"]
        assert sorted((line["lease"], line["member"], line["token"], line["reason"]) for line in history) == [
            ("VI_1", "b", 41, "the first"),
            ("VI_2", "c", 7, "healthy"),
        ]
        assert all(abs(line["at"] - time.time()) < 60 for line in history)

    run(tmp_path, scenario, loss=0.1)


@pytest.mark.slow
def test_a_killed_process_comes_back_and_never_tells_what_is_old(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        assert (await bench.ask("a", do="drain", member="c"))["ok"]
        assert (await bench.ask("a", do="transfer", lease="VI_1", to="b"))["ok"]
        await bench.until(lambda: all(bench.last(each).pinned == {"VI_1": "b"} for each in "abc"))
        told = {each: len(bench.orders[each]) for each in "abc"}
        for each in "ab":
            pid = bench.keepers[each].pid
            os.kill(pid, signal.SIGKILL)
            await bench.until(lambda each=each, pid=pid: bench.keepers[each].pid not in (0, pid))  # type: ignore[misc]
        reply: dict[str, Any] = {}
        while not reply.get("ok"):
            try:
                reply = await bench.ask("b", do="undrain", member="c")
            except control.ControlError:
                await asyncio.sleep(0.02)
        await bench.until(lambda: all(bench.last(each).drained == frozenset() for each in "abc"))
        for each in "abc":
            assert all(orders.pinned == {"VI_1": "b"} for orders in bench.orders[each][told[each] :])

    run(tmp_path, scenario)


def test_the_list_of_members_changes_while_it_runs(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        assert (await bench.ask("a", do="drain", member="b"))["ok"]
        bench.ids = "abcd"
        bench.orders["d"] = []
        bench.start("d")
        for each in "abc":
            bench.keepers[each].replace(cluster_of(each, tmp_path, "abcd"))
        bench.lease("a")
        await bench.until(lambda: bench.last("d").drained == {"b"})
        await bench.until(lambda: bench.leads("a"))
        assert (await bench.ask("d", do="drain", member="d"))["ok"]
        bench.keepers.pop("b").close()
        bench.ids = "acd"
        for each in "acd":
            bench.keepers[each].replace(cluster_of(each, tmp_path, "acd"))
        bench.lease("d")
        # Orders for a member that has left are gone with it.
        await bench.until(lambda: all(bench.last(each).drained == {"d"} for each in "acd"))

    assert run(tmp_path, scenario).lines == []


def test_after_a_restart_the_last_orders_are_known_before_anybody_leads(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        assert (await bench.ask("a", do="drain", member="c"))["ok"]
        # What is certain is written at leisure.
        await bench.until(lambda: all(b'"commit":4' in _journal(tmp_path, each) for each in "abc"))

    async def second(bench: Bench) -> None:
        await bench.until(lambda: all(bench.last(each).drained == {"c"} for each in "abc"))

    run(tmp_path, first)
    run(tmp_path, second)


def _journal(where: Path, own: str) -> bytes:
    return (where / own / "log" / "journal").read_bytes().splitlines()[-1]


def test_a_damaged_journal_stops_the_start_and_nothing_else(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))

    run(tmp_path, scenario)
    path = tmp_path / "a" / "log" / "journal"
    data = path.read_bytes()
    path.write_bytes(b"x" + data[1:])
    with pytest.raises(FatalStart, match="Move the file away"):
        prepare(cluster_of("a", tmp_path))
    path.write_bytes(data[:-3])
    (line,) = prepare(cluster_of("a", tmp_path))
    assert "torn" in line


def test_a_run_directory_in_which_others_may_write_is_refused(tmp_path: Path) -> None:
    cluster = cluster_of("a", tmp_path)
    os.makedirs(cluster.run_directory)
    os.chmod(cluster.run_directory, 0o777)
    with pytest.raises(FatalStart, match=r"could be replaced: others than its owner .*run_directory"):
        prepare(cluster)
    os.chmod(cluster.run_directory, 0o755)
    assert prepare(cluster) == ()


@pytest.mark.slow
def test_a_journal_that_breaks_while_it_runs_costs_only_the_log(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        path = tmp_path / "b" / "log" / "journal"
        data = path.read_bytes()
        path.write_bytes(b"x" + data[1:])
        pid = bench.keepers["b"].pid
        os.kill(pid, signal.SIGKILL)
        await bench.until(lambda: any("Move the file away" in line for line in bench.lines))
        bench.keepers["b"].record(Holding(LeaseName("VI_1"), MemberId("b"), 1, ""))
        reply = await bench.ask("b", do="drain", member="a")
        assert not reply["ok"] and "is not kept here" in reply["error"]
        status = await bench.ask("b", do="status")
        assert status["ok"] and status["log_leader"] is None
        before, begin = _ticks(bench.keepers["b"].pid), time.monotonic()
        await bench.until(lambda: time.monotonic() > begin + 0.5)
        assert _ticks(bench.keepers["b"].pid) - before < 10
        # The others do without it.
        assert (await bench.ask("c", do="drain", member="b"))["ok"]
        os.rename(path, tmp_path / "damaged")
        await bench.until(lambda: bench.last("b").drained == {"b"})

    run(tmp_path, scenario)


def test_hostile_parts_leave_the_process_alone(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        pids = {each: keeper.pid for each, keeper in bench.keepers.items()}
        rng = random.Random(9)
        for _ in range(300):
            body = rng.choice(
                (rng.randbytes(200), b"\x80\x04c", b"{" * 49_000, b"[" * 30_000, b"\0" * 9000, b'{"type":1}')
            )
            bench.keepers["b"].heard(MemberId("a"), LogPart(body))
            bench.keepers["a"].heard(MemberId("nobody"), LogPart(body))
        assert (await bench.ask("a", do="drain", member="c"))["ok"]
        await bench.until(lambda: bench.last("b").drained == {"c"})
        assert {each: keeper.pid for each, keeper in bench.keepers.items()} == pids

    run(tmp_path, scenario)


@pytest.mark.slow
@pytest.mark.alone
def test_an_idle_process_costs_next_to_nothing(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.lease("a")
        await bench.until(lambda: bench.leads("a"))
        before = _ticks(bench.keepers["a"].pid)
        begin = time.monotonic()
        while time.monotonic() < begin + 3.0:
            bench.lease("a")
            await asyncio.sleep(0.25)
        used_s = (_ticks(bench.keepers["a"].pid) - before) / os.sysconf("SC_CLK_TCK")
        assert used_s / 3.0 < 0.02, used_s

    run(tmp_path, scenario)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
