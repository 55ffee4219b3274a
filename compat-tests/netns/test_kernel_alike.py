"""What stands in the kernel: the same configuration under keepalived and under ours, step by step.

Every file of `kernel/` is given to both programs, each alone on its node.  The whole
network part of both kernels is compared when they are BACKUP, when they are MASTER, when
somebody better has made them BACKUP again, when they are MASTER once more, and when
they have stopped.  Where the two differ on purpose, the file says so in its first
lines (docs/differences.md has the reasons):

    #! master - addr eth0 *10.77.1.1*

means that as MASTER the real program has a line like this and ours has not (`+` is
the other way round, `~` only the order differs; `up` stands for all steps but the
last).  Exactly these differences must be found: one that is not there any more
fails the test like one that is new.
"""

import re
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from kernel_pair import Neighbour, Site, site
from kernel_view import differences, view
from lab import Timeout, wait
from program import Program
from space import run as run_command
from space import sweep

pytestmark = [pytest.mark.netns, pytest.mark.timeout(150)]

FILES = sorted((Path(__file__).parent / "kernel").glob("*.conf"))
RELOADS = sorted((Path(__file__).parent / "kernel" / "reload").iterdir())
UP = ("backup", "master", "again", "anew", "reload", "fault")
STEPS = (*UP, "stop")
AT_ONCE = 12
_EXPECTED = re.compile(r"^#! (\w+(?:,\w+)*) ([-+~]) (.*)$", re.MULTILINE)

Found = dict[str, list[str]]
Views = Sequence[list[str]]


class TooSlow(AssertionError):
    """The machine was so busy that the BACKUP was over before it could be looked at."""


@dataclass
class Side:
    """One program on its node."""

    program: Program
    site: Site
    neighbour: Neighbour

    def view(self) -> list[str]:
        return view(self.site.node)

    def await_change(self, old: list[str], timeout_s: float) -> None:
        """Until the view is another one."""
        try:
            wait(lambda: self.view() != old, timeout_s, "a change")
        except Timeout as missed:
            raise Timeout(f"{self.program.kind}: {missed}\n{self.program.tail()}") from None

    def backup(self, instances: int) -> list[str]:
        """The view as BACKUP, taken as soon as it is: it will not be for long."""
        self.await_("BACKUP", instances, 20)
        seen = self.view()
        if self.entered("MASTER"):
            raise TooSlow
        return seen

    def entered(self, role: str) -> int:
        """How often an instance became this."""
        return sum(f"Entering {role} STATE" in line.text for line in list(self.program.log))

    def await_(self, role: str, times: int, timeout_s: float) -> None:
        """Until that many instances have become this; at once a failure when the program has ended."""
        try:
            wait(lambda: self.entered(role) >= times or not self.program.alive(), timeout_s, role)
        except Timeout as missed:
            raise Timeout(f"{self.program.kind}: {missed}\n{self.program.tail()}") from None
        assert self.program.alive(), self.program.tail()


def expected(text: str) -> dict[str, list[str]]:
    """For every step the differences that the file announces, as patterns of lines."""
    found: dict[str, list[str]] = {step: [] for step in STEPS}
    for steps, sign, pattern in _EXPECTED.findall(text):
        for step in UP if steps == "up" else steps.split(","):
            found[step].append(f"{sign} {pattern}")
    return found


def surprises(found: list[str], patterns: list[str]) -> list[str]:
    """Differences no pattern announces, and patterns no difference answers to."""
    new = [line for line in found if not any(fnmatchcase(line, pattern) for pattern in patterns)]
    gone = [pattern for pattern in patterns if not any(fnmatchcase(line, pattern) for line in found)]
    return new + [f"not found any more: {pattern}" for pattern in gone]


def settle(sides: list[Side], patterns: list[str], within_s: float, first: Views = ()) -> list[str]:
    """What differs; looked at again until nothing surprises or the time is over."""
    end = time.monotonic() + within_s
    views = first or [side.view() for side in sides]
    while True:
        found = differences(*views)
        if not surprises(found, patterns) or time.monotonic() > end:
            return found
        time.sleep(0.1)
        views = [side.view() for side in sides]


