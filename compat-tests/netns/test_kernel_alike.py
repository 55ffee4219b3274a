"""What stands in the kernel: the same configuration under keepalived and under ours, step by step.

Every file of `kernel/` is given to both programs, each alone on its node.  The whole
network part of both kernels is compared when they are BACKUP, when they are MASTER,
when somebody better has made them BACKUP again, and when they have stopped.  Where
the two differ on purpose, the file says so in its first lines:

    #! master - addr eth0 *10.77.1.1*

means that as MASTER the real program has a line like this and ours has not (`+` is
the other way round, `~` only the order differs).  Exactly these differences must be
found: one that is not there any more fails the test like one that is new.
"""

import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest
from kernel_pair import Neighbour, Site, site
from kernel_view import differences, view
from lab import wait
from program import Program
from space import sweep

pytestmark = [pytest.mark.netns, pytest.mark.timeout(150)]

FILES = sorted((Path(__file__).parent / "kernel").glob("*.conf"))
STEPS = ("backup", "master", "again", "stop")
AT_ONCE = 8
_EXPECTED = re.compile(r"^#! (\w+(?:,\w+)*) ([-+~]) (.*)$", re.MULTILINE)

Found = dict[str, list[str]]


@dataclass
class Side:
    """One program on its node."""

    program: Program
    site: Site
    neighbour: Neighbour

    def view(self) -> list[str]:
        return view(self.site.node)

    def entered(self, role: str) -> int:
        """How often an instance became this."""
        return sum(f"Entering {role} STATE" in line.text for line in list(self.program.log))

    def await_(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        wait(condition, timeout_s, f"{self.program.kind}: {what}\n{self.program.tail()}")


def expected(text: str) -> dict[str, list[str]]:
    """For every step the differences that the file announces, as patterns of lines."""
    found: dict[str, list[str]] = {step: [] for step in STEPS}
    for steps, sign, pattern in _EXPECTED.findall(text):
        for step in STEPS if steps == "always" else steps.split(","):
            found[step].append(f"{sign} {pattern}")
    return found


def surprises(found: list[str], patterns: list[str]) -> list[str]:
    """Differences no pattern announces, and patterns no difference answers to."""
    new = [line for line in found if not any(fnmatchcase(line, pattern) for pattern in patterns)]
    gone = [pattern for pattern in patterns if not any(fnmatchcase(line, pattern) for line in found)]
    return new + [f"not found any more: {pattern}" for pattern in gone]


def settle(sides: list[Side], patterns: list[str], within_s: float) -> list[str]:
    """What differs; looked at again until nothing surprises or the time is over."""
    end = time.monotonic() + within_s
    while True:
        found = differences(*(side.view() for side in sides))
        if not surprises(found, patterns) or time.monotonic() > end:
            return found
        time.sleep(0.1)


def steps(sides: list[Side], instances: int, patterns: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    """The life of both, with what differs at every step."""
    for side in sides:
        side.await_(lambda side=side: side.entered("BACKUP") >= instances, 20, "BACKUP")  # type: ignore[misc]
    yield "backup", settle(sides, patterns["backup"], 1)
    assert not any(side.entered("MASTER") for side in sides), "too slow to look at the BACKUP"
    for side in sides:
        side.await_(lambda side=side: side.entered("MASTER") >= instances, 10, "MASTER")  # type: ignore[misc]
        side.await_(lambda side=side: len(side.neighbour.heard) >= instances, 5, "adverts")  # type: ignore[misc]
    yield "master", settle(sides, patterns["master"], 3)
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(side.neighbour.outdoing())
        for side in sides:
            side.await_(
                lambda side=side: side.entered("BACKUP") >= 2 * instances,  # type: ignore[misc]
                10,
                "BACKUP after MASTER",
            )
        yield "again", settle(sides, patterns["again"], 3)
    for side in sides:
        side.program.send(signal.SIGTERM)
    for side in sides:
        side.program.wait_end()
    yield "stop", settle(sides, patterns["stop"], 0.5)


def play(file: Path, directory: Path) -> Found:
    """Run both with this file; what differs at each step."""
    text = file.read_text()
    with ExitStack() as stack:
        sides = []
        for kind in ("real", "ours"):
            place, neighbour = stack.enter_context(site())
            program = Program(kind, place.node, directory / file.stem / kind, text, ("-P",))
            stack.callback(program.close)
            stack.callback(program.ask_to_end)
            sides.append(Side(program, place, neighbour))
        return dict(steps(sides, text.count("vrrp_instance "), expected(text)))


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Found]]]:
    """All chosen files at once, so many at a time; each test waits for its own."""
    sweep()
    chosen = {item.callspec.params["file"] for item in request.session.items if hasattr(item, "callspec")
              and item.module is request.module}  # fmt: skip
    directory = tmp_path_factory.mktemp("kernel")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {file.stem: pool.submit(partial(play, file, directory)) for file in sorted(chosen)}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kernel_is_alike(played: dict[str, Future[Found]], file: Path) -> None:
    found = played[file.stem].result(120)
    patterns = expected(file.read_text())
    wrong = [f"{step}: {line}" for step in STEPS for line in surprises(found[step], patterns[step])]
    assert not wrong, "\n".join(wrong)
