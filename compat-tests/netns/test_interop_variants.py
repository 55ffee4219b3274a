"""Every variant of the protocol between the real keepalived and ours, one pair of daemons for all at once.

Each variant is a virtual router of its own (`variants.py`), so that a single life
of the pair (election, power cut, return, orderly stop) is the life of them all.
Times are those of the capture at the bridge.
"""

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from capture import Frame
from lab import Lab, laboratory
from variants import VARIANTS, Variant, file, gaps, holds_all, settled

pytestmark = [pytest.mark.netns, pytest.mark.alone, pytest.mark.timeout(90)]

# What a loaded machine may add to the theory; early is never excused.
SLACK_S = 0.35
EARLY_S = -0.003
BETTER, WORSE = 150, 100
Pair = tuple[str, str]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two nodes that speak both families."""
    with laboratory(tmp_path, ipv6=True) as made:
        yield made


def start(lab: Lab, node: int, kind: str, priority: int, variants: Sequence[Variant] = VARIANTS) -> None:
    """Start a daemon with these variants and wait until it listens on all of them."""
    program = lab.start(node, kind, file(node, (3 - node,), priority, variants))
    names = [f"({variant.name}) Entering BACKUP STATE (init)" for variant in variants]
    lab.wait(lambda: all(program.logged(name) for name in names), 8, f"node {node} listens")


def wait_settled(lab: Lab, node: int, timeout_s: float = 10, variants: Sequence[Variant] = VARIANTS) -> None:
    """Until `node` alone is MASTER of everything."""
    lab.wait(lambda: settled(lab, node, variants), timeout_s, f"node {node} is MASTER of everything")


def resignations(lab: Lab, node: int, variant: Variant, since_ns: int) -> int:
    """How many adverts of priority 0 the node sent."""
    return sum(not frame.priority for frame in lab.capture.adverts(node, since_ns, variant.vrid))


def check_times(late: dict[str, float]) -> None:
    """Nobody took over early, nobody too late."""
    assert {name for name, gap in late.items() if not EARLY_S <= gap <= SLACK_S} == set(), late


def test_life(lab: Lab, pair: Pair) -> None:
    """Election by priority; power cut of the master; its return; its orderly stop; the other's return."""
    start(lab, 1, pair[0], BETTER)
    start(lab, 2, pair[1], WORSE)
    wait_settled(lab, 1)
    for variant in VARIANTS:
        assert not lab.capture.adverts(2, vrid=variant.vrid), (
            f"{variant.name}: the worse one never advertised"
        )

    lab.programs[1].kill_all()
    lab.wait(lambda: holds_all(lab, 2), 8, "node 2 holds everything")
    late = gaps(lab, lambda v: lab.last_advert(1, v.vrid), 2, lambda v: v.master_down_s(WORSE))
    check_times(late)

    back = time.time_ns()
    start(lab, 1, pair[0], BETTER)
    wait_settled(lab, 1, 12)
    for variant in VARIANTS:
        assert not resignations(lab, 2, variant, back), f"{variant.name}: who gives way does not resign"

    stopped = lab.programs[1].send(signal.SIGTERM)
    assert lab.programs[1].wait_end() == 0
    lab.wait(lambda: settled(lab, 2), 8, "node 2 takes over what node 1 resigned")
    for variant in VARIANTS:
        assert resignations(lab, 1, variant, stopped) == 1, variant.name

    def resigned(variant: Variant) -> Frame:
        return next(f for f in lab.capture.adverts(1, stopped, variant.vrid) if not f.priority)

    check_times(gaps(lab, resigned, 2, lambda v: v.skew_s(WORSE)))


def test_tie(lab: Lab, pair: Pair) -> None:
    """Two MASTERs of equal priority meet: the higher address stays, the other gives way and does not resign.

    Two of the real program do not come to terms where one of them found out by itself that the
    other uses the old checksum: it refuses the usual form from then on, and goes on sending it.
    """
    both_real = pair == ("real", "real")
    variants = [v for v in VARIANTS if not (both_real and v.name == "unicast_v3_old")]
    lab.space.cut(2)
    start(lab, 1, pair[0], BETTER, variants)
    start(lab, 2, pair[1], BETTER, variants)
    lab.wait(lambda: all(holds_all(lab, n, variants) for n in (1, 2)), 8, "both are MASTER of everything")
    met = time.time_ns()
    lab.space.heal(2)
    wait_settled(lab, 2, 8, variants)
    for variant in variants:
        sent = [f for f in lab.capture.adverts(1, vrid=variant.vrid) if f.time_ns > met]
        assert all(f.priority == BETTER for f in sent), variant.name
        if not variant.has_ah and not variant.unicast:
            # A sealed advert may be refused until its sequence number has passed the other's; one
            # to a single peer waits until the kernel has found the peer again.
            assert len(sent) <= 2, f"{variant.name}: {len(sent)} adverts against a higher address"
