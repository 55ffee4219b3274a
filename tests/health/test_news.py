"""Readers of the state are told whenever there is something new in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived_py.model.ipvs import EditService
from tests.health.kernel_table import Scene
from tests.health.test_shell import real, virtual


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.do(lambda: made.shell.stop(release=True))
    made.after(30.0)
    made.loop.close()


def test_a_result_is_news_even_if_it_is_as_ever(scene: Scene) -> None:
    scene.start(virtual(real(2)))
    scene.after(2.0)
    news: list[int] = []
    scene.shell.changed = lambda: news.append(1)
    scene.after(5.5)
    assert len([at for at, _ in scene.asked]) == 2
    assert news == [1]


def test_what_is_put_right_is_news(scene: Scene) -> None:
    scene.start(virtual(real(2)))
    news: list[int] = []
    scene.shell.changed = lambda: news.append(1)
    scene.do(lambda: scene.shell.heal(()))
    assert news == []
    ((service, held),) = scene.shell.wanted.services.items()
    scene.do(lambda: scene.shell.heal([EditService(service, held.settings)]))
    assert news == [1]
