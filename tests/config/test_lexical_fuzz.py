"""Whatever the bytes are: no exception, an answer in time, and no statement lost."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived_py.config.syntax import read_document, split_command
from keepalived_py.diagnostics.render import render

PIECES = ["{", "}", '"', "'", "\\", "#", "!", "\n", " ", "$A", "${A}", "$A=", "@n1 ", "~SEQ(N,1,3) ", "a"]
PIECES += [
    "~LST(",
    ")",
    ",",
    "vrrp_instance x",
    "include main.conf",
    "\\\n",
    "$N",
    "${_RANDOM 1 2}",
    "\0",
    "{1,2}",
]


def check(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "main.conf"
        path.write_bytes(data)
        document = read_document(str(path), "n1")
        render(document.diagnostics, "full")
        render(document.diagnostics, "json").encode()


@settings(max_examples=150, deadline=5000)
@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_soup(text: str) -> None:
    check(text.encode())
    split_command(text)


@settings(max_examples=60, deadline=5000)
@given(st.binary(max_size=300))
def test_bytes(data: bytes) -> None:
    check(data)
