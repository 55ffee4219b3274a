"""A daemon with virtual servers, an administrator who gives it orders, and somebody who meddles with the table.

    orders_arena.py COMMAND...      the daemon's command

Runs inside the laboratory's kernel and has it for itself.  The output is JSON: for each
stage what the commands said, how they ended, and the table (`ipvsadm -Sn`) as soon as it
was what is expected, or when nobody waited for it any longer.  `test_orders` judges.
"""

import asyncio
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from real_servers import RealServers
from texts import ONE, THREE, TWO, virtual

import keepalived_py.cli.rs_command
import keepalived_py.cli.status_command  # noqa: F401 -- both are here before anybody who may not read them
from keepalived_py.cli.main import main as keepalived_main
from keepalived_py.health.orders import ORDERS_FILE, STATE_ROOT
from keepalived_py.system.control_socket import ask

CHECKS = Path("/run/keepalived-py/checkers/checks.json")
VIP, OTHER = "10.5.0.1", "10.5.0.2"
_HOSTS = (VIP, OTHER, "10.5.0.11", "10.5.0.12", "10.5.0.13")
_NOBODY = 65534
# Each wait ends with its condition; a machine that is slow makes it longer.
_PATIENCE_S = 15.0
_POLL_S = 0.05


def real(server: str, check: str) -> str:
    """A real server of weight 5."""
    host, _, port = server.rpartition(":")
    return f" real_server {host} {port} {{\n  weight 5\n  {check}\n }}\n"


_PAGE = "HTTP_GET {\n url {\n path /\n status_code 200\n }\n }"
_TCP = "TCP_CHECK {\n }"
CONFIGURATION = virtual(real(ONE, _PAGE), real(TWO, _TCP), real(THREE, _TCP)) + virtual(
    real(ONE, _PAGE), where=f"{OTHER} 80"
)
CONFIGURATION = "\n".join(line for line in CONFIGURATION.splitlines() if " quorum_" not in line) + "\n"

Weights = dict[str, int]


async def output(*words: str) -> tuple[int, str, str]:
    """How a command ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode or 0, out.decode(), err.decode()


async def table() -> list[str]:
    """Every line of the kernel's table."""
    return (await output("ipvsadm", "-Sn"))[1].splitlines()


def weights(lines: Sequence[str], service: str = VIP) -> Weights:
    """Real server -> weight, of one virtual server."""
    found: Weights = {}
    for line in lines:
        words = line.split()
        if words[0] == "-a" and words[2] == f"{service}:80":
            found[words[words.index("-r") + 1]] = int(words[words.index("-w") + 1])
    return found


