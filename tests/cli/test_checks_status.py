"""`keepalived-py status` on a machine with virtual servers: with a cluster, without one, as any user."""

import json
import time
from pathlib import Path

import pytest

from keepalived_py.base.clock import Micros
from keepalived_py.cli import checks_status, members
from keepalived_py.cli.main import main
from keepalived_py.core.checks import pool as pools
from keepalived_py.core.checks.verdicts import CheckerVerdict
from keepalived_py.core.checks.view import View
from keepalived_py.model.check_events import CheckResult
from keepalived_py.model.virtual_server import VirtualServer
from keepalived_py.status import checks_snapshot
from tests.health.view_bench import Bench, at, checking, real

Out = pytest.CaptureFixture[str]
REFUSED = CheckResult(False, code=503, text="503 Service Unavailable", took_us=Micros(1500))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the checkers of this machine are; no configuration at the usual place, no cluster."""
    monkeypatch.setattr(members, "DEFAULT_CONFIGURATION", str(tmp_path / "missing.conf"))
    monkeypatch.setattr(members, "RUN_DIRECTORIES", str(tmp_path / "members/*/*"))
    monkeypatch.setattr(checks_status, "RUN_ROOT", str(tmp_path / "checkers"))
    made = tmp_path / "checkers" / "blue"
    made.mkdir(parents=True)
    return made


def write(directory: Path, bench: Bench, healed: int = 0) -> None:
    """What a daemon would have written now."""
    text = "".join(checks_snapshot.pieces(bench.view(), {"healed": healed}, time.time()))
    (directory / checks_snapshot.FILE).write_text(text)


class Failing(Bench):
    """The servers with these numbers do not pass their check."""

    def __init__(self, virtual: VirtualServer, *failing: int) -> None:
        super().__init__(virtual)
        self._failing = failing
        for index in failing:
            gone = CheckerVerdict(up=False, was_up=True, had_run=True, alpha=False)
            self.pools = (pools.verdict(self.pools[0], index, gone, []),)

    def view(self) -> View:
        bad, good = (checking(REFUSED, 3_000_000, up=False),), (checking(),)
        return super().view()._replace(checks_of=lambda _, server: bad if server in self._failing else good)


def one_fails() -> Bench:
    return Failing(at("10.5.0.1", real("10.5.0.11"), real("10.5.0.12")), 1)


def test_what_fails_is_told_with_its_reason(directory: Path, capsys: Out) -> None:
    write(directory, one_fails(), healed=3)
    assert main(["status"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0].startswith("Virtual servers, as of 0.") and lines[0].endswith("put right 3 times")
    assert [" ".join(line.split()) for line in lines[2:]] == [
        "VIRTUAL SERVER STATE SERVERS QUORUM REMARKS",
        "[10.5.0.1]:tcp:80 up 1 of 2 1",
        "",
        "SERVER OF CHECK LAST RUN FOUND",
        "[10.5.0.12]:tcp:80 [10.5.0.1]:tcp:80 TCP_CHECK 2.0 s before 503 Service Unavailable in 1.5 ms",
    ]


def test_for_programs(directory: Path, capsys: Out) -> None:
    write(directory, one_fails())
    assert main(["status", "--json"]) == 0
    (known,) = json.loads(capsys.readouterr().out)["checks_of_servers"]
    assert known["counters"] == {"healed": 0}
    server = known["virtual_servers"][0]["servers"][1]
    assert (server["alive"], server["checks"][0]["code"]) == (False, 503)


def test_a_directory_may_be_named(directory: Path, capsys: Out) -> None:
    write(directory, one_fails())
    assert main(["status", "--run-directory", str(directory)]) == 0
    assert "[10.5.0.1]:tcp:80" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"at": 0, "virtual_servers": [{}]}'])
def test_a_broken_file_is_as_none(directory: Path, capsys: Out, text: str) -> None:
    (directory / checks_snapshot.FILE).write_text(text)
    assert main(["status"]) == 1
    assert capsys.readouterr().err.startswith("No member of a cluster runs on this machine")


def test_many_failures_are_cut_with_a_word_about_the_rest(directory: Path, capsys: Out) -> None:
    servers = (real(f"10.5.1.{number}") for number in range(60))
    write(directory, Failing(at("10.5.0.1", *servers), *range(60)))
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["and", "10", "more", "see:", "keepalived-py", "rs", "list"]
    assert "DOWN" in lines[3]
