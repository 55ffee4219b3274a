"""What is heard of a directory."""

import errno
from pathlib import Path

import pytest

from keepalived_py.system import inotify
from keepalived_py.system.inotify import Happened, Inotify

ENTRIES = inotify.CREATE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.DELETE


def test_entries_that_come_change_their_name_and_go(tmp_path: Path) -> None:
    watch = Inotify()
    number = watch.watch(str(tmp_path), ENTRIES)
    assert watch.read() == []
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b").unlink()
    assert watch.read() == [
        Happened(number, inotify.CREATE, "a"),
        Happened(number, inotify.MOVED_FROM, "a"),
        Happened(number, inotify.MOVED_TO, "b"),
        Happened(number, inotify.DELETE, "b"),
    ]
    tmp_path.rmdir()
    assert [event.mask for event in watch.read()] == [inotify.IGNORED]
    watch.close()
    watch.close()


def test_what_is_forgotten_is_not_heard(tmp_path: Path) -> None:
    watch = Inotify()
    number = watch.watch(str(tmp_path), ENTRIES)
    assert watch.watch(str(tmp_path), ENTRIES) == number
    watch.forget(number)
    watch.forget(number)
    (tmp_path / "a").write_text("x")
    assert [event.mask for event in watch.read()] == [inotify.IGNORED]
    watch.close()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    watch = Inotify()
    with pytest.raises(OSError) as raised:
        watch.watch(str(tmp_path / "none"), ENTRIES)
    assert raised.value.errno == errno.ENOENT
    watch.close()