def called(words: Sequence[str], user: int = 0) -> dict[str, Any]:
    """How `keepalived-py` ends and what it says, in a copy of this process, which has all modules at hand.

    So a user without rights need not be able to read a program's files, and a slow kernel need not load them.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = io.StringIO(), io.StringIO()
        with redirect_stdout(said[0]), redirect_stderr(said[1]):
            code = _as(user, words)
        os.write(
            write, json.dumps({"code": code, "out": said[0].getvalue(), "err": said[1].getvalue()}).encode()
        )
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as file:
        found: dict[str, Any] = json.load(file)
    os.waitpid(pid, 0)
    return found


def _as(user: int, words: Sequence[str]) -> int:
    try:
        if user:
            os.setgroups(())
            os.setgid(user)
            os.setuid(user)
        return keepalived_main(list(words))
    except SystemExit as ended:
        return int(str(ended.code))
    except BaseException:
        traceback.print_exc()
        return -1


class Director:
    """The daemon under its orders; `seen` is what the test reads."""

    def __init__(self, command: Sequence[str], directory: Path) -> None:
        self._command = list(command)
        self._file = directory / "keepalived.conf"
        self._file.write_text(CONFIGURATION)
        self._pids = {letter: directory / f"{letter}.pid" for letter in "prcb"}
        self._log = directory / "log"
        self._log.touch()
        self._process: asyncio.subprocess.Process | None = None
        self.seen: dict[str, Any] = {}

    def log(self) -> str:
        """What all its lives have said."""
        return self._log.read_text(errors="replace")

    async def start(self) -> None:
        """One more life."""
        pids = [word for letter, path in self._pids.items() for word in (f"-{letter}", str(path))]
        with self._log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, "-n", "-l", "-D", "-G", "-f", str(self._file), *pids,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    async def stop(self) -> None:
        """Its end."""
        if self._process is not None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
            self._process = None

    async def reload(self) -> None:
        """SIGHUP with the same file, until it is complete."""
        assert self._process is not None
        times = self.log().count("Reload complete")
        self._process.send_signal(signal.SIGHUP)
        await self.until(lambda: self.log().count("Reload complete") > times)

    async def kill_checks(self) -> None:
        """SIGKILL to the process that checks, until the next one serves."""
        before = self._pids["c"].read_text()
        os.kill(int(before), signal.SIGKILL)
        await self.until(lambda: self._pids["c"].exists() and self._pids["c"].read_text() not in ("", before))
        await self.until(self._serves)

    def _serves(self) -> bool:
        try:
            return bool(ask(str(CHECKS.with_name("rs.control")), {"do": "list"}, 5)["ok"])
        except Exception:
            return False

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait for it; False if it never held."""
        end = time.monotonic() + _PATIENCE_S
        while not (met := condition()) and time.monotonic() < end:
            await asyncio.sleep(_POLL_S)
        return met

    async def shows(self, stage: str, wanted: Callable[[list[str]], bool]) -> None:
        """Wait until the table is as wanted, and keep it, and how long that took, as of this stage."""
        began = time.monotonic()
        while not wanted(lines := await table()) and time.monotonic() < began + _PATIENCE_S:
            await asyncio.sleep(_POLL_S)
        after_s = round(time.monotonic() - began, 2)
        self.seen.setdefault(stage, {}).update(table=lines, after_s=after_s)

    async def rs(self, stage: str, *words: str) -> None:
        """`keepalived-py rs`, and the table right behind it."""
        self.seen.setdefault(stage, {}).update(called(["rs", *words]), table=await table())

    async def installed(self, stage: str, *words: str) -> None:
        """The same by the program itself."""
        code, out, err = await output(*self._command, "rs", *words)
        self.seen.setdefault(stage, {}).update(code=code, out=out, err=err)

    async def counts(self, least: int) -> None:
        """Until the file for programs tells of so many corrections."""
        await self.until(lambda: self.healed() >= least)

    def healed(self) -> int:
        """What the file for programs tells."""
        try:
            return int(json.loads(CHECKS.read_text())["counters"]["healed"])
        except (OSError, ValueError):
            return -1


# -- the stages ------------------------------------------------------------------------------


async def orders(made: Director) -> None:
    """Each order, and what may be written wrongly."""
    await made.installed("list", "list")
    await made.rs("json", "list", f"{VIP} 80", "--json")
    await made.rs("drain", "drain", f"{VIP}:80", "10.5.0.12")
    await made.rs("listed drained", "list", VIP, "10.5.0.12")
    await made.rs("weight", "weight", f"[{VIP}]:tcp:80", "10.5.0.11 80", "7")
    await made.rs("enable", "enable", VIP, "10.5.0.12")
    wrong: dict[str, tuple[str, ...]] = {
        "unknown service": ("drain", "10.9.9.9", "10.5.0.11"),
        "unknown server": ("drain", VIP, "10.5.0.99"),
        "two services": ("drain", "10.5.0", "10.5.0.11"),
        "too heavy": ("weight", VIP, "10.5.0.11", "65536"),
        "a word too few": ("drain", VIP),
        "no such order": ("stop", VIP, "10.5.0.11"),
        "unknown list": ("list", "10.9.9.9"),
    }
    for stage, words in wrong.items():
        await made.rs(stage, *words)
    made.seen["nobody drains"] = {
        **called(["rs", "drain", VIP, "10.5.0.11"], _NOBODY),
        "table": await table(),
    }
    made.seen["nobody lists"] = called(["rs", "list"], _NOBODY)
    made.seen["nobody reads"] = {"mode": CHECKS.stat().st_mode & 0o777}


