"""Scripts: how they end, what they inherit, and what happens when they will not end."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keepalived_py.base.clock import seconds
from keepalived_py.base.names import ScriptName
from keepalived_py.model.config import Command
from keepalived_py.model.effects import RunCheck
from keepalived_py.model.events import ScriptFinished
from keepalived_py.system import loop, processes
from keepalived_py.system.processes import Runner

NOBODY = 65534
NAME = ScriptName("chk")


def shell(text: str, uid: int = 0, gid: int = 0) -> Command:
    return Command(("/bin/sh", "-c", text), uid, gid)


def run(scenario: Callable[[Runner], Awaitable[None]], limit_s: float = 15) -> list[ScriptFinished]:
    """Run `scenario`, wait for its scripts to end; the ends of checks in order."""
    finished: list[ScriptFinished] = []

    async def main() -> None:
        runner = Runner(finished.append, environment={"PATH": os.environ["PATH"], "LD_PRELOAD": "", "A": "b"})
        await scenario(runner)
        await runner.finish(limit_s)
        runner.close()

    loop.run(asyncio.wait_for(main(), 40))
    return finished


def check_of(command: Command, timeout_s: float = 10) -> list[ScriptFinished]:
    async def scenario(runner: Runner) -> None:
        assert runner.check(RunCheck(NAME, command, seconds(timeout_s))) == 0

    return run(scenario)


@pytest.mark.parametrize(
    ("command", "end"),
    [
        (shell("exit 0"), ScriptFinished(NAME)),
        (shell("exit 3"), ScriptFinished(NAME, status=3)),
        (shell("kill -9 $$"), ScriptFinished(NAME, signal=9)),
        # As in keepalived, what cannot be executed counts as successful.
        (Command(("/nonexistent/program",), 0, 0), ScriptFinished(NAME)),
    ],
)
def test_ends(command: Command, end: ScriptFinished) -> None:
    assert check_of(command) == [end]


def test_script_without_interpreter_line_does_nothing(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f"touch {tmp_path}/ran\n")
    script.chmod(0o755)
    assert check_of(Command((str(script),), 0, 0)) == [ScriptFinished(NAME)]
    assert not (tmp_path / "ran").exists()


def test_time_limit_ends_script_and_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    begin = time.monotonic()
    ends = check_of(shell(f"sleep 30 & echo $! > {pid_file}; wait"), timeout_s=0.3)
    assert ends == [ScriptFinished(NAME, signal=signal.SIGTERM, timed_out=True)]
    assert time.monotonic() - begin < 5
    with pytest.raises(ProcessLookupError):
        _wait_until_gone(int(pid_file.read_text()))


def _wait_until_gone(pid: int) -> None:
    for _ in range(200):
        os.kill(pid, 0)
        if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            raise ProcessLookupError(pid)
        time.sleep(0.02)


def test_deaf_script_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "GRACE_S", 0.3)
    ends = check_of(shell("trap '' TERM; while :; do sleep 1; done"), timeout_s=0.2)
    assert ends == [ScriptFinished(NAME, signal=signal.SIGKILL, timed_out=True)]


# 32 and 33 belong to the C library, which lets no program change them: whoever started
# the test may have left them ignored.
C_LIBRARY_SIGNALS = 1 << 31 | 1 << 32


def test_inheritance(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o111)
    result = tmp_path / "result"
    result.touch()
    result.chmod(0o666)
    text = (
        f"exec >> {result}; pwd; umask; env | sort; grep -E '^(Uid|Gid|Groups|SigBlk|SigIgn):' /proc/self/status;"
        f"readlink /proc/$$/fd/0 /proc/$$/fd/2; ls /proc/$$/fd | wc -l; ps -o pgid= -p $$; echo $$; touch {tmp_path}/new"
    )
    assert check_of(shell(text, NOBODY, NOBODY)) == [ScriptFinished(NAME)]
    lines = result.read_text().split("\n")
    assert lines[:2] == ["/", "0177"]
    assert "A=b" in lines
    assert not [line for line in lines if line.startswith("LD_PRELOAD")]
    fields = {line.split()[0]: line.split()[1:] for line in lines if ":\t" in line}
    assert fields["Uid:"] == fields["Gid:"] == [str(NOBODY)] * 4
    assert fields["Groups:"] == [str(NOBODY)]
    assert int(fields["SigBlk:"][0], 16) == 0
    assert int(fields["SigIgn:"][0], 16) & ~C_LIBRARY_SIGNALS == 0
    assert lines.count("/dev/null") == 2
    *_, descriptors, group, pid, end = lines
    # 0 to 2, and the shell's copy of its standard output at most.
    assert int(descriptors) <= 4
    assert (group.strip(), end) == (pid, "")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("all_groups", "found"), [(False, "1234"), (True, "7 8 9")])
def test_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, all_groups: bool, found: str) -> None:
    """The spawner is forked from here, so it knows the groups that this machine's nobody has not."""
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [7, 8, 9] if name == "nobody" else [gid])
    file = tmp_path / "groups"
    file.touch()
    file.chmod(0o666)

    async def scenario(runner: Runner) -> None:
        runner.all_groups = all_groups
        assert runner.notify(shell(f"grep Groups: /proc/$$/status >{file}", NOBODY, 1234)) == 0

    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o111)
    run(scenario)
    assert file.read_text().removeprefix("Groups:").split() == found.split()


