"""The life of the daemon beside the real one: start, reload, death of a child, stop, and their log lines."""

import itertools
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from configs import VIP, Instance, whole
from lab import SECOND_NS, Lab
from program import Program, children_of
from twins import Twins

pytestmark = pytest.mark.netns

# Lines of the parent.  What it says on its own account only in one of the programs is left out.
PARENT = (
    "Configuration file",
    "NOTICE",
    "Running ",
    "startup ",
    "shutdown ",
    "Starting VRRP",
    "Starting BFD",
    "BFD child process",
    "Startup complete",
    "Reloading ...",
    "Reload complete",
    "Cannot change",
    "Scheduling reload",
    "Cancelling reload",
    "New config",
    "Warning - ",
    "VRRP child process",
    "Restart of",
    "pid ",
    "Stopping",
    "Stopped -",
)
_NUMBERS = re.compile(r"\d+(\.\d+)?")
_STAMP = re.compile(r"^\w{3} \w{3} +\d+ [\d:.]+ \d{4}: ")


def said(lab: Lab) -> list[str]:
    """The parent's lines, without numbers and the names of temporary directories."""
    texts = [_STAMP.sub("", line.text) for line in lab.programs[1].log]
    kept = [text for text in texts if text.startswith(PARENT) and not text.startswith("Running on")]
    return [_NUMBERS.sub("N", text.replace(str(lab.directory), "DIR").split("/r1-")[0]) for text in kept]


def instance(lab: Lab) -> str:
    """The usual file."""
    return whole(Instance())


def held(lab: Lab) -> bool:
    return lab.space.holds(1, VIP)


def logged(text: str, times: int = 1) -> Callable[[Lab], bool]:
    return lambda lab: sum(text in line.text for line in lab.programs[1].log) >= times


def vrrp_pid(program: Program) -> int:
    """The number in the pid file of the VRRP process."""
    return int((program.config_path.parent / "pid.v").read_text())


def send(twins: Twins, number: signal.Signals) -> None:
    for lab, _ in twins.both:
        lab.programs[1].send(number)


def ended(twins: Twins) -> list[int]:
    return [lab.programs[1].wait_end() for lab, _ in twins.both]


def test_start_reload_and_stop_say_the_same(twins: Twins) -> None:
    twins.start(instance)
    twins.wait(held, 8, "the address is held")
    send(twins, signal.SIGHUP)
    twins.wait(logged("Reload complete"), 5, "the reload is over")
    send(twins, signal.SIGTERM)
    send(twins, signal.SIGTERM)
    assert ended(twins) == [0, 0]
    twins.same(said)
    assert not held(twins.real) and not held(twins.other)


def test_a_killed_vrrp_process_is_started_again_as_there(twins: Twins) -> None:
    """Killed twice: at once again, then after a second; the address stays, then is put on anew."""
    twins.start(instance)
    for life in (1, 2):
        twins.wait(logged("Entering MASTER STATE", life), 8, f"MASTER in life {life}")
        twins.wait(held, 2, "the address is held")
        for lab, _ in twins.both:
            os.kill(vrrp_pid(lab.programs[1]), signal.SIGKILL)
        twins.wait(logged("Starting VRRP child process", life + 1), 4, f"life {life + 1}")
    twins.wait(logged("Entering MASTER STATE", 3), 8, "MASTER in life 3")
    twins.wait(held, 2, "the address is held")
    twins.same(said)
    send(twins, signal.SIGINT)
    assert ended(twins) == [0, 0]
    assert not held(twins.real) and not held(twins.other)


def test_a_killed_bfd_process_is_started_again_as_there(twins: Twins) -> None:
    """The VRRP process goes on, and hears of the session from the new one."""
    before = "bfd_instance b1 {\n    neighbor_ip 10.77.0.9\n}\n"
    config = whole(Instance(lines=("track_bfd {", "    b1 weight -20", "}")), before=before)
    event = "Received BFD event: instance b1 is in state Down"
    for lab, kind in twins.both:
        lab.start(1, kind, config, "-b", str(lab.directory / "bfd.pid"))
    twins.wait(held, 8, "the address is held")
    for lab, _ in twins.both:
        os.kill(int((lab.directory / "bfd.pid").read_text()), signal.SIGKILL)
    twins.wait(logged("Starting BFD child process", 2), 4, "the second life")
    twins.wait(logged(event, 2), 4, "the state of the session is heard again")
    send(twins, signal.SIGTERM)
    assert ended(twins) == [0, 0]
    twins.same(said)
    for lab, _ in twins.both:
        assert {frame.priority for frame in lab.capture.adverts()} == {80, 0}


def test_without_respawn_the_death_of_the_child_ends_all(twins: Twins) -> None:
    for lab, kind in twins.both:
        lab.start(1, kind, instance(lab), "-R")
    twins.wait(held, 8, "the address is held")
    for lab, _ in twins.both:
        os.kill(vrrp_pid(lab.programs[1]), signal.SIGKILL)
    assert ended(twins) == [0, 0]
    twins.same(said)
    assert held(twins.real) and held(twins.other)


def test_addresses_stay_at_a_stop_when_wanted(twins: Twins) -> None:
    """-V: nobody resigns and nothing is taken off."""
    for lab, kind in twins.both:
        lab.start(1, kind, instance(lab), "-V")
    twins.wait(held, 8, "the address is held")
    send(twins, signal.SIGTERM)
    assert ended(twins) == [0, 0]
    assert held(twins.real) and held(twins.other)
    for lab, _ in twins.both:
        assert all(frame.priority for frame in lab.capture.adverts())