def steps(
    sides: list[Side], instances: int, patterns: dict[str, list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """The life of both, with what differs at every step."""

    def entered(role: str, times: int, timeout_s: float = 20) -> None:
        for side in sides:
            side.await_(role, times * instances, timeout_s)

    views = [side.backup(instances) for side in sides]
    found = settle(sides, patterns["backup"], 1, views)
    if surprises(found, patterns["backup"]) and any(side.entered("MASTER") for side in sides):
        raise TooSlow
    yield "backup", found
    entered("MASTER", 1)
    yield "master", settle(sides, patterns["master"], 3)
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(side.neighbour.outdoing())
        entered("BACKUP", 2)
        yield "again", settle(sides, patterns["again"], 3)
    entered("MASTER", 2)
    yield "anew", settle(sides, patterns["anew"], 3)
    yield "stop", stopped(sides, patterns["stop"])


def reload_steps(
    sides: list[Side], text: str, instances: int, patterns: dict[str, list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """MASTER, a reload with `text` while MASTER, FAULT because eth0 has no carrier, the stop."""
    for side in sides:
        side.await_("MASTER", instances, 20)
    yield "master", settle(sides, patterns["master"], 3)
    before = [side.view() for side in sides]
    for side in sides:
        side.program.config_path.write_text(text)
        side.program.send(signal.SIGHUP)
    for side, old in zip(sides, before, strict=True):
        side.await_change(old, 8)
    yield "reload", settle(sides, patterns["reload"], 3)
    for side in sides:
        run_command("ip", "-n", side.site.far, "link", "set", "far0", "down")
    for side in sides:
        side.await_("FAULT", 1, 20)
    yield "fault", settle(sides, patterns["fault"], 3)
    yield "stop", stopped(sides, patterns["stop"])


def stopped(sides: list[Side], patterns: list[str]) -> list[str]:
    """Stop both; what differs then."""
    for side in sides:
        side.program.send(signal.SIGTERM)
    for side in sides:
        side.program.wait_end()
    return settle(sides, patterns, 0.5)


@contextmanager
def both(text: str, directory: Path) -> Iterator[list[Side]]:
    """Both programs with this configuration, each on a node of its own."""
    with ExitStack() as stack:
        sides = []
        for kind in ("real", "ours"):
            place, neighbour = stack.enter_context(site())
            program = Program(kind, place.node, directory / kind, text, ("-P",))
            stack.callback(program.close)
            stack.callback(program.ask_to_end)
            sides.append(Side(program, place, neighbour))
        yield sides


def run(path: Path, directory: Path) -> Found:
    """A file, or a pair of files in a directory."""
    return play_reload(path, directory) if path.is_dir() else play(path, directory)


def play(file: Path, directory: Path) -> Found:
    """Run both with this file, on a busy machine up to three times; what differs at each step."""
    text = file.read_text()
    for number in range(3):
        try:
            with both(text, directory / f"{file.stem}-{number}") as sides:
                return dict(steps(sides, text.count("vrrp_instance "), expected(text)))
        except TooSlow:
            continue
    raise TooSlow


def play_reload(pair: Path, directory: Path) -> Found:
    """Run both with the first file and reload the second; what differs at each step."""
    before, after = ((pair / name).read_text() for name in ("before.conf", "after.conf"))
    with both(before, directory / f"reload-{pair.name}") as sides:
        return dict(reload_steps(sides, after, before.count("vrrp_instance "), expected(after)))


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, Future[Found]]]:
    """All chosen files at once, so many at a time; each test waits for its own."""
    sweep()
    directory = tmp_path_factory.mktemp("kernel")
    paths: set[Path] = set()
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.module is request.module:
            paths |= {path for path in item.callspec.params.values() if isinstance(path, Path)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {path: pool.submit(run, path, directory) for path in sorted(paths)}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kernel_is_alike(played: dict[Path, Future[Found]], file: Path) -> None:
    judge(played[file].result(120), file)


@pytest.mark.parametrize("pair", RELOADS, ids=lambda pair: pair.name)
def test_kernel_is_alike_after_a_reload(played: dict[Path, Future[Found]], pair: Path) -> None:
    judge(played[pair].result(120), pair / "after.conf")


def judge(found: Found, file: Path) -> None:
    """Nothing but the announced differences was found."""
    patterns = expected(file.read_text())
    wrong = [f"{step}: {line}" for step in found for line in surprises(found[step], patterns[step])]
    assert not wrong, "\n".join(wrong)
