"""Two verdicts on each configuration of a folder, side by side: keepalived 2.2.7's and ours.

    parity.py [--environment corpus|real] [--named] [--list] [--only PREFIX] [--jobs N] FOLDER...

Both programs read every *.conf file, in a network namespace that is made for
the purpose and ends with this process, on the same machine, from the same folder.  With --named the
interfaces and scripts that the files name exist.  Printed are the shares of
files for which

- the exit codes are equal (where keepalived crashes, any code but 0 is; where it
  kills itself, which it does for every script of another user, any code is);
- the flagged lines are equal: each line that keepalived flags is flagged here
  or lies inside a block whose keyword is reported as unknown; no other is flagged;
- the sets of messages are equal (they are counted, not asserted).

--list names the files that differ, and what differs.  Ends with 1 if a code or line differs.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from keepalived_py.config.host import Host, RealHost
from keepalived_py.config.load import load, load_as_parent
from keepalived_py.diagnostics.render import render

MARK = "PARITY_INSIDE"
BIND = ("/proc", "/dev", "/tmp", str(Path(__file__).resolve().parents[2]))

CORPUS = {"eth0": ["10.1.0.1/16"], "eth1": ["192.168.200.1/24"]}
REAL: dict[str, list[str]] = {
    **{name: [] for name in ("eth3", "ens160", "ens18", "ens3", "ens4", "enp0s9", "bond1", "wlan0")},
    "eth0": ["10.1.0.1/16", "2001:db8::1/64"],
    "eth1": ["192.168.1.1/24"],
    "enp0s8": ["192.168.56.1/24"],
    "enp0s3": ["10.0.2.15/24"],
    "ens33": ["192.168.0.1/24"],
    "ens160": ["172.16.0.1/16"],
    "ens192": ["10.10.10.1/24"],
    "eth2": ["192.168.200.1/24"],
    "bond0": ["10.22.10.1/24"],
    "br0": ["192.168.31.1/24"],
    "br-lan": [],
}
ENVIRONMENTS = {"corpus": CORPUS, "real": REAL}

_INTERFACE = re.compile(
    r"^\s*(?:interface|lvs_sync_daemon_inter?face)\s+([\w.@:-]{1,15})|\bdev\s+([\w.-]{1,15})"
)
_TRACKED = re.compile(r"track_interface\s*\{([^}]*)\}")
_SCRIPT = re.compile(r"(?:script|notify\w*|misc_path|quorum_\w+)\s+[\"']*(/[^\s\"'{}]+)")


def possible() -> bool:
    """Whether the comparison can be made here: root, and a keepalived of version 2.2.7."""
    if os.geteuid() != 0 or shutil.which("keepalived") is None or shutil.which("unshare") is None:
        return False
    said = subprocess.run(["keepalived", "--version"], capture_output=True, text=True, check=False).stderr
    return "v2.2.7" in said


def enter() -> bool:
    """True inside the namespaces; outside the script is started again inside (and its exit code taken)."""
    if os.environ.get(MARK):
        return True
    words = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, *sys.argv]
    raise SystemExit(subprocess.run(words, env={**os.environ, MARK: "1"}, check=False).returncode)


def prepare(interfaces: dict[str, list[str]]) -> None:
    """Make the interfaces, up and with their addresses."""
    _run("mount", "-t", "sysfs", "none", "/sys")
    lines = ["link set lo up"]
    for number, (name, addresses) in enumerate(interfaces.items()):
        lines.append(f"link add {name} type veth peer name parity{number}")
        lines += [f"link set {one} up" for one in (name, f"parity{number}")]
        lines += [f"addr add {address} dev {name}" for address in addresses]
    subprocess.run(
        ["ip", "-force", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=False, stderr=-3
    )


def named_interfaces(texts: Iterable[str]) -> dict[str, list[str]]:
    """The interfaces that configurations name."""
    found: dict[str, list[str]] = {}
    for text in texts:
        for line in text.splitlines():
            for match in _INTERFACE.finditer(line):
                found.setdefault(match.group(1) or match.group(2), [])
        for match in _TRACKED.finditer(text):
            for line in match.group(1).splitlines():
                word = line.split("#")[0].split()
                if word and re.fullmatch(r"[\w.@:-]{1,15}", word[0]):
                    found.setdefault(word[0], [])
    return found


def named_scripts(texts: Iterable[str]) -> set[str]:
    """The script files that configurations name."""
    return {match.group(1) for text in texts for match in _SCRIPT.finditer(text)}


def own_tree(scripts: Iterable[str], keep: Sequence[Path]) -> None:
    """Change into a private copy of the file tree in which `scripts` exist and are sound."""
    base = Path(tempfile.mkdtemp(prefix="parity-"))
    _run("mount", "-t", "tmpfs", "none", str(base))
    for name in ("up", "work", "root"):
        (base / name).mkdir()
    root = base / "root"
    options = f"lowerdir=/,upperdir={base}/up,workdir={base}/work"
    _run("mount", "-t", "overlay", "overlay", "-o", options, str(root))
    for path in dict.fromkeys((*BIND, "/sys", *map(str, keep))):
        if os.path.isdir(path):
            _run("mount", "--rbind", path, f"{root}{path}")
    os.chroot(root)
    os.chdir("/")
    for script in sorted(scripts):
        _make(Path(script))


def _make(script: Path) -> None:
    if script.exists():
        return
    try:
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(0o755)
    except OSError:  # one path's file is another path's folder
        return


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


PLACE = re.compile(r"\((?:(?P<file>[^()]*?): )?Line (?P<line>\d+)\) (?P<text>.*)", re.DOTALL)
UNKNOWN = re.compile(r"Unknown keyword '(.*)'")
SECONDS = 10
ENDLESS = -99

Flag = tuple[str, int]


class Verdict(NamedTuple):
    """What one program says; a negative code is the signal that ended it.

    `said` holds the messages with the line in front that they name.
    """

    code: int
    flags: frozenset[Flag]
    texts: frozenset[str]
    unknown: frozenset[Flag] = frozenset()
    said: frozenset[str] = frozenset()


class Compared(NamedTuple):
    """Both verdicts on one file; the flags are those only one program has."""

    name: str
    theirs: Verdict
    ours: Verdict
    same_code: bool
    unflagged: frozenset[Flag]
    extra: frozenset[Flag]

    @property
    def same_texts(self) -> bool:
        """Whether both say the same."""
        return self.theirs.texts == self.ours.texts


def verdict(code: int, output: str, main: str) -> Verdict:
    """What is said in keepalived's style; the parent's pass names no file."""
    flags: set[Flag] = set()
    texts: set[str] = set()
    unknown: set[Flag] = set()
    said: set[str] = set()
    for line in output.splitlines():
        match = PLACE.fullmatch(line)
        texts.add(match["text"] if match else line)
        said.add(f"{match['line']}: {match['text']}" if match else line)
        if match:
            flag = (os.path.basename(match["file"] or main), int(match["line"]))
            flags.add(flag)
            if UNKNOWN.fullmatch(match["text"]):
                unknown.add(flag)
    return Verdict(code, frozenset(flags), frozenset(texts), frozenset(unknown), frozenset(said))


def theirs(name: str) -> Verdict:
    """keepalived's verdict on a file of the current folder."""
    try:
        done = subprocess.run(
            ["keepalived", "-t", "-f", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict(ENDLESS, frozenset(), frozenset())
    return verdict(done.returncode, done.stderr.decode("utf-8", "replace"), name)


def ours(name: str, machine: Callable[[], Host] = RealHost) -> Verdict:
    """Our verdict on a file of the current folder."""
    node = os.uname().nodename.partition(".")[0]
    loaded = load(name, config_id=node, host=machine())
    if loaded.net_namespace is not None and not os.path.exists(f"/run/netns/{loaded.net_namespace}"):
        loaded = load_as_parent(name, config_id=node, host=machine())
    return verdict(loaded.test_exit_code, render(loaded.diagnostics, "keepalived"), name)


def block_lines(text: str, header: int) -> range:
    """The lines from `header` to the `}` of the block that it opens (none if it opens none)."""
    depth = 0
    lines = text.split("\n")
    for number in range(header, len(lines) + 1):
        line = re.sub(r'"[^"]*"|[#!].*', "", lines[number - 1])
        depth += line.count("{") - line.count("}")
        if depth <= 0:
            return range(header, number + 1)
    return range(header, len(lines) + 1)


def compare(name: str, real: Verdict, own: Verdict) -> Compared:
    """Hold two verdicts against each other."""
    missing = real.flags - own.flags
    if missing and own.unknown:
        inside: set[Flag] = set()
        for file, line in own.unknown:
            if os.path.exists(file):
                text = Path(file).read_text("utf-8", "surrogateescape")
                inside.update((file, number) for number in block_lines(text, line))
        missing -= inside
    crashed = real.code < 0
    same_code = own.code != 0 if crashed else own.code == real.code
    same_code = same_code or real.code == -signal.SIGTERM
    return Compared(name, real, own, same_code, missing, frozenset() if crashed else own.flags - real.flags)


def compare_folder(folder: Path, only: str = "", jobs: int = 2) -> list[Compared]:
    """Compare all *.conf files of a folder whose names begin with `only`."""
    os.chdir(folder)
    names = sorted(path.name for path in folder.glob("*.conf") if path.name.startswith(only))
    with ThreadPoolExecutor(jobs) as pool:
        answers = pool.map(theirs, names)
        own = [ours(name) for name in names]
        return [compare(name, real, mine) for name, real, mine in zip(names, answers, own, strict=True)]


def table(title: str, found: list[Compared]) -> str:
    """The figures of one folder."""
    lines = [f"{title}: {len(found)} files"]
    for what, number in (
        ("exit codes equal", sum(one.same_code for one in found)),
        ("lines flagged equal", sum(not (one.unflagged or one.extra) for one in found)),
        ("messages equal", sum(one.same_texts for one in found)),
        ("keepalived crashed", sum(one.theirs.code < 0 for one in found)),
    ):
        lines.append(f"  {what:22}{number:6}  {100 * number / max(len(found), 1):5.1f} %")
    return "\n".join(lines)


def differences(one: Compared, texts: bool = False) -> list[str]:
    """What differs in one file, a line for each."""
    lines = [] if one.same_code else [f"exit code {one.ours.code}, theirs {one.theirs.code}"]
    lines += [f"not flagged: {file}:{line}" for file, line in sorted(one.unflagged)]
    lines += [f"flagged alone: {file}:{line}" for file, line in sorted(one.extra)]
    if (lines or texts) and not one.same_texts:
        lines += [f"+ {text}" for text in sorted(one.ours.texts - one.theirs.texts)]
        lines += [f"- {text}" for text in sorted(one.theirs.texts - one.ours.texts)]
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", type=lambda word: Path(word).resolve(), nargs="+", metavar="FOLDER")
    parser.add_argument("--environment", choices=sorted(ENVIRONMENTS), default="corpus")
    parser.add_argument("--named", action="store_true", help="the named interfaces and scripts exist")
    parser.add_argument("--list", action="store_true", help="name what differs in codes and lines")
    parser.add_argument("--texts", action="store_true", help="with --list: also where messages differ")
    parser.add_argument("--only", default="", metavar="PREFIX", help="only files whose names begin so")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _prepare(options: argparse.Namespace) -> None:
    interfaces = dict(ENVIRONMENTS[options.environment])
    if options.named:
        paths = [path for folder in options.folders for path in folder.glob("*.conf")]
        texts = [path.read_text("utf-8", "replace") for path in paths]
        interfaces = {**named_interfaces(texts), **interfaces}
        own_tree(named_scripts(texts), options.folders)
    prepare(interfaces)


def main() -> int:
    """Compare the folders of the command line; 1 if anything that counts differs."""
    options = _options()
    if not possible():
        print("This needs root and keepalived 2.2.7.", file=sys.stderr)
        return 2
    enter()
    _prepare(options)
    equal = True
    for folder in options.folders:
        found = compare_folder(folder, options.only, options.jobs)
        for one in found:
            said = differences(one, options.texts)
            equal = equal and one.same_code and not (one.unflagged or one.extra)
            if options.list and said:
                print("\n    ".join([one.name, *said]))
        print(table(f"{folder.name}{' (named)' if options.named else ''}", found))
    return 0 if equal else 1


if __name__ == "__main__":
    raise SystemExit(main())
