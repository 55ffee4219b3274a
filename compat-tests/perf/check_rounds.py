"""Rounds of health checks with one program after the other, on this kernel and in this network namespace.

    check_rounds.py JOB

JOB is JSON: `rounds` (see `Round`), `commands` (words by program), `pins` (processors for the
program and for the servers, or none).  Files are made below /run, which must be
this program's own.  Prints the figures of each round as one line of JSON.

A program's checks are counted by the server, CPU and memory are those of its process
that checks: the one that uses the most.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "netns"), str(Path(__file__).resolve().parent)]

from check_targets import FIFO, MORTAL, Targets, configuration  # noqa: E402  the path above must be set first
from measure import own_pss_mib  # noqa: E402
from program import children_of, environment  # noqa: E402

_PLACE = Path("/run/checks")
_RETRY_S = 1.0
_FIRST_S = 3.0


@dataclass(frozen=True, slots=True)
class Round:
    """`servers` servers are checked every `delay_s` by `kind`, for `seconds`; or one of them dies `deaths` times.

    `first`: what is measured are the first checks of the servers, for which there is a line of the log each.
    """

    program: str
    kind: str
    servers: int
    delay_s: float
    seconds: float = 8.0
    deaths: int = 0
    first: bool = False

    @property
    def name(self) -> str:
        """What is measured, without the program."""
        what = "death" if self.deaths else self.kind
        return f"{what} x{self.servers:,} every {self.delay_s:g} s{', first checks' if self.first else ''}"


@dataclass(frozen=True, slots=True)
class Job:
    """See the head of this module."""

    rounds: tuple[Round, ...]
    commands: dict[str, list[str]]
    pins: tuple[str, ...] = ()
    variables: dict[str, dict[str, str]] = field(default_factory=dict)

    def text(self) -> str:
        """As an argument."""
        rounds = [{key: getattr(one, key) for key in Round.__slots__} for one in self.rounds]
        return json.dumps(
            {"rounds": rounds, "commands": self.commands, "pins": self.pins, "variables": self.variables}
        )


def job_from(text: str) -> Job:
    """The reverse of `Job.text`."""
    read = json.loads(text)
    rounds = tuple(Round(**one) for one in read["rounds"])
    return Job(rounds, read["commands"], tuple(read["pins"]), read["variables"])


class Mortal:
    """The server that dies and comes back; it knows when somebody came last."""

    def __init__(self) -> None:
        self.last_came = 0.0
        self._listener: socket.socket | None = None

    def live(self) -> None:
        """Accept, from now on."""
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(MORTAL)
        self._listener.listen(10)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def die(self) -> None:
        """Refuse, from now on."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                came, _ = listener.accept()
                self.last_came = time.monotonic()
                came.close()


class News:
    """What comes through the FIFO about the mortal server, with its time."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, bool]] = []
        self._pipe = os.open(FIFO, os.O_RDWR)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with os.fdopen(self._pipe) as lines:
            for line in lines:
                if line.startswith("RS ") and f"[{MORTAL[0]}]" in line:
                    self.heard.append((time.monotonic(), " UP" in line))


def _until(condition: Callable[[], object], limit_s: float, what: str) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {limit_s:g} s: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def _running(job: Job, one: Round) -> Iterator["subprocess.Popen[str]"]:
    file = _PLACE / "checked.conf"
    file.write_text(configuration(one.kind, one.servers, one.delay_s, mortal=bool(one.deaths)))
    pin = ["taskset", "-c", job.pins[0]] if job.pins else []
    words = [*pin, *job.commands[one.program], str(file)]
    log = (_PLACE / "log").open("w")
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
        env=environment() | job.variables.get(one.program, {}),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            for pid in reversed(children_of(process.pid)):
                os.kill(pid, signal.SIGKILL)
            process.wait(10)
        log.close()


def _times(pid: int) -> float:
    """CPU seconds so far: of the scheduler if it counts, else in ticks."""
    with contextlib.suppress(OSError, IndexError):
        counted = sum(
            int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()
        )
        if counted:
            return counted / 1e9
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rate(job: Job, one: Round, targets: Targets) -> dict[str, float]:
    before = targets.accepted()
    with _running(job, one) as process:
        began = time.monotonic()
        end = began + 60 + one.delay_s
        enough = one.servers * 1.05 if not one.first else one.servers / one.delay_s * _FIRST_S
        while targets.accepted() - before < enough:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"not all is checked: {(_PLACE / 'log').read_text()[-600:]}")
            time.sleep(0.2)
        if "checks_alone" in str(job.commands[one.program]):
            process.send_signal(signal.SIGUSR1)
        pids = children_of(process.pid)
        count, used, began = targets.accepted(), {pid: _times(pid) for pid in pids}, time.monotonic()
        time.sleep(one.seconds)
        count, took = targets.accepted() - count - 1, time.monotonic() - began
        cpu, pid = max((_times(pid) - used[pid], pid) for pid in pids)
        figures = {
            "checks per s": count / took,
            "CPU s per s": cpu / took,
            "checks per CPU s": count / cpu if cpu else 0.0,
            "PSS MiB": own_pss_mib(pid),
            "PSS of all processes MiB": sum(map(own_pss_mib, children_of(process.pid))),
        }
        process.terminate()
        said = _last_line(process)
    return figures | said


def _last_line(process: "subprocess.Popen[str]") -> dict[str, float]:
    """What the program itself says of its checks (`checks_alone.py`)."""
    lines = [line for line in process.communicate(timeout=30)[0].splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def _deaths(job: Job, one: Round, news: News) -> dict[str, float]:
    """How much later than theory the server is gone: a `delay_loop` and a retry after it was last there."""
    over: list[float] = []
    mortal = Mortal()
    mortal.live()
    news.heard.clear()
    with _running(job, one):
        _until(lambda: mortal.last_came, 60 + one.delay_s, "the server is checked")
        for _ in range(one.deaths):
            came = mortal.last_came
            _until(lambda: mortal.last_came > came, 3 * one.delay_s + 5, "it is checked again")  # noqa: B023
            time.sleep(random.random() * one.delay_s * 0.8)
            mortal.die()
            theory = mortal.last_came + one.delay_s + _RETRY_S
            _until(lambda: any(not up for _, up in news.heard), 3 * one.delay_s + 5, "it is removed")
            over.append((next(at for at, up in news.heard if not up) - theory) * 1e3)
            news.heard.clear()
            mortal.live()
            _until(lambda: any(up for _, up in news.heard), 3 * one.delay_s + 5, "it is back")
            news.heard.clear()
    mortal.die()
    over.sort()
    return {"removal after theory, median ms": over[len(over) // 2], "worst ms": over[-1]}


def main() -> None:
    """See the head of this module."""
    job = job_from(sys.argv[1])
    _PLACE.mkdir(parents=True, exist_ok=True)
    os.mkfifo(FIFO)
    news = News()
    pin = ("taskset", "-c", job.pins[1]) if job.pins else ()
    targets = Targets(_PLACE / "nginx", *pin)
    try:
        for one in job.rounds:
            try:
                figures: dict[str, object] = dict(
                    _deaths(job, one, news) if one.deaths else _rate(job, one, targets)
                )
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                figures = {"fault": str(error)}
            print(json.dumps({"name": one.name, "program": one.program, "figures": figures}), flush=True)
    finally:
        targets.close()


if __name__ == "__main__":
    main()
