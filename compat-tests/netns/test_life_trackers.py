"""Trackers together: sums, several faults at once, processes where the kernel tells of them, BFD between two of ours."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from configs import VIP, script
from lab import Lab, wait
from life import block, count_logged, for_a_while, router, text, wait_advert
from program import Program
from space import run
from twins import Twins, log_lines

pytestmark = pytest.mark.netns

SLOW = 0.3
SECURE = "enable_script_security"


def files(lab: Lab, **values: str) -> str:
    """A track_file block for each name, with the number that is in it."""
    lines: list[str] = []
    for name, value in values.items():
        (lab.directory / name).write_text(value)
        lines += block(f"track_file {name}", f"file {lab.directory / name}")
    return "\n".join([*lines, ""])


def check(lab: Lab, name: str) -> str:
    """A script that succeeds while a file is there."""
    (lab.directory / name).touch()
    return script(name, f"/usr/bin/test -e {lab.directory / name}", interval=1)


def priority(lab: Lab) -> int | None:
    """The newest priority."""
    heard = lab.capture.adverts(1, vrid=51)
    return heard[-1].priority if heard else None


def plug(lab: Lab) -> None:
    lab.space.ip(1, "link", "add", "w0", "up", "type", "veth", "peer", "name", "w1")
    lab.space.ip(1, "link", "set", "w1", "up")


def in_both(twins: Twins, act: Callable[[Lab], object]) -> None:
    for lab, _ in twins.both:
        act(lab)


def test_a_sum_of_everything(twins: Twins) -> None:
    """A script, a file and an interface, each with a weight; limits at both ends; the log of each change."""

    def config(lab: Lab) -> str:
        lines = (
            *block("track_script", "well weight 10"),
            *block("track_file", "number weight 1"),
            *block("track_interface", "w0 weight -20"),
        )
        return text(
            check(lab, "well"), files(lab, number="7"), router(lines=lines, advert_s=SLOW), lines=(SECURE,)
        )

    in_both(twins, plug)
    twins.start(config)
    twins.wait(lambda lab: priority(lab) == 117, 20, "100 + 10 + 7")
    in_both(twins, lambda lab: lab.space.ip(1, "link", "set", "w1", "down"))
    twins.wait(lambda lab: priority(lab) == 97, 4, "100 + 10 + 7 - 20")
    in_both(twins, lambda lab: (lab.directory / "well").unlink())
    twins.wait(lambda lab: priority(lab) == 87, 4, "100 + 7 - 20")
    for value, found in (("200", 254), ("-200", 1), ("0", 80)):
        in_both(twins, lambda lab, value=value: (lab.directory / "number").write_text(value))  # type: ignore[misc]
        twins.wait(lambda lab, found=found: priority(lab) == found, 4, f"the file says {value}")  # type: ignore[misc]
    twins.same(lambda lab: log_lines(lab, "(VI_1) Changing effective priority")[-6:])


def test_every_fault_counts(twins: Twins) -> None:
    """FAULT is left when the last of three causes is gone, and not before."""

    def config(lab: Lab) -> str:
        lines = (
            *block("track_script", "well"),
            *block("track_file", "number weight 0"),
            *block("track_interface", "w0"),
        )
        return text(
            check(lab, "well"), files(lab, number="0"), router(lines=lines, advert_s=SLOW), lines=(SECURE,)
        )

    in_both(twins, plug)
    twins.start(config)
    twins.wait(lambda lab: lab.space.holds(1, VIP), 20, "MASTER")
    in_both(twins, lambda lab: lab.space.ip(1, "link", "set", "w1", "down"))
    twins.wait(lambda lab: lab.programs[1].logged("Entering FAULT STATE"), 4, "FAULT")
    in_both(twins, lambda lab: (lab.directory / "number").write_text("1"))
    in_both(twins, lambda lab: (lab.directory / "well").unlink())
    twins.wait(lambda lab: lab.programs[1].logged("VRRP_Script(well) failed"), 4, "the check fails")
    in_both(twins, lambda lab: lab.space.ip(1, "link", "set", "w1", "up"))
    in_both(twins, lambda lab: (lab.directory / "well").touch())
    twins.wait(lambda lab: count_logged(lab.programs[1], "VRRP_Script(well) succeeded") == 2, 4, "well again")
    for_a_while(0.3)
    assert not any(lab.space.holds(1, VIP) for lab, _ in twins.both)
    in_both(twins, lambda lab: (lab.directory / "number").write_text("0"))
    twins.wait(lambda lab: lab.space.holds(1, VIP), 4, "MASTER again")
    twins.same(lambda lab: log_lines(lab, "(VI_1) Entering"))
    twins.same(lambda lab: [f.priority for f in lab.capture.adverts(1) if not f.priority])


# -- processes ----------------------------------------------------------------------
# The kernel tells of processes in the initial network namespace only, so the daemons run where the
# tests run, each on a pair of devices of its own: no frame leaves it.

HERE = "../../proc/self/ns/net"


@contextmanager
def devices_here(count: int) -> Iterator[list[str]]:
    """Devices with nobody at the other end, gone afterwards."""
    names = [f"kl{os.getpid() % 100_000}d{number}" for number in range(count)]
    try:
        for number, name in enumerate(names):
            run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p")
            run("ip", "link", "set", f"{name}p", "up")
            run("ip", "addr", "add", f"198.18.{77 + number}.1/24", "dev", name)
            run("ip", "link", "set", name, "up")
        yield names
    finally:
        for name in names:
            run("ip", "link", "del", name, check=False)


def test_processes_that_the_kernel_tells_of(tmp_path: Path, subject: str) -> None:
    """They come, go, and there are too many: both programs say the same, and change the same priorities."""
    name = f"klp{os.getpid()}"
    program = tmp_path / name
    shutil.copy("/bin/sleep", program)
    os.makedirs("/run/netns", exist_ok=True)

    def config(device: str) -> str:
        before = [
            *block("vrrp_track_process some", f"process {name}", "quorum 2"),
            *block(
                "vrrp_track_process few", f"process {name}", "quorum 1", "quorum_max 2", "terminate_delay 0.2"
            ),
        ]
        lines = block("track_process", "some weight 20", "few weight -30")
        instance = router(lines=lines, addresses=("198.18.79.1/32",)).replace("eth0", device)
        return text("\n".join([*before, ""]), instance)

    with devices_here(2) as devices, ExitStack() as stack:
        programs = []
        for kind, device in zip(("real", subject), devices, strict=True):
            daemon = Program(kind, HERE, tmp_path / kind, config(device))
            programs.append(daemon)
            stack.callback(daemon.close)
            stack.callback(daemon.ask_to_end)

        def reach(value: int) -> None:
            for daemon in programs:
                settled = partial(says, daemon, value)
                wait(settled, 10, f"{daemon.kind}: {value}\n{daemon.tail()}")

        started: list[subprocess.Popen[bytes]] = []

        def begin() -> None:
            started.append(subprocess.Popen([program, "60"]))
            stack.callback(started[-1].kill)

        def end() -> None:
            gone = started.pop()
            gone.kill()
            gone.wait()

        for daemon in programs:
            wait(lambda daemon=daemon: daemon.logged("Entering MASTER STATE"), 20, daemon.tail())  # type: ignore[misc]
        reach(70)
        begin()
        reach(100)
        begin()
        reach(120)
        begin()
        reach(90)
        end()
        reach(120)
        end()
        end()
        reach(70)
        changes = [
            [line.text.split(": ", 1)[1] for line in daemon.log if "uorum" in line.text]
            for daemon in programs
        ]
        assert sorted(changes[0]) == sorted(changes[1])


def says(daemon: Program, value: int) -> bool:
    """Whether this is what the daemon said last about its priority."""
    return last_priority(daemon) == value


def last_priority(daemon: Program) -> int | None:
    """What the daemon said last about its priority."""
    said = [line.text for line in list(daemon.log) if "Changing effective priority" in line.text]
    return int(said[-1].split()[-1]) if said else None


# -- BFD ----------------------------------------------------------------------------


def test_bfd_between_two_of_ours(lab: Lab, subject: str) -> None:
    """The neighbour dies: its priority is gone within a fraction of the advert interval."""

    def config(node: int, value: int, weight: int) -> str:
        session = block(
            "bfd_instance b1", f"neighbor_ip 10.77.0.{3 - node}", "min_rx 50", "min_tx 50", "multiplier 3"
        )
        tracked = block("track_bfd", f"b1 weight {weight}")
        return text(
            "\n".join([*session, ""]), router(priority=value, advert_s=1, lines=(*tracked, "preempt_delay 0"))
        )

    lab.start(2, subject, config(2, 100, -20))
    lab.start(1, subject, config(1, 150, 0))
    for node in (1, 2):
        lab.wait_logged(node, "Received BFD event: instance b1 is in state Up", 12)
    lab.wait(lambda: lab.space.holds(1, VIP), 14, "node 1 is MASTER")
    wait_advert(lab, 1, 150)
    died = time.time_ns()
    lab.programs[2].kill_all()
    lab.wait_logged(1, "Entering FAULT STATE", 1, died)
    lab.wait(lambda: not lab.space.holds(1, VIP), 1, "it holds nothing")