async def lives(made: Director) -> None:
    """What stands over a crash, a reload and a restart."""
    await made.rs("persist", "weight", VIP, "10.5.0.11", "9", "--persist")
    await made.rs("until reload", "drain", VIP, "10.5.0.12")
    await made.kill_checks()
    await made.shows("crash", lambda lines: weights(lines) == {ONE: 9, TWO: 0, THREE: 5})
    await made.reload()
    await made.shows("reload", lambda lines: weights(lines) == {ONE: 9, TWO: 5, THREE: 5})
    await made.rs("until the end", "drain", VIP, "10.5.0.13")
    await made.stop()
    made.seen["stopped"] = {"table": await table(), "left": sorted(os.listdir(CHECKS.parent))}
    await made.rs("nobody there", "list")
    await made.start()
    await made.shows("restart", lambda lines: weights(lines) == {ONE: 9, TWO: 5, THREE: 5})
    await made.rs("enable persistent", "enable", VIP, "10.5.0.11")
    made.seen["orders file"] = json.loads((Path(STATE_ROOT) / ORDERS_FILE).read_text())


async def meddling(made: Director, servers: RealServers) -> None:
    """Somebody else works on the table, and a server fails."""
    servers.answer(ONE, {"status": 503})
    await made.shows("failed", lambda lines: weights(lines) == {TWO: 5, THREE: 5})
    await made.rs("list failed", "list", VIP, "10.5.0.11")
    await made.until(lambda: '"code":503' in CHECKS.read_text())
    made.seen["for programs"] = json.loads(CHECKS.read_text())
    made.seen["status failed"] = called(["status"], _NOBODY)
    made.seen["healed"] = [made.healed()]
    for words in (
        f"-d -t {VIP}:80 -r {TWO}",
        f"-e -t {VIP}:80 -r {THREE} -m -w 33",
        f"-a -t {VIP}:80 -r {ONE} -m -w 5",
        f"-E -t {OTHER}:80 -s rr",
        f"-a -t {VIP}:80 -r 10.5.0.77:80 -m -w 1",
        "-A -t 10.5.0.200:7 -s rr",
    ):
        code, _, err = await output("ipvsadm", *words.split())
        assert code == 0, err
    stranger = {TWO: 5, THREE: 5, "10.5.0.77:80": 1}
    await made.shows("put right", lambda lines: weights(lines) == stranger and _is_wrr(lines))
    await made.counts(4)
    made.seen["healed"].append(made.healed())
    await output("ipvsadm", "-C")
    await made.shows("put back", lambda lines: weights(lines) == {TWO: 5, THREE: 5} and _is_wrr(lines))
    servers.answer(ONE, {"status": 200})
    await made.shows("well", lambda lines: weights(lines) == {ONE: 5, TWO: 5, THREE: 5})
    await made.counts(8)
    made.seen["healed"].append(made.healed())
    made.seen["status healed"] = called(["status"], _NOBODY)


def _is_wrr(lines: Sequence[str]) -> bool:
    return f"-A -t {OTHER}:80 -s wrr" in lines


async def play(command: Sequence[str]) -> dict[str, Any]:
    """All of it; what went wrong with the play itself stands under "fault"."""
    directory = Path(tempfile.mkdtemp(prefix="orders-"))
    for words in (
        "mount -t tmpfs tmpfs /var/lib",
        "ip link add eth0 type dummy",
        "ip link set eth0 up",
        *(f"ip address add {host}/24 dev eth0" for host in _HOSTS),
    ):
        await output(*words.split())
    servers = RealServers({ONE: {"kind": "http"}, TWO: {}, THREE: {}}, "")
    await servers.start()
    made = Director(command, directory)
    try:
        await made.start()
        await made.shows("started", lambda lines: len(weights(lines)) == 3)
        await made.until(lambda: all(servers.contacts[one] for one in (ONE, TWO, THREE)))
        await orders(made)
        await lives(made)
        await meddling(made, servers)
        await made.stop()
        made.seen["end"] = {"table": await table()}
    except Exception:
        made.seen["fault"] = traceback.format_exc()
    finally:
        await made.stop()
        servers.close()
    made.seen["log"] = made.log()
    return made.seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(play(sys.argv[1:]))))
