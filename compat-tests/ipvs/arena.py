"""One play, one daemon, in a namespace of its own: do each step, wait, look.

The process is the first of a process namespace, so whatever it started ends with it.
/run and /tmp are its own, and so are interfaces and IPVS table.
"""

import asyncio
import contextlib
import ipaddress
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, assert_never

from client import Client, ask
from play import (
    Action,
    Answer,
    Ask,
    Down,
    KillChecks,
    Play,
    Put,
    Reload,
    Run,
    Snapshot,
    Start,
    Step,
    Stop,
    Table,
    Up,
    View,
)
from real_servers import RealServers, split
from zygote import Daemon

HOME = Path("/run/lab")
FIFO = HOME / "fifo"
NOTES = HOME / "notes"
ASKED = HOME / "asked"
CONFIGURATION = HOME / "keepalived.conf"
PIDS = {letter: HOME / f"{letter}.pid" for letter in "prcb"}
# What it was called with, as one line, written at once, so that two at a time do not mix.
NOTE = f"""#!/bin/sh
line=
for word in "$@"; do line="$line[$word]"; done
echo "$line" >>{NOTES}
"""
NOTE_PATH = b"/run/lab/note"
# Patience is counted in looks, not in seconds: where the processor is scarce, whoever looks gets as little of it
# as the daemon, so there is time for everything that would come to pass on an idle machine.
_POLL_S = 0.08
_STOP_S = 20
_STAMP = re.compile(r"^\w{3} \w{3} +\d+ [\d:.]+ \d{4}: ")


def parse_table(text: str) -> Table:
    """/proc/net/ip_vs, with addresses as people write them."""
    table: Table = {}
    for line in text.splitlines()[3:]:
        words = line.split()
        if words[0] == "->":
            next(reversed(table.values()))[_place(words[1])] = int(words[3])
        else:
            name = f"FWM {int(words[1], 16)}" if words[0] == "FWM" else f"{words[0]} {_place(words[1])}"
            table[name if name not in table else f"{name} again"] = {}
    return table


def _place(text: str) -> str:
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return f"[{ipaddress.ip_address(host[1:-1])}]:{int(port, 16)}"
    return f"{ipaddress.ip_address(int(host, 16))}:{int(port, 16)}"


