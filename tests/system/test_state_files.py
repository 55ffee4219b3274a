"""Files are there whole or not at all."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.system.state_files import replace_file


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_in_pieces(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o777)
    try:
        replace_file(str(path), ("a", "b\n"), 0o640, durable=durable)
    finally:
        os.umask(before)
    assert path.read_text() == "ab\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    def pieces() -> Iterator[str]:
        yield "new"
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="No space"):
        replace_file(str(path), pieces(), 0o600)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
