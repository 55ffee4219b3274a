"""`dead_man` with VRRP: a frozen MASTER is silent before a BACKUP answers; keepalived's goes on answering."""

import time
from pathlib import Path

import pytest
from answers import View
from cluster_files import OURS, Cluster, Router
from cluster_lab import cluster_laboratory

pytestmark = [pytest.mark.netns, pytest.mark.timeout(90)]


def frozen(directory: Path, program: tuple[str, ...], *lines: str) -> View:
    """What a client sees when every process of the MASTER stops, until the BACKUP has answered for a second."""
    cluster = Cluster(
        kind="vrrp",
        members=(1, 2),
        program=program,
        routers=(Router(priorities={1: 150, 2: 100}, lines=lines),),
    )
    with cluster_laboratory(directory, cluster) as lab:
        lab.start(1, 2)
        lab.wait_holder(1)
        since = lab.freeze(1)
        lab.wait(lambda: lab.answers.first_answer_ns(since, 2) is not None, 10, "the BACKUP to answer")
        time.sleep(1)
        until = time.time_ns()
        seen = lab.answers.view(since, until)
        lab.thaw(1)
        return seen


def test_a_frozen_master_is_silent_before_its_successor_answers(tmp_path: Path) -> None:
    seen = frozen(tmp_path, OURS, "dead_man")
    assert seen.double_ms == 0 and seen.strays == ()
    assert seen.last == frozenset({2})


def test_without_it_both_answer(tmp_path: Path) -> None:
    seen = frozen(tmp_path, ("keepalived",))
    assert seen.double_ms > 200
