"""The shell and what decides about instances from outside: it is asked first, told after, and silences neighbours."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from keepalived_py.base.clock import SECOND, Micros
from keepalived_py.base.names import InstanceName, LeaseName, ScriptName
from keepalived_py.base.record import replace
from keepalived_py.core import node as core
from keepalived_py.core.standing import Standings
from keepalived_py.election import vrrp
from keepalived_py.election.ports import Machine
from keepalived_py.election.vrrp import VrrpShell
from keepalived_py.model import events as ev
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import (
    CheckScript,
    Configuration,
    Election,
    GratuitousArp,
    InitialState,
    Instance,
    TrackedScript,
)
from keepalived_py.model.effects import Role
from keepalived_py.model.interfaces import GarpGroup
from keepalived_py.model.scripts import NO_COMMAND
from keepalived_py.system.loop import new_loop, now
from tests.election.test_shell import ETH0, FACTS, OWNER, Recorder, Wire

VI_1, LEASE = InstanceName("VI_1"), LeaseName("VI_1")
GRANTED = ev.LeaseGranted(LEASE, (VI_1,), 1, "promised by others")
LOST = ev.LeaseLost(LEASE, (VI_1,), "no quorum", "the promises ended")
LEASED = replace(OWNER, election=Election.RAFT, initial_state=InitialState.BACKUP, vrid=0)
CHECK = CheckScript(
    ScriptName("web"), NO_COMMAND, SECOND, SECOND, connect=Endpoint("10.0.0.9", 80), ends_program=True
)
LIMIT_S = 10


def arps(recorder: Recorder) -> int:
    return recorder.done.count("arp 7")


def live(
    recorder: Recorder,
    life: Callable[[VrrpShell], Awaitable[None]],
    *instances: Instance,
    prepare: Callable[[VrrpShell], None] = lambda shell: None,
    **configuration: Any,
) -> None:
    """Start a shell that `prepare` has been at, live in it, stop it in order."""

    async def lived() -> None:
        machine = Machine(
            kernel=recorder,
            scripts=recorder,
            neighbours=recorder,
            firewall=recorder,
            devices=recorder,
            fifos=recorder,
            probes=recorder,
            servers=recorder,
            log=recorder,
            now=now,
            wall_clock_s=lambda: 0,
        )
        shell = VrrpShell(Configuration(instances=instances, **configuration), {ETH0: FACTS}, machine)
        prepare(shell)
        shell.start()
        async with asyncio.timeout(LIMIT_S):
            await life(shell)
        await shell.stop(release=True)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(lived())


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(Wire, "recorder", made, raising=False)
    monkeypatch.setattr(vrrp, "Listeners", Wire)
    return made


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.001)


def role(shell: VrrpShell) -> Role:
    assert shell.node is not None
    return shell.node.instances[VI_1].role


def test_a_grant_takes_the_address_without_an_advert(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        shell.feed(GRANTED)
        assert role(shell) is Role.MASTER
        await until(lambda: arps(recorder) == 5)
        shell.feed(LOST)
        await shell.settled()

    live(recorder, life, LEASED)
    assert [each for each in recorder.done if each[:3] in ("add", "del", "adv")] == [
        "add 10.0.0.100",
        "delete 10.0.0.100",
    ]


def test_what_is_found_out_before_a_step_comes_before_the_events_that_wait(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        news = [LOST]
        shell.before_step = lambda: shell.feed(news.pop()) if news else None
        shell.feed(GRANTED)
        assert role(shell) is Role.MASTER, "the loss is of an earlier lease"
        news.append(LOST)
        shell.feed(ev.FileRead("nobody", 1))
        assert role(shell) is Role.BACKUP

    live(recorder, life, LEASED)


@pytest.mark.parametrize("in_time", [True, False])
def test_what_is_found_out_at_a_deadline_comes_before_what_was_foreseen(
    recorder: Recorder, in_time: bool
) -> None:
    """The second burst is worked out ahead; the lease is over when it is due."""
    garp = GratuitousArp(delay_us=Micros(60_000), refresh_us=Micros(0))

    async def life(shell: VrrpShell) -> None:
        shell.feed(GRANTED)
        await until(lambda: arps(recorder) == 5)
        assert shell.node is not None
        deadline = core.next_deadline(shell.node)
        assert deadline is not None

        def look() -> None:
            if now() >= deadline and role(shell) is Role.MASTER:
                shell.feed(LOST)

        shell.before_step = look if in_time else lambda: None
        await until(lambda: now() > deadline + 30_000)
        assert role(shell) is (Role.BACKUP if in_time else Role.MASTER)

    live(recorder, life, replace(LEASED, garp=garp))
    assert arps(recorder) == (5 if in_time else 10)


def test_every_step_is_told_the_first_one_too(recorder: Recorder) -> None:
    told: list[bool] = []

    def prepare(shell: VrrpShell) -> None:
        book = Standings()
        shell.after_step = lambda node: told.append(book.of(node)[LEASE].settled)

    async def life(shell: VrrpShell) -> None:
        await shell.settled()
        await until(lambda: told[-1])
        shell.feed(GRANTED)
        assert told[-1] is False
        await shell.settled()
        shell.feed(LOST)
        assert told[-1] is False
        await until(lambda: told[-1])
        assert "delete 10.0.0.100" in recorder.done

    live(recorder, life, LEASED, prepare=prepare)


def test_a_deadline_that_was_foreseen_is_told_too(recorder: Recorder) -> None:
    nodes: list[core.Node] = []

    async def life(shell: VrrpShell) -> None:
        await until(lambda: recorder.done.count("advert 255") >= 2)
        assert nodes[-1] is shell.node

    def prepare(shell: VrrpShell) -> None:
        shell.after_step = nodes.append

    live(recorder, life, replace(OWNER, advert_interval_us=Micros(100_000)), prepare=prepare)
    sent = [node.instances[VI_1].counters.advert_sent for node in nodes]
    assert {1, 2} <= set(sent) and sent == sorted(sent)


def test_who_may_not_announce_does_not(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        shell.may_announce = lambda instance: instance != VI_1
        shell.feed(GRANTED)
        await shell.settled()

    live(recorder, life, LEASED)
    assert arps(recorder) == 0 and "add 10.0.0.100" in recorder.done


def test_what_waits_for_its_turn_is_asked_about_when_it_leaves(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        asked: list[InstanceName] = []

        def may(instance: InstanceName) -> bool:
            asked.append(instance)
            return len(asked) <= 2

        shell.may_announce = may
        shell.feed(GRANTED)
        await until(lambda: len(asked) == 5)

    paced = GarpGroup(garp_interval_us=Micros(20_000), interfaces=(ETH0,))
    live(recorder, life, LEASED, garp_groups=(paced,))
    assert arps(recorder) == 2


def test_a_probe_is_handed_to_who_connects(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        await until(lambda: "connect 10.0.0.9:80" in recorder.done)
        shell.feed(ev.ScriptFinished(ScriptName("web"), 0))
        assert role(shell) is Role.BACKUP

    live(recorder, life, replace(LEASED, track_scripts=(TrackedScript(ScriptName("web")),)), scripts=(CHECK,))


def test_the_end_of_the_program_is_asked_for_when_the_release_is_on_its_way(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        reasons: list[str] = []
        ended = asyncio.Event()

        def end(reason: str) -> None:
            reasons.append(reason)
            recorder.done.append("ended")
            ended.set()

        shell.ended = end
        shell.feed(ev.ScriptFinished(ScriptName("web"), 0))
        shell.feed(GRANTED)
        await shell.settled()
        shell.feed(ev.ScriptFinished(ScriptName("web"), 1))
        assert role(shell) is Role.FAULT
        await ended.wait()
        assert reasons == ["check web failed while VI_1 was MASTER"]

    live(recorder, life, replace(LEASED, track_scripts=(TrackedScript(ScriptName("web")),)), scripts=(CHECK,))
    assert recorder.done.count("delete 10.0.0.100") == 1
    assert recorder.done.index("delete 10.0.0.100") < recorder.done.index("pipes closed")


def test_at_a_stop_it_is_told_when_everything_is_released(recorder: Recorder) -> None:
    async def life(shell: VrrpShell) -> None:
        shell.feed(GRANTED)
        await shell.settled()
        shell.released = lambda: recorder.done.append("released")

    live(recorder, life, LEASED)
    done = recorder.done
    assert done.index("delete 10.0.0.100") < done.index("released") < done.index("scripts finished")
