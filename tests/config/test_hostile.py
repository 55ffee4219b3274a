"""Files that nobody meant as a configuration: an answer in time, never an exception."""

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.config import include_names
from keepalived_py.config.load import Loaded, load
from keepalived_py.diagnostics.render import Style, render
from tests.config.fake_host import FakeHost

STYLES: tuple[Style, ...] = ("keepalived", "full", "json", "sarif")
SECONDS = 20  # generous: the machine may be busy; each takes well under a second alone
SAMPLE = """global_defs {
    router_id lb1
    notification_email {
        admin@example.com
    }
}
vrrp_script chk {
    script "/bin/true 'a b'"
    interval 2
}
$VIP=10.1.0.100
vrrp_instance VI_1 {
    interface eth0   # the outside
    virtual_router_id 51
    virtual_ipaddress {
        $VIP/16 dev eth0
    }
    track_script {
        chk weight 5
    }
}
"""


def answer(folder: str, data: bytes | None = None) -> Loaded:
    path = Path(folder) / "main.conf"
    if data is not None:
        path.write_bytes(data)
    begin = time.monotonic()
    loaded = load(str(path), config_id="n1", host=FakeHost())
    for style in STYLES:
        render(loaded.diagnostics, style, colour=True)
    assert time.monotonic() - begin < SECONDS
    return loaded


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"a {\n" * 100 + b"}\n" * 100, "unknown-keyword"),
        pytest.param(b"a {\n" * 100_000 + b"}\n" * 100_000, "too-many-braces", marks=pytest.mark.slow),
        (b"{" * 50_000, "too-many-braces"),
        pytest.param(b"}\n" * 100_000, "too-many-braces", marks=pytest.mark.slow),
        (b"x" * 1_000_000, "line-too-long"),
        pytest.param(b"#" + b"x" * 1_000_000, "line-too-long", marks=pytest.mark.slow),
        (b"router_id a\0b\n", "nul-byte"),
        (b"global_defs {\n router_id \xe9\n}\n", "not-utf8"),
        (b"\xef\xbb\xbfglobal_defs {\n}\n", "byte-order-mark"),
        (b"include main.conf\n", "include-loop"),
        (b"include .\n", "include-failed"),
        (b"include /dev/zero\n", "include-failed"),
        (b"include pipe\n", "include-failed"),
        (b"$A=${A}x\n${A}\n", "expansion-loop"),
    ],
)
def test_odd_files(tmp_path: Path, data: bytes, code: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert code in {one.code for one in answer(str(tmp_path), data).diagnostics}


def test_main_file_is_a_pipe_or_a_directory(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "main.conf")
    assert "not a regular" in answer(str(tmp_path)).diagnostics[0].message
    (tmp_path / "main.conf").unlink()
    (tmp_path / "main.conf").mkdir()
    assert "is a directory" in answer(str(tmp_path)).diagnostics[0].message


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(SAMPLE)), st.booleans())
def test_every_prefix_and_every_deletion(place: int, prefix: bool) -> None:
    text = SAMPLE[:place] if prefix else SAMPLE[:place] + SAMPLE[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        answer(folder, text.encode())


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(SAMPLE)))
def test_bytes_in_the_middle(data: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        answer(folder, SAMPLE[:place].encode() + data + SAMPLE[place:].encode())


def test_an_include_of_everything_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include_names, "MOST_DIRECTORIES", 5)
    for number in range(9):
        (tmp_path / f"d{number}").mkdir()
        (tmp_path / f"d{number}" / "a.conf").write_text("global_defs {\n}\n")
    names, missing, _ = include_names.find_names("d*/*.conf", str(tmp_path))
    assert (len(names) < 9, missing) == (True, True)
    monkeypatch.setattr(include_names, "MOST_DIRECTORIES", 50)
    assert len(include_names.find_names("d*/*.conf", str(tmp_path))[0]) == 9