def test_a_stop_takes_no_longer_than_there(twins: Twins) -> None:
    twins.start(instance)
    twins.wait(held, 8, "the address is held")
    times = []
    for lab, _ in twins.both:
        begin = time.monotonic()
        lab.programs[1].send(signal.SIGTERM)
        lab.programs[1].wait_end()
        times.append(time.monotonic() - begin)
    assert times[1] < times[0] + 0.3, times


def script(lab: Lab, name: str, body: str) -> Path:
    path = lab.directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_scripts_of_start_and_stop(twins: Twins) -> None:
    """The start waits for its script, which fails; the stop runs its own when the addresses are gone."""

    def config(lab: Lab) -> str:
        first = script(lab, "first", "sleep 0.5; exit 3")
        look = "ip -o -4 addr show dev eth0 | grep -c 10.77.1."
        last = script(lab, "last", f"{look} > {lab.directory}/left")
        lines = ("enable_script_security", f"startup_script {first}", f"shutdown_script {last}")
        return whole(Instance(), lines=lines)

    twins.start(config)
    twins.wait(held, 8, "the address is held")
    send(twins, signal.SIGTERM)
    assert ended(twins) == [0, 0]
    twins.same(said)
    for lab, _ in twins.both:
        assert (lab.directory / "left").read_text() == "0\n"


def test_a_reload_at_a_time(twins: Twins) -> None:
    def config(lab: Lab) -> str:
        return whole(Instance(), lines=(f"reload_time_file {lab.directory}/when",))

    twins.start(config)
    twins.wait(logged("Startup complete"), 5, "the start is complete")
    at = time.strftime("%H:%M:%S\n", time.localtime(time.time() + 2))
    for lab, _ in twins.both:
        (lab.directory / "when").write_text(at)
    twins.wait(logged("Reload complete"), 8, "the reload is over")
    twins.same(said)
    for lab, _ in twins.both:
        assert not (lab.directory / "when").exists()


@pytest.mark.parametrize(
    "line",
    [
        "global_defs {\ndisable_local_igmp\n}",
        "global_defs {\nnftables other\n}",
        "net_namespace other",
        "instance other",
    ],
)
def test_what_a_reload_cannot_change(twins: Twins, line: str) -> None:
    twins.start(instance)
    twins.wait(logged("Startup complete"), 5, "the start is complete")
    for lab, _ in twins.both:
        lab.programs[1].config_path.write_text(f"{line}\n{whole(Instance(priority=50))}")
    send(twins, signal.SIGHUP)
    twins.wait(logged("Cannot change"), 5, "the reload is refused")
    twins.wait(held, 8, "the address is held")
    twins.same(said)
    for lab, _ in twins.both:
        assert {frame.priority for frame in lab.capture.adverts()} == {100}


def test_a_configuration_is_checked_before_a_reload(twins: Twins) -> None:
    def config(lab: Lab) -> str:
        return whole(Instance(), lines=(f"reload_check_config {lab.directory}/report",))

    twins.start(config)
    twins.wait(logged("Startup complete"), 5, "the start is complete")
    for lab, _ in twins.both:
        with lab.programs[1].config_path.open("a") as file:
            file.write("nonsense 1\n")
    send(twins, signal.SIGHUP)
    twins.wait(logged("New config failed validation"), 5, "the reload is refused")
    twins.same(said)
    for lab, _ in twins.both:
        assert "Unknown keyword 'nonsense'" in (lab.directory / "report").read_text()


@pytest.mark.parametrize("names", ["", "process_names", "vrrp_process_name mine", "process_name all"])
def test_process_names(twins: Twins, names: str) -> None:
    """What ps and killall see: the parent's name and that of its child."""
    twins.start(lambda lab: whole(Instance(), lines=(names,) if names else ()))
    twins.wait(logged("Startup complete"), 5, "the start is complete")

    def seen(lab: Lab) -> list[str]:
        program = lab.programs[1]
        pids = (children_of(program.pid)[0], vrrp_pid(program))
        return [Path(f"/proc/{pid}/comm").read_text() for pid in pids]

    twins.same(seen)


@pytest.mark.parametrize("words", [("-C",), ("-P",), ("-P", "-C"), ("--all", "-P", "-B")])
def test_which_processes_run(twins: Twins, words: tuple[str, ...]) -> None:
    for lab, kind in twins.both:
        lab.start(1, kind, instance(lab), *words)
    both = logged("Startup complete"), logged("no configuration to run")
    twins.wait(lambda lab: any(look(lab) for look in both), 5, "the start is complete")
    twins.same(said)


def test_a_large_reload_delays_no_advert(lab: Lab, subject: str) -> None:
    """Two hundred instances in the file, one of them changed: its adverts come when they are due."""

    def config(priority: int) -> str:
        many = [
            Instance(
                vrid=n, name=f"VI_{n}", addresses=(f"10.77.2.{n}/24",), priority=priority if n == 9 else 100
            )
            for n in range(1, 201)
        ]
        return whole(*many)

    program = lab.start(1, subject, config(100))
    lab.wait(lambda: len(lab.capture.adverts(1, vrid=200)) > 1, 20, "adverts of the last instance")
    since = time.time_ns()
    program.config_path.write_text(config(77))
    program.send(signal.SIGHUP)
    lab.wait(lambda: any(f.priority == 77 for f in lab.capture.adverts(1, vrid=9)), 8, "the change is seen")
    lab.wait(lambda: time.time_ns() > since + 3 * SECOND_NS, 5, "some more adverts")
    times = [frame.time_ns for frame in lab.capture.adverts(1, since, vrid=1)]
    gaps = [(b - a) / SECOND_NS for a, b in itertools.pairwise(times)]
    assert len(gaps) >= 1
    assert max(gaps) < 1.05, gaps
