"""Inside the kernel with IPVS: every case of `checker_cases` at once, one run after the other for each daemon.

    checker_arena.py all LABEL=COMMAND...      every daemon in namespaces of its own; prints one JSON object
    checker_arena.py play COMMAND OUT          one of them
    checker_arena.py serve DIRECTORY           its targets; reads the number of a phase from stdin

The zero of all times is the first word of a daemon on its FIFO, which it says when all
virtual servers are in the kernel: a second before its first checks.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from checker_cases import CASES, configuration, real_server
from checker_targets import Place, Target, Targets
from guest import put_back

HOME = Path("/run/lab")
FIFO, NOTES, CONFIGURATION = HOME / "fifo", HOME / "notes", HOME / "keepalived.conf"
CHECKS_PID = HOME / "c.pid"
# When the targets change, and the end; seconds from the zero.
CHANGES_S = (9.0, 15.3)
END_S = 22.0
_START_S = 45.0
_STOP_S = 15.0
_NOTE = f"""#!/bin/sh
read up rest </proc/uptime
echo "$up $*" >>{NOTES}
"""
# It draws lots for the order of all the ports it may ask from, one system call each: seconds in this kernel.
_UNBOUND = """server:
 interface: {host}
 port: 5353
 do-daemonize: no
 username: ""
 chroot: ""
 directory: "/run/lab"
 pidfile: ""
 use-syslog: no
 num-threads: 1
 outgoing-port-avoid: "0-65535"
 outgoing-port-permit: "40000-40031"
 outgoing-range: 16
 num-queries-per-thread: 16
 access-control: 0.0.0.0/0 allow
 local-zone: "example.com." static
 local-data: "good.example.com. A 192.0.2.5"
remote-control:
 control-enable: no
