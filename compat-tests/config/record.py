"""Make cases: ask the real keepalived 2.2.7 what it says about configurations.

    record.py FILE.conf...     makes cases/FILE.case of each
    record.py --again          asks again about the cases there are

Needs root.  Read the difference before you keep it.
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import parity
from case_files import CASES, Case, all_cases, write_texts


def recorded(name: str, text: str) -> Case:
    """The case of a text whose file NAME.conf lies in the current folder."""
    seen = parity.theirs(f"{name}.conf")
    return Case(name, text, seen.code, tuple(sorted(seen.said)))


def main() -> int:
    """Record what the command line asks for."""
    if not parity.possible():
        print("This needs root and keepalived 2.2.7.", file=sys.stderr)
        return 2
    here = os.getcwd()
    parity.enter()
    parity.prepare(parity.CORPUS)
    if sys.argv[1:] == ["--again"]:
        texts = {case.name: case.text for case in all_cases()}
    else:
        paths = [Path(here, word) for word in sys.argv[1:]]
        texts = {path.stem: path.read_bytes().decode("utf-8", "surrogateescape") for path in paths}
    with tempfile.TemporaryDirectory() as folder:
        write_texts([Case(name, text, 0, ()) for name, text in texts.items()], Path(folder))
        os.chdir(folder)
        for name, text in texts.items():
            case = recorded(name, text)
            target = CASES / f"{name}.case"
            target.write_bytes(case.file_text().encode("utf-8", "surrogateescape"))
        os.chdir(here)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
