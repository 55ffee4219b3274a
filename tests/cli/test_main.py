"""What the program answers, and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keepalived_py.cli.main import main

GOOD = "vrrp_instance VI_1 {\n interface lo2\n virtual_router_id 5\n virtual_ipaddress {\n  10.9.9.9\n }\n}\n"


def keepalived_py(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keepalived_py", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("word", "number"),
    [("STOP", 15), ("RELOAD", 1), ("DATA", 10), ("STATS", 12), ("STATS_CLEAR", 63), ("JSON", 36)],
)
def test_signal_numbers(word: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--signum={word}"]) == 0
    assert capsys.readouterr().out == f"{number}\n"


def test_an_unknown_signal_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--signum=TDUMP"]) == 1
    assert capsys.readouterr() == ("", "Unknown sigfunc TDUMP\n")


@pytest.mark.parametrize(
    ("option", "begin"), [("-v", "Keepalived-py v"), ("--help", "Usage: keepalived-py ")]
)
def test_version_and_help_go_to_stderr(option: str, begin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(begin)


def test_a_bad_option_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bogus", "-t", "-f", "/nonexistent"]) == 1
    assert capsys.readouterr().err == "Unknown option --bogus\n"


def test_an_empty_configuration_is_fine(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text("")
    done = keepalived_py("-t", "-f", str(tmp_path / "c.conf"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "c.conf"
    path.write_text("global_defs {\n}\nfoo bar\n")
    done = keepalived_py("-t", "-f", str(path))
    assert done.returncode == 5
    assert f"({path}: Line 3) Unknown keyword 'foo'" in done.stderr


def test_a_facility_by_name_counts_as_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text("")
    done = keepalived_py("-t", "-S", "local3", "-f", str(tmp_path / "c.conf"))
    assert (done.returncode, done.stderr) == (5, "invalid number 'local3'\n")
    assert keepalived_py("-t", "-S", "3", "-f", str(tmp_path / "c.conf")).returncode == 0


def test_the_report_is_appended_to_a_private_file(tmp_path: Path) -> None:
    path, report = tmp_path / "c.conf", tmp_path / "report"
    path.write_text("foo\n")
    for times in (1, 2):
        done = keepalived_py(f"-t{report}", "-f", str(path))
        assert (done.returncode, done.stderr) == (5, "")
        assert report.read_text().count("Unknown keyword 'foo'") == times
    assert report.stat().st_mode & 0o777 == 0o600


def test_no_symbolic_link_is_followed_to_a_report(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    done = keepalived_py(f"-t{tmp_path}/link", "-f", str(tmp_path / "c.conf"))
    assert done.returncode == 1
    assert done.stderr.endswith("link 40 - Too many levels of symbolic links\n")


def test_findings_as_json(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text("foo\n")
    done = keepalived_py("-t", "--diagnostics=json", "-f", str(tmp_path / "c.conf"))
    assert done.returncode == 5
    assert "Unknown keyword 'foo'" in [json.loads(line)["message"] for line in done.stdout.splitlines()]


def test_a_check_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text(GOOD)
    code = (
        "import sys; from keepalived_py.cli.main import main; "
        f"main(['-t', '-f', {str(tmp_path / 'c.conf')!r}]); "
        "print([m for m in ('asyncio', 'scapy', 'pyroute2', 'ctypes') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout == "[]\n"


def test_a_missing_namespace_ends_with_0_as_in_keepalived(tmp_path: Path) -> None:
    (tmp_path / "c.conf").write_text("")
    done = keepalived_py("-t", "-s", "no-such-namespace", "-f", str(tmp_path / "c.conf"))
    assert done.returncode == 0
    assert done.stderr == "Failed to open /run/netns/no-such-namespace\n"
