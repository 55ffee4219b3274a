"""The same configurations and the same deaths under keepalived and under ours: real kernels, equal tables.

Two kernels run at once, each with half of the plays, and both daemons play each of them
in the same kernel.  What is compared stands in `alike`.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alike import differences, unmet
from plays import ALL, PLAYS, USUAL
from uml import COMMANDS, ROOT, Found, Job, boot

SUBJECT = os.environ.get("KEEPALIVED_SUBJECT", "ours")
EVERY = os.environ.get("KEEPALIVED_IPVS_PLAYS") == "all"
NAMES = ALL if EVERY else USUAL
_LIMIT_S = 500 if EVERY else 300
# This one is played by the program as a user's shell starts it, too.
_INSTALLED = "sorry server"
# The kernel that shows its table first has less time for plays.
_FEWER = 2
_KERNEL_TABLE = str(ROOT / "compat-tests" / "ipvs" / "kernel_table.py")
_GROUP_LEFTOVERS = (
    "reloaded, table", "reloaded, order", "reloaded, looks", "as before, log", "stopped, table", "stopped, order",
)  # fmt: skip
# Where keepalived 2.2.7 is not followed: play -> the places where the two differ, and nowhere else.
KNOWN: dict[str, tuple[str, ...]] = {
    # It reads changed thresholds at a reload and does not give them to the kernel.
    "reloads with other attributes": ("thresholds, looks",),
    # It empties the services of a removed entry of a group and leaves them; newer ones delete them.
    "reload with a group": _GROUP_LEFTOVERS,
}

pytestmark = pytest.mark.timeout(_LIMIT_S + 120)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """What both kernels brought; the longest plays come first."""
    names = sorted(NAMES, key=lambda name: -len(PLAYS[name].steps))
    even, who = names[1::2], ("real", SUBJECT)
    more, fewer = names[0::2] + even[-_FEWER:], even[:-_FEWER]
    jobs = [
        Job(more, who, others=[(_INSTALLED, "installed")], within_s=_LIMIT_S),
        Job(fewer, who, program=(sys.executable, _KERNEL_TABLE), within_s=_LIMIT_S),
    ]
    places = [tmp_path_factory.mktemp("kernel") / "boot" for _ in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        first, second = pool.map(boot, jobs, places)
    first.arenas.update(second.arenas)
    first.program, first.console = second.program, first.console + second.console
    yield first


@pytest.mark.parametrize("name", NAMES)
def test_the_table_is_equal_after_every_step(found: Found, name: str) -> None:
    seen = differences(found.arenas[name, "real"], found.arenas[name, SUBJECT], SUBJECT)
    known = KNOWN.get(name, ()) if SUBJECT != "real" else ()
    new = [text for text in seen if text.partition(":\n")[0] not in known]
    assert not new, "\n".join(new)
    missing = [place for place in known if place not in {text.partition(":\n")[0] for text in seen}]
    assert not missing, f"no difference any more: {missing}"


def test_the_program_of_a_user_is_no_other(found: Found) -> None:
    real, installed = found.arenas[_INSTALLED, "real"], found.arenas[_INSTALLED, "installed"]
    assert installed["command"] == COMMANDS["installed"]
    assert not (seen := differences(real, installed, "installed")), "\n".join(seen)


def test_the_kernel_shows_what_is_written(found: Found) -> None:
    assert found.program["code"] == 0, found.program["out"][-3000:] + found.program["err"][-3000:]


@pytest.mark.parametrize("kind", ["real", SUBJECT])
def test_traffic_follows_the_checks(found: Found, kind: str) -> None:
    result = found.arenas["traffic follows health", kind]
    assert not unmet(result)
    steps = {step["step"]: step["client"] for step in result["steps"]}
    both = {"200 10.5.0.11:80", "200 10.5.0.12:80"}
    assert set(steps["both serve"]) == both
    assert set(steps["one serves"]) == {"200 10.5.0.11:80"}
    assert set(steps["both serve again"]) == both
