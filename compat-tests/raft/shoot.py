"""A fence device for the laboratory: it takes the power from a member for good.

Called as the fence script of a member that wants to take over.  The link goes
first, then every process, then what the machine's memory held; the exit code
is 0 only when that is done.

    python shoot.py SWITCH HOMES BASE target leases token reason attempt
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

import signal

from daemons import send
from program import children_of
from space import run


def main(words: list[str]) -> int:
    """Shoot one member, and note it in `HOMES/shot`; 1 as long as there is no file `HOMES/armed`."""
    switch, homes, base, target = words[:4]
    if not (Path(homes) / "armed").exists():
        return 1
    node = int(target.removeprefix("n"))
    home = Path(homes) / target
    run("ip", "-n", switch, "link", "set", f"p{node}", "nomaster")
    parent = home / "parent"
    if parent.exists():
        send(children_of(int(parent.read_text())), signal.SIGKILL)
    run("ip", "-n", f"{base}-r{node}", "addr", "flush", "dev", "eth0")
    with open(Path(homes) / "shot", "a") as told:
        told.write(" ".join(words[3:]) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
