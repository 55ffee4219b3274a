"""What every compatibility test shares: who is which, and a laboratory that always ends.

`KEEPALIVED_SUBJECT` chooses the program under test: `ours` (default), or `real`
to hold the real keepalived against itself, which proves the harness.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "config"))
sys.path.insert(0, str(Path(__file__).parent / "ipvs"))
sys.path.insert(0, str(Path(__file__).parent / "netns"))
sys.path.insert(0, str(Path(__file__).parent / "raft"))

from lab import Lab, laboratory
from twins import Twins

SUBJECT = os.environ.get("KEEPALIVED_SUBJECT", "ours")
PAIRS = [("real", SUBJECT), (SUBJECT, "real")] if SUBJECT != "real" else [("real", "real")]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A fresh laboratory of two nodes."""
    with laboratory(tmp_path) as made:
        yield made


@pytest.fixture(params=PAIRS, ids=lambda pair: "+".join(pair))
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Which program runs on node 1 (usually the better one) and on node 2."""
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture
def subject() -> str:
    """The program under test, where only one is looked at."""
    return SUBJECT


@pytest.fixture
def twins(tmp_path: Path, subject: str) -> Iterator[Twins]:
    """Two laboratories of one node each: keepalived in one, the subject in the other."""
    with laboratory(tmp_path / "real", nodes=1) as real, laboratory(tmp_path / "other", nodes=1) as other:
        yield Twins(real, other, subject)
