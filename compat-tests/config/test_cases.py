"""Every case: our verdict is the recorded one; and so is, where it is there, the real program's."""

import subprocess
import sys
from pathlib import Path

import parity
import pytest
from case_files import Case, all_cases, write_texts

from tests.config.fake_host import FakeHost

HERE = Path(__file__).resolve().parent
CASES = all_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_texts([case], tmp_path)
    monkeypatch.chdir(tmp_path)
    name = f"{case.name}.conf"
    found = parity.compare(
        name, parity.verdict(case.code, as_printed(case), name), parity.ours(name, FakeHost)
    )
    assert parity.differences(found) == []


def as_printed(case: Case) -> str:
    """What the real program printed."""
    lines = (one.partition(": ") for one in case.said)
    return "\n".join(
        f"(Line {number}) {text}" if number.isdigit() else f"{number}{colon}{text}"
        for number, colon, text in lines
    )


def test_both_programs_side_by_side(tmp_path: Path) -> None:
    write_texts(CASES, tmp_path)
    words = [sys.executable, str(HERE / "parity.py"), "--list", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f": {len(CASES)} files" in done.stdout
