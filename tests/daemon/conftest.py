"""What the tests of the daemon share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.process import Daemon, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Daemon] = []

    def make(text: str, *words: str, environment: dict[str, str] | None = None) -> Daemon:
        (tmp_path / "configuration").write_text(text)
        made.append(Daemon(tmp_path, *words, environment=environment))
        return made[-1]

    yield make
    for daemon in made:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.ended()
