"""How near our verdicts on configuration files come to those of the real keepalived.

    parity.py FOLDER TABLE.tsv [--list] [--only PREFIX]

TABLE has one line per file of FOLDER: name, exit code of `keepalived -t`, and
(for a table of mistakes) its diagnostics separated by ` | `, each optionally
led by `L<line>: `.  Prints how many exit codes and how many sets of messages
agree; with --list also every file that differs.
"""

import argparse
import csv
import os
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from keepalived_py.config.host import RealHost, User
from keepalived_py.config.load import Loaded, load

LINE = re.compile(r"^(?:L\d+: |\([^)]*Line \d+\) )")
CRASHED = "signal 11"


class CorpusHost(RealHost):
    """The machine of the tables: eth0 and eth1, and no user keepalived_script."""

    def interface_exists(self, name: str) -> bool:
        return name in ("eth0", "eth1", "lo")

    def interface_is_loopback(self, name: str) -> bool:
        return name == "lo"

    def interface_mtu(self, name: str) -> int:
        return 1500

    def user(self, name: str) -> User | None:
        return None if name == "keepalived_script" else super().user(name)


def messages_of(loaded: Loaded) -> set[str]:
    """What we print at `-t`, without places."""
    return {one.message for one in loaded.diagnostics if not one.logged_only}


def main() -> int:
    options = _options()
    rows = list(csv.reader(options.table.open(), delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    folder = options.folder.resolve()
    os.chdir(folder)
    tally: Counter[str] = Counter()
    for name, code, found, *_ in rows:
        if name.startswith(options.only):
            _compare(name, code, found, options.list, tally)
    print(f"{'files':28}{tally['files']:6}")
    for title in ("exit code", "messages", "exit code (known crashes)"):
        share = 100 * tally[title] / max(tally["files"], 1)
        print(f"{title:28}{tally[title]:6}  {share:5.1f} %")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", default="")
    return parser.parse_args()


def _compare(name: str, code: str, found: str, listing: bool, tally: Counter[str]) -> None:
    loaded = load(name, config_id="test", host=CorpusHost())
    ours = messages_of(loaded)
    theirs = {LINE.sub("", part) for part in found.split(" | ")} - {""}
    tally["files"] += 1
    if code == CRASHED:
        tally["exit code (known crashes)"] += 1
    same_code = str(loaded.test_exit_code) == code or (code == CRASHED and loaded.test_exit_code != 0)
    same_messages = found.isdigit() or ours == theirs
    tally["exit code"] += same_code
    tally["messages"] += same_messages
    if listing and not (same_code and same_messages):
        print(f"{'' if same_code else 'EXIT '}{name}: {loaded.test_exit_code} (theirs {code})")
        for message in sorted(ours - theirs):
            print(f"    + {message}")
        for message in sorted(theirs - ours):
            print(f"    - {message}")


if __name__ == "__main__":
    raise SystemExit(main())