async def output(words: Sequence[str]) -> list[str]:
    """What a command says on both its outputs; it may take ten seconds."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 10)
    except TimeoutError:
        process.kill()
        return [f"{words[0]}: no end after ten seconds"]
    return said.decode(errors="replace").splitlines()


def busy(last: bool) -> bool:
    """Whether a notify program runs; or, after the daemon's end, anybody besides ourselves.

    Whoever is between fork and exec may have no words of its own, or none at all.
    """
    for entry in os.listdir("/proc"):
        if entry.isdigit() and entry != "1":
            with contextlib.suppress(OSError):
                if NOTE_PATH in Path(f"/proc/{entry}/cmdline").read_bytes():
                    return True
                if last and Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    return True
    return False


class Arena:
    """The running play."""

    def __init__(self, play: Play, daemon: Daemon, certificate: str) -> None:
        self._play = play
        self._daemon = daemon
        self._servers = RealServers(play.servers, certificate)
        self._client = Client(play.client)
        self._log: list[str] = []
        self._said = b""
        self._fifo = b""
        self._begun = (0, 0, 0)
        self._asked_before: Counter[str] = Counter()
        self._did: list[str] = []
        self._fifo_reader = -1

    async def play(self) -> list[dict[str, Any]]:
        """Every step; the daemon is ended afterwards, however it went."""
        await self._furnish()
        shots: list[Snapshot] = []
        try:
            for step in self._play.steps:
                shots.append(await self._step(step))
        finally:
            self._client.close()
            self._servers.close()
            self._daemon.send(signal.SIGKILL)
        return [asdict(shot) for shot in shots]

    # -- the arena ------------------------------------------------------------------

    async def _furnish(self) -> None:
        os.set_blocking(self._daemon.output, False)
        asyncio.get_running_loop().add_reader(self._daemon.output, self._read)
        HOME.mkdir(parents=True, exist_ok=True)
        os.mkfifo(FIFO)
        self._fifo_reader = os.open(FIFO, os.O_RDWR | os.O_NONBLOCK)
        NOTES.touch()
        for path, text in {str(HOME / "note"): NOTE, **self._play.scripts}.items():
            Path(path).write_text(text)
            os.chmod(path, 0o755)
        await self._network()
        await self._servers.start()
        self._client.start()

    async def _network(self) -> None:
        hosts = {split(name.partition("/")[0])[0] for name in self._play.servers} | set(self._play.addresses)
        lines = ["link set lo up", "link add eth0 type dummy", "link set eth0 up multicast on"]
        for host in sorted(hosts):
            wide = "/64 nodad" if ":" in host else "/24"
            lines.append(f"address add {host}{wide} dev eth0")
        batch = HOME / "network"
        batch.write_text("\n".join(lines) + "\n")
        for line in await output(["ip", "-batch", str(batch)]):
            self._log.append(f"ip: {line}")
        for command in self._play.before:
            self._log += await output(command.split())

    # -- looking --------------------------------------------------------------------

    def _view(self) -> View:
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self._fifo_reader, 65536):
                self._fifo += more
        log, fifo, notes = self._begun
        return View(
            parse_table(Path("/proc/net/ip_vs").read_text()),
            self._asked() - self._asked_before,
            self._log[log:],
            self._fifo.decode().replace("\0", "").splitlines()[fifo:],
            NOTES.read_text().splitlines()[notes:],
        )

    def _asked(self) -> Counter[str]:
        """Connections the servers have seen, and runs of scripts that leave their name."""
        scripts = ASKED.read_text().split() if ASKED.exists() else []
        return self._servers.contacts + Counter(scripts)

    async def _step(self, step: Step) -> Snapshot:
        self._begun = (0, 0, 0)
        whole = self._view()
        self._begun = (len(whole.log), len(whole.fifo), len(whole.notes))
        self._asked_before = self._asked()
        self._did = []
        self._client.answers.clear()
        began = time.monotonic()
        for action in step.do:
            await self._do(action)
        met, after_s = await self._wait(step, began)
        await self._quiet(step)
        return await self._look(step, met, after_s)

    async def _wait(self, step: Step, began: float) -> tuple[bool, float]:
        looks = round(step.within_s / _POLL_S)
        while not (met := step.until(self._view())) and looks > 0:
            looks -= 1
            await asyncio.sleep(_POLL_S)
        command, text = step.shows
        while command and not (met := text in "\n".join(await output(command.split()))) and looks > 0:
            looks -= 4
            await asyncio.sleep(4 * _POLL_S)
        return met, round(time.monotonic() - began, 2)

    async def _quiet(self, step: Step) -> None:
        """Until nothing has changed for a while: scripts have ended, lines have been written."""
        looks, enough = round((10 + 10 * step.quiet_s) / _POLL_S), round(step.quiet_s / _POLL_S)
        before, calm = self._view(), 0
        last = any(isinstance(action, Stop) for action in step.do)
        while looks > 0 and (calm < enough or busy(last)):
            if last and busy(last):  # who forks while others end is not in the list of this look
                calm = 0
            await asyncio.sleep(_POLL_S)
            looks, calm = looks - 1, calm + 1
            view = self._view()
            if (view.table, view.fifo, view.notes) != (before.table, before.fifo, before.notes):
                before, calm = view, 0

    async def _look(self, step: Step, met: bool, after_s: float) -> Snapshot:
        looks = {words: await output(words.split()) for words in step.looks}
        table = await output(["ipvsadm", "-Sn"])
        view = self._view()
        return Snapshot(
            step=step.name,
            met=met,
            after_s=after_s,
            table=table,
            order=sorted(f"{service}: {' '.join(servers)}" for service, servers in view.table.items()),
            looks=looks,
            fifo=view.fifo,
            notes=view.notes,
            log=view.log,
            did=self._did,
            client=dict(self._client.answers),
            any_order=step.any_order,
            exit_code=None if self._daemon.alive() else self._daemon.exit_code,
        )

    # -- doing ----------------------------------------------------------------------

    async def _do(self, action: Action) -> None:
        match action:
            case Start():
                self._start(action)
            case Reload():
                CONFIGURATION.write_text(self._play.files[action.file])
                self._daemon.send(signal.SIGHUP)
            case Stop():
                await self._stop()
            case KillChecks():
                os.kill(int(PIDS["c"].read_text()), signal.SIGKILL)
            case Down():
                self._servers.down(action.servers)
            case Up():
                await self._servers.up(action.servers)
            case Answer():
                self._servers.answer(action.server, action.words)
            case Put():
                Path(action.path).write_text(action.text)
            case Run():
                self._did += await output(action.words)
            case Ask():
                self._did += sorted([await ask(action.where) for _ in range(action.times)])
            case _:
                assert_never(action)

    def _start(self, action: Start) -> None:
        CONFIGURATION.write_text(self._play.files[action.file])
        pids = [word for letter, path in PIDS.items() for word in (f"-{letter}", str(path))]
        self._daemon.start(["-n", "-l", "-D", "-G", "-f", str(CONFIGURATION), *pids, *action.more])

    def _read(self) -> None:
        """Whole lines of what the daemon says."""
        said = os.read(self._daemon.output, 65536)
        if not said:
            asyncio.get_running_loop().remove_reader(self._daemon.output)
        *lines, self._said = (self._said + said).split(b"\n")
        self._log += [_STAMP.sub("", line.decode(errors="replace")) for line in lines]

    async def _stop(self) -> None:
        self._daemon.send(signal.SIGTERM)
        looks = round(_STOP_S / _POLL_S)
        while self._daemon.alive() and looks > 0:
            looks -= 1
            await asyncio.sleep(_POLL_S)
        if self._daemon.alive():
            self._did.append(f"no end {_STOP_S} s after SIGTERM")
            self._daemon.send(signal.SIGKILL)
