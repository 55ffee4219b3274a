"""Tracked files: which numbers are read, and which changes are heard of, at once and without a flood."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.model.config import Configuration, Instance
from keepalived_py.model.effects import WriteLog
from keepalived_py.model.events import FileRead
from keepalived_py.model.tracking import TrackedFile, TrackFile
from keepalived_py.system import loop
from keepalived_py.system.file_reader import number_in
from keepalived_py.system.file_watch import FileWatch, initialise

LIMIT_S = 5.0


def tracking(**paths: Path) -> Configuration:
    """An instance that tracks these files, and one file that nobody tracks."""
    tracked = tuple(TrackedFile(name) for name in paths)
    instance = Instance(InstanceName("VI_1"), InterfaceName("eth0"), 51, track_files=tracked)
    files = tuple(TrackFile(name, str(path)) for name, path in paths.items())
    return Configuration(instances=(instance,), track_files=(*files, TrackFile("unused", "/nonexistent/x")))


class Bench:
    """A watch, and what it said."""

    def __init__(self) -> None:
        self.events: list[FileRead] = []
        self.lines: list[str] = []
        self._something = asyncio.Event()
        self.watch = FileWatch(self._heard, self._logged)

    def _heard(self, event: FileRead) -> None:
        self.events.append(event)
        self._something.set()

    def _logged(self, line: WriteLog) -> None:
        self.lines.append(line.text)
        self._something.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self._something.clear()
                await self._something.wait()

    async def value(self, number: int | None, name: str = "f") -> None:
        """Wait until the file has this number."""
        await self.until(lambda: FileRead(name, number) in self.events[-1:])


def run(scenario: Callable[[Bench], Awaitable[None]]) -> Bench:
    made: list[Bench] = []

    async def main() -> None:
        bench = Bench()
        made.append(bench)
        try:
            await scenario(bench)
        finally:
            bench.watch.close()

    loop.run(asyncio.wait_for(main(), 30))
    return made[0]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"5\n", 5),
        (b" \t-12 apples", -12),
        (b"+0x1f", 31),
        (b"010", 8),
        (b"09", 0),
        (b"0x", 0),
        (b"0", 0),
        (b"", None),
        (b"five", None),
        (b"- 5", None),
        (b"\xff5", None),
    ],
)
def test_numbers_are_those_of_strtol(text: bytes, number: int | None) -> None:
    assert number_in(text) == number


def test_follow_gives_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("7\n")
    (tmp_path / "big").write_text("4294967296\n")
    names = {name: tmp_path / name for name in ("f", "big", "missing", "folder")}
    (tmp_path / "folder").mkdir()

    async def scenario(bench: Bench) -> None:
        found = await bench.watch.follow(tracking(**names))
        expected = {"f": 7, "big": None, "missing": None, "folder": None}
        assert {event.name: event.value for event in found} == expected
        assert await bench.watch.follow(tracking(**names)) == ()

    bench = run(scenario)
    assert bench.events == []
    assert bench.lines == [f"Invalid number 4294967296 read from {tmp_path}/big - ignoring"]


def test_an_invalid_number_leaves_the_former_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("7")

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=path))
        path.write_text("99999999999999999999999")
        await bench.until(lambda: bool(bench.lines))
        path.write_text("8")
        await bench.value(8)

    bench = run(scenario)
    assert bench.lines == [f"Invalid number {2**63 - 1} read from {path} - ignoring"]
    assert bench.events == [FileRead("f", 8)]


def test_every_way_a_file_changes(tmp_path: Path) -> None:
    path, other = tmp_path / "f", tmp_path / "other"

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=path))
        path.write_text("1")
        await bench.value(1)
        other.write_text("2")
        other.rename(path)
        await bench.value(2)
        path.rename(other)
        await bench.value(None)
        os.link(other, path)
        await bench.value(2)
        path.unlink()
        await bench.value(None)
        path.symlink_to(other)
        await bench.value(2)
        other.write_text("3")
        await bench.value(3)
        with path.open("w") as stream:
            stream.write("4")
        await bench.value(4)

    run(scenario)


def test_a_file_that_is_being_made_is_not_read(tmp_path: Path) -> None:
    path, mark = tmp_path / "f", tmp_path / "mark"

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=path, mark=mark))
        with path.open("w") as stream:
            stream.write("12")
            stream.flush()
            mark.write_text("1")
            await bench.value(1, "mark")
            stream.write("0")
        await bench.value(120)

    assert FileRead("f", 12) not in run(scenario).events


def test_directories_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "f"

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=path))
        for number in (1, 2):
            path.parent.mkdir(parents=True)
            path.write_text(str(number))
            await bench.value(number)
            path.parent.rename(tmp_path / f"old{number}")
            await bench.value(None)
            path.parent.parent.rmdir()

    run(scenario)


def test_a_link_that_is_turned(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "f").write_text("1")
    (tmp_path / "two" / "f").write_text("2")
    link = tmp_path / "f"
    link.symlink_to(tmp_path / "one" / "f")

    async def scenario(bench: Bench) -> None:
        assert await bench.watch.follow(tracking(f=link)) == (FileRead("f", 1),)
        (tmp_path / "new").symlink_to(tmp_path / "two" / "f")
        (tmp_path / "new").rename(link)
        await bench.value(2)
        (tmp_path / "two" / "f").write_text("3")
        await bench.value(3)

    run(scenario)


def test_a_flood_of_writes_is_few_events(tmp_path: Path) -> None:
    path = tmp_path / "f"

    def write_all() -> None:
        for number in range(2_000):
            path.write_text(str(number))

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=path))
        begin = time.monotonic()
        await asyncio.to_thread(write_all)
        took = time.monotonic() - begin
        await bench.value(1_999)
        assert len(bench.events) <= took / 0.01 + 3

    run(scenario)


def test_reload_reads_only_what_is_new(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=one))
        assert await bench.watch.follow(tracking(f=one, g=two)) == (FileRead("g", 2),)
        assert await bench.watch.follow(tracking(f=two)) == (FileRead("f", 2),)
        one.write_text("11")
        two.write_text("22")
        await bench.value(22)

    assert run(scenario).events == [FileRead("f", 22)]


def test_nothing_is_opened_for_nothing(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.watch.follow(Configuration()) == ()
        assert bench.watch.helper_pid == 0
        await bench.watch.follow(tracking(f=tmp_path / "f"))
        assert bench.watch.helper_pid > 0
        await bench.watch.follow(Configuration())
        assert bench.watch.helper_pid == 0

    run(scenario)


def test_another_helper_takes_the_place_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "f"

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=path))
        os.kill(bench.watch.helper_pid, signal.SIGKILL)
        path.write_text("6")
        await bench.value(6)

    run(scenario)


def test_a_file_on_a_disk_that_hangs_delays_nobody(tmp_path: Path) -> None:
    """A helper that was stopped stands for one that waits for its disk."""

    async def scenario(bench: Bench) -> None:
        await bench.watch.follow(tracking(f=tmp_path / "f"))
        pid = bench.watch.helper_pid
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic()
        assert await bench.watch.follow(tracking(f=tmp_path / "f", g=tmp_path / "g")) == ()
        assert time.monotonic() - begin < 2
        os.kill(pid, signal.SIGCONT)
        await bench.value(None, "g")

    run(scenario)


@pytest.mark.parametrize(("overwrite", "left"), [(False, "5"), (True, "3\n")])
def test_init_file(tmp_path: Path, overwrite: bool, left: str) -> None:
    new, old, bad = tmp_path / "new", tmp_path / "old", tmp_path / "none" / "f"
    old.write_text("5")
    lines: list[WriteLog] = []
    files = [
        TrackFile("new", str(new), initial=-3),
        TrackFile("old", str(old), initial=3, overwrite=overwrite),
        TrackFile("bad", str(bad), initial=1),
        TrackFile("folder", str(tmp_path), initial=1, overwrite=True),
        TrackFile("left", str(tmp_path / "left")),
    ]
    initialise(files, 0o177, lines.append)
    assert new.read_text() == "-3\n" and new.stat().st_mode & 0o777 == 0o600
    assert old.read_text() == left
    assert lines == [WriteLog("Unable to initialise track file bad")]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["new", "old"]
