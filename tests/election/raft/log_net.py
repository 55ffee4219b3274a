"""Members of a replicated log in one process, on a network that loses and repeats, in virtual time."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pysyncobj.syncobj
import pytest

from keepalived_py.election.raft import log_machine
from keepalived_py.election.raft.log_machine import Command
from keepalived_py.election.raft.log_process import Log, Settings

LIMIT_S = 10.0


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Be that much later."""
        self.now += seconds


def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log and its library live by a Clock, and their chances be the same each time."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(pysyncobj.syncobj, "monotonicTime", clock.monotonic)
    random.seed(1)


class Net:
    """Members a, b, c..., who reach whom, and who has the log's lease."""

    def __init__(
        self, size: int = 3, directory: Path | None = None, loss: float = 0.0, seed: int = 1
    ) -> None:
        self.ids = [chr(ord("a") + number) for number in range(size)]
        self.directory = directory
        self.random = random.Random(seed)
        self.loss = loss
        self.logs: dict[str, Log] = {}
        self.lines: list[str] = []
        self.cut: set[str] = set()
        self.mail: list[tuple[str, str, bytes]] = []
        self.carried = 0
        for each in self.ids:
            self.start(each)

    def settings(self, own: str) -> Settings:
        where = str(self.directory / own) if self.directory is not None else ""
        return Settings("test", own, dict.fromkeys(self.ids, False), where, "")

    def start(self, own: str) -> None:
        self.logs[own] = Log(
            self.settings(own), lambda to, body: self.mail.append((own, to, body)), self.lines.append
        )

    def stop(self, own: str) -> None:
        self.logs.pop(own).close()

    def lease(self, holder: str | None) -> None:
        """From now on `holder` has the lease and everybody that is reachable promised it."""
        for own, log in self.logs.items():
            live = frozenset(self.logs) - {own} if own not in self.cut else frozenset()
            log.follow(own == holder, None if own in self.cut else holder, live - self.cut)

    def round(self) -> None:
        for log in list(self.logs.values()):
            log.round(time.monotonic())
        mail, self.mail = self.mail, []
        if self.loss:
            self.random.shuffle(mail)
        for sender, to, body in mail:
            if {sender, to} & self.cut or to not in self.logs or self.random.random() < self.loss:
                continue
            for _ in range(2 if self.random.random() < self.loss else 1):
                self.carried += 1
                self.logs[to].heard(sender, body)

    def until(self, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
        """Go on until it is so; how long that took, in seconds."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() < begin + limit_s, self.lines
            self.round()
            time.sleep(0.001)
        return time.monotonic() - begin

    def order(self, at: str, command: Command, limit_s: float = LIMIT_S) -> None:
        """Give a command at a member, again and again until it is certain there."""
        outcomes: list[int] = []
        asked = 0.0

        def done() -> bool:
            nonlocal asked
            if 0 in outcomes:
                return True
            if time.monotonic() > asked + 0.3 and self.logs[at].leader is not None:
                asked = time.monotonic()
                self.logs[at].submit(command, lambda _, reason: outcomes.append(reason))
            return False

        self.until(done, limit_s)

    def agree(self) -> None:
        """Wait until all that run have the same state."""
        self.until(
            lambda: len({json.dumps(log_machine.to_json(log.state)) for log in self.logs.values()}) == 1
        )

    def close(self) -> None:
        for own in list(self.logs):
            self.stop(own)
