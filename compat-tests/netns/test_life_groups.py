"""Sync groups in life: who follows whom, in which order, beside the real program and against it."""

import signal
import time
from collections.abc import Iterator, Sequence

import pytest
from configs import script
from lab import Lab
from life import Pipe, block, for_a_while, reload, router, text, wait_advert
from twins import Twins, log_lines

pytestmark = pytest.mark.netns

Pair = tuple[str, str]
SLOW = 0.3
SECURE = "enable_script_security"


@pytest.fixture
def pipes(twins: Twins) -> Iterator[dict[int, Pipe]]:
    """A FIFO for each laboratory, by its id."""
    made = {id(lab): Pipe(lab.directory / "fifo") for lab, _ in twins.both}
    yield made
    for pipe in made.values():
        pipe.close()


def member(name: str, vrid: int, lines: Sequence[str] = (), priority: int = 100) -> str:
    """An instance with the address 10.77.1.<vrid>/32."""
    return router(name, vrid, priority, (f"10.77.1.{vrid}/32",), lines, advert_s=SLOW)


def group(*members: str, lines: Sequence[str] = (), name: str = "G") -> str:
    """A vrrp_sync_group."""
    return "\n".join([*block(f"vrrp_sync_group {name}", *block("group", *members), *lines), ""])


def flag_check(lab: Lab, name: str = "well") -> str:
    """A script that succeeds while a file is there."""
    (lab.directory / name).touch()
    return script(name, f"/usr/bin/test -e {lab.directory / name}", interval=1)


def advertised(lab: Lab, node: int = 1, since_ns: int = 0) -> dict[int, int]:
    """The newest priority of each virtual router."""
    return {frame.vrid: frame.priority for frame in lab.capture.adverts(node, since_ns)}


def grouped(lines: Sequence[str]) -> list[str]:
    """The lines with what happens at one moment sorted: which of two equal timers ends first is chance there."""
    found: list[str] = []
    batch: list[str] = []
    for line in lines:
        if batch and line.split()[2] != batch[-1].split()[2]:
            found += sorted(batch)
            batch = []
        batch.append(line)
    return found + sorted(batch)


def test_one_member_takes_all_into_fault(twins: Twins, pipes: dict[int, Pipe]) -> None:
    """Three members, a check of one: FIFO and log say the same, the same resignations are on the wire."""

    def config(lab: Lab) -> str:
        check = flag_check(lab)
        tracked = block("track_script", "well")
        members = member("A", 1), member("B", 2, tracked), member("C", 3)
        lines = (SECURE, f"vrrp_notify_fifo {pipes[id(lab)].path}")
        return text(check, group("A", "B", "C"), *members, lines=lines)

    def told(lab: Lab) -> list[str]:
        return grouped(pipes[id(lab)].lines)

    twins.start(config)
    master, fault = 'GROUP "G" MASTER 0', 'GROUP "G" FAULT 0'
    twins.wait(lambda lab: master in told(lab), 20, "the group is MASTER")
    for lab, _ in twins.both:
        (lab.directory / "well").unlink()
    twins.wait(lambda lab: fault in told(lab), 20, "the group is in FAULT")
    twins.wait(lambda lab: set(advertised(lab).values()) == {0}, 2, "all have resigned")
    twins.same(lambda lab: sorted(f.vrid for f in lab.capture.adverts(1) if not f.priority))
    for lab, _ in twins.both:
        (lab.directory / "well").touch()
    twins.wait(lambda lab: told(lab).count(master) == 2, 20, "the group is MASTER again")
    for lab, _ in twins.both:
        lab.programs[1].send(signal.SIGTERM)
        lab.programs[1].wait_end()
    twins.same(told)
    twins.same(lambda lab: log_lines(lab, "VRRP_Group("))


@pytest.mark.parametrize("keyword", ["", "sync_group_tracking_weight"])
def test_weights_inside_a_group(twins: Twins, keyword: str) -> None:
    """A member's own weights count only if the group says so."""

    def config(lab: Lab) -> str:
        (lab.directory / "number").write_text("7\n")
        names = "\n".join([*block("track_file number", f"file {lab.directory}/number"), ""])
        own = block("track_file", "number weight 2")
        whole = group("A", "B", lines=(keyword,) if keyword else ())
        return text(names, whole, member("A", 1, own), member("B", 2))

    twins.start(config)
    twins.wait(lambda lab: set(advertised(lab)) == {1, 2}, 20, "the group is MASTER")
    twins.same(advertised)
    for lab, _ in twins.both:
        (lab.directory / "number").write_text("-9\n")
    for_a_while(0.5)
    found = twins.same(lambda lab: advertised(lab, since_ns=time.time_ns() - 400_000_000))
    assert found == {1: 82 if keyword else 100, 2: 100}


