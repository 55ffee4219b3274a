"""The statistics file is keepalived's, line for line."""

import os
import stat
from pathlib import Path

import pytest

from keepalived_py.base.names import InstanceName, InterfaceName
from keepalived_py.base.record import replace
from keepalived_py.core.vrrp.state import Counters, InstanceState
from keepalived_py.model.config import Instance
from keepalived_py.model.effects import Role
from keepalived_py.model.vrrp import AuthHmac
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


SETTINGS = Instance(InstanceName("VI_1"), InterfaceName("eth0"), 1)
STATE = InstanceState(
    SETTINGS,
    Role.BACKUP,
    100,
    None,
    None,
    counters=Counters(
        advert_rcvd=7,
        advert_sent=3,
        become_master=1,
        ip_ttl_err=2,
        auth_failure=4,
        auth_ext_missing=1,
        auth_ext_malformed=2,
        auth_ext_unknown_key=3,
        auth_ext_invalid_hmac=5,
        auth_ext_stale=6,
        auth_ext_replay=8,
    ),
)
EXTENSION = """\
  Authentication Extension Errors:
    Missing: 1
    Malformed: 2
    Unknown Key: 3
    Invalid HMAC: 5
    Stale: 6
    Replay: 8
"""


def test_the_text() -> None:
    assert statistics([STATE]) == EXPECTED


def test_signed_adverts_have_a_section_of_their_own() -> None:
    signed = STATE._replace(settings=replace(SETTINGS, auth_hmac=AuthHmac()))
    before, after = EXPECTED.split("  Priority Zero:")
    assert statistics([signed]) == f"{before}{EXTENSION}  Priority Zero:{after}"


def test_the_file_is_for_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = write("keepalived.stats", EXPECTED)
    assert path == str(tmp_path / "keepalived.stats")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["keepalived.stats"]
