"""Notify FIFOs: made, checked, written to, removed; and their programs."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keepalived_py.base.record import replace
from keepalived_py.model.config import Command, Configuration, Globals
from keepalived_py.model.globals import NotifyFifo, Owner, Pipe
from keepalived_py.system.fifo import Fifos, of_vrrp

ROOT = Owner(0, 0)
NOBODY = 65534


class Readers:
    """Writes down which programs were started and stopped."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.ends: list[Callable[[], None]] = []

    def start_reader(self, command: Command, ended: Callable[[], None]) -> int | None:
        self.events.append(f"start {command}")
        self.ends.append(ended)
        return len(self.ends)

    def stop_reader(self, number: int) -> None:
        self.events.append(f"stop {number}")


def fifo(path: Path, owner: Owner = ROOT, script: str | None = None) -> NotifyFifo:
    command = None if script is None else Command(tuple(script.split()), 0, 0)
    return NotifyFifo(Pipe(str(path), owner), command)


def configuration(common: NotifyFifo | None = None, own: NotifyFifo | None = None) -> Configuration:
    nothing = NotifyFifo()
    return Configuration(globals=Globals(notify_fifo=common or nothing, vrrp_notify_fifo=own or nothing))


class Scene:
    """FIFOs with a log and a recorder of programs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.readers = Readers()
        self.fifos = Fifos(of_vrrp, self.lines.append, self.readers)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_lines_reach_both_readers(scene: Scene, tmp_path: Path) -> None:
    paths = (tmp_path / "all", tmp_path / "vrrp")
    scene.fifos.follow(configuration(fifo(paths[0]), fifo(paths[1])))
    ears = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in paths]
    scene.fifos.write('INSTANCE "A" MASTER 100')
    scene.fifos.write('INSTANCE "A" BACKUP 100')
    for ear in ears:
        assert os.read(ear, 1000) == b'INSTANCE "A" MASTER 100\nINSTANCE "A" BACKUP 100\n'
        os.close(ear)
    scene.fifos.close()
    assert not any(path.exists() for path in paths)
    assert scene.lines == []


def test_mode_and_owner(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    before = os.umask(0o022)
    try:
        scene.fifos.follow(configuration(fifo(path, Owner(NOBODY, NOBODY))))
    finally:
        os.umask(before)
    found = path.stat()
    assert stat.filemode(found.st_mode) == "prw-r--r--"
    assert (found.st_uid, found.st_gid) == (NOBODY, NOBODY)
    scene.fifos.close()


def test_full_pipe_loses_whole_lines(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    scene.fifos.follow(configuration(fifo(path)))
    line = "x" * 99
    for _ in range(2000):
        scene.fifos.write(line)
    ear = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    data = b""
    while piece := _piece(ear):
        data += piece
    os.close(ear)
    assert len(data) >= 4096
    assert set(data.split(b"\n")) == {line.encode(), b""}
    scene.fifos.close()
    assert scene.lines == []


def _piece(ear: int) -> bytes:
    try:
        return os.read(ear, 65536)
    except BlockingIOError:
        return b""


def test_fifo_of_others_stays(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    scene.fifos.follow(configuration(fifo(path)))
    assert scene.fifos.open
    scene.fifos.close()
    assert path.is_fifo()


def test_what_is_no_fifo_of_ours_is_not_written_to(scene: Scene, tmp_path: Path) -> None:
    plain, foreign, link = (tmp_path / name for name in ("plain", "foreign", "link"))
    plain.write_text("kept")
    os.mkfifo(foreign)
    os.chown(foreign, NOBODY, NOBODY)
    link.symlink_to(foreign)
    for path in (plain, foreign, link):
        scene.fifos.follow(configuration(own=fifo(path)))
        assert not scene.fifos.open
    assert scene.lines == [
        f"vrrp_notify fifo {plain} is not a fifo we own - not using",
        f"vrrp_notify fifo {foreign} is not a fifo we own - not using",
        f"Unable to open vrrp_notify fifo {link} - errno 40",
    ]
    assert plain.read_text() == "kept"
    assert foreign.exists()
    # The configured user's is as good as ours.
    scene.fifos.follow(configuration(own=fifo(foreign, Owner(NOBODY, NOBODY))))
    assert scene.fifos.open
    scene.fifos.close()


def test_directory_that_does_not_exist(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "fifo"
    scene.fifos.follow(configuration(fifo(path)))
    scene.fifos.write("x")
    assert scene.lines == [f"Unable to create notify fifo {path}"]
    scene.fifos.close()


def test_program_is_started_once_and_ended(scene: Scene, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    wanted = configuration(own=fifo(first, script="/bin/reader -v"))
    scene.fifos.follow(wanted)
    scene.fifos.follow(replace(wanted))
    assert scene.readers.events == [f"start /bin/reader -v {first}"]
    scene.readers.ends[0]()
    assert scene.lines == ["vrrp notify fifo script terminated"]
    scene.fifos.follow(configuration(own=fifo(second, script="/bin/reader -v")))
    assert scene.readers.events[1:] == ["stop 1", f"start /bin/reader -v {second}"]
    assert not first.exists()
    scene.fifos.close()
    assert scene.readers.events[-1] == "stop 2"


def test_fifo_stays_open_over_a_reload(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    scene.fifos.follow(configuration(fifo(path)))
    inode = path.stat().st_ino
    scene.fifos.write("before")
    scene.fifos.follow(configuration(fifo(path), fifo(tmp_path / "more")))
    scene.fifos.write("after")
    assert path.stat().st_ino == inode
    ear = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(ear, 100) == b"before\nafter\n"
    os.close(ear)
    scene.fifos.close()


def test_common_program_is_the_checker_s_if_there_is_one(tmp_path: Path) -> None:
    alone = configuration(fifo(tmp_path / "fifo", script="/bin/reader"))
    assert of_vrrp(alone)[""].script is not None
    both = replace(alone, virtual_servers=(object(),))
    assert of_vrrp(both)[""].script is None
    assert of_vrrp(both)[""].pipe == alone.globals.notify_fifo.pipe