def test_weights_of_the_group(twins: Twins) -> None:
    """What the group tracks moves every member; scripts, files, interfaces."""

    def config(lab: Lab) -> str:
        (lab.directory / "number").write_text("3\n")
        names = "\n".join([*block("track_file number", f"file {lab.directory}/number"), ""])
        lines = (
            *block("track_script", "well weight 10"),
            *block("track_file", "number weight 2"),
            *block("track_interface", "w0 weight -20"),
        )
        whole = group("A", "B", lines=lines)
        return text(
            flag_check(lab), names, whole, member("A", 1), member("B", 2, priority=80), lines=(SECURE,)
        )

    for lab, _ in twins.both:
        lab.space.ip(1, "link", "add", "w0", "up", "type", "veth", "peer", "name", "w1")
        lab.space.ip(1, "link", "set", "w1", "up")
    twins.start(config)
    twins.wait(lambda lab: advertised(lab) == {1: 116, 2: 96}, 20, "100 + 10 + 6")
    for lab, _ in twins.both:
        (lab.directory / "well").unlink()
        lab.space.ip(1, "link", "set", "w1", "down")
    twins.wait(lambda lab: advertised(lab) == {1: 86, 2: 66}, 20, "100 + 6 - 20")


def test_a_group_moves_as_a_whole(lab: Lab, pair: Pair) -> None:
    """A check of one member fails: the peer's group takes over; when it is well, all come back."""

    def config(priority: int, check: str = "") -> str:
        tracked = block("track_script", "well") if check else ()
        blocks = member("A", 1, tracked, priority), member("B", 2, (), priority)
        return text(check, group("A", "B"), *blocks, lines=(SECURE,))

    lab.start(2, pair[1], config(100))
    lab.start(1, pair[0], config(150, flag_check(lab)))

    def masters() -> list[set[int]]:
        return [lab.masters(vrid, 1.0) for vrid in (1, 2)]

    lab.wait(lambda: masters() == [{1}, {1}] and lab.space.holds(1, "10.77.1.2"), 10, "node 1 has both")
    (lab.directory / "well").unlink()
    lab.wait(lambda: masters() == [{2}, {2}] and lab.space.holds(2, "10.77.1.2"), 10, "node 2 has both")
    assert not lab.space.holds(1, "10.77.1.1") and not lab.space.holds(1, "10.77.1.2")
    (lab.directory / "well").touch()
    lab.wait(lambda: masters() == [{1}, {1}] and lab.space.holds(1, "10.77.1.2"), 10, "node 1 has both again")


def test_a_group_that_is_better_and_worse(lab: Lab, subject: str) -> None:
    """One member would win, the other would not: none of them does, as with keepalived."""
    lab.start(2, "real", text(member("A", 1, (), 120), member("B", 2, (), 120)))
    lab.wait(
        lambda: lab.space.holds(2, "10.77.1.1") and lab.space.holds(2, "10.77.1.2"), 20, "the peer has both"
    )
    lab.start(1, subject, text(group("A", "B"), member("A", 1, (), 150), member("B", 2, (), 100)))
    lab.wait_logged(1, "received lower priority (120) advert")
    for_a_while(3)
    assert not lab.capture.adverts(1)
    lab.programs[2].kill_all()
    lab.wait(lambda: lab.space.holds(1, "10.77.1.1") and lab.space.holds(1, "10.77.1.2"), 4, "it has both")


def test_members_come_and_go_in_a_reload(lab: Lab, subject: str) -> None:
    """The group stays MASTER when a member leaves it; a new member waits, and the group waits for it."""
    three = member("A", 1), member("B", 2), member("C", 3)
    lab.start(1, subject, text(group("A", "B"), *three))
    for vrid in (1, 2, 3):
        wait_advert(lab, 1, 100, vrid=vrid)
    for name in "ABC":
        lab.wait_logged(1, f"({name}) Entering MASTER STATE")
    lab.wait(lambda: len(lab.space.addresses(1)) == 4, 3, "all is held")
    since = time.time_ns()
    reload(lab, text(group("A", "B", "C"), *three))
    reload(lab, text(group("A", "C"), *three))
    reload(lab, text(*three))
    reload(lab, text(group("A", "B", "C"), *three))
    for vrid in (1, 2, 3):
        wait_advert(lab, 1, 100, time.time_ns(), vrid)
    assert not lab.programs[1].logged("Entering", since), lab.report()
    assert not [event for event in lab.watches[1].events if event.time_ns >= since]
    reload(lab, text(group("A", "B", "C", "D"), *three, member("D", 4)))
    lab.wait(lambda: lab.space.holds(1, "10.77.1.4"), 4, "D is MASTER too")
    lab.wait(lambda: all(lab.space.holds(1, f"10.77.1.{n}") for n in range(1, 5)), 2, "and all others")
