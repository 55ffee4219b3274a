"""A kernel with IPVS that runs as an ordinary process: User-mode Linux, with this machine's files as its root.

    found = boot(Job(plays=("basic",), daemons=("real", "ours")), directory)

One boot takes two or three seconds and serves many plays.  The root is mounted read
only, so nothing inside can change a file of this machine; results leave through one
directory.  A boot is bounded in time, and its console is kept for a failure's report.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# `ours` is imported once for all arenas (see zygote), `installed` is executed as a user's shell would.
COMMANDS: dict[str, list[str]] = {
    "real": ["/usr/sbin/keepalived"],
    "again": ["/usr/sbin/keepalived"],
    "ours": ["warm:", "keepalived-py"],
    "installed": [str(Path(sys.executable).parent / "keepalived-py")],
}
_MODULES = (
    "ipv6 dummy veth macvlan ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_sh ip_vs_mh"
    " ip_vs_dh ip_vs_fo ip_vs_ovf ip_vs_sed ip_vs_nq ip_vs_pe_sip"
)
# The first process.  A checkout below /tmp or /run would be hidden by what is mounted there, so it is put back.
_INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/guest/out /run/guest/modules/lib/modules
mount -t hostfs none /run/guest/out -o {out}
exec >/run/guest/out/console 2>&1
[ -e {root}/pyproject.toml ] || {{ mkdir -p {root} && mount -t hostfs none {root} -o {root}; }}
ln -s "/usr/lib/uml/modules/$(uname -r)" /run/guest/modules/lib/modules/
for module in {modules}; do modprobe -d /run/guest/modules "$module"; done
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link set lo up
export PYTHONPATH={root}
{python} {guest} /run/guest/out
echo o >/proc/sysrq-trigger
sleep 10
"""


@dataclass(frozen=True, slots=True)
class Job:
    """What one boot shall do: `program`, which has the kernel for itself, then every play with every daemon.

    `daemons`: words of COMMANDS.  `others`: further plays, each with the daemon that plays it.
    `within_s` counts for the plays; the boot gets a little more.
    """

    plays: Sequence[str] = ()
    daemons: Sequence[str] = ("real", "ours")
    program: Sequence[str] = ()
    at_a_time: int = 7
    within_s: float = 150
    memory_mb: int = 1536
    others: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Found:
    """What a boot brought: (play, daemon) -> the arena's result; `console` for reports."""

    arenas: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    program: dict[str, Any] = field(default_factory=dict)
    console: str = ""


def missing() -> list[str]:
    """Programs the laboratory needs and this machine lacks."""
    return [
        name for name in ("linux.uml", "modprobe", "ipvsadm", "curl", "openssl") if not shutil.which(name)
    ]


def certificate(directory: Path) -> str:
    """A key and a certificate of its own for servers that speak TLS, PEM."""
    key, made = directory / "key.pem", directory / "made.pem"
    words = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", "/CN=www.example.com", "-days", "3650", "-keyout", str(key), "-out", str(made),
    ]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True, timeout=30)
    return key.read_text() + made.read_text()


def boot(job: Job, directory: Path) -> Found:
    """Run it; `directory` is made for this boot.  RuntimeError with the console if the kernel did not come to its end."""
    if lacking := missing():
        raise RuntimeError(f"not installed: {' '.join(lacking)} (scripts/setup.sh test)")
    out = directory / "out"
    out.mkdir(parents=True)
    pairs = [*job.others, *((play, daemon) for play in job.plays for daemon in job.daemons)]
    work = [{"play": play, "daemon": daemon, "command": COMMANDS[daemon]} for play, daemon in pairs]
    (out / "job.json").write_text(
        json.dumps(
            {
                "work": work,
                "program": list(job.program),
                "at_a_time": job.at_a_time,
                "within_s": job.within_s,
                "certificate": certificate(directory),
            }
        )
    )
    kernel_words = _start(job, directory, out)
    found = Found(console=_console(out, kernel_words))
    if not (out / "done.json").exists():
        raise RuntimeError(f"the kernel did not come to the end of its work:\n{found.console}")
    for number, one in enumerate(work):
        path = out / f"{number}.json"
        result = json.loads(path.read_text()) if path.exists() else {"steps": [], "fault": "never ended"}
        found.arenas[str(one["play"]), str(one["daemon"])] = result
    if (out / "program.json").exists():
        found.program = json.loads((out / "program.json").read_text())
    return found


def _start(job: Job, directory: Path, out: Path) -> str:
    init = directory / "init.sh"
    guest = ROOT / "compat-tests" / "ipvs" / "guest.py"
    init.write_text(_INIT.format(out=out, root=ROOT, modules=_MODULES, python=sys.executable, guest=guest))
    init.chmod(0o755)
    words = [
        "linux.uml", f"mem={job.memory_mb}M", "rootfstype=hostfs", "root=/", "ro", f"init={init}",
        "con=null", "con0=fd:0,fd:1", "quiet", f"umid=keepalived-py-{os.getpid()}-{directory.name}",
    ]  # fmt: skip
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        cwd=directory, env={**os.environ, "HOME": str(directory)},
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=job.within_s + 30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        said, _ = process.communicate()
    return said.decode(errors="replace")


def _console(out: Path, kernel_words: str) -> str:
    guest = out / "console"
    return kernel_words[-4000:] + (guest.read_text(errors="replace")[-8000:] if guest.exists() else "")
