"""What others are told: FIFO lines and notify scripts of both programs, in the same order with the same words."""

import os
import signal
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from configs import VIP
from lab import SECOND_NS, Lab
from life import Pipe, block, for_a_while, reload, router, text
from twins import Twins

pytestmark = pytest.mark.netns

PEER = 90
SLOW = 0.3


class Pipes:
    """A FIFO in the directory of each laboratory."""

    def __init__(self, twins: Twins) -> None:
        self.by_lab = {id(lab): Pipe(lab.directory / "fifo") for lab, _ in twins.both}

    def lines(self, lab: Lab) -> list[str]:
        """What came through, in its order."""
        return list(self.by_lab[id(lab)].lines)

    def path(self, lab: Lab) -> Path:
        """Where the daemon finds it."""
        return self.by_lab[id(lab)].path


@pytest.fixture
def pipes(twins: Twins) -> Iterator[Pipes]:
    """Readers from before the start of the daemons."""
    made = Pipes(twins)
    yield made
    for pipe in made.by_lab.values():
        pipe.close()


def wait_line(twins: Twins, pipes: Pipes, line: str, times: int = 1, limit_s: float = 20) -> None:
    """Until it has come through in both."""
    twins.wait(lambda lab: pipes.lines(lab).count(line) >= times, limit_s, f"{line} ({times})")


def end_all(twins: Twins) -> None:
    for lab, _ in twins.both:
        lab.programs[1].send(signal.SIGTERM)
    for lab, _ in twins.both:
        assert lab.programs[1].wait_end() == 0


def member(name: str, vrid: int, lines: Sequence[str] = (), priority: int = 100) -> str:
    """An instance with the address 10.77.1.<vrid>/32."""
    return router(name, vrid, priority, (f"10.77.1.{vrid}/32",), lines, advert_s=SLOW)


def group(name: str, *members: str, lines: Sequence[str] = ()) -> str:
    """A vrrp_sync_group."""
    return "\n".join([*block(f"vrrp_sync_group {name}", *block("group", *members), *lines), ""])


@pytest.mark.parametrize("keyword", ["notify_fifo", "vrrp_notify_fifo"])
def test_a_life_in_lines(twins: Twins, pipes: Pipes, keyword: str) -> None:
    """A group, a lonely instance, an owner: start, MASTER, link down and up, stop."""

    def config(lab: Lab) -> str:
        return text(
            group("G1", "A", "B"),
            member("A", 1),
            member("B", 2),
            member("C", 3, priority=90),
            member("D", 4, priority=255),
            lines=(f"{keyword} {pipes.path(lab)}",),
        )

    twins.start(config)
    wait_line(twins, pipes, 'GROUP "G1" MASTER 0')
    wait_line(twins, pipes, 'INSTANCE "C" MASTER 90')
    twins.same(lambda lab: ordered(pipes.lines(lab)))
    for lab, _ in twins.both:
        lab.space.ip(1, "link", "set", "eth0", "down")
    wait_line(twins, pipes, 'GROUP "G1" FAULT 0')
    wait_line(twins, pipes, 'INSTANCE "D" FAULT 255')
    twins.same(lambda lab: ordered(pipes.lines(lab)))
    for lab, _ in twins.both:
        lab.space.ip(1, "link", "set", "eth0", "up")
    wait_line(twins, pipes, 'GROUP "G1" MASTER 0', 2)
    wait_line(twins, pipes, 'INSTANCE "C" MASTER 90', 2)
    wait_line(twins, pipes, 'INSTANCE "D" MASTER 255', 2)
    twins.same(lambda lab: ordered(pipes.lines(lab)))
    end_all(twins)
    twins.same(lambda lab: ordered(pipes.lines(lab)))


def ordered(lines: Sequence[str]) -> dict[str, list[str]]:
    """The order that means something: that of each instance, and that within a group.

    Instances that have nothing to do with each other are told of in the order of their timers, which
    differ by microseconds in one of the programs.
    """
    together = [line for line in lines if line.split('"')[1] in ("A", "B", "G1")]
    # Which of two equal timers of a group ends first is chance there.
    for at, (one, other) in enumerate(pairwise(together)):
        if sorted((one, other)) == sorted(f'INSTANCE "{name}" MASTER 100' for name in "AB"):
            together[at : at + 2] = sorted((one, other))
    return {"group": together, **{name: [x for x in lines if f'"{name}"' in x] for name in ("C", "D")}}


