"""The manual pages say what the tables say, and `man` has nothing to complain about."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from keepalived_py.cli.commands import COMMANDS
from keepalived_py.cli.options import SPECS
from keepalived_py.config.table import places

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("keepalived-py.8", "keepalived-py.conf.5")


def rendered(page: str) -> str:
    """The page as `man` shows it on paper without bold and italics."""
    words = [
        "groff",
        "-man",
        "-Tascii",
        "-P-c",
        "-P-b",
        "-P-u",
        "-P-o",
        "-rLL=200n",
        str(ROOT / "man" / page),
    ]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "make_man.py"), "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_man", ROOT / "scripts" / "make_man.py")
    assert spec is not None and spec.loader is not None
    make_man = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_man)
    template = tmp_path / "x.8.in"
    template.write_text(".SH OPTIONS\n@OPTIONS@\n")
    monkeypatch.setattr(make_man, "MAN", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_man.py"])
    assert make_man.main() == 0
    assert "\\-\\-use\\-file" in (tmp_path / "x.8").read_text()
    monkeypatch.setattr(sys, "argv", ["make_man.py", "--check"])
    assert make_man.main() == 0
    template.write_text(".SH OPTIONS\n@OPTIONS@\n.SH MORE\n")
    assert make_man.main() == 1


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_rendered_without_warnings(page: str) -> None:
    path = str(ROOT / "man" / page)
    for words in (["groff", "-man", "-ww", "-z", path], ["man", "--warnings", "-l", path]):
        done = subprocess.run(words, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), words


def test_all_options_and_commands_are_in_the_page() -> None:
    text = rendered("keepalived-py.8")
    for spec in SPECS:
        assert spec.hidden or f"--{spec.long}" in text, spec.long
    for name in COMMANDS:
        assert f"\n   {name}\n" in text
    assert "--ignore=CODE[,CODE]" in text


def test_all_keywords_are_in_the_page() -> None:
    text = rendered("keepalived-py.conf.5")
    sections = {
        line.strip() for line in text.splitlines() if line[:3] == "   " and line[3:4] not in (" ", "")
    }
    for place in places():
        name = place.keyword.name
        assert "<" in name or name in text, place.path
        assert (place.block or "top level") in sections, place.path
    assert "advert_int DEC 0.01..255" in text
