"""keep-vip's command line becomes the settings of a run."""

import os
from pathlib import Path

import pytest

from keepalived_py.base.logs import Level
from keepalived_py.base.names import MemberId
from keepalived_py.cli import start_command
from keepalived_py.cli.main import main
from keepalived_py.config.load import Loaded
from keepalived_py.daemon import start
from keepalived_py.model.cluster import Endpoint
from keepalived_py.model.config import Configuration
from keepalived_py.model.raft import RaftCluster, RaftMember


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[start.RunSettings]:
    """Everything that would have been run."""
    made: list[start.RunSettings] = []

    def run(settings: start.RunSettings) -> int:
        made.append(settings)
        return 0

    monkeypatch.setattr(start, "run", run)
    monkeypatch.setattr(start, "missing_permission", lambda: None)
    return made


@pytest.mark.parametrize(
    ("words", "level", "detail", "json"),
    [
        ([], Level.DEBUG, 1, False),
        (["--log-level", "info"], Level.INFO, 0, False),
        (["--log-level", "warn", "--log-encoder", "json"], Level.WARN, 0, True),
        (["--log-level=error"], Level.ERROR, 0, False),
    ],
)
def test_log_options_take_effect(
    words: list[str], level: Level, detail: int, json: bool, runs: list[start.RunSettings], tmp_path: Path
) -> None:
    assert main(["start", "-c", str(tmp_path / "config.yaml"), *words]) == 0
    (settings,) = runs
    log = settings.log.settings
    assert (log.level, log.detail, log.json) == (level, detail, json)
    assert (log.console, log.syslog, settings.log.console_fd) == (True, False, 1)
    assert settings.foreground
    assert settings.path == str(tmp_path / "config.yaml")
    assert settings.pid_files == {}


def test_pid_files_are_in_the_run_directory(
    runs: list[start.RunSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RaftMember(MemberId("a"), Endpoint("10.0.0.1", 7000))
    raft = RaftCluster("c", own.id, (own,), run_directory=str(tmp_path / "run"))
    loaded = Loaded(Configuration(raft=raft), (), 0, None)
    monkeypatch.setattr(start_command, "_load", lambda path: loaded)
    before = os.umask(0o177)
    try:
        assert main(["start", "-c", "config.yaml"]) == 0
    finally:
        os.umask(before)
    assert runs[0].pid_files == {
        name: str(tmp_path / "run" / f"{name}.pid")
        for name in ("keepalived", "checkers", "vrrp", "bfd", "keepalived_status")
    }
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o755
    assert runs[0].path == os.path.abspath("config.yaml")
    assert runs[0].load("x") is loaded


def test_nothing_is_made_for_a_file_that_cannot_be_used(
    runs: list[start.RunSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RaftMember(MemberId("a"), Endpoint("10.0.0.1", 7000))
    raft = RaftCluster("c", own.id, (own,), run_directory=str(tmp_path / "run"))
    monkeypatch.setattr(start_command, "_load", lambda path: Loaded(Configuration(raft=raft), (), 5, 2))
    assert main(["start"]) == 0
    assert runs[0].pid_files == {}
    assert not (tmp_path / "run").exists()


def test_who_may_not_manage_the_network_is_told_so(
    runs: list[start.RunSettings], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "missing_permission", lambda: "must run as root")
    assert main(["start"]) == 4
    assert capsys.readouterr().err == "must run as root\n"
    assert runs == []


def test_every_kind_of_child_has_its_pid_file_there() -> None:
    from keepalived_py.daemon.kinds import KINDS

    assert {kind.name for kind in KINDS} | {"keepalived"} == set(start_command._PID_FILES)
