"""The same trackers under both programs: what they make of the priority on the wire, and of the role."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from configs import Instance, script, whole
from lab import SECOND_NS, Lab
from twins import Twins

pytestmark = pytest.mark.netns

SECURE = ("enable_script_security",)
Text = Callable[[Lab], str]


def block(name: str, *lines: str) -> list[str]:
    """`name { lines }`."""
    return [f"{name} {{", *(f"    {line}" for line in lines), "}"]


def priority(lab: Lab, vrid: int = 51) -> int | None:
    """The priority of the newest advert."""
    heard = lab.capture.adverts(1, vrid=vrid)
    return heard[-1].priority if heard else None


def wait_priorities(twins: Twins, *expected: int) -> None:
    """Until the virtual routers 51, 52, ... advertise these priorities."""
    found = list(enumerate(expected, start=51))
    twins.wait(
        lambda lab: all(priority(lab, vrid) == value for vrid, value in found), 8, f"priorities {expected}"
    )


def last_priorities(lab: Lab, vrid: int) -> list[int]:
    """Those of the last three adverts."""
    return [frame.priority for frame in lab.capture.adverts(1, vrid=vrid)][-3:]


def routers(blocks: Sequence[Sequence[str]]) -> list[Instance]:
    """One virtual router for each list of lines."""
    return [
        Instance(vrid=51 + at, name=f"VI_{at + 1}", addresses=(f"10.77.1.{51 + at}/24",), lines=lines)
        for at, lines in enumerate(blocks)
    ]


def number(lab: Lab) -> Path:
    """The file that is tracked."""
    return lab.directory / "number"


def with_file(*weights: str) -> Text:
    """One virtual router for each way to track the file."""

    def text(lab: Lab) -> str:
        before = "\n".join(block("track_file number", f"file {number(lab)}"))
        lines = [block("track_file", f"number {weight}") for weight in weights]
        return whole(*routers(lines), before=before + "\n")

    return text


def write(twins: Twins, text: str) -> None:
    """Write it into the file of each."""
    for lab, _ in twins.both:
        number(lab).write_text(text)


def test_numbers_in_a_file(twins: Twins) -> None:
    """Weights and their limits, from the first advert on, however the file changes."""
    write(twins, "10\n")
    twins.start(with_file("", "weight 2", "weight -3", "weight 2 reverse"))
    wait_priorities(twins, 110, 120, 70, 80)
    write(twins, "0x10 and more")
    wait_priorities(twins, 116, 132, 52, 68)
    for lab, _ in twins.both:
        number(lab).unlink()
    wait_priorities(twins, 100, 100, 100, 100)
    for lab, _ in twins.both:
        (lab.directory / "other").write_text("-7")
        (lab.directory / "other").rename(number(lab))
    wait_priorities(twins, 93, 86, 121, 114)
    write(twins, "not a number")
    wait_priorities(twins, 100, 100, 100, 100)
    write(twins, "80")
    wait_priorities(twins, 180, 254, 1, 1)


def test_a_file_that_is_a_fault(twins: Twins) -> None:
    """-254 and less, or any number without a weight; two adverts of priority 0, and back through BACKUP."""
    twins.start(with_file("weight 1", "weight 0"))
    wait_priorities(twins, 100, 100)
    write(twins, "-254")
    wait_priorities(twins, 0, 0)
    for vrid in (51, 52):
        twins.same(partial(last_priorities, vrid=vrid))
    twins.wait(lambda lab: lab.programs[1].logged("(VI_2): tracked file number now FAULT state"), 2, "a line")
    write(twins, "0")
    twins.wait(
        lambda lab: lab.programs[1].logged("(VI_1): tracked file number leaving FAULT state"), 2, "a line"
    )
    wait_priorities(twins, 100, 100)


def test_a_file_that_is_a_fault_at_start(twins: Twins) -> None:
    """Nobody hears of BACKUP before FAULT."""
    write(twins, "1")
    twins.start(with_file("weight 0", "weight -254"))
    line = "(VI_1): entering FAULT state (tracked file number has status -254)"
    twins.wait(lambda lab: lab.programs[1].logged(line), 8, "FAULT")
    assert not any(lab.programs[1].logged("Entering BACKUP STATE") for lab, _ in twins.both)
    write(twins, "0")
    wait_priorities(twins, 100, 100)


def test_processes_cannot_be_watched_in_a_namespace(twins: Twins) -> None:
    """The connector refuses: the quorum is not achieved, whatever it is."""

    def text(lab: Lab) -> str:
        before = "\n".join(block("vrrp_track_process any", "process sh", "quorum 1"))
        lines = [block("track_process", f"any weight {weight}") for weight in (-20, 20)]
        fault = block("track_process", "any weight 0")
        return whole(*routers([*lines, fault]), before=before + "\n")

    twins.start(text)
    wait_priorities(twins, 80, 100)
    line = "(VI_3) entering FAULT state (tracked process any quorum not achieved)"
    twins.wait(lambda lab: lab.programs[1].logged(line), 2, "FAULT")
    assert not any(lab.capture.adverts(1, vrid=53) for lab, _ in twins.both)


def test_weights_of_scripts_and_interfaces(twins: Twins) -> None:
    """`reverse` turns the sign of a weight; without one it swaps good and bad."""

    def text(lab: Lab) -> str:
        flag = lab.directory / "flag"
        flag.touch()
        check = script("good", f"/usr/bin/test -e {flag}", interval=1)
        weights = ("20", "-20", "20 reverse", "-20 reverse")
        lines = [block("track_script", f"good weight {weight}") for weight in weights]
        lines += [block("track_interface", f"w0 weight {weight}") for weight in weights]
        lines += [block("track_script", "good weight 0 reverse")]
        return whole(*routers(lines), lines=SECURE, before=check)

    for lab, _ in twins.both:
        lab.space.ip(1, "link", "add", "w0", "up", "type", "veth", "peer", "name", "w1")
        lab.space.ip(1, "link", "set", "w1", "up")
    twins.start(text)
    good = (120, 100, 80, 100)
    wait_priorities(twins, *good, *good)
    assert not any(lab.capture.adverts(1, vrid=59) for lab, _ in twins.both)
    for lab, _ in twins.both:
        (lab.directory / "flag").unlink()
        lab.space.ip(1, "link", "set", "w0", "down")
    bad = (100, 80, 100, 120)
    wait_priorities(twins, *bad, *bad, 100)


def test_trackers_of_a_group(twins: Twins) -> None:
    """Every member is moved by them; a fault is the whole group's."""

    def text(lab: Lab) -> str:
        names = "\n".join(block("track_file number", f"file {number(lab)}"))
        group = block(
            "vrrp_sync_group G",
            *block("group", "VI_1", "VI_2"),
            *block("track_file", "number weight 1"),
        )
        return whole(*routers([(), ()]), before="\n".join([names, *group, ""]))

    twins.start(text)
    wait_priorities(twins, 100, 100)
    write(twins, "7")
    wait_priorities(twins, 107, 107)
    write(twins, "-254")
    wait_priorities(twins, 0, 0)
    write(twins, "7")
    wait_priorities(twins, 107, 107)


@pytest.mark.alone
def test_fifty_checks_a_second_do_not_move_adverts(lab: Lab, subject: str) -> None:
    """Scripts are started by another process: adverts keep their time."""
    checks = "".join(script(f"s{at}", "/bin/true", interval=1) for at in range(50))
    tracked = block("track_script", *(f"s{at} weight 1" for at in range(50)))
    lab.start(1, subject, whole(Instance(lines=tracked), lines=SECURE, before=checks))
    lab.wait(lambda: len(lab.capture.adverts(1)) > 8, 20, "nine adverts")
    times = [frame.time_ns for frame in lab.capture.adverts(1)][1:]
    late = [abs(after - before - SECOND_NS) / 1e6 for before, after in pairwise(times)]
    assert sorted(late)[len(late) // 2] < 20, late
