"""Configuration cases: a text, and what keepalived 2.2.7 was seen to say about it.

A file NAME.case holds the configuration (and a line end that does not belong to
it), a line of dashes, `exit CODE`, and what `-t` prints, each message once, with
the number of the line it names:

    vrrp_instance VI_1 {
        interface eth0

    ----
    exit 5
    There are 1 missing '}'s or extra '{'s

The machine is that of `parity`: eth0 and eth1, no user keepalived_script.
`record.py` writes the second part.
"""

import re
from pathlib import Path
from typing import NamedTuple

DASHES = "\n----\n"
CASES = Path(__file__).resolve().parent / "cases"
_LINE = re.compile(r"\d+: ")


class Case(NamedTuple):
    """One case; `said` is what was printed, as `LINE: text` or `text`."""

    name: str
    text: str
    code: int
    said: tuple[str, ...]

    def file_text(self) -> str:
        """The case as its file has it."""
        return f"{self.text}{DASHES}exit {self.code}\n" + "".join(f"{line}\n" for line in self.said)

    def lines(self) -> set[int]:
        """The lines of the configuration that were flagged."""
        return {int(one.partition(":")[0]) for one in self.said if _LINE.match(one)}


def read_case(path: Path) -> Case:
    """The case of a file; raises ValueError if it is none."""
    text, found, rest = path.read_bytes().decode("utf-8", "surrogateescape").rpartition(DASHES)
    lines = rest.split("\n")
    if not found or not lines[0].startswith("exit "):
        raise ValueError(f"{path} has no verdict")
    return Case(path.stem, text, int(lines[0][5:]), tuple(lines[1:-1]))


def all_cases() -> list[Case]:
    """Every case, by name."""
    return [read_case(path) for path in sorted(CASES.glob("*.case"))]


def write_texts(cases: list[Case], folder: Path) -> None:
    """The texts alone, as NAME.conf."""
    for case in cases:
        (folder / f"{case.name}.conf").write_bytes(case.text.encode("utf-8", "surrogateescape"))