def test_changes_of_priority(twins: Twins, pipes: Pipes) -> None:
    """notify_priority_changes: of an instance, and of all."""

    def config(lab: Lab) -> str:
        number = lab.directory / "number"
        number.write_text("1")
        names = "\n".join([*block("track_file number", f"file {number}"), ""])
        tracked = ("track_file {", "    number weight 1", "}")
        told = (*tracked, "notify_priority_changes")
        lines = (f"vrrp_notify_fifo {pipes.path(lab)}",)
        return text(names, member("A", 1, told), member("B", 2, tracked), lines=lines)

    twins.start(config)
    wait_line(twins, pipes, 'INSTANCE "A" MASTER 101')
    wait_line(twins, pipes, 'INSTANCE "B" MASTER 101')
    for value in ("5", "-5", "300"):
        for lab, _ in twins.both:
            (lab.directory / "number").write_text(value)
        for_a_while(0.15)
    wait_line(twins, pipes, 'INSTANCE "A" MASTER_PRIORITY 254')

    def of(lab: Lab, name: str) -> list[str]:
        """Without the change that keepalived reports before it has a state at all."""
        return [x for x in pipes.lines(lab) if f'"{name}"' in x and "BACKUP_PRIORITY" not in x]

    twins.same(lambda lab: of(lab, "A"))
    twins.same(lambda lab: of(lab, "B"))


def test_states_again_at_a_reload(twins: Twins, pipes: Pipes) -> None:
    """fifo_write_vrrp_states_on_reload; renamed, new and deleted instances; a reload without it says nothing."""

    def config(lab: Lab, *blocks: str, again: bool = False) -> str:
        lines = [f"vrrp_notify_fifo {pipes.path(lab)}"]
        return text(*blocks, lines=[*lines, *(("fifo_write_vrrp_states_on_reload",) if again else ())])

    both = group("G", "A", "B"), member("A", 1), member("B", 2)
    twins.start(lambda lab: config(lab, *both, member("C", 3), member("D", 4, ("notify_deleted",))))
    wait_line(twins, pipes, 'GROUP "G" MASTER 0')
    wait_line(twins, pipes, 'INSTANCE "C" MASTER 100')
    wait_line(twins, pipes, 'INSTANCE "D" MASTER 100')
    marks = {id(lab): len(pipes.lines(lab)) for lab, _ in twins.both}

    def news(lab: Lab) -> list[str]:
        return pipes.lines(lab)[marks[id(lab)] :]

    for lab, _ in twins.both:
        reload(lab, config(lab, *both, member("C", 3), member("D", 4, ("notify_deleted",))))
    for_a_while(0.3)
    assert twins.same(news) == []
    for lab, _ in twins.both:
        reload(lab, config(lab, *both, member("C2", 3), member("E", 5), again=True))
    wait_line(twins, pipes, 'INSTANCE "E" MASTER 100')
    own = {f'INSTANCE "{name}" MASTER 100' for name in ("A", "B", "C2")}

    def rest(lab: Lab) -> list[str]:
        """keepalived leaves out the instances that are MASTER, although all are promised."""
        return sorted(set(news(lab)) - own)

    twins.same(rest)
    assert own <= set(news(twins.other))
    assert len(news(twins.other)) == len(set(news(twins.other))), "nobody is told twice"
    for lab, _ in twins.both:
        reload(lab, config(lab, *both, member("E", 5), again=True))
    twins.wait(lambda lab: 'INSTANCE "C2" FAULT 100' in news(lab), 2, "the end of C2")


def test_nobody_reads(twins: Twins) -> None:
    """A FIFO without a reader is made, filled, and in nobody's way; it is gone after the stop."""
    twins.start(lambda lab: text(router(advert_s=SLOW), lines=(f"vrrp_notify_fifo {lab.directory}/made",)))
    twins.wait(lambda lab: lab.space.holds(1, VIP), 20, "MASTER")

    def seen(lab: Lab) -> tuple[int, int]:
        found = (lab.directory / "made").stat()
        return found.st_mode, found.st_uid

    twins.same(seen)
    for lab, _ in twins.both:
        descriptor = os.open(lab.directory / "made", os.O_RDONLY | os.O_NONBLOCK)
        lines = os.read(descriptor, 4096).decode().splitlines()
        os.close(descriptor)
        assert lines == ['INSTANCE "VI_1" BACKUP 100', 'INSTANCE "VI_1" MASTER 100'], lines
    end_all(twins)
    assert not any((lab.directory / "made").exists() for lab, _ in twins.both)


