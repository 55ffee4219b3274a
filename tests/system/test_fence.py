"""Fencing programs: what they are given, what counts as success, time limits, and what is kept from the log."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keepalived_py.base.clock import seconds
from keepalived_py.base.names import LeaseName, MemberId
from keepalived_py.model.config import Command
from keepalived_py.model.raft import FenceAgent, Fencing
from keepalived_py.model.raft_events import Fence
from keepalived_py.system import loop
from keepalived_py.system.fence import FenceRunner

B, C = MemberId("b"), MemberId("c")
NOBODY = 65534
ORDER = Fence(B, (LeaseName("VI_1"), LeaseName("VI_2")), 7, "not seen to give up", 2)


def program(path: Path, text: str) -> Command:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return Command((str(path),), os.getuid(), os.getgid())


def run(scenario: Callable[[FenceRunner], Awaitable[None]]) -> list[str]:
    """What was said."""
    said: list[str] = []

    async def main() -> None:
        runner = FenceRunner(said.append)
        try:
            await scenario(runner)
        finally:
            runner.close()

    loop.run(asyncio.wait_for(main(), 30))
    return said


def shoot(fencing: Fencing, order: Fence = ORDER) -> tuple[bool, list[str]]:
    result: list[bool] = []

    async def scenario(runner: FenceRunner) -> None:
        result.append(await runner.shoot(order, fencing))

    said = run(scenario)
    return result[0], said


def agents(*commands: Command, member: MemberId | str = "", **options: str) -> Fencing:
    agent = tuple((MemberId(member), FenceAgent(each, tuple(options.items()))) for each in commands)
    return Fencing(agents=agent)


def test_arguments_of_a_script(tmp_path: Path) -> None:
    script = program(tmp_path / "shoot", f'for each in "$@"; do echo "<$each>"; done > {tmp_path}/seen\n')
    with_words = Command((*script.argv, "--off"), script.uid, script.gid)
    good, said = shoot(Fencing(script=with_words))
    assert good
    assert (tmp_path / "seen").read_text().split("\n") == [
        "<--off>",
        "<b>",
        "<VI_1,VI_2>",
        "<7>",
        "<not seen to give up>",
        "<2>",
        "",
    ]
    assert said == ["Fencing b with shoot (attempt 2: not seen to give up)"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("exit 1\n", "x failed with status 1"), ("kill -9 $$\n", "x was ended by signal 9")],
)
def test_failures(tmp_path: Path, text: str, line: str) -> None:
    good, said = shoot(Fencing(script=program(tmp_path / "x", text)))
    assert not good
    assert said[-1] == line


def test_a_program_that_cannot_be_run_has_not_fenced_anybody(tmp_path: Path) -> None:
    for argv in ((str(tmp_path / "missing"),), (str(tmp_path),)):
        good, said = shoot(Fencing(script=Command(argv, os.getuid(), os.getgid())))
        assert not good
        assert "cannot be run" in said[-1]


def test_nothing_configured_fences_nobody(tmp_path: Path) -> None:
    good, said = shoot(agents(program(tmp_path / "x", "exit 0\n"), member=C))
    assert not good
    assert "nothing is configured" in said[-1]


def test_standard_input_of_an_agent(tmp_path: Path) -> None:
    agent = program(tmp_path / "fence_x", f"cat > {tmp_path}/seen\n")
    good, _ = shoot(agents(agent, ip="10.0.0.9", passwd="secret word", plug="3"))
    assert good
    assert (
        tmp_path / "seen"
    ).read_text() == "ip=10.0.0.9\npasswd=secret word\nplug=3\naction=off\nnodename=b\n"
    shoot(agents(agent, action="reboot", nodename="other"))
    assert (tmp_path / "seen").read_text() == "action=reboot\nnodename=other\n"


def test_an_agent_that_does_not_read_is_no_failure(tmp_path: Path) -> None:
    good, _ = shoot(agents(program(tmp_path / "fence_x", "exit 0\n"), filler="x" * 100_000))
    assert good


def test_agents_of_the_member_and_of_all_run_in_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one, two, three = (
        program(tmp_path / each, f"echo {each} >> {log}\n") for each in ("one", "two", "three")
    )
    fencing = Fencing(
        agents=(
            (MemberId(""), FenceAgent(one)),
            (C, FenceAgent(two)),
            (B, FenceAgent(three)),
        )
    )
    assert shoot(fencing)[0]
    assert log.read_text() == "one\nthree\n"


def test_the_first_failure_ends_it(tmp_path: Path) -> None:
    good, _ = shoot(
        agents(program(tmp_path / "no", "exit 1\n"), program(tmp_path / "yes", f"touch {tmp_path}/ran\n"))
    )
    assert not good
    assert not (tmp_path / "ran").exists()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_time_limit_ends_the_whole_group_and_is_a_failure(tmp_path: Path) -> None:
    script = program(tmp_path / "x", f"trap 'exit 0' TERM; sleep 60 & echo $! > {tmp_path}/pid; wait\n")
    begin = time.monotonic()
    good, said = shoot(Fencing(script=script, timeout_us=seconds(0.3)))
    assert not good
    assert 0.3 <= time.monotonic() - begin < 5
    assert "did not end within its time limit" in said[-1]
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_who_ignores_the_polite_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepalived_py.system.fence.GRACE_S", 0.2)
    script = program(tmp_path / "x", "trap '' TERM; while :; do sleep 0.05; done\n")
    begin = time.monotonic()
    good, _ = shoot(Fencing(script=script, timeout_us=seconds(0.2)))
    assert not good
    assert time.monotonic() - begin < 5


def test_output_goes_to_the_log_without_secrets(tmp_path: Path) -> None:
    text = "cat >&2; printf 'bell \\a and \\377\\n'; echo my-Hidden; yes line | head -n 1000; printf end\n"
    good, said = shoot(
        agents(program(tmp_path / "fence_x", text), passwd="Hidden", ip="10.0.0.9", token="Hid")
    )
    assert good
    lines = [line.removeprefix("fence_x: ") for line in said[1:]]
    assert lines[:6] == [
        "passwd=***",
        "ip=10.0.0.9",
        "token=***",
        "action=off",
        "nodename=b",
        "bell ? and \ufffd",
    ]
    assert "my-***" in lines
    assert len(lines) == 50
    assert not any("Hid" in line for line in said)


def test_the_helper_may_be_forked_later(tmp_path: Path) -> None:
    script = program(tmp_path / "x", "exit 0\n")

    async def main() -> None:
        runner = FenceRunner(lambda _: None, at_once=False)
        assert runner._helper.pid == 0
        assert await runner.shoot(ORDER, Fencing(script=script))
        assert runner._helper.pid > 0
        runner.close()

    loop.run(asyncio.wait_for(main(), 30))


def test_one_call_for_a_target_at_a_time(tmp_path: Path) -> None:
    script = program(
        tmp_path / "x", f"echo $1 >> {tmp_path}/log; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done\n"
    )
    results: list[bool] = []

    async def scenario(runner: FenceRunner) -> None:
        other = Fence(C, (), 0, "lost", 1)
        fencing = Fencing(script=script)
        tasks = [asyncio.ensure_future(runner.shoot(order, fencing)) for order in (ORDER, ORDER, other)]
        while not (tmp_path / "log").exists() or (tmp_path / "log").read_text().count("\n") < 2:
            await asyncio.sleep(0.005)
        (tmp_path / "go").touch()
        results.extend(await asyncio.gather(*tasks))

    run(scenario)
    assert results == [True, True, True]
    assert sorted((tmp_path / "log").read_text().split()) == ["b", "c"]


@pytest.mark.alone
def test_the_loop_is_not_held_up(tmp_path: Path) -> None:
    script = program(tmp_path / "x", "sleep 0.3\n")
    latest = 0.0

    async def scenario(runner: FenceRunner) -> None:
        nonlocal latest
        shot = asyncio.ensure_future(runner.shoot(ORDER, Fencing(script=script)))
        while not shot.done():
            before = time.monotonic()
            await asyncio.sleep(0.001)
            latest = max(latest, time.monotonic() - before)
        assert await shot

    run(scenario)
    assert latest < 0.15


def test_close_ends_what_runs(tmp_path: Path) -> None:
    script = program(
        tmp_path / "x", f"echo $$ > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/pid; exec sleep 60\n"
    )
    results: list[bool] = []

    async def scenario(runner: FenceRunner) -> None:
        shot = asyncio.ensure_future(runner.shoot(ORDER, Fencing(script=script)))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.005)
        runner.close()
        results.append(await shot)

    run(scenario)
    assert results == [False]
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_killed_helper_is_a_failure_and_the_next_shot_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keepalived_py.system.helper.AGAIN_AFTER_S", 0.05)
    slow = program(
        tmp_path / "slow", f"echo $$ > {tmp_path}/part; mv {tmp_path}/part {tmp_path}/pid; exec sleep 60\n"
    )
    quick = program(tmp_path / "quick", "exit 0\n")
    results: list[bool] = []

    async def scenario(runner: FenceRunner) -> None:
        shot = asyncio.ensure_future(runner.shoot(ORDER, Fencing(script=slow)))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.005)
        os.kill(runner._helper.pid, signal.SIGKILL)
        results.append(await shot)
        results.append(await runner.shoot(ORDER, Fencing(script=quick)))

    said = run(scenario)
    assert results == [False, True]
    assert any("was killed" in line for line in said)
    wait_until(lambda: gone(int((tmp_path / "pid").read_text())))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_it_runs_as_its_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    script = program(tmp_path / "x", "id -u; id -g; id -G; pwd; umask\n")
    _, said = shoot(Fencing(script=Command(script.argv, NOBODY, NOBODY)))
    assert said[1:] == ["x: 65534", "x: 65534", "x: 65534", "x: /", "x: 0077"]
