"""The side of the laboratory inside the kernel with IPVS: plays in arenas, several at a time.

    guest.py DIRECTORY

DIRECTORY holds `job.json` (which plays, which daemons, how many at a time, until when)
and takes one `N.json` for each arena and `done.json` at the end.
"""

import asyncio
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from arena import Arena
from plays import PLAYS
from zygote import WARM, Daemon, warm_up

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_ALL = _CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID | _CLONE_NEWNET
# What an arena has for itself; the rest of the root is the host's, read only.
_MOUNTS = (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run"), ("tmpfs", "/tmp"))
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_ROOT = Path(__file__).resolve().parents[2]
_libc = ctypes.CDLL(None, use_errno=True)


def unshare() -> None:
    """New namespaces for this process and (of processes) for its children; OSError if refused."""
    if _libc.unshare(_ALL) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def mount(kind: str, where: str, options: str = "") -> None:
    """A file system of this kind; OSError if refused."""
    if _libc.mount(kind.encode(), where.encode(), kind.encode(), 0, options.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {where}")


def put_back() -> None:
    """A checkout below a directory that something was mounted over is hidden: mount it once more."""
    if not (_ROOT / "pyproject.toml").exists():
        _ROOT.mkdir(parents=True)
        mount("hostfs", str(_ROOT), str(_ROOT))


def in_arena(name: str, command: list[str], certificate: str) -> dict[str, Any]:
    """Play it; what went wrong with the laboratory itself stands under "fault"."""
    try:
        if _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
            raise OSError(ctypes.get_errno(), "mount --make-rprivate")
        for kind, where in _MOUNTS:
            mount(kind, where)
        put_back()
        path = Path("/run/certificate.pem")
        path.write_text(certificate)
        daemon = Daemon(command)
        return {"steps": asyncio.run(Arena(PLAYS[name], daemon, str(path)).play())}
    except Exception:
        return {"steps": [], "fault": traceback.format_exc()}


def start_arena(work: dict[str, Any], result: Path, certificate: str) -> int:
    """A process in its namespaces, and in it the one that plays; returns the pid of the outer."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        unshare()
        # The directory is hidden from here on by what the arena mounts, so it is held open.
        home = os.open(result.parent, os.O_RDONLY)
        part = f"{result.name}.part"
        taken = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=home)
        if os.fork() == 0:
            with os.fdopen(taken, "w") as file:
                json.dump({**work, **in_arena(work["play"], work["command"], certificate)}, file)
            os._exit(0)
        _, status = os.wait()
        os.rename(part, result.name, src_dir_fd=home, dst_dir_fd=home)
        code = os.waitstatus_to_exitcode(status)
    finally:
        os._exit(code)


def run_program(words: list[str], result: Path, within_s: float) -> None:
    """A program that wants the whole kernel for itself; its output and exit code are kept."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=within_s)
        found = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
    except subprocess.TimeoutExpired:
        found = {"code": -1, "out": "", "err": f"no end after {within_s:g} s"}
    result.write_text(json.dumps(found))


def main() -> None:
    """All arenas of the job, so many at a time; whoever is late at the end is left behind."""
    directory = Path(sys.argv[1])
    job = json.loads((directory / "job.json").read_text())
    end = time.monotonic() + job["within_s"]
    if job["program"]:
        run_program(job["program"], directory / "program.json", job["within_s"])
    if any(one["command"][0] == WARM for one in job["work"]):
        warm_up()
    gc.freeze()
    waiting = list(enumerate(job["work"]))
    running: set[int] = set()
    while (waiting or running) and time.monotonic() < end:
        while waiting and len(running) < job["at_a_time"]:
            number, work = waiting.pop(0)
            running.add(start_arena(work, directory / f"{number}.json", job["certificate"]))
        pid, _ = os.waitpid(-1, os.WNOHANG)
        running.discard(pid)
        if not pid:
            time.sleep(0.05)
    (directory / "done.json").write_text(json.dumps({"left": len(waiting) + len(running)}))


if __name__ == "__main__":
    main()
