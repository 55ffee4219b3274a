"""The same command line given to the real keepalived and to keepalived-py."""

import subprocess
import sys
from pathlib import Path

import pytest

OURS = (sys.executable, "-m", "keepalived_py")
THEIRS = ("keepalived",)

EMPTY = ""
UNKNOWN = "global_defs {\n}\nfoo bar\n"
NO_INTERFACE = """\
vrrp_instance VI_1 {
    interface no-such
    virtual_router_id 5
    virtual_ipaddress {
        10.9.9.9
    }
}
"""


def answer(program: tuple[str, ...], words: list[str], where: Path) -> subprocess.CompletedProcess[str]:
    repository = Path(__file__).parents[2]
    return subprocess.run(
        [*program, *words],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": f"{repository}"},
    )


def said_once(text: str) -> list[str]:
    """The different lines: keepalived reads the file once per process and repeats itself, at
    first without the file's name.
    """
    return [line for line in dict.fromkeys(text.splitlines()) if not line.startswith("(Line ")]


@pytest.mark.parametrize(
    "words",
    [
        ["--bogus"],
        ["-Z"],
        ["-nZQl"],
        ["-f"],
        ["--c"],
        ["--conf"],
        ["--vrrp=3"],
        ["--version=2"],
        ["-g"],
        ["-L"],
        ["--bogus", "-Z", "-f"],
        ["--signum=STOP"],
        ["--signum", "STATS_CLEAR"],
        ["--signum=JSON"],
        ["--signum=TDUMP"],
        ["--sig=DATA", "--signum=STOP"],
        ["-t", "-f", "empty.conf"],
        ["-tno/such/directory", "-f", "empty.conf"],
        ["-t", "-S", "9", "-f", "empty.conf"],
        ["-t", "-S", "local3", "-f", "empty.conf"],
        ["-t", "-S3", "-f", "empty.conf"],
        ["-t", "-f", "unknown.conf"],
        ["-t", "-f", "interface.conf"],
        ["-t", "-f", "missing.conf"],
        ["-t", "-e", "-f", "missing.conf"],
        ["-XVIRnlt", "--config-fd=77", "-f", "empty.conf"],
    ],
    ids=" ".join,
)
def test_same_exit_code_and_same_words(words: list[str], tmp_path: Path) -> None:
    for name, text in (("empty", EMPTY), ("unknown", UNKNOWN), ("interface", NO_INTERFACE)):
        (tmp_path / f"{name}.conf").write_text(text)
    ours, theirs = (answer(program, words, tmp_path) for program in (OURS, THEIRS))
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout)
    assert said_once(ours.stderr) == said_once(theirs.stderr)


@pytest.mark.parametrize(
    "words",
    [["-n", "-l", "-G", "-f", "missing.conf"], ["-nlG", "-f", "empty.conf", "-s", "no-such-namespace"]],
    ids=["missing configuration", "missing namespace"],
)
def test_a_refused_start(words: list[str], tmp_path: Path) -> None:
    """Same exit code, and the same last words before the line with the program's version."""
    (tmp_path / "empty.conf").write_text("")
    texts = []
    codes = []
    for program in (OURS, THEIRS):
        done = answer(program, words, tmp_path)
        codes.append(done.returncode)
        said = [line.split(": ", 1)[1] for line in done.stderr.splitlines()]
        texts.append([line for line in said[3:-1] if not line.startswith(("Configuration", "Changing"))])
    assert codes[0] == codes[1]
    assert texts[0] == texts[1]
