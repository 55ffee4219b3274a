"""The statistics file is keepalived's, line for line."""

import os
import stat
from pathlib import Path

import pytest

from keepalived_py.core.vrrp.state import Counters
from keepalived_py.status.statistics import statistics, write

EXPECTED = """\
VRRP Instance: VI_1
  Advertisements:
    Received: 7
    Sent: 3
  Became master: 1
  Released master: 0
  Packet Errors:
    Length: 0
    TTL: 2
    Invalid Type: 0
    Advertisement Interval: 0
    Address List: 0
  Authentication Errors:
    Invalid Type: 0
    Type Mismatch: 0
    Failure: 4
  Priority Zero:
    Received: 0
    Sent: 0
"""


class State:
    name = "VI_1"
    counters = Counters(advert_rcvd=7, advert_sent=3, become_master=1, ip_ttl_err=2, auth_failure=4)


def test_the_text() -> None:
    assert statistics([State()]) == EXPECTED  # type: ignore[list-item]


def test_the_file_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = write("keepalived.stats", EXPECTED)
    assert path == str(tmp_path / "keepalived.stats")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["keepalived.stats"]
