"""What keepalived.conf means stays what it means: priorities, track scripts, preemption, groups, notifies.

Only who decides is another: the quorum.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster_files import VIP, Cluster, Router, block
from cluster_lab import cluster_laboratory
from scenarios import Must, Stage

pytestmark = [pytest.mark.netns, pytest.mark.timeout(90)]

VIPS = (VIP, "10.77.0.101", "10.77.0.102")
PREFERS_1 = {1: 150, 2: 120, 3: 100}
STAY, MOVE = Must.STAY, Must.MOVE


def spread() -> list[Router]:
    """Three routers; each member is the best for one, and the second best for another."""
    return [
        Router(f"VI_{n}", 50 + n, VIPS[n - 1], {n: 150, n % 3 + 1: 120, (n + 1) % 3 + 1: 100}, ())
        for n in (1, 2, 3)
    ]


def tracked(directory: Path, **settings: int) -> tuple[list[str], list[str]]:
    """A vrrp_script that fails on a member while `bad-<member>` is there, and the lines that follow it."""
    script = block(
        "vrrp_script chk",
        f'script "/usr/bin/test ! -e {directory}/bad-%MEMBER%"',
        "interval 1",
        "fall 1",
        "rise 1",
        *(f"{name} {value}" for name, value in settings.items()),
    )
    return script, block("track_script", "chk")


@contextmanager
def at_rest(directory: Path, cluster: Cluster, *holders: int) -> Iterator[Stage]:
    """A laboratory in which these members hold the addresses; at the end there was no fault in any phase."""
    with cluster_laboratory(directory, cluster) as lab:
        lab.start()
        lab.settle()
        for vip, holder in enumerate(holders):
            lab.wait_holder(holder, vip=vip)
        stage = Stage(lab, holders[0])
        yield stage
        told = "\n".join(seen.line() for seen in stage.seen)
        print(told)
        assert stage.seen and not any(seen.faults for seen in stage.seen), f"{told}\n{lab.report()}"


def test_addresses_are_spread_and_fail_over_alone(tmp_path: Path) -> None:
    """Each member holds its own; what a lost one held goes to the second best, and comes back with it."""
    with at_rest(tmp_path, Cluster(routers=spread()), 1, 2, 3) as stage:
        with stage.phase("member 2 loses power", (STAY, MOVE, STAY)):
            stage.lab.power_off(2)
        assert stage.lab.answers.sole(1) == 3
        with stage.phase("it boots and takes its own back", (STAY, MOVE, STAY)):
            stage.lab.power_on(2)
            stage.lab.settle()
        assert [stage.lab.answers.sole(vip) for vip in range(3)] == [1, 2, 3]
        with stage.phase("member 1 is stopped", (MOVE, STAY, STAY)):
            stage.lab.stop(1)
        assert stage.lab.answers.sole(0) == 2


def test_a_failing_script_takes_the_address_away(tmp_path: Path) -> None:
    """Without a weight: FAULT, another member holds it; when the script is well again, the best takes it back."""
    script, lines = tracked(tmp_path)
    cluster = Cluster(before=script, routers=[Router(priorities=PREFERS_1, lines=lines)])
    with at_rest(tmp_path / "lab", cluster, 1) as stage:
        with stage.phase("the script fails", MOVE):
            (tmp_path / "bad-n1").touch()
        assert stage.lab.answers.sole() == 2
        with stage.phase("it succeeds", MOVE):
            (tmp_path / "bad-n1").unlink()
        assert stage.lab.answers.sole() == 1


def test_weights_change_the_order(tmp_path: Path) -> None:
    """A weight of -40 puts 150 below 120, but the weight of all leaves the order as it was."""
    script, lines = tracked(tmp_path, weight=-40)
    cluster = Cluster(before=script, routers=[Router(priorities=PREFERS_1, lines=lines)])
    with at_rest(tmp_path / "lab", cluster, 1) as stage:
        with stage.phase("the script fails on the holder", MOVE):
            (tmp_path / "bad-n1").touch()
        assert stage.lab.answers.sole() == 2
        with stage.phase("it fails on the others too", MOVE):
            for node in (2, 3):
                (tmp_path / f"bad-n{node}").touch()
        assert stage.lab.answers.sole() == 1


def test_nobody_able_means_nobody_holds(tmp_path: Path) -> None:
    """All members in FAULT: the address is nowhere; the first one that is well again gets it."""
    script, lines = tracked(tmp_path)
    cluster = Cluster(before=script, routers=[Router(priorities=PREFERS_1, lines=lines)])
    with at_rest(tmp_path / "lab", cluster, 1) as stage:
        # The holder last: else each of the others would hold it for the moment until its own check fails.
        for node in (2, 3):
            (tmp_path / f"bad-n{node}").touch()
        for node in (2, 3):
            fallen = stage.lab.daemons[node]
            stage.lab.wait(lambda: fallen.logged("Entering FAULT STATE"), 10, "a follower's FAULT")  # noqa: B023
        with stage.phase("all fail", Must.NONE):
            (tmp_path / "bad-n1").touch()
        with stage.phase("the worst recovers", Must.ONE):
            (tmp_path / "bad-n3").unlink()
        assert stage.lab.answers.sole() == 3


def test_nopreempt_leaves_it_where_it_is(tmp_path: Path) -> None:
    """The best member comes back, and waits; when the holder is stopped, the best one is next."""
    routers = [Router(priorities=PREFERS_1, lines=("nopreempt",))]
    with cluster_laboratory(tmp_path, Cluster(routers=routers)) as lab:
        lab.start(2, 3)
        assert lab.wait_holder() == 2
        stage = Stage(lab, 2)
        with stage.phase("the best one starts", STAY, 2):
            lab.start(1)
            lab.settle()
        with stage.phase("the holder is stopped", MOVE):
            lab.stop(2)
        assert lab.answers.sole() == 1
        assert not [seen.line() for seen in stage.seen if seen.faults], lab.report()


def test_preempt_delay(tmp_path: Path) -> None:
    """The best member takes over that long after it came back, and not before."""
    routers = [Router(priorities=PREFERS_1, lines=("preempt_delay 3",))]
    with at_rest(tmp_path, Cluster(routers=routers), 1) as stage:
        with stage.phase("the best one is stopped", MOVE):
            stage.lab.stop(1)
        with stage.phase("it starts again", MOVE):
            stage.lab.start(1)
            stage.limit_s = 12
        taken_ms = stage.seen[-1].taken_ms
        assert taken_ms is not None and taken_ms > 3000


def test_a_sync_group_is_held_by_one(tmp_path: Path) -> None:
    """Two instances of a group: the fault of one moves both."""
    script, follows = tracked(tmp_path)
    group = block("vrrp_sync_group G", *block("group", "VI_1", "VI_2"))
    routers = [
        Router("VI_1", 51, VIPS[0], PREFERS_1, follows),
        Router("VI_2", 52, VIPS[1], PREFERS_1, ()),
    ]
    cluster = Cluster(before=[*script, *group], routers=routers)
    with at_rest(tmp_path / "lab", cluster, 1, 1) as stage:
        with stage.phase("one of them is in FAULT", (MOVE, MOVE)):
            (tmp_path / "bad-n1").touch()
        assert [stage.lab.answers.sole(vip) for vip in (0, 1)] == [2, 2]
        with stage.phase("the holder loses power", (MOVE, MOVE)):
            stage.lab.power_off(2)
        assert [stage.lab.answers.sole(vip) for vip in (0, 1)] == [3, 3]


def test_notifies_tell_the_changes(tmp_path: Path) -> None:
    """The holder's script hears MASTER, the others' BACKUP, and the loss is told as well."""
    for node in (1, 2, 3):
        script = tmp_path / f"tell-n{node}.sh"
        script.write_text(f'#!/bin/sh\necho "$3" >> {tmp_path}/told-n{node}\n')
        script.chmod(0o755)
    lines = [f'notify "{tmp_path}/tell-%MEMBER%.sh"']

    def heard(node: int) -> list[str]:
        path = tmp_path / f"told-n{node}"
        return path.read_text().split() if path.exists() else []

    cluster = Cluster(routers=[Router(priorities=PREFERS_1, lines=lines)])
    with at_rest(tmp_path / "lab", cluster, 1) as stage:
        lab = stage.lab
        lab.wait(lambda: heard(1)[-1:] == ["MASTER"] and heard(2) == heard(3) == ["BACKUP"], 5, "first words")
        with stage.phase("cut off", MOVE):
            lab.isolate(1)
        lab.wait(lambda: heard(1)[-1:] == ["BACKUP"] and heard(2)[-1:] == ["MASTER"], 5, "the change")
        with stage.phase("joined again", MOVE):
            lab.heal()
        lab.wait(lambda: heard(1)[-1:] == ["MASTER"] and heard(2)[-1:] == ["BACKUP"], 5, "and back")