"""


@dataclass(slots=True)
class Seen:
    """What one daemon did.  Times are seconds from the zero.

    `fifo` and `log`: lines with their times; `notes`: what notify scripts were called with; `tables`: at the end
    of each phase, the weight of each case's real server that is in the kernel, and `memory`: RSS and its peak of
    the process that checks, KiB; `digests`: what both programs' genhash say.
    """

    fifo: list[tuple[float, str]] = field(default_factory=list)
    log: list[tuple[float, str]] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    tables: list[dict[str, int]] = field(default_factory=list)
    memory: list[dict[str, int]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    exit_code: int | None = None
    fault: str = ""


# -- the targets, a process of their own ----------------------------------------------


async def serve(home: Path) -> None:
    """All targets of the cases; each line of stdin is the phase that begins."""
    targets = {}
    for number, case in enumerate(CASES):
        if not case.absent and case.phases:
            place = Place(
                real_server(number, case),
                case.listens or case.port,
                home / str(number),
                str(home / "pair.pem"),
            )
            targets[case.name] = Target(place, case.phases)
    other = await asyncio.start_server(lambda _reader, writer: writer.close(), "10.61.0.1", 9999)
    both = Targets(targets)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await both.enter(int(line))
        print("entered", flush=True)
    other.close()


# -- one daemon ---------------------------------------------------------------------------


def _run(words: str, **more: Any) -> None:
    subprocess.run(words.split(), check=True, timeout=20, capture_output=True, text=True, **more)


def _furnish() -> None:
    for line in (
        "mount --make-rprivate /", "mount -t proc proc /proc", "mount -t sysfs sysfs /sys",
        "mount -t tmpfs tmpfs /run", "mount -t tmpfs tmpfs /tmp",
    ):  # fmt: skip
        _run(line)
    put_back()
    HOME.mkdir()
    os.mkfifo(FIFO)
    NOTES.touch()
    for name, text in {"note": _NOTE, "misc": "#!/bin/sh\n. /run/lab/$1.sh\n"}.items():
        (HOME / name).write_text(text)
        os.chmod(HOME / name, 0o755)
    _network()
    _run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=other.example.net"
        " -keyout key.pem -out made.pem",
        cwd=HOME,
    )
    (HOME / "pair.pem").write_text((HOME / "key.pem").read_text() + (HOME / "made.pem").read_text())


def _network() -> None:
    lines = [
        "link set lo up", "link add eth0 type dummy", "link set eth0 up",
        "address add 10.61.0.1/16 dev eth0", "address add 10.62.255.254/16 dev eth0",
    ]  # fmt: skip
    for number, case in enumerate(CASES):
        if not case.absent and not case.name.startswith("ping"):
            wide = "/64 nodad" if case.v6 else "/16"
            lines.append(f"address add {real_server(number, case)}{wide} dev eth0")
    lines += ["rule add pref 100 lookup local", "rule del pref 0"]
    marked = next(
        real_server(number, case) for number, case in enumerate(CASES) if "mark of a way" in case.name
    )
    lines += [
        f"rule add pref 10 fwmark 7 to {marked} lookup local",
        f"rule add pref 20 to {marked} unreachable",
    ]
    _run("ip -batch -", input="\n".join(lines) + "\n")


def _unbound() -> list[subprocess.Popen[bytes]]:
    started = []
    for number, case in enumerate(CASES):
        if "unbound" in case.name:
            path = HOME / f"unbound.{number}"
            path.write_text(_UNBOUND.format(host=real_server(number, case)))
            words = ["unbound", "-d", "-c", str(path)]
            started.append(
                subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
    return started


def parse_table(text: str) -> dict[str, int]:
    """What `ipvsadm -Sn` says: number of a case -> weight of its real server.

    Not /proc/net/ip_vs, of which the kernel leaves out a service where a page ends.
    """
    numbers = {real_server(number, case): str(number) for number, case in enumerate(CASES)}
    found: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if words[0] == "-a":
            host = words[words.index("-r") + 1].rpartition(":")[0].strip("[]")
            found[numbers[str(ip_address(host))]] = int(words[words.index("-w") + 1])
    return found


def _memory() -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        lines = Path(f"/proc/{int(CHECKS_PID.read_text())}/status").read_text().splitlines()
        wanted = {"VmRSS:", "VmHWM:"}
        return {line.split()[0]: int(line.split()[1]) for line in lines if line.split()[0] in wanted}
    return {}


class Player:
    """One daemon and its targets."""

    def __init__(self, command: str) -> None:
        self._command = command
        self.seen = Seen()
        self._zero = 0.0
        self._begun = asyncio.Event()
        self._fifo: list[tuple[float, bytes]] = []
        self._log: list[tuple[float, bytes]] = []
        self._targets: asyncio.subprocess.Process | None = None
        self._reader = -1

    async def play(self) -> Seen:
        """Everything, to the end of the daemon."""
        loop = asyncio.get_running_loop()
        self._reader = os.open(FIFO, os.O_RDWR | os.O_NONBLOCK)
        loop.add_reader(self._reader, self._heard)
        await self._serve()
        digest = await self._digests()
        CONFIGURATION.write_text(configuration(digest))
        daemon = await asyncio.create_subprocess_exec(
            self._command, "-n", "-l", "-D", "-G", "-C", "-f", str(CONFIGURATION), "-p", str(HOME / "p.pid"), "-c", str(CHECKS_PID),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=HOME,
        )  # fmt: skip
        assert daemon.stdout is not None
        reading = asyncio.create_task(self._read(daemon.stdout))
        try:
            await asyncio.wait_for(self._begun.wait(), _START_S)
            await self._phases()
        except TimeoutError:
            self.seen.fault = "no virtual server was up in time"
        await self._end(daemon)
        await asyncio.wait_for(reading, 5)
        self._collect()
        return self.seen

    async def _serve(self) -> None:
        self._targets = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            "serve",
            str(HOME),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        await self._enter(0)

    async def _enter(self, phase: int) -> None:
        assert self._targets is not None
        assert self._targets.stdin is not None
        assert self._targets.stdout is not None
        self._targets.stdin.write(f"{phase}\n".encode())
        line = await asyncio.wait_for(self._targets.stdout.readline(), 20)
        assert line == b"entered\n", line

    async def _digests(self) -> str:
        """What both programs' genhash says of the first page that has a digest; that of keepalived counts."""
        number, case = next((number, case) for number, case in enumerate(CASES) if case.name == "http digest")
        words = ["-s", real_server(number, case), "-p", str(case.port), "-u", "/a?b=c"]
        ours = Path(sys.executable).parent / "keepalived-py"
        for command in (["genhash"], [str(ours), "genhash"]):
            process = await asyncio.create_subprocess_exec(*command, *words, stdout=asyncio.subprocess.PIPE)
            said, _ = await asyncio.wait_for(process.communicate(), 20)
            self.seen.digests.append(said.decode().split()[-1])
        return self.seen.digests[0]

    async def _phases(self) -> None:
        for phase, at_s in enumerate((*CHANGES_S, END_S), 1):
            await asyncio.sleep(self._zero + at_s - time.monotonic())
            saved = subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True, timeout=10, check=True)
            self.seen.tables.append(parse_table(saved.stdout))
            self.seen.memory.append(_memory())
            await self._enter(phase)

    async def _end(self, daemon: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            daemon.send_signal(signal.SIGTERM)
        try:
            self.seen.exit_code = await asyncio.wait_for(daemon.wait(), _STOP_S)
        except TimeoutError:
            self.seen.fault = "no end after SIGTERM"
            daemon.kill()
        assert self._targets is not None
        self._targets.kill()
        await self._targets.wait()

    def _heard(self) -> None:
        now = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            self._fifo.append((now, os.read(self._reader, 65536)))
        if not self._begun.is_set():
            self._zero = now
            self._begun.set()

    async def _read(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self._log.append((time.monotonic(), line))

    def _collect(self) -> None:
        for at, data in self._fifo:
            for line in data.decode().replace("\0", "").splitlines():
                self.seen.fifo.append((round(at - self._zero, 3), line))
        for at, data in self._log:
            text = data.decode(errors="replace").rstrip("\n").partition(": ")
            self.seen.log.append((round(at - self._zero, 3), text[2] or text[0]))
        for line in NOTES.read_text().splitlines():
            up, _, words = line.partition(" ")
            self.seen.notes.append((round(float(up) - self._zero, 2), words))


def play(command: str, out: Path) -> None:
    """One daemon in the namespaces of this process."""
    result = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _furnish()
    servers = _unbound()
    seen = asyncio.run(Player(command).play())
    for server in servers:
        server.kill()
    with os.fdopen(result, "w") as file:
        json.dump(asdict(seen), file)


def everything(daemons: list[str]) -> None:
    """Each daemon in namespaces of its own, all at the same time."""
    directory = Path("/tmp/checkers")
    directory.mkdir()
    found: dict[str, Any] = {}
    for one in daemons:
        label, _, command = one.partition("=")
        path, said = directory / f"{label}.json", directory / f"{label}.err"
        words = [
            "unshare",
            "-m",
            "-n",
            "-p",
            "-i",
            "-u",
            "--fork",
            "--kill-child",
            sys.executable,
            __file__,
            "play",
        ]
        with open(said, "wb") as errors:
            subprocess.run(
                [*words, command, str(path)], stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )
        text = path.read_text() if path.exists() else ""
        found[label] = json.loads(text) if text else {"fault": said.read_text()[-3000:]}
    print(json.dumps(found))


def main() -> None:
    """See the head."""
    words = sys.argv[1:]
    if words[0] == "all":
        everything(words[1:])
    elif words[0] == "play":
        play(words[1], Path(words[2]))
    else:
        asyncio.run(serve(Path(words[1])))


if __name__ == "__main__":
    main()