# -- scripts -----------------------------------------------------------------------

RECORDER = """#!/bin/sh
printf '%s\\n' "$*" >> {directory}/told
"""


def recorder(lab: Lab) -> Path:
    """A script that writes down its arguments, one line for each run, in the order of the runs."""
    path = lab.directory / "record"
    path.write_text(RECORDER.format(directory=lab.directory))
    path.chmod(0o755)
    return path


def told(lab: Lab) -> list[str]:
    """What the scripts were told; those of one moment run at once, so only the set of each is kept."""
    path = lab.directory / "told"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def test_scripts_of_instances_and_groups(twins: Twins) -> None:
    """Every notify keyword, with its arguments; lower priority heard; the last words at the stop."""

    def config(lab: Lab) -> str:
        path = recorder(lab)
        words = ("master", "backup", "fault", "stop")
        own = [f'notify_{word} "{path} instance {word} a\\ b"' for word in words]
        of_group = [f'notify_{word} "{path} group {word}"' for word in words]
        lines = (*own, f'notify "{path} x"', f'notify_master_rx_lower_pri "{path} lower"')
        return text(
            group("G", "A", "B", lines=(*of_group, f'notify "{path} g"')),
            member("A", 1, lines),
            member("B", 2),
        )

    twins.start(config)
    twins.wait(lambda lab: "group master" in told(lab), 20, "MASTER is told")
    for lab, _ in twins.both:
        lab.space.ip(1, "link", "set", "eth0", "down")
    twins.wait(lambda lab: "g GROUP G FAULT 0" in told(lab), 20, "FAULT is told")
    for lab, _ in twins.both:
        lab.space.ip(1, "link", "set", "eth0", "up")
    twins.wait(lambda lab: told(lab).count("group master") == 2, 20, "MASTER is told again")
    twins.same(told)
    end_all(twins)
    assert "g GROUP G STOP 0" in str(twins.same(told))


# -- start -------------------------------------------------------------------------


def test_a_delayed_start(lab: Lab, subject: str) -> None:
    """As keepalived after 2.4.3: adverts are not heard meanwhile, then everybody waits his full time."""
    lab.start(2, subject, text(router(advert_s=SLOW, priority=200)))
    lab.wait(lambda: lab.space.holds(2, VIP), 20, "a MASTER is there")
    program = lab.start(
        1, subject, text(router(advert_s=SLOW, priority=150), lines=("vrrp_startup_delay 1.5",))
    )
    lab.wait_logged(1, "Delaying startup for 1.5 seconds")
    lab.wait_logged(1, "Delayed start completed")
    begun = next(line.time_ns for line in program.log if "Delaying startup" in line.text)
    ended = next(line.time_ns for line in program.log if "Delayed start completed" in line.text)
    assert 1.3 < (ended - begun) / SECOND_NS < 1.8
    for_a_while(1.6)
    assert not lab.capture.adverts(1)
    lab.programs[2].kill_all()
    lab.wait(lambda: lab.space.holds(1, VIP), 4, "it takes over")


def test_a_delayed_owner(lab: Lab, subject: str) -> None:
    """Even the owner waits one more interval after the delay."""
    program = lab.start(
        1, subject, text(router(advert_s=SLOW, priority=255), lines=("vrrp_startup_delay 1",))
    )
    lab.wait(lambda: bool(lab.capture.adverts(1)), 5, "its first advert")
    begun = next(line.time_ns for line in program.log if "Delaying startup" in line.text)
    first = (lab.capture.adverts(1)[0].time_ns - begun) / SECOND_NS
    assert 1 + SLOW - 0.1 < first < 1 + SLOW + 1.2, first


def test_a_marker_during_a_reload(lab: Lab, subject: str) -> None:
    """reload_file: it was there when the file was read, and is gone afterwards."""
    marker = lab.directory / "reloading"
    config = text(router(advert_s=SLOW), lines=(f"reload_file {marker}",))
    lab.start(1, subject, config)
    lab.wait(lambda: lab.space.holds(1, VIP), 20, "MASTER")
    before = lab.directory.stat().st_mtime_ns
    assert not marker.exists()
    reload(lab, config)
    assert not marker.exists()
    assert lab.directory.stat().st_mtime_ns > before, "something was made there and taken away"