@pytest.mark.alone
def test_notifies_run_side_by_side_and_nobody_waits(tmp_path: Path) -> None:
    async def scenario(runner: Runner) -> None:
        begin = time.monotonic()
        assert runner.notify(shell(f"sleep 0.5; echo a >> {tmp_path}/o")) == 0
        assert runner.notify(shell(f"echo b >> {tmp_path}/o")) == 0
        assert time.monotonic() - begin < 0.3
        assert runner.running == 2

    assert run(scenario) == []
    assert (tmp_path / "o").read_text() == "b\na\n"


def test_finish_does_not_wait_for_ever() -> None:
    async def scenario(runner: Runner) -> None:
        runner.notify(shell("sleep 30"))

    begin = time.monotonic()
    run(scenario, limit_s=0.2)
    assert time.monotonic() - begin < 5


def _left_running(tmp_path: Path, start: Callable[[Runner, Command], object]) -> int:
    """The pid of a script that runs when the runner is closed."""
    pid_file = tmp_path / "pid"

    async def main() -> None:
        runner = Runner(lambda end: None)
        start(runner, shell(f"echo $$ > {pid_file}; exec sleep 30"))
        while not pid_file.exists() or not pid_file.read_text():
            await asyncio.sleep(0.01)
        await runner.finish(0.0)
        runner.close()

    loop.run(asyncio.wait_for(main(), 20))
    return int(pid_file.read_text())


def test_checks_die_with_us(tmp_path: Path) -> None:
    pid = _left_running(tmp_path, lambda runner, command: runner.check(RunCheck(NAME, command, seconds(20))))
    with pytest.raises(ProcessLookupError):
        _wait_until_gone(pid)


def test_notify_scripts_outlive_us(tmp_path: Path) -> None:
    """keepalived starts them and never looks again; so whoever restarts the daemon interrupts none."""
    pid = _left_running(tmp_path, lambda runner, command: runner.notify(command))
    try:
        time.sleep(0.2)
        assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_killed_spawner_is_replaced() -> None:
    async def scenario(runner: Runner) -> None:
        runner.check(RunCheck(NAME, shell("sleep 30"), seconds(20)))
        await asyncio.sleep(0.1)
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, timeout=10
        ).stdout.split()
        spawner = max(pid for pid in map(int, children) if _is_python(pid))
        os.kill(spawner, signal.SIGKILL)
        while runner.running:
            await asyncio.sleep(0.01)
        assert runner.check(RunCheck(NAME, shell("exit 4"), seconds(5))) == 0

    assert run(scenario) == [ScriptFinished(NAME, signal=signal.SIGTERM), ScriptFinished(NAME, status=4)]


def _is_python(pid: int) -> bool:
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.alone
def test_start_does_not_wait_for_the_script() -> None:
    took: list[float] = []

    async def scenario(runner: Runner) -> None:
        for _ in range(30):
            begin = time.perf_counter()
            runner.notify(Command(("/bin/true",), 0, 0))
            took.append(time.perf_counter() - begin)
            await asyncio.sleep(0.01)

    run(scenario)
    assert sorted(took)[15] < 0.002
